from typing import Any

import pytest

from pipecat_lemonslice.emulator.bodies import (
    BadRequest,
    CreateOrder,
    ResetIdleTimeout,
    Terminate,
    TriggerPose,
    UpdateIdlePrompt,
    UpdateImage,
    UpdatePrompt,
    control_order,
    create_order,
)

LEAST = {"agent_id": "a", "transport_type": "daily"}
BUCKET = {"assume_role_arn": "arn", "bucket_name": "b", "bucket_region": "r"}


def test_the_least_body_has_the_defaults():
    """Only a source and the transport are required; the rest has the service's defaults."""
    assert create_order(LEAST, image=False) == CreateOrder(
        agent_id="a",
        image_url=None,
        prompt="a person talking",
        idle_prompt="",
        idle_timeout=60,
        response_done_timeout=None,
        aspect_ratio="2x3",
        sample_rate=24000,
        room_url=None,
        token=None,
    )


def test_a_full_body_is_taken():
    """Everything that the service knows is understood; what it does not know is no error."""
    body = {
        "agent_image_url": "https://example.com/a.png",
        "transport_type": "daily",
        "agent_prompt": "happy",
        "agent_idle_prompt": "calm",
        "idle_timeout": -1,
        "response_done_timeout": 0.5,
        "model": "pro",
        "aspect_ratio": "9x16",
        "audio_sample_rate": 48000,
        "simulcast": False,
        "properties": {
            "daily_url": "ws://h/rooms/r",
            "daily_room_url": "ws://h/rooms/r",
            "daily_token": "t",
            "enable_recording": "cloud",
            "recordings_bucket": BUCKET,
            "something": "else",
        },
        "unknown": 1,
    }
    order = create_order(body, image=False)
    assert (order.idle_timeout, order.response_done_timeout, order.sample_rate) == (-1, 0.5, 48000)
    assert (order.room_url, order.token, order.aspect_ratio) == ("ws://h/rooms/r", "t", "9x16")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"agent_id": None}, "exactly one of"),
        ({"agent_image_url": "https://x"}, "exactly one of"),
        ({"agent_id": ""}, "agent_id"),
        ({"agent_id": 7}, "agent_id"),
        ({"transport_type": "smoke"}, "transport_type"),
        ({"transport_type": "livekit"}, "transport_type"),
        ({"simulcast": True}, "simulcast"),
        ({"simulcast": "no"}, "simulcast"),
        ({"idle_timeout": 1.5}, "idle_timeout"),
        ({"idle_timeout": True}, "idle_timeout"),
        ({"idle_timeout": None}, "idle_timeout"),
        ({"response_done_timeout": "soon"}, "response_done_timeout"),
        ({"response_done_timeout": 0}, "response_done_timeout"),
        ({"response_done_timeout": float("inf")}, "response_done_timeout"),
        ({"model": "huge"}, "model"),
        ({"model": "lite", "aspect_ratio": "9x16"}, "aspect_ratio"),
        ({"aspect_ratio": "16x9"}, "aspect_ratio"),
        ({"audio_sample_rate": 8000}, "audio_sample_rate"),
        ({"audio_sample_rate": "24000"}, "audio_sample_rate"),
        ({"agent_prompt": 1}, "agent_prompt"),
        ({"agent_idle_prompt": []}, "agent_idle_prompt"),
        ({"properties": []}, "properties"),
        ({"properties": {"daily_url": 1}}, "properties.daily_url"),
        ({"properties": {"daily_url": "a", "daily_room_url": "b"}}, "properties.daily_url"),
        ({"properties": {"daily_token": 1}}, "properties.daily_token"),
        ({"properties": {"enable_recording": "tape"}}, "properties.enable_recording"),
        ({"properties": {"enable_recording": "cloud"}}, "properties.recordings_bucket"),
        (
            {"properties": {"enable_recording": "cloud", "recordings_bucket": {**BUCKET, "bucket_name": ""}}},
            "properties.recordings_bucket.bucket_name",
        ),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], names: str):
    """The detail begins with the field at fault."""
    with pytest.raises(BadRequest, match=f"^{names}"):
        create_order({**LEAST, **change}, image=False)


def test_the_transport_is_required():
    """A body without transport_type is refused."""
    with pytest.raises(BadRequest, match="transport_type"):
        create_order({"agent_id": "a"}, image=False)


def test_an_uploaded_picture_is_a_source():
    """With an image no agent may be named, and none is needed."""
    assert create_order({"transport_type": "daily"}, image=True).agent_id is None
    with pytest.raises(BadRequest, match="exactly one of"):
        create_order(LEAST, image=True)


@pytest.mark.parametrize("body", [None, [], "text", 7])
def test_a_body_is_an_object(body: Any):
    """Other JSON is refused, for create and control."""
    with pytest.raises(BadRequest, match="body"):
        create_order(body, image=False)
    with pytest.raises(BadRequest, match="body"):
        control_order(body)


@pytest.mark.parametrize(
    ("body", "order"),
    [
        ({"event": "terminate"}, Terminate()),
        ({"event": "update-image", "image_url": "https://x"}, UpdateImage("https://x", None)),
        ({"event": "update-image", "image_base64": "eA=="}, UpdateImage(None, "eA==")),
        ({"event": "update-agent-prompt", "agent_prompt": "p"}, UpdatePrompt("p")),
        ({"event": "update-idle-prompt", "idle_prompt": "p"}, UpdateIdlePrompt("p")),
        ({"event": "pose-trigger", "pose_trigger": {"name": "wave"}}, TriggerPose("wave")),
        ({"event": "reset-idle-timeout"}, ResetIdleTimeout()),
    ],
)
def test_every_control_event_is_understood(body: dict[str, Any], order: object):
    """The seven bodies of the API reference."""
    assert control_order(body) == order


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, "event"),
        ({"event": "dance"}, "event"),
        ({"event": "update-image"}, "image_url"),
        ({"event": "update-image", "image_url": "https://x", "image_base64": "eA=="}, "image_url"),
        ({"event": "update-agent-prompt"}, "agent_prompt"),
        ({"event": "update-idle-prompt", "idle_prompt": 5}, "idle_prompt"),
        ({"event": "pose-trigger"}, "pose_trigger"),
        ({"event": "pose-trigger", "pose_trigger": {}}, "pose_trigger.name"),
    ],
)
def test_a_wrong_control_field_is_named(body: dict[str, Any], names: str):
    """The detail begins with the field at fault."""
    with pytest.raises(BadRequest, match=f"^{names}"):
        control_order(body)
