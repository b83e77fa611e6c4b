import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from tests.support.network import WIRE_BYTES, NetworkLoop
from tests.support.virtual_time import START, run_virtual

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def network() -> NetworkLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, NetworkLoop)
    return loop


@contextlib.asynccontextmanager
async def connected(serve: Handler):
    """A client's streams, with a server that does this; in the end both ends are closed."""
    writers: list[asyncio.StreamWriter] = []

    async def remembered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await serve(reader, writer)

    server = await asyncio.start_server(remembered, "127.0.0.1", 80)
    reader, writer = await asyncio.open_connection("127.0.0.1", 80)
    yield reader, writer
    server.close()
    await asyncio.sleep(0)
    for each in (writer, *writers):
        each.close()
        with contextlib.suppress(ConnectionError):
            await each.wait_closed()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data)
    writer.close()


def test_bytes_go_both_ways_in_no_time() -> None:
    """What is written arrives in order, at once."""

    async def scenario() -> bytes:
        async with connected(echo) as (reader, writer):
            writer.write(b"one ")
            writer.write(b"two")
            answer = await reader.readexactly(7)
            assert asyncio.get_running_loop().time() == START
            return answer

    assert run_virtual(scenario, loop=NetworkLoop) == b"one two"


def test_an_end_is_seen_after_what_came_before_it() -> None:
    """Who closes has still said what was written."""

    async def farewell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.close()

    async def scenario() -> bytes:
        async with connected(farewell) as (reader, _):
            return await reader.read()

    assert run_virtual(scenario, loop=NetworkLoop) == b"bye"


def test_an_abort_resets_the_connection() -> None:
    """The other side gets an error, not an end, behind what had arrived."""

    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half")
        writer.transport.abort()

    async def scenario() -> bytes:
        async with connected(reset) as (reader, _):
            half = await reader.readexactly(4)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            return half

    assert run_virtual(scenario, loop=NetworkLoop) == b"half"


def test_a_writer_waits_for_a_slow_reader() -> None:
    """No more than the wire holds, and the buffers of both ends, is written before it is read."""
    written = 0

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(bytes(1000))
                await writer.drain()
                written += 1000

    async def scenario() -> None:
        async with connected(flood) as (reader, _):
            await asyncio.sleep(1.0)
            held = written
            await asyncio.sleep(1.0)
            assert WIRE_BYTES < held == written < 3 * WIRE_BYTES
            await reader.readexactly(WIRE_BYTES)
            await asyncio.sleep(1.0)
            assert written > held

    run_virtual(scenario, loop=NetworkLoop)


def test_what_waits_for_somebody_who_has_gone_is_lost() -> None:
    """A transport that is closed with something unsent ends all the same, once the other side has."""

    async def reads_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1.0)
        writer.transport.abort()

    async def scenario() -> None:
        async with connected(reads_nothing) as (_, writer):
            writer.write(bytes(4 * WIRE_BYTES))
            writer.write(bytes(4 * WIRE_BYTES))
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    run_virtual(scenario, loop=NetworkLoop)


def test_through_a_stalled_connection_nothing_comes() -> None:
    """Neither bytes nor an end, while a connection that is made later is sound."""

    async def scenario() -> None:
        async with connected(echo) as (reader, writer):
            network().network.stall()
            writer.write(b"lost")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(), 60.0)
            late_reader, late_writer = await asyncio.open_connection("127.0.0.1", 80)
            late_writer.write(b"heard")
            assert await late_reader.readexactly(5) == b"heard"
            late_writer.close()
            await late_writer.wait_closed()

    run_virtual(scenario, loop=NetworkLoop)


def test_nobody_answers_where_nobody_listens() -> None:
    """Connections to other ports are refused, and as many others as the test wants."""

    async def scenario() -> None:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", 81)
        async with connected(echo):
            network().network.refusals = 1
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", 80)
            _, writer = await asyncio.open_connection("127.0.0.1", 80)
            writer.close()
            await writer.wait_closed()

    run_virtual(scenario, loop=NetworkLoop)


@pytest.mark.parametrize("url", ["http://127.0.0.1:80/", "https://elsewhere.test/"])
def test_http_runs_on_it(url: str) -> None:
    """Aiohttp's client reaches aiohttp's server, by address or by name, with or without TLS."""

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=f"hello {request.host}")

    async def scenario() -> str:
        network().network.names["elsewhere.test"] = ("127.0.0.1", 80)
        app = web.Application()
        app.router.add_get("/", hello)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 80).start()
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            text = await response.text()
        await runner.cleanup()
        return text

    assert run_virtual(scenario, loop=NetworkLoop).startswith("hello ")
