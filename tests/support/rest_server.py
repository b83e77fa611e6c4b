"""REST servers for the tests: one that answers as it is told, one that breaks HTTP. Written by hand.

async with RestServer() as server:
    server.answer(503)
    server.answer(201, {"session_id": "s"})
    ...
    assert server.seen[0].headers["X-API-Key"] == "…"
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import BodyPartReader, web

from pipecat_lemonslice.api import LemonSliceApi

KEY = "key-S3CR3T-0123456789"

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Part:
    """One part of a multipart form."""

    name: str
    filename: str | None
    content_type: str
    data: bytes


@dataclass(frozen=True)
class Seen:
    """One request, as it came over the wire."""

    method: str
    path: str
    headers: Mapping[str, str]
    data: bytes
    parts: list[Part] = field(default_factory=list)

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.data)


class RestServer:
    """Gives the answers that were ordered, one after the other, the last one for ever."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.arrived = asyncio.Event()
        self._answers: deque[Reply] = deque()
        self._runner: web.ServerRunner | None = None
        self.root = ""

    @property
    def url(self) -> str:
        """The API's base address."""
        return f"{self.root}/api"

    def answer(self, status: int = 200, body: object = None, *, headers: Mapping[str, str] | None = None) -> None:
        """Order an answer: str and bytes go out as they are, anything else as JSON."""

        async def reply(_: web.Request) -> web.StreamResponse:
            match body:
                case None:
                    return web.Response(status=status, headers=headers)
                case str():
                    return web.Response(status=status, text=body, content_type="text/html", headers=headers)
                case bytes():
                    return web.Response(
                        status=status, body=body, headers={"Content-Type": "application/json", **(headers or {})}
                    )
                case _:
                    return web.json_response(body, status=status, headers=headers)

        self._answers.append(reply)

    def reply(self, reply: Reply) -> None:
        """Order an answer that is made by hand."""
        self._answers.append(reply)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        parts: list[Part] = []
        if request.content_type.startswith("multipart/"):
            async for part in await request.multipart():
                assert isinstance(part, BodyPartReader)
                kind = part.headers.get("Content-Type", "")
                parts.append(Part(part.name or "", part.filename, kind, await part.read()))
        data = b"" if parts else await request.read()
        self.seen.append(Seen(request.method, request.path_qs, dict(request.headers), data, parts))
        self.arrived.set()
        reply = self._answers.popleft() if len(self._answers) > 1 else self._answers[0]
        return await reply(request)  # type: ignore[arg-type]

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.root = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[tuple[RestServer, LemonSliceApi]]:
    """A server that answers as it is told, and a client of it."""
    async with RestServer() as server, LemonSliceApi(**{"api_key": KEY, "api_url": server.url, **options}) as api:
        yield server, api


class RawServer:
    """Reads the head and body of each request, then does with the connection what `behave` does.

    Args:
        behave: Called with the writer after each request; the connection is closed afterwards.
        reset: Close with a TCP reset instead of an orderly end.
    """

    def __init__(self, behave: Callable[[asyncio.StreamWriter], Awaitable[None]], *, reset: bool = False) -> None:
        self.requests = 0
        self.arrived = asyncio.Event()
        self.url = ""
        self._behave = behave
        self._reset = reset
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)
            self.requests += 1
            self.arrived.set()
            await self._behave(writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass
        finally:
            writer.transport.abort() if self._reset else writer.close()
            self._tasks.discard(task)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/api"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
