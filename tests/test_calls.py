"""What is sent to the REST API: which events may be repeated, and what bodies they have."""

import json
from typing import Any, cast

import aiohttp
import pytest
from PIL import Image
from yarl import URL

from pipecat_lemonslice.api_types import CreateSessionRequest, DailyProperties
from pipecat_lemonslice.calls import creation_body, event_call, payload_of, room_of
from pipecat_lemonslice.controls import ControlEvent, PoseTrigger, ResetIdleTimeout, Terminate, UpdateImage

URL_OF_CONTROL = URL("https://api.test/control")


@pytest.mark.parametrize(
    ("event", "repeatable"), [(Terminate(), True), (ResetIdleTimeout(), True), (PoseTrigger("wave"), False)]
)
async def test_an_event_that_does_more_when_repeated_is_sent_once(event: ControlEvent, repeatable: bool) -> None:
    """Its body is JSON, made afresh for each attempt."""
    payload = await payload_of(event)
    call = event_call(payload, URL_OF_CONTROL)
    assert (call.method, call.url, call.idempotent) == ("POST", URL_OF_CONTROL, repeatable)
    for _ in range(2):
        body = cast("aiohttp.BytesPayload", call.body())
        assert json.loads(bytes(cast("Any", body)._value)) == payload


async def test_a_picture_makes_a_form_of_a_creation() -> None:
    """Without one it is JSON."""
    with_picture = CreateSessionRequest(agent_image=Image.new("RGB", (8, 8)))
    assert isinstance((await creation_body(with_picture))(), aiohttp.FormData)
    assert isinstance((await creation_body(CreateSessionRequest(agent_id="a")))(), aiohttp.BytesPayload)
    event = UpdateImage(image=Image.new("RGB", (8, 8)))
    assert set(await payload_of(event)) == {"event", "image_base64"}


def test_the_room_that_is_asked_for() -> None:
    """Only Daily sessions name one, and not all of them."""
    properties = DailyProperties(daily_room_url="https://x.daily.co/r")
    assert room_of(CreateSessionRequest(agent_id="a", properties=properties)) == "https://x.daily.co/r"
    assert room_of(CreateSessionRequest(agent_id="a")) is None
