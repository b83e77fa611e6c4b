"""LemonSlice's API over HTTP for a call in virtual time: the client is the real one, and so are its retries.

async with HttpApi() as api:
    api.fail(refuse(504))
    async with Stage(api.client()) as stage:
        ...

It needs a `NetworkLoop`, on which `over_http` runs a test.
"""

import asyncio
import functools
import itertools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, cast

from aiohttp import web

from pipecat_lemonslice.api import LemonSliceApi
from tests.support.memory import MemoryVendor
from tests.support.network import NetworkLoop
from tests.support.rest_server import RestServer
from tests.support.virtual_time import run_virtual

KEY = "key-S3CR3T-0123456789"

Failure = Callable[[web.Request], Awaitable[web.StreamResponse]]


def over_http(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make an async test run in virtual time with HTTP in it."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtual(functools.partial(test, *args, **kwargs), loop=NetworkLoop)

    return run


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[tuple[RestServer, LemonSliceApi]]:
    """A server that answers as it is told, and a client of it."""
    async with RestServer() as server, LemonSliceApi(**{"api_key": KEY, "api_url": server.url, **options}) as api:
        yield server, api


def refuse(status: int, detail: str = "refused by the test", retry_after: int | None = None) -> Failure:
    """Answer a creation with a status."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response({"detail": detail}, status=status, headers=headers)

    return answer


async def reset(request: web.Request) -> web.StreamResponse:
    """Break the connection once a creation has been received."""
    assert request.transport
    request.transport.abort()
    return web.Response()


async def hang(_: web.Request) -> web.StreamResponse:
    """Answer a creation only when nobody waits for it any more."""
    await asyncio.sleep(60.0)
    return web.Response()


class HttpApi:
    """A server that creates, shows and terminates sessions; the next creations may fail. See the module."""

    def __init__(self) -> None:
        self.creations: list[float] = []
        """When a creation was received."""
        self._failures: deque[Failure] = deque()
        self._ids = itertools.count(1)
        self._server = RestServer()
        self._server.reply(self._answer)

    def fail(self, failure: Failure, times: int = 1) -> None:
        """Let the next creations fail."""
        self._failures.extend([failure] * times)

    def refuse_connections(self, seconds: float) -> None:
        """Let no connection come about for a while."""
        cast("NetworkLoop", asyncio.get_running_loop()).network.refuse(seconds)

    def client(self) -> MemoryVendor:
        """Return the package's own client of this server, to be given to a stage as its vendor."""
        return cast("MemoryVendor", LemonSliceApi(api_key="test-key-0123", api_url=self._server.url))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body: dict[str, Any] = {"success": True}
        if request.method == "GET":
            body = {"session_id": "session", "session_status": "COMPLETED", "cost": 1.5}
        elif request.path.endswith("/liveai/sessions"):
            self.creations.append(asyncio.get_running_loop().time())
            if self._failures:
                return await self._failures.popleft()(request)
            session_id = f"session-{next(self._ids)}"
            body = {"session_id": session_id, "room_url": f"wss://rooms.test/{session_id}"}
            return web.json_response(body, status=201)
        return web.json_response(body)

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.__aexit__(kind, error, trace)
