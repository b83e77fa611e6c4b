"""What an emulator and its sessions are told: its options, and requests, checked as the API's reference states."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from pipecat_lemonslice.emulator.face import Face, open_picture

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class EmulatorOptions:
    """Settings of one emulator. Faults are added to the running ``Emulator`` instead.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        latency: Seconds from hearing speech to speaking it.
        cold_start: Seconds for which a new session is QUEUED.
        join_delay: Seconds from then until the avatar joins its room.
        first_picture_delay: Seconds from then until its first picture.
        messages: App messages that it sends, each so many seconds after it has joined. A ``session_id`` in one
            becomes that of its session.
        avatar_name: User name of the avatar in its room.
        api_keys: Accepted keys; empty: any that is not blank.
        agents: Known agent ids; empty: any.
        room_tokens: Tokens accepted besides the avatar's own in rooms of sessions created with a ``daily_token``;
            empty: those rooms admit anybody.
        max_body: Largest request body in bytes; larger ones answer 413.
        max_sessions: Sessions running at once; more answer 429.
        image_cuts_voice: A new picture drops the speech that has not been spoken yet, as the real model may.
        credits_per_minute: Cost of an active session.
        pictures_per_second: Pictures that each avatar sends, from 1 to 25.
        record_seconds: Seconds of speech kept in ``avatar.heard`` and ``avatar.sounded``, counted from the first.
        marks: Least seconds between two marks while an avatar speaks; 0 for none. A mark is one white picture, and
            20 ms at full volume that begin at the same instant: it shows how far picture and voice are apart.
        face: Shown in place of the drawn face, in every aspect ratio.
    """

    host: str = "127.0.0.1"
    port: int = 0
    latency: float = 0.25
    cold_start: float = 0.0
    join_delay: float = 0.0
    first_picture_delay: float = 0.0
    messages: tuple[tuple[float, Mapping[str, Any]], ...] = ((0.0, {"type": "bot_ready", "session_id": ""}),)
    avatar_name: str = "LemonSlice"
    api_keys: Collection[str] = ()
    agents: Collection[str] = ()
    room_tokens: Collection[str] = ()
    max_body: int = 4 * MEBIBYTE
    max_sessions: int = 100
    image_cuts_voice: bool = False
    credits_per_minute: float = 10.0
    pictures_per_second: float = 25.0
    record_seconds: float = 600.0
    marks: float = 0.0
    face: Face | None = None


_Text = Annotated[str, Field(min_length=1)]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body as it came."""
        return self.model_dump(exclude_unset=True)


class _Bucket(_Body):
    assume_role_arn: _Text
    bucket_name: _Text
    bucket_region: _Text


class _Properties(_Body):
    daily_url: str | None = None
    daily_room_url: str | None = None
    daily_token: str | None = None
    enable_recording: Literal["cloud", "cloud-audio-only", "local", "raw-tracks"] | None = None
    recordings_bucket: _Bucket | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.daily_url and self.daily_room_url and self.daily_url != self.daily_room_url:
            raise ValueError("daily_url and daily_room_url differ")
        if self.enable_recording and not self.recordings_bucket:
            raise ValueError("recordings_bucket is required to record")
        return self


class CreateRequest(_Body):
    """A create request. Fields are those of the reference; the emulator has rooms of one kind, like Daily's."""

    transport_type: Literal["daily"]
    agent_id: _Text | None = None
    agent_image_url: _Text | None = None
    agent_prompt: str | None = None
    agent_idle_prompt: str | None = None
    idle_timeout: int = 60
    response_done_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    model: Literal["flash", "lite", "pro"] | None = None
    aspect_ratio: Literal["2x3", "1x1", "9x16"] = "2x3"
    audio_sample_rate: Literal[16000, 22050, 24000, 44100, 48000] = 24000
    simulcast: Literal[False] = False
    properties: _Properties | None = None
    image: bytes = Field(b"", exclude=True)
    """File of the uploaded picture, which comes beside the JSON; empty for none."""

    @property
    def room_url(self) -> str | None:
        """The existing room that it names."""
        return self.properties and (self.properties.daily_url or self.properties.daily_room_url)

    @property
    def token(self) -> str | None:
        """The avatar's token for its room."""
        return self.properties and self.properties.daily_token

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        image: bytes | None = info.context
        if [self.agent_id, self.agent_image_url, image].count(None) != 2:
            raise ValueError("exactly one of agent_id, agent_image_url and image is required")
        if image is not None:
            open_picture(image)
        self.image = image or b""
        if self.model == "lite" and self.aspect_ratio == "9x16":
            raise ValueError("aspect_ratio: model lite takes 2x3 and 1x1 only")
        return self


class _Pose(_Body):
    name: _Text


Event = Literal[
    "terminate", "reset-idle-timeout", "update-image", "update-agent-prompt", "update-idle-prompt", "pose-trigger"
]


class ControlRequest(_Body):
    """A control request: its event, and what this needs."""

    event: Event
    image_url: str = ""
    image_base64: str = ""
    agent_prompt: str = ""
    idle_prompt: str = ""
    pose_trigger: _Pose | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        needed = {
            "update-image": ("image_url", "image_base64"),
            "update-agent-prompt": ("agent_prompt",),
            "update-idle-prompt": ("idle_prompt",),
            "pose-trigger": ("pose_trigger",),
        }.get(self.event, ())
        if needed and sum(bool(getattr(self, name)) for name in needed) != 1:
            raise ValueError(f"{self.event} needs {' or '.join(needed)}")
        return self


class Page(BaseModel):
    """Which sessions are listed: the query of a list request."""

    page: Annotated[int, Field(ge=1)] = 1
    limit: Annotated[int, Field(ge=1, le=100)] = 25
