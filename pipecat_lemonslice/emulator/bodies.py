"""What request bodies must be, checked by hand as the service would: the first fault names its field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

MODELS = (None, "flash", "lite", "pro")
ASPECT_RATIOS = ("2x3", "1x1", "9x16")
SAMPLE_RATES = (16000, 22050, 24000, 44100, 48000)
RECORDINGS = ("cloud", "cloud-audio-only", "local", "raw-tracks")


class BadRequest(Exception):
    """A body that is refused with 400; its text is the detail."""


@dataclass(frozen=True)
class CreateOrder:
    """The fields of a correct create body, with their defaults.

    Parameters:
        agent_id: Known agent, if that is the source.
        image_url: Picture's URL, if that is the source.
        prompt: Demeanour while speaking.
        idle_prompt: Demeanour while idle.
        idle_timeout: Seconds without speech; negative: never.
        response_done_timeout: Seconds, or None.
        aspect_ratio: Shape of the picture.
        sample_rate: Rate in Hz.
        room_url: Existing room, if there is one.
        token: The avatar's token for it.
    """

    agent_id: str | None
    image_url: str | None
    prompt: str
    idle_prompt: str
    idle_timeout: int
    response_done_timeout: float | None
    aspect_ratio: str
    sample_rate: int
    room_url: str | None
    token: str | None


def create_order(body: Any, *, image: bool) -> CreateOrder:
    """The order in a create body.

    Args:
        body: The decoded JSON.
        image: Whether a picture came with it.

    Raises:
        BadRequest: Something in it is wrong.
    """
    fields = _object(body, "body")
    _source(fields, image)
    _transport(fields)
    _model(fields)
    properties = _object({} if fields.get("properties") is None else fields["properties"], "properties")
    _recording(properties)
    return CreateOrder(
        agent_id=_text(fields, "agent_id"),
        image_url=_text(fields, "agent_image_url"),
        prompt=_text(fields, "agent_prompt") or "a person talking",
        idle_prompt=_text(fields, "agent_idle_prompt") or "",
        idle_timeout=_whole(fields, "idle_timeout", 60),
        response_done_timeout=_seconds(fields, "response_done_timeout"),
        aspect_ratio=_one_of(fields, "aspect_ratio", ASPECT_RATIOS, "2x3"),
        sample_rate=_one_of(fields, "audio_sample_rate", SAMPLE_RATES, 24000),
        room_url=_room_url(properties),
        token=_text(properties, "daily_token", "properties."),
    )


def _source(fields: Mapping[str, Any], image: bool) -> None:
    given = [name for name in ("agent_id", "agent_image_url") if fields.get(name) is not None]
    given += ["image"] if image else []
    if len(given) != 1:
        raise BadRequest(f"exactly one of agent_id, agent_image_url and image is required, not {given}")
    for name in ("agent_id", "agent_image_url"):
        if _text(fields, name) == "":
            raise BadRequest(f"{name}: must not be empty")


def _transport(fields: Mapping[str, Any]) -> None:
    if "transport_type" not in fields:
        raise BadRequest("transport_type: field required")
    if _one_of(fields, "transport_type", ("daily", "livekit"), "") == "livekit":
        raise BadRequest("transport_type: the emulator has no livekit rooms, use daily")
    if _flag(fields, "simulcast"):
        raise BadRequest("simulcast: only with transport_type livekit")


def _model(fields: Mapping[str, Any]) -> None:
    model = _one_of(fields, "model", MODELS, None)
    if model == "lite" and fields.get("aspect_ratio", "2x3") == "9x16":
        raise BadRequest("aspect_ratio: model lite takes 2x3 and 1x1 only")


def _room_url(properties: Mapping[str, Any]) -> str | None:
    names = ("daily_url", "daily_room_url")
    urls = {url for name in names if (url := _text(properties, name, "properties.")) is not None}
    if len(urls) > 1:
        raise BadRequest("properties.daily_url: differs from daily_room_url")
    return next(iter(urls), None)


def _recording(properties: Mapping[str, Any]) -> None:
    if _one_of(properties, "enable_recording", (None, *RECORDINGS), None, "properties.") is None:
        return
    bucket = _object(properties.get("recordings_bucket"), "properties.recordings_bucket")
    for name in ("assume_role_arn", "bucket_name", "bucket_region"):
        if not _text(bucket, name, "properties.recordings_bucket."):
            raise BadRequest(f"properties.recordings_bucket.{name}: field required")


# Control


@dataclass(frozen=True)
class Terminate:
    """End the session."""


@dataclass(frozen=True)
class UpdateImage:
    """Show another picture.

    Parameters:
        url: Where it is, if it is linked.
        base64: What it is, if it is sent along.
    """

    url: str | None
    base64: str | None


@dataclass(frozen=True)
class UpdatePrompt:
    """Another demeanour for speaking."""

    text: str


@dataclass(frozen=True)
class UpdateIdlePrompt:
    """Another demeanour for being idle."""

    text: str


@dataclass(frozen=True)
class TriggerPose:
    """Make a gesture."""

    name: str


@dataclass(frozen=True)
class ResetIdleTimeout:
    """Begin the idle timeout anew."""


Control = Terminate | UpdateImage | UpdatePrompt | UpdateIdlePrompt | TriggerPose | ResetIdleTimeout


def control_order(body: Any) -> Control:
    """The order in a control body.

    Raises:
        BadRequest: Something in it is wrong.
    """
    fields = _object(body, "body")
    match fields.get("event"):
        case "terminate":
            return Terminate()
        case "reset-idle-timeout":
            return ResetIdleTimeout()
        case "update-image":
            return _update_image(fields)
        case "update-agent-prompt":
            return UpdatePrompt(_required(fields, "agent_prompt"))
        case "update-idle-prompt":
            return UpdateIdlePrompt(_required(fields, "idle_prompt"))
        case "pose-trigger":
            pose = _object(fields.get("pose_trigger"), "pose_trigger")
            return TriggerPose(_required(pose, "name", "pose_trigger."))
        case unknown:
            raise BadRequest(f"event: unknown event {unknown!r}"[:120])


def _update_image(fields: Mapping[str, Any]) -> UpdateImage:
    url, base64 = _text(fields, "image_url"), _text(fields, "image_base64")
    if bool(url) == bool(base64):
        raise BadRequest("image_url: exactly one of image_url and image_base64 is required")
    return UpdateImage(url or None, base64 or None)


# Fields


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadRequest(f"{name}: must be an object")
    return cast("dict[str, Any]", value)


def _text(fields: Mapping[str, Any], name: str, path: str = "") -> str | None:
    value = fields.get(name)
    if not isinstance(value, str | None):
        raise BadRequest(f"{path}{name}: must be a string")
    return value


def _required(fields: Mapping[str, Any], name: str, path: str = "") -> str:
    text = _text(fields, name, path)
    if not text:
        raise BadRequest(f"{path}{name}: field required")
    return text


def _whole(fields: Mapping[str, Any], name: str, default: int) -> int:
    value = fields.get(name, default)
    if type(value) is not int:
        raise BadRequest(f"{name}: must be an integer")
    return value


def _seconds(fields: Mapping[str, Any], name: str) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not math.isfinite(value) or value <= 0:
        raise BadRequest(f"{name}: must be a number above 0, or null")
    return float(value)


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if type(value) is not bool:
        raise BadRequest(f"{name}: must be true or false")
    return value


def _one_of(fields: Mapping[str, Any], name: str, known: tuple[Any, ...], default: Any, path: str = "") -> Any:
    value = fields.get(name, default)
    if not any(type(value) is type(each) and value == each for each in known):
        raise BadRequest(f"{path}{name}: must be one of {', '.join(map(str, known))}")
    return value
