import asyncio
import io
import threading
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from PIL import Image

from pipecat_lemonslice import api as api_module
from pipecat_lemonslice import pictures, retry
from pipecat_lemonslice.api import (
    CreatedSession,
    CreateSessionRequest,
    LemonSliceApi,
    PoseTrigger,
    ResetIdleTimeout,
    SessionStatus,
    UpdateImage,
)
from pipecat_lemonslice.errors import (
    ApiResponseError,
    ApiStatusError,
    ApiTimeoutError,
    ConfigurationError,
)
from tests.support.no_secret import KEY, REQUEST, check_no_secret
from tests.support.rest_server import RawServer, RestServer

PLAIN = CreateSessionRequest(agent_id="a")


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once."""
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.0)


@pytest.fixture
async def server() -> AsyncIterator[RestServer]:
    async with RestServer() as server:
        yield server


@pytest.fixture
async def api(server: RestServer) -> AsyncIterator[LemonSliceApi]:
    async with LemonSliceApi(api_key=KEY, api_url=server.url, timeout=5) as api:
        yield api


def created(**fields: Any) -> dict[str, Any]:
    return {"session_id": "s1", "room_url": "https://lemonslice.daily.co/r", **fields}


# What it takes to make one


def test_key_and_address_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    """Without arguments, the two variables say it all, and arguments win over them."""
    monkeypatch.setenv("LEMONSLICE_API_KEY", KEY)
    monkeypatch.setenv("LEMONSLICE_API_URL", "http://127.0.0.1:8900/api/")
    assert repr(LemonSliceApi()) == "LemonSliceApi('http://127.0.0.1:8900/api')"
    assert repr(LemonSliceApi(api_url="https://x.example")) == "LemonSliceApi('https://x.example')"
    for address in ("", None):
        monkeypatch.setenv("LEMONSLICE_API_URL", address) if address == "" else monkeypatch.delenv("LEMONSLICE_API_URL")
        assert repr(LemonSliceApi()) == "LemonSliceApi('https://lemonslice.com/api')"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "There is no API key"),
        ({"api_key": ""}, "There is no API key"),
        ({"api_key": f"{KEY}\n"}, "stray character"),
        ({"api_key": KEY, "api_url": "http://lemonslice.com/api"}, "needs https"),
        ({"api_key": KEY, "api_url": "https://u:S3CR3T@lemonslice.com"}, "must not hold"),
        ({"api_key": KEY, "timeout": 0}, "timeout must be"),
        ({"api_key": KEY, "timeout": -1}, "timeout must be"),
        ({"api_key": KEY, "timeout": float("nan")}, "timeout must be"),
        ({"api_key": KEY, "timeout": float("inf")}, "timeout must be"),
    ],
)
def test_what_cannot_work_is_refused(monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], words: str):
    """Mistakes are told before anything is sent, without showing the key."""
    monkeypatch.delenv("LEMONSLICE_API_KEY", raising=False)
    monkeypatch.delenv("LEMONSLICE_API_URL", raising=False)
    with pytest.raises(ConfigurationError, match=words) as caught:
        LemonSliceApi(**arguments)
    check_no_secret(caught.value)


# Creating


async def test_creation(server: RestServer, api: LemonSliceApi):
    """The session comes with its room and the place for control events."""
    server.answer(201, created(control_url=f"{server.root}/c/1"))
    assert await api.create_session(PLAIN) == CreatedSession(
        session_id="s1", room_url="https://lemonslice.daily.co/r", control_url=f"{server.root}/c/1"
    )


@pytest.mark.parametrize("room_url", [None, "", 5, {}])
@pytest.mark.parametrize("control_url", [None, "", 5, "/relative", "ftp://x/y"])
async def test_a_poor_answer_loses_no_session(
    server: RestServer, api: LemonSliceApi, room_url: object, control_url: object
):
    """Room and control address are optional: there is the room that was sent, and the usual place."""
    server.answer(201, {"session_id": "s1", "room_url": room_url, "control_url": control_url})
    session = await api.create_session(REQUEST)
    assert session.room_url == "https://acme.daily.co/r?t=S3CR3T-room"
    assert session.control_url == f"{server.url}/liveai/sessions/s1/control"


async def test_a_session_without_any_room(server: RestServer, api: LemonSliceApi):
    """Where nobody named a room there is none; what to do about it is the session's business."""
    server.answer(200, {"session_id": "s1"})
    assert (await api.create_session(PLAIN)).room_url is None


async def test_a_large_picture_is_sent_small(server: RestServer, api: LemonSliceApi):
    """A picture of many megabytes goes out as one at most, beside the JSON."""
    server.answer(201, created())
    image = Image.effect_noise((2000, 2400), 90).convert("RGB")
    await api.create_session(CreateSessionRequest(agent_image=image))
    payload, picture = server.seen[0].parts
    assert payload.content_type == "application/json"
    assert (picture.filename, picture.content_type) == ("image.jpg", "image/jpeg")
    assert len(picture.data) < 1_000_000
    assert max(Image.open(io.BytesIO(picture.data)).size) <= 1120


async def test_pictures_are_made_beside_the_event_loop(
    server: RestServer, api: LemonSliceApi, monkeypatch: pytest.MonkeyPatch
):
    """The loop goes on while a picture is scaled, for creation and for an update."""
    threads: list[threading.Thread] = []
    real = pictures._prepare

    def spy(*args: Any) -> Any:
        threads.append(threading.current_thread())
        return real(*args)

    monkeypatch.setattr(pictures, "_prepare", spy)
    server.answer(201, created(success=True))
    await api.create_session(CreateSessionRequest(agent_image=Image.new("RGB", (8, 8))))
    await api.control("s1", UpdateImage(image=Image.new("RGB", (8, 8))))
    assert len(threads) == 2
    assert threading.main_thread() not in threads


async def test_a_picture_that_is_none_is_not_sent(server: RestServer, api: LemonSliceApi):
    """A file that turns out to be no image is a mistake of configuration."""
    with pytest.raises(ConfigurationError, match="agent_image is not an image"):
        await api.create_session(CreateSessionRequest(agent_image=b"no image"))
    assert server.seen == []


# Asking


async def test_state_and_cost(server: RestServer, api: LemonSliceApi):
    """The state of a session is asked for by its id."""
    server.answer(200, {"session_id": "other", "session_status": "TIMED_OUT", "cost": 0.5})
    info = await api.get_session("s/1")
    assert (info.session_id, info.status, info.cost) == ("s/1", SessionStatus.TIMED_OUT, 0.5)
    assert server.seen[0].path == "/api/liveai/sessions/s%2F1"


def page(*ids: str, more: bool) -> dict[str, Any]:
    pagination = {"page": 1, "limit": 100, "total": 3, "total_pages": 2, "has_more": more}
    return {
        "sessions": [{"session_id": each, "session_status": "ACTIVE"} for each in ids],
        "pagination": pagination,
    }


async def test_all_sessions_each_once(server: RestServer, api: LemonSliceApi):
    """Pages are read to the end; a session that slipped to the next page is not told twice."""
    server.answer(200, page("a", "b", more=True))
    server.answer(200, page("b", "c", more=False))
    assert [session.session_id async for session in api.iter_sessions()] == ["a", "b", "c"]
    assert [seen.path.partition("?")[2] for seen in server.seen] == ["page=1&limit=100", "page=2&limit=100"]


@pytest.mark.parametrize("ids", [(), ("a",)])
async def test_a_list_that_always_promises_more(server: RestServer, api: LemonSliceApi, ids: tuple[str, ...]):
    """Pages that bring nothing new end the list, whatever they say."""
    server.answer(200, page(*ids, more=True))
    assert [session.session_id async for session in api.iter_sessions()] == list(ids)


@pytest.mark.parametrize(("number", "limit"), [(0, 25), (1, 0), (1, 101), (-1, 25)])
async def test_pages_that_do_not_exist(api: LemonSliceApi, number: int, limit: int):
    """Page and limit are checked before they are sent."""
    with pytest.raises(ConfigurationError, match="limit from 1 to 100"):
        await api.list_sessions(page=number, limit=limit)


# Control


async def test_a_pose_is_not_struck_twice(server: RestServer, api: LemonSliceApi):
    """What does more when it is repeated is not repeated after a doubtful failure, other events are."""
    server.answer(500)
    with pytest.raises(ApiStatusError):
        await api.control("s1", PoseTrigger("wave"))
    assert len(server.seen) == 1
    with pytest.raises(ApiStatusError):
        await api.control("s1", ResetIdleTimeout())
    assert len(server.seen) == 3


@pytest.mark.parametrize("status", [429, 503])
async def test_what_is_sent_once_is_not_tried_again(server: RestServer, api: LemonSliceApi, status: int):
    """Not even where anything else would be."""
    server.answer(status)
    with pytest.raises(ApiStatusError):
        await api.control("s1", ResetIdleTimeout(), once=True)
    assert len(server.seen) == 1


@pytest.mark.parametrize("body", [None, "", "OK", "<html></html>", b"{", {"success": True}, {}, []])
async def test_any_success_of_an_event_will_do(server: RestServer, api: LemonSliceApi, body: object):
    """The body of a 2xx answer is not needed."""
    server.answer(200, body)
    await api.control("s1", ResetIdleTimeout())
    await api.terminate("s1")


async def test_success_denied(server: RestServer, api: LemonSliceApi):
    """A 200 that says there was no success is an error with its words."""
    server.answer(200, {"success": False, "error": "no such pose"})
    with pytest.raises(ApiResponseError, match="no such pose"):
        await api.control("s1", PoseTrigger("wave"))


async def test_a_foreign_control_address_gets_no_key(server: RestServer, api: LemonSliceApi):
    """An address from outside is used, but not trusted."""
    async with RestServer() as foreign:
        foreign.answer(200, {"success": True})
        await api.control("s1", ResetIdleTimeout(), control_url=f"{foreign.root}/c/1?t=2")
        assert foreign.seen[0].path == "/c/1?t=2"
        assert foreign.seen[0].json == {"event": "reset-idle-timeout"}
        assert KEY not in str(foreign.seen)
        assert server.seen == []


async def test_an_own_control_address_gets_the_key(server: RestServer, api: LemonSliceApi):
    """The same origin with another path is the API's own."""
    server.answer(200, {"success": True})
    await api.control("s1", ResetIdleTimeout(), control_url=f"{server.root}/c/1")
    assert server.seen[0].path == "/c/1"
    assert server.seen[0].headers["X-API-Key"] == KEY


# Terminating


async def test_terminate(server: RestServer, api: LemonSliceApi):
    """One event ends a session."""
    server.answer(200, {"success": True})
    await api.terminate("s1")
    assert server.seen[0].json == {"event": "terminate"}
    assert server.seen[0].path == "/api/liveai/sessions/s1/control"


@pytest.mark.parametrize("status", [404, 409])
async def test_a_session_that_has_ended_already(server: RestServer, api: LemonSliceApi, status: int):
    """Its idle timeout may have been faster: that is success."""
    server.answer(status, {"detail": "Session not found"})
    await api.terminate("s1")
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_terminate_is_tried_again(server: RestServer, api: LemonSliceApi, status: int):
    """A failure that may pass is not taken for an answer, since the session costs money."""
    server.answer(status)
    server.answer(200, {"success": True})
    await api.terminate("s1")
    assert len(server.seen) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 500, 503])
async def test_terminate_says_so_when_it_has_failed(server: RestServer, api: LemonSliceApi, status: int):
    """At the end, and only then, the failure is raised."""
    server.answer(status, {"detail": "No"})
    with pytest.raises(ApiStatusError) as caught:
        await api.terminate("s1")
    assert caught.value.status == status


@pytest.mark.parametrize("status", [301, 401, 404, 503])
async def test_terminate_falls_back_on_its_own_address(server: RestServer, api: LemonSliceApi, status: int):
    """A foreign address that does not do it leaves the session running, so the API itself is asked."""
    server.answer(200, {"success": True})
    async with RestServer() as foreign:
        foreign.answer(status)
        await api.terminate("s1", control_url=f"{foreign.root}/c/1")
        assert KEY not in str(foreign.seen)
        assert foreign.seen
    assert server.seen[0].headers["X-API-Key"] == KEY


async def test_terminate_at_a_foreign_address(server: RestServer, api: LemonSliceApi):
    """If the foreign address does it, that is all."""
    async with RestServer() as foreign:
        foreign.answer(200, {"success": True})
        await api.terminate("s1", control_url=f"{foreign.root}/c/1")
    assert server.seen == []


async def test_terminate_never_hangs(monkeypatch: pytest.MonkeyPatch):
    """Whatever the server does, the end comes in bounded time."""
    monkeypatch.setattr(api_module, "TERMINATE_SECONDS", 0.25)

    async def hang(_: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with RawServer(hang) as server, LemonSliceApi(api_key=KEY, api_url=server.url) as api:
        with pytest.raises(ApiTimeoutError, match=r"Ending the session failed \(not in 0.25 s\)") as caught:
            await api.terminate("s1")
        assert caught.value.__context__ is None


async def test_terminate_after_the_lent_session_was_closed(server: RestServer):
    """An application that closes its session first leaves no avatar running."""
    server.answer(200, {"success": True})
    async with aiohttp.ClientSession() as session:
        api = LemonSliceApi(api_key=KEY, api_url=server.url, session=session)
    await api.terminate("s1")
    await api.close()
    assert len(server.seen) == 1


# Lending and closing


async def test_a_borrowed_session_stays_open(server: RestServer):
    """Who opens closes."""
    server.answer(200, {"session_status": "ACTIVE"})
    async with aiohttp.ClientSession() as session:
        async with LemonSliceApi(api_key=KEY, api_url=server.url, session=session) as api:
            await api.get_session("s1")
        assert not session.closed


async def test_closing_an_unused_client():
    """A client that was never used, or is closed twice, needs no care."""
    api = LemonSliceApi(api_key=KEY)
    await api.close()
    await api.close()
