"""The REST API, asked by a bare HTTP client; what is expected was written from the API's description."""

import io
import json
from typing import Any

import aiohttp
import pytest
from PIL import Image

from pipecat_lemonslice.emulator import Emulator, EmulatorOptions
from tests.emulator.town import CREATE, KEY, Town


def png(width: int = 20, height: int = 30) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "PNG")
    return buffer.getvalue()


def form(payload: Any, image: bytes, kind: str = "image/png") -> aiohttp.FormData:
    data = aiohttp.FormData()
    data.add_field("payload", json.dumps(payload), content_type="application/json")
    data.add_field("image", image, content_type=kind, filename="face.png")
    return data


async def test_create_answers_201_with_three_keys(town: Town):
    """A new session has an id, a room on a WebSocket and a control address, all on this emulator."""
    status, answer = await town.post("/liveai/sessions", CREATE)
    assert status == 201
    assert set(answer) == {"session_id", "room_url", "control_url"}
    base = town.emulator.api_url.removeprefix("http://").removesuffix("/api")
    assert answer["room_url"].startswith(f"ws://{base}/rooms/")
    assert answer["control_url"] == f"http://{base}/api/liveai/sessions/{answer['session_id']}/control"
    assert (town.emulator.created, town.emulator.terminated) == (1, 0)


async def test_the_request_is_kept_as_it_came(town: Town):
    """The session shows the raw body, unknown fields too, and the headers without the key."""
    body = {**CREATE, "idle_timeout": 5, "properties": {"unknown": [1]}, "aspect_ratio": "1x1"}
    await town.post("/liveai/sessions", body)
    (session,) = town.emulator.sessions
    assert session.request.body == body
    assert session.request.headers["x-api-key"] == "***"
    assert session.request.headers["Content-Type"] == "application/json"
    assert (session.picture_size, session.request.multipart) == ((512, 512), False)
    assert [request.path for request in town.emulator.requests] == ["create"]
    assert town.emulator.requests[0].with_key


async def test_create_takes_multipart(town: Town):
    """A picture is uploaded beside the payload."""
    url = town.emulator.api_url + "/liveai/sessions"
    data = form({"transport_type": "daily"}, png(20, 30))
    async with town.http.post(url, data=data, headers=KEY) as response:
        assert response.status == 201
    request = town.emulator.sessions[0].request
    assert (request.multipart, request.image_size, request.image_bytes) == (True, (20, 30), len(png(20, 30)))
    assert request.body == {"transport_type": "daily"}


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (lambda: form({"transport_type": "daily"}, b"nonsense"), "image: "),
        (lambda: form({"transport_type": "daily", "agent_id": "a"}, png()), "exactly one of"),
        (lambda: aiohttp.FormData({"payload": "{}"}, default_to_multipart=True), "body: the parts"),
    ],
)
async def test_wrong_multipart_answers_400(town: Town, data: Any, detail: str):
    """Something that is no picture, two sources, or a missing part."""
    url = town.emulator.api_url + "/liveai/sessions"
    async with town.http.post(url, data=data(), headers=KEY) as response:
        assert response.status == 400
        assert (await response.json())["detail"].startswith(detail)


async def test_a_wrong_body_answers_400(town: Town):
    """The detail names the field; what is no JSON is said so; nothing is created."""
    status, answer = await town.post("/liveai/sessions", {**CREATE, "idle_timeout": "long"})
    assert (status, answer) == (400, {"detail": "idle_timeout: must be an integer"})
    url = town.emulator.api_url + "/liveai/sessions"
    async with town.http.post(url, data=b"{nonsense", headers=KEY) as response:
        assert (response.status, await response.json()) == (400, {"detail": "body: not correct JSON"})
    assert town.emulator.created == 0


async def test_a_large_body_answers_413():
    """A body above the limit is refused, as JSON and as multipart."""
    async with Emulator(EmulatorOptions(max_body=20000)) as emulator, aiohttp.ClientSession() as http:
        url = emulator.api_url + "/liveai/sessions"
        bodies: list[dict[str, Any]] = [
            {"json": {**CREATE, "agent_prompt": "x" * 20000}},
            {"data": form(CREATE, b"x" * 20000)},
        ]
        for body in bodies:
            async with http.post(url, headers=KEY, **body) as response:
                assert response.status == 413
                assert (await response.json()) == {"detail": "request body larger than 20000 bytes"}


async def test_the_key_is_checked():
    """No key or an unknown one answers 401; control works without one, but not with a wrong one."""
    async with Emulator(EmulatorOptions(api_keys=frozenset({"right"}))) as emulator, aiohttp.ClientSession() as http:
        url = emulator.api_url + "/liveai/sessions"

        async def ask(method: str, url: str, key: str | None, body: Any = None) -> int:
            headers = {} if key is None else {"X-API-Key": key}
            async with http.request(method, url, headers=headers, json=body) as response:
                answer = await response.json()
                assert response.status < 400 or set(answer) == {"detail"}
                return response.status

        assert [await ask("POST", url, key, CREATE) for key in (None, "", "wrong", "right")] == [401, 401, 401, 201]
        one = f"{url}/{emulator.sessions[0].id}"
        assert [await ask("GET", one, key) for key in (None, "right")] == [401, 200]
        assert [await ask("GET", url, key) for key in ("wrong", "right")] == [401, 200]
        reset = {"event": "reset-idle-timeout"}
        statuses = [await ask("POST", one + "/control", key, reset) for key in ("wrong", None, "right")]
        assert statuses == [401, 200, 200]


async def test_any_key_will_do_by_default(town: Town):
    """Without a set of keys any that is not empty is accepted."""
    url = town.emulator.api_url + "/liveai/sessions"
    for key, status in (("anything", 200), (" ", 401)):
        async with town.http.get(url, headers={"X-API-Key": key}) as response:
            assert response.status == status


async def test_get_tells_status_and_cost(town: Town):
    """A session without a cold start is ACTIVE soon, and its cost is a number."""
    answer = await town.create()
    session = town.emulator.sessions[0]
    await session.avatar.wait_for("joined")
    status, seen = await town.get(f"/liveai/sessions/{answer['session_id']}")
    assert status == 200
    assert seen == {"session_id": session.id, "session_status": "ACTIVE", "cost": seen["cost"]}
    assert isinstance(seen["cost"], int | float)


async def test_cost_grows_with_time():
    """An active session costs by the minute, and no more once it is over."""
    options = EmulatorOptions(credits_per_minute=6000)
    async with Emulator(options) as emulator, aiohttp.ClientSession() as http:
        emulator.never_join()
        town = Town(emulator, http)
        answer = await town.create(idle_timeout=0)
        session = emulator.sessions[0]
        await session.avatar.wait_for("idle_timeout")
        cost = session.cost
        assert cost >= 0
        status, seen = await town.get(f"/liveai/sessions/{answer['session_id']}")
        assert (status, seen["session_status"], seen["cost"]) == (200, "TIMED_OUT", cost)


async def test_a_cold_start_is_queued():
    """While it is cold a session is QUEUED, costs nothing, and can be terminated."""
    async with Emulator(EmulatorOptions(cold_start=60)) as emulator, aiohttp.ClientSession() as http:
        town = Town(emulator, http)
        answer = await town.create()
        _, seen = await town.get(f"/liveai/sessions/{answer['session_id']}")
        assert (seen["session_status"], seen["cost"]) == ("QUEUED", 0)
        assert await town.control(answer["session_id"], event="terminate") == (200, {"success": True})
        _, seen = await town.get(f"/liveai/sessions/{answer['session_id']}")
        assert seen["session_status"] == "COMPLETED"


async def test_list_has_pages(town: Town):
    """The newest come first; the pagination counts them all."""
    ids = [(await town.create())["session_id"] for _ in range(5)][::-1]
    status, first = await town.get("/liveai/sessions?page=1&limit=2")
    assert status == 200
    assert [row["session_id"] for row in first["sessions"]] == ids[:2]
    assert first["pagination"] == {"page": 1, "limit": 2, "total": 5, "total_pages": 3, "has_more": True}
    row = first["sessions"][0]
    assert set(row) == {"session_id", "session_status", "created_at", "credits_used", "provider"}
    assert row["provider"] == "daily"
    _, last = await town.get("/liveai/sessions?page=3&limit=2")
    assert ([row["session_id"] for row in last["sessions"]], last["pagination"]["has_more"]) == (ids[4:], False)
    _, whole = await town.get("/liveai/sessions")
    assert (len(whole["sessions"]), whole["pagination"]["limit"]) == (5, 25)


@pytest.mark.parametrize("query", ["page=0", "limit=0", "limit=101", "page=x", "limit=-1", "page=²"])
async def test_wrong_pages_answer_400(town: Town, query: str):
    """Pages begin at 1, limits end at 100."""
    status, answer = await town.get(f"/liveai/sessions?{query}")
    assert status == 400
    assert answer["detail"].startswith(query.partition("=")[0])


async def test_terminate_works_once(town: Town):
    """The first terminate completes the session, a second finds none; another session is not concerned."""
    first, second = await town.create(), await town.create()
    assert await town.control(first["session_id"], event="terminate") == (200, {"success": True})
    status, answer = await town.control(first["session_id"], event="terminate")
    assert status == 404
    assert set(answer) == {"detail"}
    assert (town.emulator.created, town.emulator.terminated) == (2, 1)
    assert [session.id for session in town.emulator.running] == [second["session_id"]]


async def test_every_control_event_is_obeyed(town: Town):
    """Each answers success, at the control address too, and is noted on the session."""
    answer = await town.create()
    events: list[dict[str, Any]] = [
        {"event": "update-agent-prompt", "agent_prompt": "happy"},
        {"event": "update-idle-prompt", "idle_prompt": "calm"},
        {"event": "pose-trigger", "pose_trigger": {"name": "wave"}},
        {"event": "reset-idle-timeout"},
        {"event": "update-image", "image_url": "data:,"},
        {"event": "terminate"},
    ]
    for event in events:
        assert await town.post(answer["control_url"], event) == (200, {"success": True})
    session = town.emulator.sessions[0]
    assert session.controls == events
    kinds = {str(event.kind): event.value for event in session.avatar.events}
    assert (kinds["prompt"], kinds["idle_prompt"], kinds["pose"]) == ("happy", "calm", "wave")
    assert {"idle_reset", "terminated"} <= set(kinds)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"event": "dance"}, "event: unknown event 'dance'"),
        ({"event": "update-image", "image_base64": "%%%"}, "image_base64: not correct base64"),
        ({"event": "pose-trigger"}, "pose_trigger: must be an object"),
    ],
)
async def test_wrong_control_answers_400(town: Town, body: dict[str, Any], detail: str):
    """The detail says what is wrong, and nothing happens to the session."""
    answer = await town.create()
    assert await town.control(answer["session_id"], **body) == (400, {"detail": detail})
    assert town.emulator.sessions[0].controls == []


async def test_unknown_things_answer_404(town: Town):
    """Sessions and addresses that do not exist, always with a detail."""
    for path in ("/liveai/sessions/none", "/liveai", "/", "/../etc/passwd"):
        status, answer = await town.get(path)
        assert (status, set(answer)) == (404, {"detail"})
    assert (await town.control("none", event="terminate"))[0] == 404


async def test_other_methods_answer_405(town: Town):
    """A method that is not there is refused with a detail."""
    async with town.http.delete(town.emulator.api_url + "/liveai/sessions", headers=KEY) as response:
        assert (response.status, set(await response.json())) == (405, {"detail"})


async def test_unknown_agents_answer_404():
    """With a set of agents another one is not found."""
    async with Emulator(EmulatorOptions(agents=frozenset({"known"}))) as emulator, aiohttp.ClientSession() as http:
        town = Town(emulator, http)
        assert (await town.post("/liveai/sessions", CREATE))[0] == 404
        assert (await town.post("/liveai/sessions", {**CREATE, "agent_id": "known"}))[0] == 201


async def test_too_many_sessions_answer_429():
    """Running sessions are bounded; one that is over makes room."""
    async with Emulator(EmulatorOptions(max_sessions=1)) as emulator, aiohttp.ClientSession() as http:
        town = Town(emulator, http)
        answer = await town.create()
        assert (await town.post("/liveai/sessions", CREATE))[0] == 429
        await town.control(answer["session_id"], event="terminate")
        assert (await town.post("/liveai/sessions", CREATE))[0] == 201


async def test_rooms_must_be_this_emulators(town: Town):
    """A room elsewhere, or one that was never opened, is refused by name."""
    for url in ("https://example.daily.co/room", "ws://127.0.0.1:1/rooms/none"):
        status, answer = await town.post("/liveai/sessions", {**CREATE, "properties": {"daily_url": url}})
        assert status == 400
        assert answer["detail"].startswith("properties.daily_url")


async def test_the_port_may_be_taken():
    """A second emulator on the same port says so and leaves nothing open."""
    async with Emulator() as emulator:
        port = int(emulator.api_url.split(":")[2].split("/")[0])
        with pytest.raises(OSError, match="in use"):
            await Emulator(EmulatorOptions(port=port)).start()
