"""The REST API, asked by a bare HTTP client; what is expected was written from the API's description."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.emulator.client import CREATE, KEY, Client, form, png, set_up

BUCKET = {"assume_role_arn": "arn", "bucket_name": "b", "bucket_region": "r"}
UPLOAD = {"transport_type": "daily"}
FORM = {**KEY, "Content-Type": "multipart/form-data; boundary=x"}


async def test_create_answers_201_with_three_keys(client: Client) -> None:
    """A new session has an id, a room on a WebSocket and a control address, all on this emulator."""
    status, answer = await client.ask("POST", json=CREATE)
    (session,) = client.emulator.sessions
    assert (status, answer) == (
        201,
        {
            "session_id": session.id,
            "room_url": client.emulator.room_url(session.room),
            "control_url": f"{client.emulator.api_url}/liveai/sessions/{session.id}/control",
        },
    )
    assert [(request.path, request.with_key) for request in client.emulator.requests] == [("create", True)]


async def test_a_full_body_is_accepted_and_can_be_looked_at(client: Client) -> None:
    """Every field of the reference, fields that nobody knows, and each aspect ratio that a model has."""
    body = {
        "agent_id": None,
        "agent_image_url": "data:,",
        "agent_prompt": "happy",
        "agent_idle_prompt": "calm",
        "idle_timeout": -1,
        "response_done_timeout": 0.5,
        "model": "pro",
        "aspect_ratio": "9x16",
        "audio_sample_rate": 48000,
        "simulcast": False,
        "properties": {"enable_recording": "cloud", "recordings_bucket": BUCKET, "something": "else"},
        "unknown": 1,
    }
    session = await client.create(**body)
    assert session.request.body == {**CREATE, **body}
    assert session.avatar.sample_rate == 48000
    await client.create(model="lite", aspect_ratio="1x1")
    assert client.emulator.created == 2


def sent(body: Any, headers: dict[str, str] = KEY) -> dict[str, Any]:
    """A body as it is, or a change of a request that is accepted."""
    return {"json": {**CREATE, **body}} if isinstance(body, dict) else {"data": body, "headers": headers}


@pytest.mark.parametrize(
    ("make", "detail"),
    [
        (lambda: sent(b"{nonsense"), "Invalid JSON"),
        (lambda: sent(form(UPLOAD, b"nonsense")), "not a PNG"),
        (lambda: sent(form(CREATE, png())), "exactly one of"),
        (lambda: sent(aiohttp.FormData({"payload": "{}"}, default_to_multipart=True)), "the parts"),
        (lambda: sent(b"nonsense", FORM), "the form cannot be read"),
        (lambda: sent(b"--x\r\nnonsense", FORM), "the form cannot be read"),
        (lambda: sent(b"--x\r\nContent-Disposition: form-data", FORM), "the form cannot be read"),
        (lambda: sent({"agent_id": None}), "exactly one of"),
        (lambda: sent({"agent_image_url": "https://x"}), "exactly one of"),
        (lambda: sent({"agent_id": 7}), "agent_id"),
        (lambda: sent({"transport_type": "livekit"}), "transport_type"),
        (lambda: sent({"simulcast": True}), "simulcast"),
        (lambda: sent({"idle_timeout": 1.5}), "idle_timeout: Input should be a valid integer"),
        (lambda: sent({"response_done_timeout": 0}), "response_done_timeout"),
        (lambda: sent({"model": "huge"}), "model: Input should be 'flash', 'lite' or 'pro'"),
        (lambda: sent({"model": "lite", "aspect_ratio": "9x16"}), "aspect_ratio"),
        (lambda: sent({"audio_sample_rate": 8000}), "audio_sample_rate"),
        (
            lambda: sent({"properties": {"daily_url": "a", "daily_room_url": "b"}}),
            "properties: daily_url and daily_room",
        ),
        (lambda: sent({"properties": {"daily_url": "https://x.daily.co/r"}}), "properties.daily_url"),
        (lambda: sent({"properties": {"daily_room_url": "ws://127.0.0.1:1/rooms/none"}}), "properties.daily_url"),
        (lambda: sent({"properties": {"enable_recording": "cloud"}}), "properties: recordings_bucket"),
        (
            lambda: sent({"properties": {"recordings_bucket": {**BUCKET, "bucket_name": ""}}}),
            "properties.recordings_bucket.bucket_name",
        ),
    ],
)
async def test_a_wrong_request_answers_400_and_creates_nothing(client: Client, make: Any, detail: str) -> None:
    """What cannot be read is the sender's mistake; for a wrong field the detail begins with its name."""
    status, answer = await client.ask("POST", **make())
    assert (status, answer["detail"][: len(detail)], client.emulator.created) == (400, detail, 0)


@set_up(api_keys={"right"})
async def test_the_key_is_checked(client: Client) -> None:
    """No key or an unknown one answers 401; control works without one, but not with a wrong one."""

    async def statuses(method: str, path: str, **kwargs: Any) -> list[int]:
        given = ({}, {"X-API-Key": ""}, {"X-API-Key": "wrong"}, {"X-API-Key": "right"})
        return [(await client.ask(method, path, headers, **kwargs))[0] for headers in given]

    assert await statuses("POST", "", json=CREATE) == [401, 401, 401, 201]
    path = f"/{client.emulator.sessions[0].id}"
    assert await statuses("GET", path) == await statuses("GET", "") == [401, 401, 401, 200]
    assert await statuses("POST", f"{path}/control", json={"event": "reset-idle-timeout"}) == [200, 401, 401, 200]


@set_up(cold_start=30, credits_per_minute=10)
async def test_get_tells_status_and_cost(client: Client) -> None:
    """QUEUED during the cold start; then ACTIVE, which costs by the minute; then over, at the same cost."""
    session = await client.create(idle_timeout=60)
    for seconds, status, cost in ((29, "QUEUED", 0), (31, "ACTIVE", 5), (60, "TIMED_OUT", 10)):
        await asyncio.sleep(seconds)
        told = {"session_id": session.id, "session_status": status, "cost": cost}
        assert await client.ask("GET", f"/{session.id}") == (200, told)


async def test_list_has_pages(client: Client) -> None:
    """The newest come first; the pagination counts them all. Pages begin at 1, limits end at 100."""
    ids = [(await client.create()).id for _ in range(5)][::-1]
    status, first = await client.ask("GET", "?page=1&limit=2")
    assert (status, [row["session_id"] for row in first["sessions"]]) == (200, ids[:2])
    assert first["pagination"] == {"page": 1, "limit": 2, "total": 5, "total_pages": 3, "has_more": True}
    row = first["sessions"][0]
    assert set(row) == {"session_id", "session_status", "created_at", "credits_used", "provider"}
    assert row["provider"] == "daily"
    _, last = await client.ask("GET", "?page=3&limit=2")
    assert ([row["session_id"] for row in last["sessions"]], last["pagination"]["has_more"]) == (ids[4:], False)
    _, whole = await client.ask("GET")
    assert (len(whole["sessions"]), whole["pagination"]["limit"]) == (5, 25)
    for query in ("page=0", "limit=101", "page=x"):
        status, answer = await client.ask("GET", f"?{query}")
        assert (status, answer["detail"].partition(":")[0]) == (400, query.partition("=")[0])


async def test_every_control_event_is_obeyed(client: Client) -> None:
    """Each answers success and is kept on the session; terminate once, and another session is not concerned."""
    session, other = await client.create(), await client.create()
    events: list[dict[str, Any]] = [
        {"event": "update-agent-prompt", "agent_prompt": "happy"},
        {"event": "update-idle-prompt", "idle_prompt": "calm"},
        {"event": "pose-trigger", "pose_trigger": {"name": "wave"}},
        {"event": "reset-idle-timeout"},
        {"event": "update-image", "image_url": "data:,"},
        {"event": "terminate"},
    ]
    for event in events:
        assert await client.control(session, **event) == (200, {"success": True})
    status, answer = await client.control(session, event="terminate")
    assert (status, set(answer), session.status) == (404, {"detail"}, "COMPLETED")
    assert session.controls == events
    kinds = {str(event.kind): event.value for event in session.avatar.events}
    assert (kinds["prompt"], kinds["idle_prompt"], kinds["pose"]) == ("happy", "calm", "wave")
    assert {"idle_reset", "terminated"} <= set(kinds)
    assert (client.emulator.terminated, client.emulator.running) == (1, [other])


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "event: Field required"),
        ({"event": "dance"}, "event: Input should be 'terminate', 'reset-idle-timeout', "),
        ({"event": "update-image"}, "update-image needs image_url or image_base64"),
        ({"event": "update-image", "image_url": "https://x", "image_base64": "eA=="}, "update-image needs"),
        ({"event": "update-idle-prompt", "idle_prompt": 5}, "idle_prompt: Input should be a valid string"),
        ({"event": "pose-trigger", "pose_trigger": {}}, "pose_trigger.name: Field required"),
    ],
)
async def test_wrong_control_answers_400(client: Client, body: dict[str, Any], detail: str) -> None:
    """The detail says what is wrong, and nothing happens to the session."""
    session = await client.create()
    status, answer = await client.control(session, **body)
    assert (status, answer["detail"][: len(detail)], session.controls) == (400, detail, [])


@set_up(agents={"known"}, max_sessions=1, max_body=20000)
async def test_what_is_unknown_or_too_much_has_its_status(client: Client) -> None:
    """404 for the unknown, 405 for methods, 401 for a blank key, 413 for much, 429 for many; always with a detail."""
    known: dict[str, Any] = {"json": {**CREATE, "agent_id": "known"}}
    asked: tuple[tuple[str, str, dict[str, Any], int], ...] = (
        ("GET", "/none", {}, 404),
        ("GET", f"{client.emulator.api_url}/liveai", {}, 404),
        ("POST", "/none/control", {"json": {"event": "terminate"}}, 404),
        ("DELETE", "", {}, 405),
        ("GET", "", {"headers": {"X-API-Key": " "}}, 401),
        ("POST", "", {"json": {**CREATE, "agent_prompt": "x" * 20000}}, 413),
        ("POST", "", {"data": form(UPLOAD, b"x" * 20000)}, 413),
        ("POST", "", {"json": CREATE}, 404),
        ("POST", "", known, 201),
        ("POST", "", known, 429),
    )
    for method, path, sent, status in asked:
        answered, answer = await client.ask(method, path, **sent)
        assert (answered, set(answer) == {"detail"}) == (status, status != 201), (method, path)
    await client.control(client.emulator.sessions[0], event="terminate")
    await client.create(agent_id="known")
