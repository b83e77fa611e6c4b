import base64
import json
from pathlib import Path
from typing import Any, get_args

import pytest

from pipecat_lemonslice.api import (
    ControlEvent,
    CreateSessionRequest,
    DailyProperties,
    LemonSliceApi,
    LiveKitProperties,
    RecordingsBucket,
)
from pipecat_lemonslice.errors import ApiStatusError
from tests.emulator.client import png
from tests.support.rest_server import RestServer, Seen, served

KEY = "key-of-the-contract"
HERE = Path(__file__).parent
FACTS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(HERE.glob("*.json"))
}

EVENTS = {kind.__name__: kind for kind in get_args(ControlEvent)}


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


async def ask(api: LemonSliceApi, fact: dict[str, Any]) -> Any:
    """Make the request that a fact is about; returns what its answer is read as."""
    given = fact["given"]
    match fact["operation"]:
        case "create":
            return await api.create_session(request_of(given))
        case "get":
            return await api.get_session(given)
        case "list":
            return await api.list_sessions(**given)
        case _:
            image = {"image": base64.b64decode(given["image"])} if "image" in given else {}
            return await api.control("session_1", EVENTS[fact["event"]](**{**given, **image}))


@pytest.mark.parametrize("name", [name for name, fact in FACTS.items() if fact["operation"] != "error"])
async def test_requests_and_answers(name: str) -> None:
    """The request is the recorded one, and the recorded answer is read as it is meant."""
    fact = FACTS[name]
    async with RestServer() as server, LemonSliceApi(api_key=KEY, api_url=server.url) as api:
        server.answer(fact["answer"]["status"], fact["answer"]["json"])
        read = await ask(api, fact)
        check_request(server.seen[0], fact["request"])
    if "meaning" in fact:
        assert json.loads(json.dumps(fact["meaning"]).replace("{base}", server.url)) == read.model_dump(mode="json")


@pytest.mark.parametrize("fact", FACTS["errors"]["answers"], ids=lambda fact: str(fact["status"]))
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
