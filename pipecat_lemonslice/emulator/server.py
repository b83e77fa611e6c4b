"""The REST API and the rooms' door, as an aiohttp application. Answers are written by hand.

What a request means is `bodies`' business, what it does `service`'s; here are status codes, headers and JSON.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import WSCloseCode, web
from aiohttp.web_request import FileField
from loguru import logger
from multidict import CIMultiDict

from pipecat_lemonslice.emulator.armed import Armed
from pipecat_lemonslice.emulator.bodies import BadRequest, create_order
from pipecat_lemonslice.emulator.options import EmulatorOptions
from pipecat_lemonslice.emulator.pictures import PictureError, size_of
from pipecat_lemonslice.emulator.saboteur import Handler, Saboteur
from pipecat_lemonslice.emulator.service import Busy, NotFound, Service
from pipecat_lemonslice.emulator.session import CreateRequest, Session
from pipecat_lemonslice.emulator.visitor import serve

SESSIONS = "/api/liveai/sessions"
_KEY = "X-API-Key"
MOST_REQUESTS = 10_000
"""Requests kept; of more, the oldest are forgotten."""
MOST_SOCKETS = 500
"""Connections to rooms, of those that have not joined yet, too; more answer 503."""


@dataclass(frozen=True)
class SeenRequest:
    """A request that reached the REST API.

    Parameters:
        time: When, on the clock of the event loop.
        path: "create", "list", "get" or "control".
        method: HTTP method.
        url: Path and query.
        with_key: Whether it carried an API key.
    """

    time: float
    path: str
    method: str
    url: str
    with_key: bool


class Server:
    """The handlers of one emulator.

    Args:
        service: What they act on.
        armed: What is to go wrong.
        options: The emulator's options.
    """

    def __init__(self, service: Service, armed: Armed, options: EmulatorOptions):
        self._service = service
        self._saboteur = Saboteur(armed)
        self._options = options
        self._sockets: set[web.WebSocketResponse] = set()
        self.requests: deque[SeenRequest] = deque(maxlen=MOST_REQUESTS)

    def application(self) -> web.Application:
        """The application, to be run."""
        app = web.Application(
            client_max_size=self._options.max_body,
            middlewares=[self._errors, self._seen, self._faulty, self._authorised],
        )
        app.router.add_post(SESSIONS, self._create, name="create")
        app.router.add_get(SESSIONS, self._list, name="list")
        app.router.add_get(SESSIONS + "/{session_id}", self._get, name="get")
        app.router.add_post(SESSIONS + "/{session_id}/control", self._control, name="control")
        app.router.add_get("/rooms/{name}", self._room, name="room")
        return app

    async def close(self) -> None:
        """Let go of requests that were made to wait, and of everybody in the rooms."""
        self._saboteur.close()
        farewell = WSCloseCode.GOING_AWAY
        await asyncio.gather(*(ws.close(code=farewell, message=b"the emulator ends") for ws in self._sockets))

    # What happens to every request

    @web.middleware
    async def _errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except BadRequest as error:
            return _error(400, str(error))
        except NotFound as error:
            return _error(404, str(error))
        except Busy as error:
            return _error(429, str(error))
        except web.HTTPRequestEntityTooLarge:
            return _error(413, f"request body larger than {self._options.max_body} bytes")
        except web.HTTPException as error:
            return _error(error.status, error.reason)
        except Exception:
            logger.exception("Emulator: a request failed")
            return _error(500, "internal error")

    @web.middleware
    async def _seen(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        path = _path(request)
        if path == "room":
            return await handler(request)
        now, key = asyncio.get_running_loop().time(), _KEY in request.headers
        self.requests.append(SeenRequest(now, path, request.method, request.path_qs, key))
        response = await handler(request)
        logger.debug(f"Emulator: {request.method} {request.path} answered {response.status}")
        return response

    @web.middleware
    async def _faulty(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        path = _path(request)
        if path in ("room", "other"):
            return await handler(request)
        event = _event(await request.read()) if path == "control" else ""
        return await self._saboteur.serve(request, path, event, handler)

    @web.middleware
    async def _authorised(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        path, key = _path(request), request.headers.get(_KEY)
        keyless = path in ("room", "other") or (path == "control" and key is None)
        if not keyless and not self._accepts(key or ""):
            return _error(401, "invalid API key")
        return await handler(request)

    def _accepts(self, key: str) -> bool:
        known = self._options.api_keys
        if not known:
            return bool(key.strip())
        return any(hmac.compare_digest(key.encode(), each.encode()) for each in known)

    # The requests

    async def _create(self, request: web.Request) -> web.Response:
        seen, image = await _read_create(request)
        order = create_order(seen.body, image=image is not None)
        session = await self._service.create(seen, order, image)
        answer = {
            "session_id": session.id,
            "room_url": order.room_url or f"ws://{request.host}/rooms/{session.room.name}",
            "control_url": f"http://{request.host}{SESSIONS}/{session.id}/control",
        }
        return web.json_response(answer, status=201)

    async def _get(self, request: web.Request) -> web.Response:
        session = self._service.find(request.match_info["session_id"])
        answer = {"session_id": session.id, "session_status": session.status, "cost": session.cost}
        return web.json_response(answer)

    async def _list(self, request: web.Request) -> web.Response:
        page = _number(request, "page", 1, None)
        limit = _number(request, "limit", 25, 100)
        newest = self._service.sessions[::-1]
        total = len(newest)
        pagination = {
            "page": page,
            "limit": limit,
            "total": total,
            "total_pages": -(-total // limit),
            "has_more": page * limit < total,
        }
        rows = [_row(session) for session in newest[(page - 1) * limit : page * limit]]
        return web.json_response({"sessions": rows, "pagination": pagination})

    async def _control(self, request: web.Request) -> web.Response:
        session = self._service.find(request.match_info["session_id"])
        await self._service.control(session, _json(await request.read()))
        return web.json_response({"success": True})

    async def _room(self, request: web.Request) -> web.StreamResponse:
        if len(self._sockets) >= MOST_SOCKETS:
            return _error(503, "too many connections to rooms")
        admit = partial(self._service.admit, request.match_info["name"])
        return await serve(request, admit, self._sockets)


async def _read_create(request: web.Request) -> tuple[CreateRequest, bytes | None]:
    headers = CIMultiDict(request.headers)
    for secret in (_KEY, "Authorization", "Cookie"):
        if secret in headers:
            headers[secret] = "***"
    if request.content_type != "multipart/form-data":
        return CreateRequest(_json(await request.read()), headers), None
    payload, image = await _parts(request)
    try:
        size = size_of(image)
    except PictureError as error:
        raise BadRequest(f"image: {error}") from error
    return CreateRequest(_json(payload), headers, True, len(image), size), image


async def _parts(request: web.Request) -> tuple[bytes, bytes]:
    try:
        form = await request.post()
    except ValueError as error:
        raise BadRequest("body: not correct multipart/form-data") from error
    if "payload" not in form or "image" not in form:
        raise BadRequest("body: the parts payload and image are required")
    return _part(form["payload"]), _part(form["image"])


def _part(value: str | bytes | bytearray | FileField) -> bytes:
    match value:
        case str():
            return value.encode()
        case FileField():
            return value.file.read()
        case _:
            return bytes(value)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("body: not correct JSON") from error


def _event(body: bytes) -> str:
    """The event of a control request; empty if it has none."""
    try:
        return str(_json(body)["event"])
    except (BadRequest, LookupError, TypeError):
        return ""


def _number(request: web.Request, name: str, default: int, most: int | None) -> int:
    text = request.query.get(name, str(default))
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    if number < 1 or (most is not None and number > most):
        raise BadRequest(f"{name}: must be an integer from 1" + (f" to {most}" if most else ""))
    return number


def _row(session: Session) -> dict[str, Any]:
    return {
        "session_id": session.id,
        "session_status": session.status,
        "created_at": session.created_at.isoformat(),
        "credits_used": session.cost,
        "provider": "daily",
    }


def _path(request: web.Request) -> str:
    return request.match_info.route.name or "other"


def _error(status: int, detail: str) -> web.Response:
    return web.json_response({"detail": detail}, status=status)
