"""Requests on the wire: what is sent, when it is repeated, who gets the key, and what becomes of broken responses."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from pipecat_lemonslice.api.http import HttpClient, Request, retry_after, retry_delay
from pipecat_lemonslice.api.images import PreparedPicture
from pipecat_lemonslice.api.responses import Response
from pipecat_lemonslice.errors import (
    ApiConnectionError,
    ApiError,
    ApiResponseError,
    ApiStatusError,
    ApiTimeoutError,
)
from tests.support.rest_server import KEY, RawServer, RestServer


@asynccontextmanager
async def client(
    url: str, session: aiohttp.ClientSession | None = None, timeout: float = 5.0
) -> AsyncIterator[HttpClient]:
    http = HttpClient(KEY, URL(url), session, timeout)
    try:
        yield http
    finally:
        await http.close()


def request(url: str, *, idempotent: bool = False, timeout: float | None = None) -> Request:
    return Request("The test", "POST", URL(url) / "things", idempotent, payload={"a": 1}, timeout=timeout)


async def failure(url: str, *, idempotent: bool = False, timeout: float = 5.0) -> ApiError:
    async with client(url, timeout=timeout) as http:
        with pytest.raises(ApiError) as caught:
            await http.send(request(url, idempotent=idempotent))
    assert caught.value.__context__ is None
    return caught.value


# What is sent.


async def test_a_form_is_made_afresh_for_each_attempt() -> None:
    """An image is sent whole again after a 429."""
    image = PreparedPicture(b"\x89PNG\r\n\x1a\n", "image/png", "png")
    async with RestServer() as server, client(server.url) as http:
        server.answer(429)
        server.answer(201, {})
        await http.send(Request("The test", "POST", URL(server.url), False, payload={"a": "ü"}, image=image))
    first, second = server.seen
    assert first.parts == second.parts
    assert [part.name for part in first.parts] == ["payload", "image"]
    assert first.parts[1].data == image.data


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
def test_an_origin_is_scheme_host_and_port(url: str, own: bool) -> None:
    """However an address is dressed up."""
    try:
        address = URL(url)
    except ValueError:
        assert not own
    else:
        http = HttpClient(KEY, URL("https://api.example/api"), None, 5.0)
        assert (http.headers(address) == {"X-API-Key": KEY}) is own


async def test_each_request_has_a_connection_of_its_own_and_no_cookies() -> None:
    """A kept connection that broke unnoticed would leave it unknown whether a session was created."""
    ports: list[int] = []

    async def reply(seen: web.Request) -> web.StreamResponse:
        assert seen.transport is not None
        ports.append(seen.transport.get_extra_info("peername")[1])
        return web.json_response({}, headers={"Set-Cookie": "a=b"})

    async with RestServer() as server:
        url = server.url.replace("127.0.0.1", "localhost")  # addresses have no cookies
        server.reply(reply)
        async with client(url) as http:
            await http.send(request(url))
            await http.send(request(url))
    assert len(set(ports)) == 2
    assert "Cookie" not in server.seen[1].headers


async def test_a_borrowed_session_brings_no_limits_of_its_own() -> None:
    """Timeout, redirects and status are this client's, whatever the session was made for; it stays open."""

    async def hang(_: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    forever = aiohttp.ClientTimeout(total=None)
    async with (
        RestServer() as refusing,
        RawServer(hang) as hanging,
        aiohttp.ClientSession(timeout=forever, raise_for_status=True) as session,
    ):
        refusing.answer(404, {"detail": "Because"})
        async with client(hanging.url, session, timeout=0.25) as http:
            with pytest.raises(ApiTimeoutError):
                await http.send(request(hanging.url))
            with pytest.raises(ApiStatusError, match="Because"):
                await http.send(request(refusing.url))
        assert not session.closed


async def test_a_borrowed_session_that_was_closed_is_replaced() -> None:
    """An application that closes its session first leaves no avatar running."""
    async with aiohttp.ClientSession() as session:
        pass
    async with RestServer() as server, client(server.url, session) as http:
        server.answer(200, {})
        assert (await http.send(request(server.url))).status == 200


async def test_a_closed_client_sends_nothing() -> None:
    """Closing twice is fine; sending afterwards is a mistake of the program."""
    async with client("http://127.0.0.1:1/api") as http:
        await http.close()
        with pytest.raises(RuntimeError, match="closed"):
            await http.send(request("http://127.0.0.1:1/api"))


# Refusals.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["elsewhere", "here"])
async def test_redirects_are_not_followed(where: str, status: int) -> None:
    """No redirect leads a request, let alone the key, to another place."""
    async with RestServer() as server, RestServer() as other:
        other.answer(200, {})
        target = f"{(other if where == 'elsewhere' else server).root}/new?sig=S3CR3T"
        server.answer(status, headers={"Location": target})
        error = await failure(server.url, idempotent=True)
    assert isinstance(error, ApiStatusError)
    assert error.status == status
    assert "/new" in error.detail
    assert "S3CR3T" not in str(error)
    assert (len(server.seen), len(other.seen)) == (1, 0)


@pytest.mark.parametrize("status", [200, 400])
async def test_large_responses_are_cut_off(status: int) -> None:
    """Also those that are small on the wire."""
    async with RestServer() as server:
        body = gzip.compress(b"x" * 3_000_000)
        server.answer(status, body, headers={"Content-Encoding": "gzip"})
        error = await failure(server.url)
    if status == 200:
        assert isinstance(error, ApiResponseError)
        assert "more than 1,048,576 bytes" in str(error)
    else:
        assert isinstance(error, ApiStatusError)
        assert error.detail.startswith("xxx")


# Broken connections.


async def test_no_connection_in_time() -> None:
    """A connection that does not come about was not used, either."""

    class Never(aiohttp.TCPConnector):
        async def _create_connection(self, *_: object, **__: object) -> None:  # type: ignore[override]
            await asyncio.Event().wait()

    async with aiohttp.ClientSession(connector=Never()) as session, client("http://127.0.0.1:9/api", session) as http:
        with pytest.raises(ApiTimeoutError, match=r"no connection in 2\.5 s") as caught:
            await http.send(request("http://127.0.0.1:9/api"))
    assert caught.value.sent is False


def sends(data: bytes, *, then_hang: bool = False) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if then_hang:
            await asyncio.Event().wait()

    return behave


BROKEN = {
    "nothing": b"",
    "half a body": b'HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"session_id"',
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "broken gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nnope!",
    "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
}
REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100\r\n\r\nbusy"
ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n" + bytes(5_000_000)


@pytest.mark.parametrize(
    ("data", "reset", "kind", "says", "times"),
    [
        *((data, reset, ApiConnectionError, "may have been", 5) for data in BROKEN.values() for reset in (True, False)),
        (REFUSAL, False, ApiStatusError, "busy", 5),
        (ENDLESS, False, ApiResponseError, "more than 1,048,576 bytes", 1),
    ],
)
async def test_a_response_that_breaks_off_or_never_ends(
    data: bytes, reset: bool, kind: type[ApiError], says: str, times: int
) -> None:
    """The server may have acted, so only what does no harm is repeated; a status says enough, a limit is kept."""
    async with RawServer(sends(data), reset=reset) as server:
        for idempotent, requests in ((False, 1), (True, 1 + times)):
            error = await failure(server.url, idempotent=idempotent)
            assert (type(error), says in str(error), server.requests) == (kind, True, requests)


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]
)
async def test_a_response_that_does_not_come_in_time(data: bytes) -> None:
    """Head and body have to be there within the timeout, the request's own where it has one."""
    async with RawServer(sends(data, then_hang=True)) as server:
        error = await failure(server.url, timeout=0.25)
        assert isinstance(error, ApiTimeoutError)
        assert error.sent is True
        assert "0.25 s" in str(error)
        async with client(server.url, timeout=30.0) as http:
            with pytest.raises(ApiTimeoutError, match=r"0\.5 s"):
                await http.send(request(server.url, timeout=0.5))
    assert server.requests == 2


async def test_a_cancelled_request_ends_at_once() -> None:
    """It does not wait for its response, and is not sent again."""
    async with RawServer(sends(b"", then_hang=True)) as server, client(server.url) as http:
        task = asyncio.create_task(http.send(request(server.url, idempotent=True)))
        await server.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert server.requests == 1


# The retry rule.


def broken(sent: bool) -> tuple[ApiError, ApiError]:
    return ApiConnectionError("x", sent), ApiTimeoutError("x", sent)


def status(number: int, asked: float | None = None) -> tuple[ApiError]:
    return (ApiStatusError(number, "", asked),)


@pytest.mark.parametrize(
    ("errors", "attempt", "creation", "idempotent"),
    [
        (status(429), 1, 0.5, 0.5),
        (status(429, 3.0), 1, 3.0, 3.0),
        (status(429, 30.0), 1, 30.0, 30.0),
        (status(429, 31.0), 1, None, None),
        (status(503), 1, None, 0.5),
        (status(503, 0.0), 1, 0.5, 0.5),
        (status(503, 2.0), 1, 2.0, 2.0),
        (status(503, 31.0), 1, None, None),
        (status(502), 1, None, 0.5),
        (status(504, 2.0), 1, None, 2.0),
        (status(500), 1, None, 0.5),
        (status(500), 2, None, None),
        *((status(other, 1.0), 1, None, None) for other in (301, 400, 401, 402, 403, 404, 408, 409, 413, 501, 505)),
        *((status(429), attempt, delay, delay) for attempt, delay in ((2, 1.0), (3, 2.0), (4, 4.0), (5, None))),
        (broken(sent=False), 1, 0.5, 0.5),
        (broken(sent=True), 1, None, 0.5),
        ((ApiResponseError("x"),), 1, None, None),
    ],
)
def test_which_failures_are_repeated(
    errors: tuple[ApiError, ...], attempt: int, creation: float | None, idempotent: float | None
) -> None:
    """A creation only where the server has not acted; delays double, nobody waits more than 30 s, attempts end."""
    for error in errors:
        assert retry_delay(error, attempt, idempotent=False) == creation
        assert retry_delay(error, attempt, idempotent=True) == idempotent


NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 5 ", 5.0),
        ("1.5", 1.5),
        ("999999999", 86400.0),
        ("Wed, 01 Jul 2026 12:00:30 GMT", 30.0),
        ("Wed, 01 Jul 2026 14:00:30 +0200", 30.0),
        ("Wed, 01 Jul 2026 12:00:30", 30.0),
        ("Wed, 01 Jul 2026 11:59:00 GMT", 0.0),
        ("Wed, 01 Jul 2099 12:00:00 GMT", 86400.0),
        *((odd, None) for odd in ("", "soon", "-5", "1e3", "٣", "9" * 5000, "Wed, 99 Jul 2026 12:00:00 GMT")),
    ],
)
def test_retry_after_in_both_forms(value: str, seconds: float | None) -> None:
    """Seconds and dates by the server's own clock, the past is now, anything else is as good as no header."""
    assert retry_after({"Retry-After": value, "Date": format_datetime(NOW, usegmt=True)}) == seconds


@given(st.text() | st.from_regex(r"\A\d{1,20}\Z"), st.text())
def test_any_retry_after_is_survived(value: str, date: str) -> None:
    """No header raises, and no number is negative or endless."""
    seconds = retry_after({"Retry-After": value, "Date": date})
    assert seconds is None or 0 <= seconds <= 86400


class Scripted(HttpClient):
    """A client whose attempts end as they are told, then succeed; remembers when they began."""

    def __init__(self, *failures: BaseException) -> None:
        super().__init__(KEY, URL("https://api.test/api"), None, 5.0)
        self.failures = list(failures)
        self.times: list[float] = []

    async def exchange(self, request: Request) -> Response:
        self.times.append(asyncio.get_running_loop().time())
        if self.failures:
            raise self.failures.pop(0)
        return Response(200, "{}")

    @property
    def delays(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]


IDEMPOTENT = request("https://api.test/api", idempotent=True)


async def test_the_loop_waits_as_decided_tells_of_it_and_gives_up() -> None:
    """Each delay is the decided one plus at most a quarter, told before it begins; the last failure comes out alone."""
    told: list[tuple[ApiError, float, float]] = []
    failures = [ApiStatusError(503, ""), ApiStatusError(429, "", 20.0), *(ApiStatusError(502, "") for _ in range(3))]
    http, clock = Scripted(*failures), asyncio.get_running_loop().time
    with pytest.raises(ApiStatusError) as caught:
        await http.send(IDEMPOTENT, lambda error, delay: told.append((error, delay, clock())))
    assert caught.value is failures[-1]
    assert caught.value.__cause__ is caught.value.__context__ is None
    for decided, waited in zip((0.5, 20.0, 2.0, 4.0), http.delays, strict=True):
        assert decided <= waited <= 1.25 * decided
    assert [error for error, *_ in told] == failures[:4]
    assert [delay for _, delay, _ in told] == pytest.approx(http.delays)
    assert [at for *_, at in told] == http.times[:4]


async def test_no_attempt_begins_after_the_budget() -> None:
    """A delay that would end too late is not begun."""
    http = Scripted(*(ApiStatusError(429, "", 25.0) for _ in range(4)))
    with pytest.raises(ApiStatusError):
        await http.send(IDEMPOTENT)
    assert len(http.times) == 2
    assert http.times[1] - http.times[0] <= 45


@pytest.mark.parametrize("error", [ValueError("bug"), asyncio.CancelledError(), ApiStatusError(401, "")])
async def test_what_is_not_to_be_repeated_comes_out_at_once(error: BaseException) -> None:
    """Bugs, cancellation and refusals end the loop with the first attempt."""
    http = Scripted(error)
    with pytest.raises(type(error)):
        await http.send(IDEMPOTENT)
    assert len(http.times) == 1


async def test_cancelled_while_it_waits() -> None:
    """Cancelling during a delay ends it, and nothing is sent any more."""
    http = Scripted(ApiStatusError(503, ""))
    task = asyncio.create_task(http.send(IDEMPOTENT))
    await asyncio.sleep(0.25)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(10)
    assert len(http.times) == 1
