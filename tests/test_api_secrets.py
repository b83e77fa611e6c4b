"""Answers of the API that make no sense, and that no failure shows a secret."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from loguru import logger

from pipecat_lemonslice import retry
from pipecat_lemonslice.api import (
    LemonSliceApi,
    ResetIdleTimeout,
    UpdateImage,
)
from pipecat_lemonslice.errors import (
    ApiConnectionError,
    ApiError,
    ApiResponseError,
)
from tests.support.no_secret import KEY, REQUEST, SECRETS, SIGNED, TOKEN, check_no_secret
from tests.support.rest_server import RawServer, RestServer


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
