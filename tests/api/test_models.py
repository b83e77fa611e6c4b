"""Session requests and control events: what they look like on the wire, and what is refused."""

import base64
import contextlib
import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipecat_lemonslice._pipecat import redact_secrets
from pipecat_lemonslice.api import (
    CreateSessionRequest,
    DailyProperties,
    LiveKitProperties,
    PoseTrigger,
    RecordingsBucket,
    UpdateAgentPrompt,
    UpdateIdlePrompt,
    UpdateImage,
)
from pipecat_lemonslice.api.models import control_payload
from pipecat_lemonslice.errors import ConfigurationError
from tests.emulator.client import png

ROOM = "https://x.daily.co/r"
BUCKET = RecordingsBucket(assume_role_arn="arn:aws:iam::1:role/x", bucket_name="b", bucket_region="eu-west-1")
LIVEKIT = LiveKitProperties(livekit_url="wss://lk.example", livekit_token="S3CR3T-token")


# Requests. What a whole one looks like is in tests/contract.


def test_the_image_is_not_part_of_the_json(tmp_path: Path) -> None:
    """It is sent beside the JSON, wherever it comes from."""
    (tmp_path / "face.png").write_bytes(png())
    for image in (png(), Image.new("RGB", (1, 1)), tmp_path / "face.png", str(tmp_path / "face.png")):
        payload = CreateSessionRequest(agent_image=image).payload()
        assert not {"agent_image", "image", "agent_id"} & set(payload)
        json.dumps(payload)


def test_empty_properties_are_not_sent() -> None:
    """Properties that say nothing are left out."""
    assert "properties" not in CreateSessionRequest(agent_id="a", properties=DailyProperties()).payload()


def test_extra_fields_go_out_as_they_are() -> None:
    """Any mapping will do; later changes to it are not sent."""
    extra = {"new_field": {"a": [1]}}
    request = CreateSessionRequest(agent_id="a", extra=MappingProxyType(extra))
    extra["agent_id"] = {"a": [2]}
    assert request.payload()["new_field"] == {"a": [1]}
    assert request.payload()["agent_id"] == "a"
    assert DailyProperties(daily_room_url=ROOM, extra={"new": 1}).payload()["new"] == 1


ONE_OF = "exactly one of agent_id, agent_image_url and agent_image, not"


WRONG_REQUESTS: list[tuple[dict[str, Any], str]] = [
    ({}, f"{ONE_OF} none"),
    ({"agent_id": "a", "agent_image_url": "https://x/y.png"}, f"{ONE_OF} 2"),
    ({"agent_id": "a", "agent_image": b"x"}, f"{ONE_OF} 2"),
    ({"agent_id": " "}, "agent_id is empty"),
    *(
        ({"agent_image_url": url}, "agent_image_url is not a URL. Give one that begins with https://")
        for url in ("face.png", "ftp://a/b", "https://", "https://a b", "https://[", "data:image/png;base64,AAAA")
    ),
    ({"agent_image": 5}, "agent_image is of type int"),
    ({"agent_image": b"no image"}, "agent_image is not an image"),
    ({"agent_image": "no/such.png"}, "agent_image is not a file, 'such.png'"),
    ({"agent_id": "a", "idle_timeout": 0}, "idle_timeout is 0"),
    ({"agent_id": "a", "idle_timeout": True}, "idle_timeout should be a valid integer, not True"),
    ({"agent_id": "a", "idle_timeout": "60"}, "idle_timeout should be a valid integer, not '60'"),
    ({"agent_id": "a", "idle_timeout": None}, "idle_timeout should be a valid integer, not a NoneType"),
    ({"agent_id": "a", "idle_timout": 5}, "idle_timout is not a field of CreateSessionRequest"),
    ({"agent_id": "a", "zzz": 5}, "or pass it through extra"),
    ({"agent_id": "a", "response_done_timeout": 0}, "response_done_timeout should be greater than 0"),
    ({"agent_id": "a", "response_done_timeout": True}, "response_done_timeout should be a valid number"),
    ({"agent_id": "a", "response_done_timeout": float("inf")}, "response_done_timeout should be a finite"),
    ({"agent_id": "a", "audio_sample_rate": 8000}, "16000, 22050, 24000, 44100 or 48000, not 8000"),
    ({"agent_id": "a", "model": "ultra"}, "model should be 'flash', 'lite' or 'pro', not 'ultra'"),
    ({"agent_id": "a", "model": "lite", "aspect_ratio": "9x16"}, "Use 2x3 or 1x1"),
    ({"agent_id": "a", "aspect_ratio": "16x9"}, "aspect_ratio should be '2x3', '1x1' or '9x16'"),
    ({"agent_id": "a", "transport_type": "zoom"}, "transport_type should be 'daily' or 'livekit'"),
    ({"agent_id": "a", "simulcast": True}, "simulcast is for LiveKit only"),
    ({"agent_id": "a", "properties": LIVEKIT}, "not those of transport_type 'daily'"),
    (
        {"agent_id": "a", "transport_type": "livekit", "properties": DailyProperties()},
        "of transport_type 'livekit'",
    ),
    ({"agent_id": "a", "properties": {"daily_url": "x"}}, "properties is neither DailyProperties nor"),
    ({"agent_id": "a", "extra": {"idle_timeout": 5}}, "extra may not set idle_timeout"),
    ({"agent_id": "a", "extra": {"x": object()}}, "extra cannot be written as JSON"),
    ({"agent_id": "a", "extra": {"x": float("nan")}}, "extra cannot be written as JSON"),
    ({"agent_id": "a", "extra": 5}, "extra should be a valid"),
    ({"agent_id": "a", "idle_timeout": "x", "model": "y", "z": 1}, "\nmodel should be"),
]
WRONG: list[tuple[Any, dict[str, Any], str]] = [
    *((CreateSessionRequest, fields, words) for fields, words in WRONG_REQUESTS),
    (DailyProperties, {"daily_room_url": "http://x.daily.co/r"}, "daily_room_url is not a URL"),
    (DailyProperties, {"daily_token": "S3CR3T"}, "daily_token needs daily_room_url"),
    (DailyProperties, {"daily_room_url": ROOM, "daily_token": ""}, "daily_token is empty"),
    (DailyProperties, {"daily_room_url": ROOM, "daily_token": ["S3CR3T"]}, "daily_token should be a valid string"),
    (DailyProperties, {"enable_recording": "cloud"}, "need each other"),
    (DailyProperties, {"recordings_bucket": BUCKET}, "need each other"),
    (DailyProperties, {"enable_recording": "tape", "recordings_bucket": BUCKET}, "enable_recording should be 'cloud'"),
    (DailyProperties, {"enable_recording": "cloud", "recordings_bucket": {}}, "bucket_name is required"),
    (DailyProperties, {"enable_recording": "cloud", "recordings_bucket": "b"}, "recordings_bucket should be"),
    (DailyProperties, {"extra": {"daily_token": "S3CR3T"}}, "extra may not set daily_token"),
    (DailyProperties, {"extra": {"daily_url": "x", "daily_room_url": "y"}}, "daily_room_url, daily_url"),
    (RecordingsBucket, {"bucket_name": "", "assume_role_arn": "a", "bucket_region": "r"}, "bucket_name is empty"),
    (LiveKitProperties, {"livekit_url": "wss://x"}, "livekit_token is required"),
    (LiveKitProperties, {"livekit_url": "x", "livekit_token": "S3CR3T"}, "livekit_url is not a URL"),
    (LiveKitProperties, {"livekit_url": ["S3CR3T"], "livekit_token": "S3CR3T"}, "livekit_url should be a valid string"),
    (UpdateImage, {}, "exactly one of image_url and image"),
    (UpdateImage, {"image_url": "https://x/y", "image": b"z"}, "exactly one of image_url and image"),
    (UpdateImage, {"image_url": "face.png"}, "image_url is not a URL"),
    (UpdateImage, {"image": b"no image"}, "image is not an image"),
    (UpdateAgentPrompt, {"agent_prompt": " "}, "agent_prompt must be a text"),
    (UpdateAgentPrompt, {"agent_prompt": None}, "agent_prompt must be a text"),
    (UpdateIdlePrompt, {"idle_prompt": ""}, "idle_prompt must be a text"),
    (PoseTrigger, {"name": ""}, "name must be a text"),
]


@pytest.mark.parametrize(("kind", "fields", "words"), WRONG)
def test_what_is_wrong_is_refused_where_it_is_made(kind: Any, fields: dict[str, Any], words: str) -> None:
    """Each mistake is a line of one ConfigurationError: it names the field, shows no secret, survives redaction."""
    with pytest.raises(ConfigurationError) as caught:
        kind(**fields)
    assert words in str(caught.value)
    assert "pydantic" not in str(caught.value)
    assert "S3CR3T" not in f"{caught.value!r}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert redact_secrets(str(caught.value)) == str(caught.value)


def test_secrets_are_known_and_not_shown() -> None:
    """Tokens and URLs are in no repr; the tokens are named for whoever redacts."""
    daily = DailyProperties(daily_room_url=f"{ROOM}?t=S3CR3T", daily_token="S3CR3T-token", extra={"x": "S3CR3T"})
    signed = "https://cdn.example/face.png?sig=S3CR3T"
    request = CreateSessionRequest(agent_image_url=signed, properties=daily, extra={"y": "S3CR3T"})
    livekit = CreateSessionRequest(agent_id="a", transport_type="livekit", properties=LIVEKIT)
    for shown in (repr(request), str(request), repr(livekit), repr(UpdateImage(image_url=signed))):
        assert "S3CR3T" not in shown
    assert request.secrets() == livekit.secrets() == ("S3CR3T-token",)
    assert CreateSessionRequest(agent_id="a").secrets() == ()


def test_a_request_does_not_change() -> None:
    """What was checked stays checked."""
    with pytest.raises(ValueError, match="frozen"):
        CreateSessionRequest(agent_id="a").idle_timeout = 0  # type: ignore[misc]


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.text())
names = st.sampled_from(sorted(CreateSessionRequest.model_fields)) | st.text("ab_", min_size=1, max_size=3)


@given(st.dictionaries(names, anything))
def test_nothing_but_configuration_errors(fields: dict[str, Any]) -> None:
    """Whatever is given, it is a request that can be sent, or a ConfigurationError."""
    with contextlib.suppress(ConfigurationError):
        json.dumps(CreateSessionRequest(**fields).payload(), allow_nan=False)


# Control events.


def test_an_image_goes_as_base64() -> None:
    """A small PNG is sent as it is, without a prefix."""
    payload = control_payload(UpdateImage(image=png()))
    assert payload["event"] == "update-image"
    assert base64.b64decode(payload["image_base64"], validate=True) == png()


def test_a_large_image_fits_into_a_megabyte_of_json() -> None:
    """Although base64 makes it a third longer."""
    noise = np.random.default_rng(1).integers(0, 255, (1120, 1120, 3), dtype=np.uint8)
    assert len(control_payload(UpdateImage(image=Image.fromarray(noise)))["image_base64"]) < 1_000_000
