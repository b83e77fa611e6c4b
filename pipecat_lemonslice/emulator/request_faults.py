"""What faults do to a request to the REST API and to its answer."""

import asyncio
import contextlib
import json
import math
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from pipecat_lemonslice.emulator.faults import KINDS, Fault
from pipecat_lemonslice.emulator.room import reset

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_DRIP_PIECES = 50
_HANG_CHECK_SECONDS = 1.0


async def answer(
    request: web.Request, faults: Sequence[Fault], handler: Handler, closing: asyncio.Event
) -> web.StreamResponse:
    """Answer a request as its faults say.

    Args:
        request: The request.
        faults: What happens to it: any number that add up, and one at most that decides how it ends.
        handler: Carries the request out.
        closing: Ends all waiting.
    """
    last = next((fault for fault in faults if KINDS[fault.name].alone), None)
    await _pause(math.fsum(fault.value for fault in faults if fault.name == "delay"), closing)
    response = web.Response()
    if last is None or not _comes_before(last):
        handled = await handler(request)
        assert isinstance(handled, web.Response), "the REST API streams nothing"
        response = handled
    if changes := [fault for fault in faults if fault.name in ("drop", "foreign_control")]:
        body = json.loads(response.text or "{}")
        for fault in changes:
            if fault.name == "drop":
                body.pop(fault.value, None)
            else:
                body["control_url"] = fault.value
        response = web.json_response(body, status=response.status)
    return response if last is None else await _end(request, response, last, closing)


def _comes_before(fault: Fault) -> bool:
    """Return whether a fault keeps a request from being carried out."""
    match fault.name:
        case "redirect":
            return True
        case "reject":
            return fault.keys.get("when") != "after"
        case "hang" | "reset":
            return fault.value == "before"
        case _:
            return False


async def _end(
    request: web.Request, response: web.Response, fault: Fault, closing: asyncio.Event
) -> web.StreamResponse:
    text = response.text or ""
    match fault.name:
        case "reject":
            return _rejection(fault)
        case "redirect":
            return web.Response(status=307, headers={"Location": fault.value})
        case "malform":
            half = text[: len(text) // 2]
            return web.Response(text=half, status=response.status, content_type="application/json")
        case "answer":
            kind = "text/html" if fault.value.startswith("<") else "application/json"
            return web.Response(text=fault.value, status=response.status, content_type=kind)
        case "drip":
            return await _drip(request, response, fault.value, closing)
        case "truncate":
            started = await _start(request, response)
            await started.write(text.encode()[: len(text) // 2])
        case "hang":
            while request.transport is not None and not closing.is_set():
                await _pause(_HANG_CHECK_SECONDS, closing)
        case _:
            pass  # reset
    if request.transport is not None:
        reset(request.transport)
    return web.Response()


def _rejection(fault: Fault) -> web.Response:
    retry_after, body = fault.keys.get("retry_after"), fault.keys.get("body")
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if body is not None:
        return web.Response(text=body, status=fault.value, content_type="text/html", headers=headers)
    detail = fault.keys.get("detail", "rejected by the emulator")
    return web.json_response({"detail": detail}, status=fault.value, headers=headers)


async def _drip(
    request: web.Request, response: web.Response, seconds: float, closing: asyncio.Event
) -> web.StreamResponse:
    started, body = await _start(request, response), (response.text or "").encode()
    pieces = [body[len(body) * n // _DRIP_PIECES : len(body) * (n + 1) // _DRIP_PIECES] for n in range(_DRIP_PIECES)]
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            await _pause(seconds / _DRIP_PIECES, closing)
            await started.write(piece)
    return started


async def _start(request: web.Request, response: web.Response) -> web.StreamResponse:
    """Send status and headers; the body is still to be written."""
    started = web.StreamResponse(status=response.status, headers={"Content-Type": "application/json"})
    started.content_length = len((response.text or "").encode())
    await started.prepare(request)
    return started


async def _pause(seconds: float, closing: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await closing.wait()
