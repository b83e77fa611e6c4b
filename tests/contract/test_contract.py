import base64
import io
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from PIL import Image

from pipecat_lemonslice.api import (
    ControlEvent,
    CreateSessionRequest,
    DailyProperties,
    LemonSliceApi,
    LiveKitProperties,
    RecordingsBucket,
)
from pipecat_lemonslice.errors import ApiStatusError
from tests.support.rest_api import over_http, served
from tests.support.rest_server import RestServer, Seen

KEY = "key-of-the-contract"
HERE = Path(__file__).parent
FACTS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(HERE.glob("*.json"))
}

EVENTS = {kind.__name__: kind for kind in get_args(ControlEvent)}


def named(operation: str) -> list[str]:
    return [name for name, fact in FACTS.items() if fact["operation"] == operation]


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(buffer, "PNG")
    return buffer.getvalue()


def request_of(given: dict[str, Any]) -> CreateSessionRequest:
    given = dict(given)
    if properties := given.pop("properties", None):
        if bucket := properties.get("recordings_bucket"):
            properties = {**properties, "recordings_bucket": RecordingsBucket(**bucket)}
        kind = LiveKitProperties if given.get("transport_type") == "livekit" else DailyProperties
        given["properties"] = kind(**properties)
    if "agent_image" in given:
        given["agent_image"] = png(368, 560)
    return CreateSessionRequest(**given)


def check_request(seen: Seen, expected: dict[str, Any]) -> None:
    assert (seen.method, seen.path) == (expected["method"], expected["path"])
    assert seen.headers["X-API-Key"] == KEY
    if "json" in expected:
        assert seen.headers["Content-Type"] == "application/json"
        assert seen.json == expected["json"]
    if "multipart" in expected:
        check_form(seen, expected["multipart"])


def check_form(seen: Seen, expected: dict[str, Any]) -> None:
    assert seen.headers["Content-Type"].startswith("multipart/form-data")
    payload, image = seen.parts
    assert (payload.name, payload.content_type) == ("payload", expected["payload"]["content_type"])
    assert json.loads(payload.data) == expected["payload"]["json"]
    assert (image.name, image.filename) == ("image", expected["image"]["filename"])
    assert image.content_type == expected["image"]["content_type"]
    assert image.data == png(368, 560)


@pytest.mark.parametrize("name", named("create"))
async def test_creation(name: str):
    """The request is the recorded one, and the recorded answer is read as it is meant."""
    fact = FACTS[name]
    async with RestServer() as server, LemonSliceApi(api_key=KEY, api_url=server.url) as api:
        server.answer(fact["answer"]["status"], fact["answer"]["json"])
        session = await api.create_session(request_of(fact["given"]))
        check_request(server.seen[0], fact["request"])
        meaning = dict(fact["meaning"])
        meaning["control_url"] = meaning["control_url"].replace("{base}", server.url)
        assert session.model_dump() == meaning


@pytest.mark.parametrize("name", named("get"))
async def test_one_session(name: str):
    """The state of a session is asked for and read as recorded."""
    fact = FACTS[name]
    async with RestServer() as server, LemonSliceApi(api_key=KEY, api_url=server.url) as api:
        server.answer(fact["answer"]["status"], fact["answer"]["json"])
        info = await api.get_session(fact["given"])
        check_request(server.seen[0], fact["request"])
        assert info.model_dump(mode="json") == fact["meaning"]


@pytest.mark.parametrize("name", named("list"))
async def test_list_of_sessions(name: str):
    """A page of sessions is asked for and read as recorded."""
    fact = FACTS[name]
    async with RestServer() as server, LemonSliceApi(api_key=KEY, api_url=server.url) as api:
        server.answer(fact["answer"]["status"], fact["answer"]["json"])
        page = await api.list_sessions(**fact["given"])
        check_request(server.seen[0], fact["request"])
        assert page.model_dump(mode="json") == fact["meaning"]


@pytest.mark.parametrize("name", named("control"))
async def test_control(name: str):
    """Each control event goes out as recorded."""
    fact = FACTS[name]
    given = dict(fact["given"])
    if "image" in given:
        given["image"] = base64.b64decode(given["image"])
    event = EVENTS[fact["event"]](**given)
    async with RestServer() as server, LemonSliceApi(api_key=KEY, api_url=server.url) as api:
        server.answer(fact["answer"]["status"], fact["answer"]["json"])
        await api.control("session_1", event)
        check_request(server.seen[0], fact["request"])


@pytest.mark.parametrize("fact", FACTS["errors"]["answers"], ids=lambda fact: str(fact["status"]))
@over_http
async def test_errors(fact: dict[str, Any]):
    """Each recorded refusal keeps its status and the server's own words."""
    async with served() as (server, api):
        server.answer(fact["status"], fact["body"])
        with pytest.raises(ApiStatusError) as caught:
            await api.create_session(CreateSessionRequest(agent_id="agent_123"))
        assert (caught.value.status, caught.value.detail) == (fact["status"], fact["detail"])
        assert caught.value.category.value == fact["category"]


def test_every_fact_is_tested():
    """No file of the contract is overlooked."""
    known = {"create", "get", "list", "control", "error"}
    assert {fact["operation"] for fact in FACTS.values()} == known
    assert {fact["event"] for fact in FACTS.values() if "event" in fact} == EVENTS.keys()
