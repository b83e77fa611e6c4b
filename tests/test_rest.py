import asyncio
import gzip
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from pipecat_lemonslice import rest, retry
from pipecat_lemonslice.errors import (
    ApiConnectionError,
    ApiError,
    ApiResponseError,
    ApiStatusError,
    ApiTimeoutError,
)
from pipecat_lemonslice.pictures import PreparedPicture
from pipecat_lemonslice.rest import Call, RestClient, form_body, json_body
from tests.support.rest_server import RawServer, RestServer

KEY = "key-S3CR3T-0123456789"


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once."""
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.0)


@pytest.fixture
async def server() -> AsyncIterator[RestServer]:
    async with RestServer() as server:
        yield server


def client(url: str, session: aiohttp.ClientSession | None = None, timeout: float = 5.0) -> RestClient:
    return RestClient(KEY, URL(url), session, timeout)


def call(url: str, *, idempotent: bool = False, timeout: float | None = None) -> Call:
    return Call(
        operation="The test",
        method="POST",
        url=URL(url) / "things",
        idempotent=idempotent,
        body=json_body({"a": 1}),
        timeout=timeout,
    )


async def failure(url: str, *, idempotent: bool = False, timeout: float = 5.0) -> ApiError:
    rest_client = client(url, timeout=timeout)
    try:
        with pytest.raises(ApiError) as caught:
            await rest_client.send(call(url, idempotent=idempotent))
    finally:
        await rest_client.close()
    return caught.value


async def test_a_request_as_it_goes_out(server: RestServer):
    """Method, path, key, type and body are as they were asked for."""
    server.answer(200, {"ok": True})
    rest_client = client(server.url)
    answer = await rest_client.send(call(server.url))
    await rest_client.close()
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.json) == ("POST", "/api/things", {"a": 1})
    assert seen.headers["X-API-Key"] == KEY
    assert seen.headers["Content-Type"] == "application/json"
    assert (answer.status, answer.text, answer.whole) == (200, '{"ok": true}', True)


async def test_a_form_is_made_afresh_for_each_attempt(server: RestServer):
    """A picture is sent whole again after a 429."""
    server.answer(429)
    server.answer(201, {})
    picture = PreparedPicture(b"\x89PNG\r\n\x1a\n", "image/png", "png")
    url = URL(server.url) / "things"
    rest_client = client(server.url)
    await rest_client.send(Call("The test", "POST", url, False, form_body({"a": "ü"}, picture)))
    await rest_client.close()
    first, second = server.seen
    assert first.parts == second.parts
    assert [part.name for part in first.parts] == ["payload", "image"]
    assert first.parts[1].data == picture.data


@pytest.mark.parametrize(
    ("status", "idempotent"), [*((status, True) for status in (429, 502, 503, 504)), (429, False), (503, False)]
)
async def test_gateway_refusals_pass(server: RestServer, status: int, idempotent: bool):
    """A gateway that recovers is not noticed; a 503 says with Retry-After that nothing was carried out."""
    later = {"Retry-After": "0"} if status == 503 else None
    server.answer(status, "<title>busy</title>", headers=later)
    server.answer(status, headers=later)
    server.answer(200, {})
    rest_client = client(server.url)
    assert (await rest_client.send(call(server.url, idempotent=idempotent))).status == 200
    await rest_client.close()
    assert len(server.seen) == 3


@pytest.mark.parametrize("status", [300, 400, 401, 402, 403, 404, 405, 409, 410, 413, 415, 418, 422, 501])
async def test_refusals_are_told_at_once(server: RestServer, status: int):
    """A refusal is final, and keeps the server's words."""
    server.answer(status, {"detail": "Because"})
    error = await failure(server.url, idempotent=True)
    assert isinstance(error, ApiStatusError)
    assert error.status == status
    assert status == 300 or error.detail == "Because"
    assert len(server.seen) == 1


@pytest.mark.parametrize(("idempotent", "times"), [(True, 2), (False, 1)])
async def test_an_internal_error(server: RestServer, idempotent: bool, times: int):
    """A 500 is tried once more if that is harmless."""
    server.answer(500, {"detail": "Oh"})
    assert isinstance(await failure(server.url, idempotent=idempotent), ApiStatusError)
    assert len(server.seen) == times


async def test_a_gateway_that_does_not_recover(server: RestServer):
    """Attempts come to an end, and the last refusal is told."""
    server.answer(503, {"detail": "Down"})
    error = await failure(server.url, idempotent=True)
    assert isinstance(error, ApiStatusError)
    assert (error.status, error.detail, len(server.seen)) == (503, "Down", 5)


@pytest.mark.parametrize("where", ["elsewhere", "here"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(server: RestServer, status: int, where: str):
    """No redirect leads a request, let alone the key, to another place."""
    async with RestServer() as other:
        other.answer(200, {})
        target = f"{(other if where == 'elsewhere' else server).root}/new?sig=S3CR3T"
        server.answer(status, headers={"Location": target})
        error = await failure(server.url, idempotent=True)
        assert isinstance(error, ApiStatusError)
        assert error.status == status
        assert "/new" in error.detail
        assert "S3CR3T" not in str(error)
        assert (len(server.seen), len(other.seen)) == (1, 0)


async def test_the_key_goes_to_its_own_origin_only(server: RestServer):
    """Another host, port or scheme gets the request without the key."""
    server.answer(200, {})
    async with RestServer() as other:
        other.answer(200, {})
        rest_client = client(server.url)
        await rest_client.send(call(other.url))
        await rest_client.send(call(server.root))
        await rest_client.close()
        assert "X-API-Key" not in other.seen[0].headers
        assert KEY not in str(other.seen)
        assert server.seen[0].headers["X-API-Key"] == KEY


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("https://api.example/x", True),
        ("https://API.example:443/y?z", True),
        ("http://api.example/x", False),
        ("https://api.example:444/x", False),
        ("https://api.example.evil.example/x", False),
        ("https://api.example@evil.example/x", False),
        ("https://evil.example\\@api.example/x", False),
        ("https://evil.example#@api.example/x", False),
    ],
)
def test_origins(url: str, own: bool):
    """An origin is scheme, host and port, however an address is dressed up."""
    try:
        address = URL(url)
    except ValueError:
        assert not own
    else:
        assert client("https://api.example/api").is_own(address) is own


async def test_retry_after_is_read_by_the_servers_clock(server: RestServer):
    """A date is measured against the server's own Date, however wrong the clocks are."""
    then = datetime(2001, 1, 1, tzinfo=UTC)
    late = {"Date": format_datetime(then, usegmt=True)}
    for wish in ("7200", format_datetime(then + timedelta(hours=2), usegmt=True)):
        server.answer(429, headers={**late, "Retry-After": wish})
        error = await failure(server.url)
        assert isinstance(error, ApiStatusError)
        assert error.retry_after == 7200


async def test_a_long_retry_after_is_told_and_not_waited(server: RestServer):
    """Nobody in a call waits an hour."""
    server.answer(429, headers={"Retry-After": "3600"})
    assert "in 3600 s" in str(await failure(server.url))
    assert len(server.seen) == 1


async def test_nobody_listens(unused_tcp_port: int):
    """A connection that is refused is tried again, and nothing was carried out."""
    error = await failure(f"http://127.0.0.1:{unused_tcp_port}/api")
    assert isinstance(error, ApiConnectionError)
    assert not isinstance(error, ApiTimeoutError)
    assert error.sent is False
    assert "127.0.0.1" in str(error)


async def nothing(_: asyncio.StreamWriter) -> None:
    """Close without an answer."""


async def hang(_: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def head_then_hang(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    await asyncio.Event().wait()


async def half_a_head(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    await writer.drain()
    await asyncio.Event().wait()


async def half_a_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"session_id"')
    await writer.drain()


async def garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    await writer.drain()


async def broken_gzip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nnope!")
    await writer.drain()


async def broken_chunks(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n")
    await writer.drain()


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("behave", [nothing, half_a_body, garbage, broken_gzip, broken_chunks])
@pytest.mark.parametrize(("idempotent", "times"), [(True, 5), (False, 1)])
async def test_connections_that_break_after_sending(
    behave: Callable[[asyncio.StreamWriter], Awaitable[None]], reset: bool, idempotent: bool, times: int
):
    """Once sent, a request is repeated only if that does no harm: the server may have acted on it."""
    async with RawServer(behave, reset=reset) as server:
        error = await failure(server.url, idempotent=idempotent)
        assert isinstance(error, ApiConnectionError)
        assert error.sent is True
        assert server.requests == times


@pytest.mark.parametrize("behave", [hang, head_then_hang, half_a_head])
async def test_answers_that_do_not_come(behave: Callable[[asyncio.StreamWriter], Awaitable[None]]):
    """Head and body have to be there in time, also where nothing else sets a limit."""
    async with RawServer(behave) as server:
        error = await failure(server.url, timeout=0.25)
        assert isinstance(error, ApiTimeoutError)
        assert error.sent is True
        assert "0.25 s" in str(error)
        assert server.requests == 1


async def test_a_borrowed_session_brings_no_limits_of_its_own():
    """Time limit, redirects and status are this client's, whatever the session was made for."""
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        RawServer(hang) as server,
        aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
    ):
        rest_client = client(server.url, session, timeout=0.25)
        with pytest.raises(ApiTimeoutError):
            await rest_client.send(call(server.url))
        await rest_client.close()
        assert not session.closed


async def test_no_connection_in_time(monkeypatch: pytest.MonkeyPatch, server: RestServer):
    """A connection that does not come about was not carried out, and is tried again."""

    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", never)
    error = await failure(server.url, timeout=0.1)
    assert isinstance(error, ApiTimeoutError)
    assert error.sent is False
    assert server.seen == []


async def test_a_call_may_have_its_own_limit(server: RestServer):
    """What is urgent waits less than the client's usual time."""

    async def slow(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    server.reply(slow)
    rest_client = client(server.url, timeout=30)
    with pytest.raises(ApiTimeoutError, match=re.escape("0.25 s")):
        await rest_client.send(call(server.url, timeout=0.25))
    await rest_client.close()


async def test_a_refusal_that_breaks_off_is_still_a_refusal():
    """The status says enough, so a broken 503 is a 503."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100\r\n\r\nbusy")
        await writer.drain()

    async with RawServer(behave) as server:
        error = await failure(server.url, idempotent=True)
        assert isinstance(error, ApiStatusError)
        assert (error.status, error.detail, server.requests) == (503, "busy", 5)


@pytest.mark.parametrize("status", [200, 400])
async def test_endless_answers_are_cut_off(monkeypatch: pytest.MonkeyPatch, server: RestServer, status: int):
    """No more than the limit is kept, also of what was compressed."""
    monkeypatch.setattr(rest, "MAX_ANSWER_BYTES", 1000)
    body = gzip.compress(b"x" * 1_000_000)
    server.answer(status, body, headers={"Content-Encoding": "gzip"})
    error = await failure(server.url)
    if status == 200:
        assert isinstance(error, ApiResponseError)
        assert "more than 1,000 bytes" in str(error)
    else:
        assert isinstance(error, ApiStatusError)
        assert error.detail.startswith("xxx")


async def test_cancelling_ends_a_request_at_once():
    """A cancelled call does not wait for its answer and is not sent again."""
    async with RawServer(hang) as server:
        rest_client = client(server.url)
        task = asyncio.create_task(rest_client.send(call(server.url, idempotent=True)))
        await asyncio.wait_for(server.arrived.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await rest_client.close()
        assert server.requests == 1


async def test_a_borrowed_session_that_is_closed_already(server: RestServer):
    """A session can still be ended after the application has closed what it lent."""
    server.answer(200, {})
    async with aiohttp.ClientSession() as session:
        pass
    rest_client = client(server.url, session)
    assert (await rest_client.send(call(server.url))).status == 200
    await rest_client.close()


async def test_own_connections_are_not_kept(server: RestServer):
    """Each call has a connection of its own: one that broke unseen would leave a creation in doubt."""
    ports: list[int] = []

    async def reply(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        ports.append(request.transport.get_extra_info("peername")[1])
        return web.json_response({})

    server.reply(reply)
    rest_client = client(server.url)
    await rest_client.send(call(server.url))
    await rest_client.send(call(server.url))
    await rest_client.close()
    assert len(set(ports)) == 2


async def test_cookies_are_not_kept(server: RestServer):
    """The client has no memory of its own."""
    server.answer(200, {}, headers={"Set-Cookie": "a=b"})
    rest_client = client(server.url)
    await rest_client.send(call(server.url))
    await rest_client.send(call(server.url))
    await rest_client.close()
    assert "Cookie" not in server.seen[1].headers


async def test_closed_is_closed(server: RestServer):
    """Closing twice is fine; sending afterwards is a mistake of the program."""
    rest_client = client(server.url)
    await rest_client.close()
    await rest_client.close()
    with pytest.raises(RuntimeError, match="closed"):
        await rest_client.send(call(server.url))
