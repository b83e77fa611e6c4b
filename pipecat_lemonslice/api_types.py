"""What is sent to create a session.

Whoever constructs one of these with a wrong value gets a ConfigurationError that names each field and says
what to do; nothing that is not known here goes out, except through `extra`.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, SkipValidation, field_validator, model_validator

from pipecat_lemonslice.checked import (
    Checked,
    checked_extra,
    checked_text,
    checked_url,
    present,
)
from pipecat_lemonslice.pictures import PictureSource, picture_problem

__all__ = [
    "CreateSessionRequest",
    "DailyProperties",
    "LiveKitProperties",
    "RecordingsBucket",
]


class RecordingsBucket(Checked):
    """The S3 bucket that recordings are written to."""

    assume_role_arn: str = Field(description="the ARN of the role that may write to the bucket")
    bucket_name: str = Field(description="the name of the bucket")
    bucket_region: str = Field(description="the AWS region of the bucket")
    allow_api_access: bool | None = None

    _texts = field_validator("assume_role_arn", "bucket_name", "bucket_region")(checked_text)

    def payload(self) -> dict[str, Any]:
        """What goes on the wire."""
        return self.model_dump(exclude_none=True)


class DailyProperties(Checked):
    """An existing Daily room for the session, the avatar's token for it, and recording."""

    daily_room_url: str | None = Field(default=None, description="the URL of a Daily room")
    daily_token: str | None = Field(default=None, repr=False, description="the avatar's meeting token")
    enable_recording: Literal["cloud", "cloud-audio-only", "local", "raw-tracks"] | None = None
    recordings_bucket: RecordingsBucket | None = Field(default=None, description="a RecordingsBucket")
    extra: Mapping[str, Any] = Field(default_factory=dict, repr=False, description="further properties")

    _token = field_validator("daily_token")(checked_text)

    @field_validator("daily_room_url")
    @classmethod
    def _check_room(cls, url: str | None) -> str | None:
        return checked_url(url, "https", "wss", "ws")

    @field_validator("extra")
    @classmethod
    def _check_extra(cls, extra: Mapping[str, Any]) -> Mapping[str, Any]:
        return checked_extra(extra, {*cls.model_fields, "daily_url"})

    @model_validator(mode="after")
    def _check_together(self) -> "DailyProperties":
        if self.daily_token and not self.daily_room_url:
            raise ValueError("daily_token needs daily_room_url, the room that it opens")
        if (self.enable_recording is None) != (self.recordings_bucket is None):
            raise ValueError("enable_recording and recordings_bucket need each other. Give both or neither")
        return self

    def payload(self) -> dict[str, Any]:
        """What goes on the wire; the room under both names that the service is known to read."""
        bucket = self.recordings_bucket.payload() if self.recordings_bucket else None
        return {
            **present(daily_url=self.daily_room_url, daily_room_url=self.daily_room_url, daily_token=self.daily_token),
            **present(enable_recording=self.enable_recording, recordings_bucket=bucket),
            **self.extra,
        }


class LiveKitProperties(Checked):
    """The LiveKit room for the session."""

    livekit_url: str = Field(description="the URL of the LiveKit server, wss://…")
    livekit_token: str = Field(repr=False, description="the avatar's token for the room")
    extra: Mapping[str, Any] = Field(default_factory=dict, repr=False, description="further properties")

    _token = field_validator("livekit_token")(checked_text)

    @field_validator("livekit_url")
    @classmethod
    def _check_url(cls, url: str) -> str | None:
        return checked_url(url, "wss", "ws", "https")

    @field_validator("extra")
    @classmethod
    def _check_extra(cls, extra: Mapping[str, Any]) -> Mapping[str, Any]:
        return checked_extra(extra, set(cls.model_fields))

    def payload(self) -> dict[str, Any]:
        """What goes on the wire."""
        return {"livekit_url": self.livekit_url, "livekit_token": self.livekit_token, **self.extra}


class CreateSessionRequest(Checked):
    """A self-managed session to be created. Exactly one of the first three fields says which avatar."""

    agent_id: str | None = Field(default=None, description="the id of an agent")
    agent_image_url: str | None = Field(default=None, description="the URL of a picture, best 368x560 pixels")
    agent_image: SkipValidation[PictureSource | None] = Field(
        default=None, repr=False, description="a picture as bytes, path or PIL image"
    )
    transport_type: Literal["daily", "livekit"] = "daily"
    agent_prompt: str | None = Field(default=None, description="demeanour while speaking")
    agent_idle_prompt: str | None = Field(default=None, description="demeanour while idle")
    idle_timeout: int = Field(default=60, description="whole seconds without speech, not 0; negative for never")
    response_done_timeout: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="seconds without new audio after which a response is over",
    )
    model: Literal["flash", "lite", "pro"] | None = None
    aspect_ratio: Literal["2x3", "1x1", "9x16"] | None = None
    audio_sample_rate: Literal[16000, 22050, 24000, 44100, 48000] = Field(
        default=24000, description="Hz at which the avatar hears and speaks"
    )
    simulcast: bool | None = Field(default=None, description="for LiveKit only")
    properties: DailyProperties | LiveKitProperties | None = None
    extra: Mapping[str, Any] = Field(default_factory=dict, repr=False, description="further fields")

    _texts = field_validator("agent_id", "agent_prompt", "agent_idle_prompt")(checked_text)

    @field_validator("agent_image_url")
    @classmethod
    def _check_image_url(cls, url: str | None) -> str | None:
        return checked_url(url, "https", "http")

    @field_validator("agent_image")
    @classmethod
    def _check_image(cls, image: object) -> object:
        if image is not None and (problem := picture_problem(image)):
            raise ValueError(problem)
        return image

    @field_validator("idle_timeout")
    @classmethod
    def _check_idle_timeout(cls, seconds: int) -> int:
        if seconds == 0:
            raise ValueError("is 0, which would end the session at once. Use -1 for a session without it")
        return seconds

    @field_validator("properties", mode="before")
    @classmethod
    def _check_properties(cls, properties: object) -> object:
        if properties is None or isinstance(properties, DailyProperties | LiveKitProperties):
            return properties
        raise ValueError("is neither DailyProperties nor LiveKitProperties. Construct one of them")

    @field_validator("extra")
    @classmethod
    def _check_extra(cls, extra: Mapping[str, Any]) -> Mapping[str, Any]:
        return checked_extra(extra, set(cls.model_fields))

    @model_validator(mode="after")
    def _check_together(self) -> "CreateSessionRequest":
        if problem := self._source_problem() or self._transport_problem() or self._model_problem():
            raise ValueError(problem)
        return self

    def _source_problem(self) -> str | None:
        given = sum(source is not None for source in (self.agent_id, self.agent_image_url, self.agent_image))
        if given == 1:
            return None
        return f"Give exactly one of agent_id, agent_image_url and agent_image, not {given or 'none'}"

    def _transport_problem(self) -> str | None:
        daily = self.transport_type == "daily"
        if daily and self.simulcast is not None:
            return "simulcast is for LiveKit only. Leave it out, or use transport_type='livekit'"
        if isinstance(self.properties, LiveKitProperties if daily else DailyProperties):
            return f"properties are not those of transport_type {self.transport_type!r}. Change one of the two"
        return None

    def _model_problem(self) -> str | None:
        if self.model == "lite" and self.aspect_ratio == "9x16":
            return "aspect_ratio 9x16 does not go with the lite model. Use 2x3 or 1x1, or another model"
        return None

    def secrets(self) -> tuple[str, ...]:
        """Strings that must never be seen, such as tokens, in case a server repeats them."""
        match self.properties:
            case DailyProperties(daily_token=str(token)) | LiveKitProperties(livekit_token=token):
                return (token,)
            case _:
                return ()

    def payload(self) -> dict[str, Any]:
        """What goes on the wire as JSON; the picture itself goes beside it."""
        fields = self.model_dump(exclude={"agent_image", "properties", "extra"}, exclude_none=True)
        properties = self.properties.payload() if self.properties else None
        return {**fields, **present(properties=properties or None), **self.extra}
