"""No failure and no success of a request shows a secret, whatever a server sends or echoes."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from aiohttp import web
from loguru import logger

from pipecat_lemonslice.errors import ApiError
from tests.support.no_secret import KEY, REQUEST, SECRETS, SIGNED, TOKEN, check_no_secret
from tests.support.rest_server import RestServer, served


async def echo(request: web.Request) -> web.StreamResponse:
    """Repeat all that was sent."""
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
    answering(201, {KEY: TOKEN}),
    answering(201, f"plain {KEY} {TOKEN}"),
    answering(201, f"<h1>{KEY} {TOKEN} {SIGNED}</h1>"),
    answering(201, b'{"session_id": "' + KEY.encode()),
    lambda server: server.reply(echo),
]


@contextmanager
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """All that is logged meanwhile, with loguru at its most talkative."""
    caplog.set_level(logging.DEBUG)
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="TRACE", diagnose=True)
    yield lines
    logger.remove(sink)
    records = [record for record in caplog.records if record.name != "aiohttp.access"]  # the server's own
    lines += (f"{record.getMessage()} {vars(record)}" for record in records)


def check(lines: list[str]) -> None:
    for secret in SECRETS:
        assert secret not in "\n".join(lines)


@pytest.mark.parametrize("arrange", FAILURES)
async def test_no_failure_shows_a_secret(
    arrange: Callable[[RestServer], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Key, tokens and signed URLs are in no log, error, repr or traceback; nor is the token in a later failure."""
    with everything_logged(caplog) as lines:
        async with served(api_key=KEY) as (server, api):
            arrange(server)
            for attempt in (api.create_session(REQUEST), api.get_session("s1")):
                with pytest.raises(ApiError) as caught:
                    await attempt
                check_no_secret(caught.value)
    check(lines)
