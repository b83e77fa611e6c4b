"""What the armed faults do to a request and to its answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from pipecat_lemonslice.emulator.armed import Armed
from pipecat_lemonslice.emulator.faults import (
    Answer,
    Change,
    Drip,
    Drop,
    ForeignControl,
    Hang,
    Malform,
    Mishap,
    Redirect,
    Reject,
    Reset,
    Truncate,
)
from pipecat_lemonslice.emulator.net import reset

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_DROPS = 50
"""Pieces in which a body drips."""

_LOOK_SECONDS = 1.0
"""How long after its connection a request that hangs is let go at the latest."""


class Saboteur:
    """Lets requests meet the armed faults.

    Args:
        armed: The armed faults.
    """

    def __init__(self, armed: Armed):
        self._armed = armed
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Let go of requests that were made to wait."""
        self._closing.set()

    async def serve(self, request: web.Request, path: str, event: str, handler: Handler) -> web.StreamResponse:
        """Answer a request, with what is armed for its path and its event."""
        met = self._armed.for_request(path, event)
        await self._wait(met.delay)
        match met.mishap:
            case Redirect() | Reject(when="before") | Hang("before") | Reset("before"):
                return await self._spoiled(request, web.Response(), met.mishap)
            case mishap:
                response = await handler(request)
                if not isinstance(response, web.Response):
                    return response
                return await self._spoiled(request, _changed(response, met.changes), mishap)

    async def _spoiled(self, request: web.Request, response: web.Response, mishap: Mishap | None) -> web.StreamResponse:
        match mishap:
            case None:
                return response
            case Reject():
                return _rejection(mishap)
            case Redirect(url):
                return web.Response(status=307, headers={"Location": url})
            case Hang():
                await self._hang(request)
                return _broken(request)
            case Reset():
                return _broken(request)
            case Truncate():
                return await _truncated(request, response)
            case Malform():
                text = response.text or ""
                return _json_of(text[: len(text) // 2], response.status)
            case Answer(body) if body.startswith("<"):
                return web.Response(text=body, status=response.status, content_type="text/html")
            case Answer(body):
                return _json_of(body, response.status)
            case Drip(seconds):
                return await self._dripped(request, response, seconds)

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def _hang(self, request: web.Request) -> None:
        while request.transport is not None and not self._closing.is_set():
            await self._wait(_LOOK_SECONDS)

    async def _dripped(self, request: web.Request, response: web.Response, seconds: float) -> web.StreamResponse:
        answer, body = await _begun(request, response)
        size = math.ceil(len(body) / _DROPS) or 1
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(body), size):
                await self._wait(seconds / _DROPS)
                await answer.write(body[start : start + size])
        return answer


def _changed(response: web.Response, changes: Iterable[Change]) -> web.Response:
    """The answer as the changes would have it; errors are left alone."""
    if not changes or response.status >= 400:
        return response
    answer = json.loads(response.text or "{}")
    for change in changes:
        match change:
            case Drop(key):
                answer.pop(key, None)
            case ForeignControl(url):
                answer["control_url"] = url
    return web.json_response(answer, status=response.status)


def _rejection(fault: Reject) -> web.Response:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    if fault.body is None:
        return web.json_response({"detail": fault.detail}, status=fault.status, headers=headers)
    return web.Response(text=fault.body, status=fault.status, content_type="text/html", headers=headers)


def _json_of(text: str, status: int) -> web.Response:
    return web.Response(text=text, status=status, content_type="application/json")


async def _truncated(request: web.Request, response: web.Response) -> web.StreamResponse:
    answer, body = await _begun(request, response)
    await answer.write(body[: len(body) // 2])
    _broken(request)
    return answer


async def _begun(request: web.Request, response: web.Response) -> tuple[web.StreamResponse, bytes]:
    """The answer with its status and headers sent, and the body that is still to come."""
    body = (response.text or "").encode()
    answer = web.StreamResponse(status=response.status, headers={"Content-Type": "application/json"})
    answer.content_length = len(body)
    await answer.prepare(request)
    return answer, body


def _broken(request: web.Request) -> web.Response:
    if request.transport is not None:
        reset(request.transport)
    return web.Response()
