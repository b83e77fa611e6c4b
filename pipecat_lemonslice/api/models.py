"""What is sent: session requests and control events. Knows no HTTP.

Checked strictly: a wrong value is a ConfigurationError that names the field, and nothing is converted in silence.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias, cast
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SkipValidation,
    ValidationError,
    model_validator,
)

from pipecat_lemonslice.api.images import PictureSource, check_picture, prepare_picture
from pipecat_lemonslice.errors import ConfigurationError, safe_line

MAX_UPDATE_IMAGE_BYTES = 700_000
"""Size of an image in a control event, where it is sent as base64, which is a third longer."""


# Requests.


class _Checked(BaseModel):
    """A frozen model whose constructor raises ConfigurationError and converts nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)

    if not TYPE_CHECKING:  # type checkers derive the signature from the fields

        def __init__(self, **data: Any) -> None:
            problems: list[str] = []
            try:
                super().__init__(**data)
            except ValidationError as error:
                problems = [_explain(type(self), one) for one in error.errors(include_url=False)]
            # Not raised in the except block, as the context of an error must not hold the input.
            if problems:
                raise ConfigurationError("\n".join(problems))


def _explain(model: type[BaseModel], error: Any) -> str:
    """Say in one line which field is wrong, and why."""
    name, message = ".".join(map(str, error["loc"])), str(error["msg"])
    match error["type"]:
        case "value_error":
            return f"{name} {message.removeprefix('Value error, ')}".strip()
        case "missing":
            return f"{name} is required"
        case "extra_forbidden":
            door = ", or pass it through extra" if "extra" in model.model_fields else ""
            return f"{name} is not a field of {model.__name__}. Remove it, correct its name{door}"
        case _:
            given = error["input"]
            harmless = model.model_fields[error["loc"][0]].repr and isinstance(given, str | int | float)
            shown = safe_line(repr(given), limit=60) if harmless else f"a {type(given).__name__}"
            return f"{name} {message.removeprefix('Input ')}, not {shown}"


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty. Give a text, or leave it out")
    return text


def _check_url(url: object, schemes: tuple[str, ...], name: str = "") -> str:
    try:
        parts = urlsplit(str(url))
        sound = parts.scheme in schemes and bool(parts.hostname) and not any(map(str.isspace, str(url)))
    except ValueError:
        sound = False
    if not sound:
        beginnings = " or ".join(f"{scheme}://" for scheme in schemes)
        raise ConfigurationError(f"{name} is not a URL. Give one that begins with {beginnings}".lstrip())
    return str(url)


def _url(*schemes: str) -> AfterValidator:
    return AfterValidator(lambda url: _check_url(url, schemes))


def _json_mapping(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        json.dumps(dict(extra), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("cannot be written as JSON. Use strings, numbers, lists and mappings") from None
    return extra


def _not_zero(seconds: int) -> int:
    if seconds == 0:
        raise ValueError("is 0, which would end the session at once. Use -1 for a session without it")
    return seconds


def _is_properties(properties: object) -> object:
    if properties is None or isinstance(properties, DailyProperties | LiveKitProperties):
        return properties
    raise ValueError("is neither DailyProperties nor LiveKitProperties. Construct one of them")


_Text = Annotated[str, AfterValidator(_not_blank)]
_Extra = Annotated[Mapping[str, Any], AfterValidator(_json_mapping)]


class RecordingsBucket(_Checked):
    """The S3 bucket that recordings are written to.

    Attributes:
        assume_role_arn: ARN of the role that may write to the bucket.
        bucket_name: Its name.
        bucket_region: Its AWS region.
        allow_api_access: Whether the recordings can be had through Daily's API.
    """

    assume_role_arn: _Text
    bucket_name: _Text
    bucket_region: _Text
    allow_api_access: bool | None = None


class _Extensible(_Checked):
    """A checked model that also sends fields which this package does not know, out of ``extra``."""

    extra: _Extra = Field(default_factory=dict, repr=False)

    @model_validator(mode="after")
    def _check_extra(self) -> Self:
        if taken := sorted(self.extra.keys() & {*type(self).model_fields, "daily_url"}):
            raise ValueError(f"extra may not set {', '.join(taken)}. Use the field of that name")
        return self

    def payload(self) -> dict[str, Any]:
        """Return what goes on the wire as JSON."""
        return self.model_dump(exclude={"extra"}, exclude_none=True) | dict(self.extra)


class DailyProperties(_Extensible):
    """An existing Daily room for the session, and recording.

    Attributes:
        daily_room_url: URL of the room.
        daily_token: The avatar's meeting token; secret.
        enable_recording: What is recorded; needs ``recordings_bucket``.
        recordings_bucket: Where it is recorded.
        extra: Further properties.
    """

    daily_room_url: Annotated[str, _url("https", "wss", "ws")] | None = Field(default=None, repr=False)
    daily_token: _Text | None = Field(default=None, repr=False)
    enable_recording: Literal["cloud", "cloud-audio-only", "local", "raw-tracks"] | None = None
    recordings_bucket: RecordingsBucket | None = None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.daily_token and not self.daily_room_url:
            raise ValueError("daily_token needs daily_room_url, the room that it opens")
        if (self.enable_recording is None) != (self.recordings_bucket is None):
            raise ValueError("enable_recording and recordings_bucket need each other. Give both or neither")
        return self

    def payload(self) -> dict[str, Any]:
        """Return what goes on the wire. The API's reference and LemonSlice's own client name the room differently."""
        room = {"daily_url": self.daily_room_url} if self.daily_room_url else {}
        return room | super().payload()


class LiveKitProperties(_Extensible):
    """The LiveKit room for the session.

    Attributes:
        livekit_url: URL of the LiveKit server, wss://….
        livekit_token: The avatar's token for the room; secret.
        extra: Further properties.
    """

    livekit_url: Annotated[str, _url("wss", "ws", "https")] = Field(repr=False)
    livekit_token: _Text = Field(repr=False)


class CreateSessionRequest(_Extensible):
    """A self-managed session to be created. Exactly one of the first three fields says which avatar.

    Attributes:
        agent_id: Id of an agent.
        agent_image_url: URL of an image, best 368x560 pixels.
        agent_image: An image as bytes, path or PIL image.
        transport_type: Whose room the session uses.
        agent_prompt: Demeanour while speaking.
        agent_idle_prompt: Demeanour while idle.
        idle_timeout: Whole seconds without speech after which the session ends, not 0; negative for never.
        response_done_timeout: Seconds without new audio after which a response is over.
        model: None for the API's default.
        aspect_ratio: None for the API's default. The lite model has no 9x16.
        audio_sample_rate: Hz at which the avatar hears and speaks.
        simulcast: For LiveKit only.
        properties: The room, of the kind that ``transport_type`` says.
        extra: Further fields.
    """

    agent_id: _Text | None = None
    agent_image_url: Annotated[str, _url("https", "http")] | None = Field(default=None, repr=False)
    agent_image: SkipValidation[PictureSource | None] = Field(default=None, repr=False)
    transport_type: Literal["daily", "livekit"] = "daily"
    agent_prompt: _Text | None = None
    agent_idle_prompt: _Text | None = None
    idle_timeout: Annotated[int, AfterValidator(_not_zero)] = 60
    response_done_timeout: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    model: Literal["flash", "lite", "pro"] | None = None
    aspect_ratio: Literal["2x3", "1x1", "9x16"] | None = None
    audio_sample_rate: Literal[16000, 22050, 24000, 44100, 48000] = 24000
    simulcast: bool | None = None
    properties: Annotated[DailyProperties | LiveKitProperties | None, BeforeValidator(_is_properties)] = None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        given = sum(source is not None for source in (self.agent_id, self.agent_image_url, self.agent_image))
        daily = self.transport_type == "daily"
        if given != 1:
            raise ValueError(f"Give exactly one of agent_id, agent_image_url and agent_image, not {given or 'none'}")
        if self.agent_image is not None:
            check_picture(self.agent_image)
        if daily and self.simulcast is not None:
            raise ValueError("simulcast is for LiveKit only. Leave it out, or use transport_type='livekit'")
        if isinstance(self.properties, LiveKitProperties if daily else DailyProperties):
            raise ValueError(
                f"properties are not those of transport_type {self.transport_type!r}. Change one of the two"
            )
        if self.model == "lite" and self.aspect_ratio == "9x16":
            raise ValueError("aspect_ratio 9x16 does not go with the lite model. Use 2x3 or 1x1, or another model")
        return self

    @property
    def room_url(self) -> str | None:
        """URL of the Daily room that is asked for, if there is one."""
        return self.properties.daily_room_url if isinstance(self.properties, DailyProperties) else None

    def secrets(self) -> tuple[str, ...]:
        """Return the tokens, which must never be seen, in case a server repeats them."""
        match self.properties:
            case DailyProperties(daily_token=str(token)) | LiveKitProperties(livekit_token=token):
                return (token,)
            case _:
                return ()

    def payload(self) -> dict[str, Any]:
        """Return what goes on the wire as JSON. The image is sent beside it."""
        fields = self.model_dump(exclude={"agent_image", "properties", "extra"}, exclude_none=True)
        properties = self.properties.payload() if self.properties else {}
        return fields | ({"properties": properties} if properties else {}) | dict(self.extra)


# Control events.


class _Event:
    def __post_init__(self) -> None:
        for name, text in vars(self).items():
            if not isinstance(text, str) or not text.strip():
                raise ConfigurationError(f"{name} must be a text that is not empty")


@dataclass(frozen=True)
class Terminate(_Event):
    """End the session."""


@dataclass(frozen=True)
class ResetIdleTimeout(_Event):
    """Count the idle timeout from now."""


@dataclass(frozen=True)
class UpdateAgentPrompt(_Event):
    """Change the demeanour while speaking."""

    agent_prompt: str


@dataclass(frozen=True)
class UpdateIdlePrompt(_Event):
    """Change the demeanour while idle."""

    idle_prompt: str


@dataclass(frozen=True)
class PoseTrigger(_Event):
    """Let the avatar strike a pose. The only event that does more when it is sent twice."""

    name: str


@dataclass(frozen=True)
class UpdateImage:
    """Change the avatar's image. Exactly one of the two is given."""

    image_url: str | None = field(default=None, repr=False)
    image: PictureSource | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.image_url is None) == (self.image is None):
            raise ConfigurationError("Give exactly one of image_url and image")
        if self.image is not None:
            check_picture(self.image, name="image")
        else:
            _check_url(self.image_url, ("https", "http"), "image_url")


ControlEvent: TypeAlias = (
    Terminate | ResetIdleTimeout | UpdateAgentPrompt | UpdateIdlePrompt | PoseTrigger | UpdateImage
)


def control_payload(event: ControlEvent) -> dict[str, Any]:
    """Return what an event says on the wire. An image is scaled here: call it in a thread."""
    match event:
        case Terminate():
            return {"event": "terminate"}
        case ResetIdleTimeout():
            return {"event": "reset-idle-timeout"}
        case UpdateAgentPrompt(prompt):
            return {"event": "update-agent-prompt", "agent_prompt": prompt}
        case UpdateIdlePrompt(prompt):
            return {"event": "update-idle-prompt", "idle_prompt": prompt}
        case PoseTrigger(name):
            return {"event": "pose-trigger", "pose_trigger": {"name": name}}
        case UpdateImage(image_url=str(url)):
            return {"event": "update-image", "image_url": url}
        case UpdateImage(image=image):
            prepared = prepare_picture(cast("PictureSource", image), max_bytes=MAX_UPDATE_IMAGE_BYTES, name="image")
            return {"event": "update-image", "image_base64": base64.b64encode(prepared.data).decode()}
