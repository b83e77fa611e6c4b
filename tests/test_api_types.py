import contextlib
import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipecat_lemonslice._pipecat import redact_secrets
from pipecat_lemonslice.api_types import (
    CreateSessionRequest,
    DailyProperties,
    LiveKitProperties,
    RecordingsBucket,
)
from pipecat_lemonslice.errors import ConfigurationError

BUCKET = RecordingsBucket(assume_role_arn="arn:aws:iam::1:role/x", bucket_name="b", bucket_region="eu-west-1")
LIVEKIT = LiveKitProperties(livekit_url="wss://lk.example", livekit_token="S3CR3T-token")


def test_a_minimal_request():
    """What was not given is not sent, except for the defaults that the design states."""
    assert CreateSessionRequest(agent_id="a").payload() == {
        "agent_id": "a",
        "transport_type": "daily",
        "idle_timeout": 60,
        "audio_sample_rate": 24000,
    }


def test_the_picture_is_not_part_of_the_json(tmp_path: Path):
    """A picture goes beside the JSON, wherever it comes from."""
    (tmp_path / "face.png").write_bytes(b"x")
    for image in (b"bytes", Image.new("RGB", (1, 1)), tmp_path / "face.png", str(tmp_path / "face.png")):
        payload = CreateSessionRequest(agent_image=image).payload()
        assert not {"agent_image", "image", "agent_id"} & set(payload)
        json.dumps(payload)


def test_a_daily_room_goes_under_both_of_its_names():
    """The reference and the code of LemonSlice's own people disagree, so both names are sent."""
    properties = DailyProperties(daily_room_url="https://x.daily.co/r", daily_token="t", extra={"new": 1})
    assert CreateSessionRequest(agent_id="a", properties=properties).payload()["properties"] == {
        "daily_url": "https://x.daily.co/r",
        "daily_room_url": "https://x.daily.co/r",
        "daily_token": "t",
        "new": 1,
    }


def test_empty_properties_are_not_sent():
    """Properties that say nothing are left out."""
    assert "properties" not in CreateSessionRequest(agent_id="a", properties=DailyProperties()).payload()


def test_recording():
    """The mode and its bucket go out as the reference has them."""
    properties = DailyProperties(enable_recording="raw-tracks", recordings_bucket=BUCKET)
    assert properties.payload() == {
        "enable_recording": "raw-tracks",
        "recordings_bucket": {
            "assume_role_arn": "arn:aws:iam::1:role/x",
            "bucket_name": "b",
            "bucket_region": "eu-west-1",
        },
    }


def test_any_mapping_is_extra():
    """A read-only mapping will do as well."""
    assert CreateSessionRequest(agent_id="a", extra=MappingProxyType({"n": 1})).payload()["n"] == 1


def test_livekit():
    """LiveKit has its own properties, and simulcast."""
    request = CreateSessionRequest(agent_id="a", transport_type="livekit", simulcast=False, properties=LIVEKIT)
    assert request.payload()["simulcast"] is False
    assert request.payload()["properties"] == {
        "livekit_url": "wss://lk.example",
        "livekit_token": "S3CR3T-token",
    }


@pytest.mark.parametrize("idle_timeout", [1, 60, 3600, -1])
@pytest.mark.parametrize("rate", [16000, 22050, 24000, 44100, 48000])
def test_every_rate_and_idle_timeout(idle_timeout: int, rate: Any):
    """All that the reference allows is allowed; a negative timeout is never."""
    payload = CreateSessionRequest(
        agent_id="a", idle_timeout=idle_timeout, audio_sample_rate=rate, response_done_timeout=1
    ).payload()
    assert (payload["idle_timeout"], payload["audio_sample_rate"]) == (idle_timeout, rate)
    assert payload["response_done_timeout"] == 1.0


@pytest.mark.parametrize("model", ["flash", "lite", "pro", None])
@pytest.mark.parametrize("ratio", ["2x3", "1x1", "9x16", None])
def test_models_and_aspect_ratios(model: Any, ratio: Any):
    """Every pair is allowed but the lite model with 9x16."""
    if (model, ratio) == ("lite", "9x16"):
        with pytest.raises(ConfigurationError, match="Use 2x3 or 1x1"):
            CreateSessionRequest(agent_id="a", model=model, aspect_ratio=ratio)
    else:
        payload = CreateSessionRequest(agent_id="a", model=model, aspect_ratio=ratio).payload()
        assert payload.get("model") == model
        assert payload.get("aspect_ratio") == ratio


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "exactly one of agent_id, agent_image_url and agent_image, not none"),
        (
            {"agent_id": "a", "agent_image_url": "https://x/y.png"},
            "exactly one of agent_id, agent_image_url and agent_image, not 2",
        ),
        ({"agent_id": "a", "agent_image": b"x"}, "exactly one of agent_id, agent_image_url and agent_image, not 2"),
        ({"agent_id": " "}, "agent_id is empty"),
        ({"agent_image_url": "face.png"}, "agent_image_url is not a URL"),
        ({"agent_image_url": "data:image/png;base64,AAAA"}, "agent_image_url is not a URL"),
        ({"agent_image": 5}, "agent_image is of type int"),
        ({"agent_image": b""}, "agent_image is empty"),
        ({"agent_image": "https://x/y.png"}, "agent_image is a URL"),
        ({"agent_image": "no/such.png"}, "agent_image is not a file, 'such.png'"),
        ({"agent_id": "a", "idle_timeout": 0}, "idle_timeout is 0"),
        ({"agent_id": "a", "idle_timeout": True}, "idle_timeout should be a valid integer, True"),
        ({"agent_id": "a", "idle_timeout": "60"}, "idle_timeout should be a valid integer, '60'"),
        ({"agent_id": "a", "idle_timeout": 1.5}, "idle_timeout should be a valid integer, 1.5"),
        ({"agent_id": "a", "idle_timeout": None}, "idle_timeout should be a valid integer"),
        ({"agent_id": "a", "idle_timout": 5}, "idle_timout is not a field"),
        ({"agent_id": "a", "idle_timout": 5}, "Did you mean idle_timeout?"),
        ({"agent_id": "a", "zzz": 5}, "through extra"),
        ({"agent_id": "a", "response_done_timeout": 0}, "response_done_timeout should be greater than 0"),
        ({"agent_id": "a", "response_done_timeout": -1.0}, "response_done_timeout should be greater"),
        ({"agent_id": "a", "response_done_timeout": True}, "response_done_timeout should be a valid number"),
        ({"agent_id": "a", "response_done_timeout": float("inf")}, "response_done_timeout should be a finite"),
        ({"agent_id": "a", "response_done_timeout": float("nan")}, "response_done_timeout should be"),
        ({"agent_id": "a", "audio_sample_rate": 8000}, "16000, 22050, 24000, 44100 or 48000, 8000 was given"),
        ({"agent_id": "a", "audio_sample_rate": "24000"}, "audio_sample_rate should be"),
        ({"agent_id": "a", "model": "ultra"}, "model should be 'flash', 'lite' or 'pro', 'ultra' was given"),
        ({"agent_id": "a", "aspect_ratio": "16x9"}, "aspect_ratio should be '2x3', '1x1' or '9x16'"),
        ({"agent_id": "a", "transport_type": "zoom"}, "transport_type should be 'daily' or 'livekit'"),
        ({"agent_id": "a", "simulcast": True}, "simulcast is for LiveKit only"),
        ({"agent_id": "a", "properties": LIVEKIT}, "not those of transport_type 'daily'"),
        (
            {"agent_id": "a", "transport_type": "livekit", "properties": DailyProperties()},
            "not those of transport_type 'livekit'",
        ),
        ({"agent_id": "a", "properties": {"daily_url": "x"}}, "properties is neither DailyProperties nor"),
        ({"agent_id": "a", "extra": {"idle_timeout": 5}}, "extra may not set idle_timeout"),
        ({"agent_id": "a", "extra": {"properties": {}}}, "extra may not set properties"),
        ({"agent_id": "a", "extra": {"x": object()}}, "extra cannot be written as JSON"),
        ({"agent_id": "a", "extra": {"x": float("nan")}}, "extra cannot be written as JSON"),
        ({"agent_id": "a", "extra": 5}, "extra should be a valid dictionary, a int was given (further fields)"),
        ({"agent_id": "a", "agent_prompt": ""}, "agent_prompt is empty"),
    ],
)
def test_wrong_requests(fields: dict[str, Any], words: str):
    """Every mistake is a ConfigurationError that names the field and the remedy, also in an ErrorFrame."""
    with pytest.raises(ConfigurationError) as caught:
        CreateSessionRequest(**fields)
    assert words in str(caught.value)
    assert "pydantic" not in str(caught.value)
    assert redact_secrets(str(caught.value)) == str(caught.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DailyProperties(daily_room_url="x.daily.co/r"), "daily_room_url is not a URL"),
        (lambda: DailyProperties(daily_room_url="http://x.daily.co/r"), "daily_room_url is not a URL"),
        (lambda: DailyProperties(daily_token="S3CR3T"), "daily_token needs daily_room_url"),
        (lambda: DailyProperties(daily_room_url="https://x.daily.co/r", daily_token=""), "daily_token is empty"),
        (lambda: DailyProperties(enable_recording="cloud"), "need each other"),
        (lambda: DailyProperties(recordings_bucket=BUCKET), "need each other"),
        (
            lambda: DailyProperties(enable_recording="tape", recordings_bucket=BUCKET),  # type: ignore[arg-type]
            "enable_recording should be 'cloud'",
        ),
        (
            lambda: DailyProperties(enable_recording="cloud", recordings_bucket={}),  # type: ignore[arg-type]
            "\nrecordings_bucket bucket_name is required",
        ),
        (
            lambda: DailyProperties(enable_recording="cloud", recordings_bucket="b"),  # type: ignore[arg-type]
            "recordings_bucket should be",
        ),
        (lambda: DailyProperties(extra={"daily_token": "S3CR3T"}), "extra may not set daily_token"),
        (lambda: DailyProperties(extra={"daily_url": "x", "daily_room_url": "y"}), "daily_room_url, daily_url"),
        (lambda: DailyProperties(daily_room_ulr="https://x"), "Did you mean daily_room_url?"),  # type: ignore[call-arg]
        (lambda: RecordingsBucket(bucket_name="b"), "assume_role_arn is required"),  # type: ignore[call-arg]
        (lambda: RecordingsBucket(bucket_name="", assume_role_arn="a", bucket_region="r"), "bucket_name is empty"),
        (lambda: LiveKitProperties(livekit_url="wss://x"), "livekit_token is required"),  # type: ignore[call-arg]
        (lambda: LiveKitProperties(livekit_url="x", livekit_token="S3CR3T"), "livekit_url is not a URL"),
        (
            lambda: LiveKitProperties(livekit_url="wss://x", livekit_token=["S3CR3T"]),  # type: ignore[arg-type]
            "livekit_token should be a valid string, a list was given",
        ),
    ],
)
def test_wrong_properties(make: Any, words: str):
    """Properties are checked where they are made, and tokens are not shown."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert words in str(caught.value)
    assert "S3CR3T" not in f"{caught.value!r}"
    assert redact_secrets(str(caught.value)) == str(caught.value)


def test_secrets_are_known_and_not_shown():
    """Tokens and signed addresses are in no repr; the tokens are named for whoever redacts."""
    daily = DailyProperties(
        daily_room_url="https://x.daily.co/r?t=S3CR3T", daily_token="S3CR3T-token", extra={"x": "S3CR3T"}
    )
    request = CreateSessionRequest(
        agent_image_url="https://cdn.example/face.png?sig=S3CR3T", properties=daily, extra={"y": "S3CR3T"}
    )
    livekit = CreateSessionRequest(agent_image=b"S3CR3T", transport_type="livekit", properties=LIVEKIT)
    for shown in (repr(request), str(request), repr(livekit)):
        assert "S3CR3T" not in shown
    assert "cdn.example/face.png" in repr(request)
    assert request.secrets() == livekit.secrets() == ("S3CR3T-token",)
    assert CreateSessionRequest(agent_id="a").secrets() == ()


def test_extra_is_an_explicit_door():
    """Fields not known here go out as they are, and later changes to the mapping do not."""
    extra = {"new_field": {"a": [1]}}
    request = CreateSessionRequest(agent_id="a", extra=extra)
    extra["agent_id"] = {"a": [2]}
    assert request.payload()["new_field"] == {"a": [1]}
    assert request.payload()["agent_id"] == "a"


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.text())


@given(
    st.dictionaries(
        st.sampled_from(sorted(CreateSessionRequest.model_fields)) | st.text("ab_", min_size=1, max_size=3),
        anything,
    )
)
def test_nothing_but_configuration_errors(fields: dict[str, Any]):
    """Whatever is given, it is a request that can be sent, or a ConfigurationError."""
    with contextlib.suppress(ConfigurationError):
        json.dumps(CreateSessionRequest(**fields).payload(), allow_nan=False)
