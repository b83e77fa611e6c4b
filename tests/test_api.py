import asyncio
import io
import logging
import threading
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import pytest
import stamina
from aiohttp import web
from loguru import logger
from PIL import Image

from pipecat_lemonslice import api as api_module
from pipecat_lemonslice import pictures
from pipecat_lemonslice.api import (
    CreatedSession,
    CreateSessionRequest,
    DailyProperties,
    LemonSliceApi,
    PoseTrigger,
    ResetIdleTimeout,
    SessionStatus,
    UpdateImage,
)
from pipecat_lemonslice.errors import (
    ApiConnectionError,
    ApiError,
    ApiResponseError,
    ApiStatusError,
    ApiTimeoutError,
    ConfigurationError,
)
from tests.support.rest_server import RawServer, RestServer

KEY = "lsk-S3CR3T-key-0123456789"
TOKEN = "S3CR3T-token-of-the-avatar"
SIGNED = "https://cdn.example/face.png?sig=S3CR3T-signature"
SECRETS = (KEY, TOKEN, "S3CR3T")
REQUEST = CreateSessionRequest(
    agent_image_url=SIGNED,
    properties=DailyProperties(room_url="https://acme.daily.co/r?t=S3CR3T-room", daily_token=TOKEN),
    extra={"webhook": "https://hook.example/S3CR3T"},
)
PLAIN = CreateSessionRequest(agent_id="a")


@pytest.fixture(autouse=True)
def no_waits() -> Iterator[None]:
    """Attempts follow each other at once."""
    with stamina.set_testing(True, attempts=10):
        yield


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


# Answers that make no sense, and secrets


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, "empty"),
        (b'{"session": "s1"', "breaks off"),
        (b"[]", "not a list"),
        (b'{"id": "s1", "token": "S3CR3T"}', "session_id is missing. It has the keys id, token"),
        ("<html><title>Welcome S3CR3T-token-of-the-avatar</title></html>", "Welcome [REDACTED]"),
    ],
)
async def test_answers_that_make_no_sense(server: RestServer, api: LemonSliceApi, body: object, words: str):
    """The error says what is wrong with the answer, is not tried again and shows no value."""
    server.answer(201, body)
    with pytest.raises(ApiResponseError) as caught:
        await api.create_session(REQUEST)
    assert words in str(caught.value)
    assert len(server.seen) == 1
    check_no_secret(caught.value)


async def test_a_session_whose_answer_breaks_off_is_ended(server: RestServer, api: LemonSliceApi):
    """It may be running: where its id can be made out, it is terminated, and the failure told."""
    server.answer(201, b'{"session_id": "s1", "room_url": "https://lemonslice.da')
    server.answer(200, {"success": True})
    with pytest.raises(ApiResponseError, match="breaks off"):
        await api.create_session(REQUEST)
    assert [seen.path for seen in server.seen][1:] == ["/api/liveai/sessions/s1/control"]
    assert server.seen[1].json == {"event": "terminate"}


def check_no_secret(error: BaseException) -> None:
    """No secret in what can be seen of an error: its texts, its attributes, its causes, its traceback.

    The traceback is the worst that loguru can do, with the values in every line; it begins with the first
    frame of the package, as what callers write into their own lines is theirs.
    """
    lines: list[str] = []
    trace = error.__traceback__
    while trace and "pipecat_lemonslice" not in trace.tb_frame.f_code.co_filename:
        trace = trace.tb_next
    assert trace is not None
    sink = logger.add(lambda line: lines.append(str(line)), level="TRACE", diagnose=True, backtrace=False)
    logger.opt(exception=error.with_traceback(trace)).error("It failed")
    logger.remove(sink)
    chain: list[BaseException | None] = [error]
    while (last := chain[-1]) is not None:
        lines += [str(last), repr(last), repr(last.args), repr(vars(last))]
        chain.append(last.__cause__ or last.__context__)
    lines += traceback.format_exception(error)
    for secret in SECRETS:
        assert secret not in "\n".join(lines)


async def echo(request: web.Request) -> web.StreamResponse:
    """A server that repeats all that it was sent."""
    said = f"{dict(request.headers)} {request.headers.get('X-API-Key')} {(await request.read()).decode()}"
    return web.json_response({"detail": f"{TOKEN} {KEY} is wrong: {said}"}, status=400)


def answering(status: int, body: object = None, **headers: str) -> Callable[[RestServer], None]:
    return lambda server: server.answer(status, body, headers=headers)


FAILURES: list[Callable[[RestServer], None]] = [
    *(answering(status, {"detail": f"bad key {KEY} or {TOKEN} at {SIGNED}"}) for status in (400, 401, 402)),
    *(answering(status, f"<title>{KEY} {TOKEN} {SIGNED}</title>") for status in (403, 404, 413, 429, 500, 503)),
    answering(502, f"{KEY}{TOKEN}" * 100),
    answering(307, None, Location=f"https://elsewhere.example/{KEY}?token={TOKEN}"),
    answering(201, {"token": TOKEN, "session_id": None}),
    answering(201, f"plain {KEY} {TOKEN}"),
    answering(201, f"<h1>{KEY} {TOKEN} {SIGNED}</h1>"),
    lambda server: server.reply(echo),
]


@pytest.mark.parametrize("arrange", FAILURES)
async def test_no_failure_shows_a_secret(
    server: RestServer,
    api: LemonSliceApi,
    arrange: Callable[[RestServer], None],
    caplog: pytest.LogCaptureFixture,
):
    """Key, tokens and signed addresses are in no log, error, repr or traceback, even if a server echoes them."""
    caplog.set_level(logging.DEBUG)
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="TRACE", diagnose=True)
    arrange(server)
    with pytest.raises(ApiError) as caught:
        await api.create_session(REQUEST)
    logger.remove(sink)
    check_no_secret(caught.value)
    logged = "\n".join([*lines, *(f"{record.getMessage()} {vars(record)}" for record in caplog.records)])
    for secret in SECRETS:
        assert secret not in logged


async def reset(_: asyncio.StreamWriter) -> None:
    """Break the connection."""


async def silence(_: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("behave", [reset, silence])
async def test_no_broken_connection_shows_a_secret(behave: Callable[[asyncio.StreamWriter], Awaitable[None]]):
    """Nor do resets and timeouts, whose exceptions in aiohttp know the request."""
    async with (
        RawServer(behave, reset=True) as server,
        LemonSliceApi(api_key=KEY, api_url=server.url, timeout=0.1) as api,
    ):
        with pytest.raises(ApiConnectionError) as caught:
            await api.create_session(REQUEST)
        check_no_secret(caught.value)
        with pytest.raises(ApiConnectionError) as caught:
            await api.control("s1", ResetIdleTimeout(), control_url=f"{server.url}/c?token=S3CR3T")
        check_no_secret(caught.value)


async def test_success_shows_no_secret_either(server: RestServer, api: LemonSliceApi):
    """What is logged of a session that was created, asked for and ended can be shown to anybody."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="TRACE")
    server.answer(201, created(room_url="https://x.daily.co/r?t=S3CR3T", control_url=f"{server.root}/c?t=S3CR3T"))
    session = await api.create_session(REQUEST)
    await api.control("s1", UpdateImage(image_url=SIGNED), control_url=session.control_url)
    await api.terminate("s1", control_url=session.control_url)
    logger.remove(sink)
    shown = "\n".join([*lines, repr(api), repr(session), str(session), repr(REQUEST)])
    assert lines
    for secret in SECRETS:
        assert secret not in shown
