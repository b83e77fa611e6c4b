"""What requests to the REST API may carry, as its reference states. The first fault answers 400 and names its field."""

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import web
from aiohttp.web_request import FileField

from pipecat_lemonslice.emulator.face import SIZES, open_picture

_MODELS = (None, "flash", "lite", "pro")
_SAMPLE_RATES = (16000, 22050, 24000, 44100, 48000)
_RECORDINGS = (None, "cloud", "cloud-audio-only", "local", "raw-tracks")


class RequestError(Exception):
    """A request that is answered with an error.

    Args:
        status: HTTP status.
        detail: Text of the answer.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True)
class CreateRequest:
    """A correct create request.

    Attributes:
        body: The JSON body as it came.
        image: File of the uploaded picture; empty if the request is not multipart/form-data.
    """

    body: Mapping[str, Any]
    image: bytes = b""

    @property
    def properties(self) -> Mapping[str, Any]:
        """The properties of its transport."""
        return self.body.get("properties") or {}


async def read_create(request: web.Request) -> CreateRequest:
    """Return a create request.

    Raises:
        RequestError: Something in it is wrong.
    """
    if request.content_type != "multipart/form-data":
        body = read_json(await request.read())
        _check_create(body, has_image=False)
        return CreateRequest(body)
    try:
        form = await request.post()
        payload, image = _part(form["payload"]), _part(form["image"])
    except (ValueError, KeyError) as error:
        raise RequestError(400, "body: the parts payload and image are required") from error
    body = read_json(payload)
    _check_create(body, has_image=True)
    try:
        open_picture(image)
    except ValueError as error:
        raise RequestError(400, f"image: {error}") from error
    return CreateRequest(body, image)


def read_json(body: bytes) -> Any:
    """Return what a body means.

    Raises:
        RequestError: It is not JSON.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, "body: not correct JSON") from error


def check_control(body: Any) -> None:
    """Check the body of a control request.

    Raises:
        RequestError: Something in it is wrong.
    """
    fields = _object(body, "body")
    match fields.get("event"):
        case "terminate" | "reset-idle-timeout":
            pass
        case "update-image":
            given = [name for name in ("image_url", "image_base64") if _text(fields, name)]
            _need(len(given) == 1, "image_url", "exactly one of image_url and image_base64 is required")
            if given == ["image_base64"]:
                picture_bytes(fields["image_base64"])
        case "update-agent-prompt":
            _need(bool(_text(fields, "agent_prompt")), "agent_prompt", "field required")
        case "update-idle-prompt":
            _need(bool(_text(fields, "idle_prompt")), "idle_prompt", "field required")
        case "pose-trigger":
            pose = _object(fields.get("pose_trigger"), "pose_trigger")
            _need(bool(_text(pose, "name", "pose_trigger.")), "pose_trigger.name", "field required")
        case unknown:
            raise RequestError(400, f"event: unknown event {unknown!r}"[:120])


def picture_bytes(text: str) -> bytes:
    """Return the bytes of ``image_base64``.

    Raises:
        RequestError: It is not base64.
    """
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise RequestError(400, "image_base64: not correct base64") from error


def _check_create(body: Any, *, has_image: bool) -> None:
    fields = _object(body, "body")
    sources = [name for name in ("agent_id", "agent_image_url") if fields.get(name) is not None]
    sources += ["image"] if has_image else []
    if len(sources) != 1:
        raise RequestError(400, f"exactly one of agent_id, agent_image_url and image is required, not {sources}")
    for name in ("agent_id", "agent_image_url", "agent_prompt", "agent_idle_prompt"):
        _need(_text(fields, name) != "" or name not in sources, name, "must not be empty")
    _need("transport_type" in fields, "transport_type", "field required")
    _one_of(fields, "transport_type", ("daily", "livekit"))
    _need(fields["transport_type"] == "daily", "transport_type", "the emulator has no livekit rooms, use daily")
    _need(type(fields.get("simulcast", False)) is bool, "simulcast", "must be true or false")
    _need(not fields.get("simulcast"), "simulcast", "only with transport_type livekit")
    _need(type(fields.get("idle_timeout", 60)) is int, "idle_timeout", "must be an integer")
    timeout = fields.get("response_done_timeout")
    holds = timeout is None or (type(timeout) in (int, float) and 0 < cast("float", timeout) < math.inf)
    _need(holds, "response_done_timeout", "must be a number above 0, or null")
    _one_of(fields, "model", _MODELS)
    _one_of(fields, "aspect_ratio", tuple(SIZES))
    tall = fields.get("aspect_ratio") == "9x16"
    _need(not tall or fields.get("model") != "lite", "aspect_ratio", "model lite takes 2x3 and 1x1 only")
    _one_of(fields, "audio_sample_rate", _SAMPLE_RATES)
    _check_properties(_object({} if fields.get("properties") is None else fields["properties"], "properties"))


def _check_properties(properties: Mapping[str, Any]) -> None:
    urls = {_text(properties, name, "properties.") for name in ("daily_url", "daily_room_url")} - {None}
    _need(len(urls) < 2, "properties.daily_url", "differs from daily_room_url")
    _text(properties, "daily_token", "properties.")
    _one_of(properties, "enable_recording", _RECORDINGS, "properties.")
    if properties.get("enable_recording") is not None:
        bucket = _object(properties.get("recordings_bucket"), "properties.recordings_bucket")
        for name in ("assume_role_arn", "bucket_name", "bucket_region"):
            path = "properties.recordings_bucket."
            _need(bool(_text(bucket, name, path)), path + name, "field required")


def _need(holds: bool, name: str, says: str) -> None:
    if not holds:
        raise RequestError(400, f"{name}: {says}")


def _object(value: Any, name: str) -> Mapping[str, Any]:
    _need(isinstance(value, dict), name, "must be an object")
    return cast("dict[str, Any]", value)


def _text(fields: Mapping[str, Any], name: str, path: str = "") -> str | None:
    value = fields.get(name)
    _need(isinstance(value, str | None), path + name, "must be a string")
    return cast("str | None", value)


def _one_of(fields: Mapping[str, Any], name: str, known: tuple[Any, ...], path: str = "") -> None:
    # Types are compared, too, as 24000.0 == 24000 in Python.
    value = fields.get(name, known[0])
    holds = any(type(value) is type(each) and value == each for each in known)
    _need(holds, path + name, f"must be one of {', '.join(map(str, known))}")


def _part(value: str | bytes | bytearray | FileField) -> bytes:
    if isinstance(value, FileField):
        return value.file.read()
    return value.encode() if isinstance(value, str) else bytes(value)
