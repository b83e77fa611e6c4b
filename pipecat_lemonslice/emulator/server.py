"""The emulator: a server for the REST API and for rooms, which can be looked at and told to misbehave."""

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from aiohttp import WSCloseCode, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler
from aiohttp.web_request import FileField
from loguru import logger
from pydantic import ValidationError

from pipecat_lemonslice.emulator import face
from pipecat_lemonslice.emulator.faults import Fault, answer, parse, take
from pipecat_lemonslice.emulator.models import MEBIBYTE, ControlRequest, CreateRequest, EmulatorOptions, Page
from pipecat_lemonslice.emulator.room import BROKEN_RULES, Room, WebSocketMember, join
from pipecat_lemonslice.emulator.session import Session, Status

_SESSIONS = "/api/liveai/sessions"
_SHUTDOWN_SECONDS = 0.25
"""How long requests that are being answered may still take when the emulator ends, before they are broken off."""

_MAX_REQUESTS = 10_000


class _NotAdmitted(ValueError):
    """Somebody is not let into a room; says why."""


@dataclass(frozen=True)
class SeenRequest:
    """A request that reached the REST API.

    Attributes:
        time: When, on the clock of the event loop.
        path: "create", "list", "get", "control" or "other".
        url: Path and query.
        with_key: Whether it carried an API key.
    """

    time: float
    path: str
    url: str
    with_key: bool


class Emulator:
    """LemonSlice on this machine: its REST API, rooms, and an avatar that hears, speaks and obeys.

    Example:
        async with Emulator(EmulatorOptions(latency=0.05)) as emulator:
            emulator.fault("2*reject=503")
            service = LemonSliceVideoService(api_key="any", api_url=emulator.api_url, agent_id="a")
            ...
            session = await emulator.wait_for_session()
            await session.avatar.wait_for("response_finished")
            assert session.avatar.heard == speech

    Attributes:
        options: How it is set up.
        sessions: All sessions in the order in which they were created.
        requests: The newest 10,000 requests to the REST API, in order.
        terminated: How many sessions were terminated by a request.
    """

    def __init__(self, options: EmulatorOptions | None = None) -> None:
        self.options = options or EmulatorOptions()
        self.sessions: list[Session] = []
        self.requests: deque[SeenRequest] = deque(maxlen=_MAX_REQUESTS)
        self.terminated = 0
        self._faults: list[Fault] = []
        self._rooms: dict[str, Room] = {}
        self._sockets: set[web.WebSocketResponse] = set()
        self._session_created = asyncio.Event()
        app = web.Application(client_max_size=self.options.max_body, middlewares=[self._handle])
        app.router.add_post(_SESSIONS, self._create, name="create")
        app.router.add_get(_SESSIONS, self._list, name="list")
        app.router.add_get(_SESSIONS + "/{session_id}", self._get, name="get")
        app.router.add_post(_SESSIONS + "/{session_id}/control", self._control, name="control")
        app.router.add_get("/rooms/{name}", self._join_room, name="room")
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        self._port = self.options.port

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen.

        Raises:
            ImportError: A package is missing that comes with the extra ``emulator``.
            OSError: The port is in use, or the host is not this machine.
            OverflowError: There is no such port.
            UnicodeError: The host cannot be a name.
        """
        if self.options.face is None:
            face.draw_ahead()
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.options.host, self.options.port).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        logger.debug(f"Emulator: listening on {self.api_url}")

    async def close(self) -> None:
        """End all sessions and connections. A session that nobody terminated keeps its status."""
        await asyncio.gather(*(session.close() for session in self.sessions))
        code = WSCloseCode.GOING_AWAY
        await asyncio.gather(*(ws.close(code=code, message=b"the emulator ends") for ws in self._sockets))
        await self._runner.cleanup()

    # Looking at it.

    @property
    def api_url(self) -> str:
        """Base address of the REST API, for LEMONSLICE_API_URL."""
        return f"http://{self._address}/api"

    def room_url(self, room: Room) -> str:
        """Return the address of a room."""
        return f"ws://{self._address}/rooms/{room.name}"

    @property
    def _address(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.options.host, self.options.host)
        return f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}"

    @property
    def created(self) -> int:
        """How many sessions were created."""
        return len(self.sessions)

    @property
    def running(self) -> list[Session]:
        """The sessions that are not over: after a test, those that leaked."""
        return [session for session in self.sessions if not session.ended]

    async def wait_for_session(self, n: int = 1, timeout: float = 10.0) -> Session:
        """Wait for the n-th session, and return it.

        Raises:
            TimeoutError: It was not created within ``timeout`` seconds.
        """
        async with asyncio.timeout(timeout):
            while self.created < n:
                self._session_created.clear()
                await self._session_created.wait()
        return self.sessions[n - 1]

    # Telling it what to do.

    def open_room(self, name: str | None = None, tokens: Iterable[str] = ()) -> Room:
        """Open a room that exists before any session does; its ``room_url`` goes into ``properties``.

        Args:
            name: Last part of its address; None: a random one.
            tokens: Tokens that let people and avatars in; none: anybody comes in.
        """
        room = Room(name or secrets.token_hex(12), frozenset(tokens))
        self._rooms[room.name] = room
        return room

    def fault(self, text: str) -> None:
        """Add a fault, written as on the command line: ``2*reject=503,retry_after=1@create``.

        Faults of sessions happen to the sessions created from now on.

        Raises:
            FaultError: The text is not a fault.
        """
        self._faults.append(parse(text))

    def behave(self) -> None:
        """Let everything go well from now on, for new requests, sessions and people."""
        self._faults.clear()

    # The REST API.

    @web.middleware
    async def _handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request as its faults say; an error is answered with its detail."""
        path = request.match_info.route.name or "other"
        if path == "room":
            return await handler(request)
        key = request.headers.get("X-API-Key")
        now = asyncio.get_running_loop().time()
        self.requests.append(SeenRequest(now, path, request.path_qs, key is not None))

        async def authorised(request: web.Request) -> web.StreamResponse:
            # Control requests are carried out without a key, as the API reference says.
            accepted = key in self.options.api_keys if self.options.api_keys else bool((key or "").strip())
            if not (accepted or path == "other" or (path == "control" and key is None)):
                raise web.HTTPUnauthorized(text="invalid API key")
            return await handler(request)

        paths = [] if path == "other" else [path, "any"]
        try:
            if path == "control":
                with contextlib.suppress(ValidationError):
                    paths.append(ControlRequest.model_validate_json(await request.read()).event)
            response = await answer(request, take(self._faults, *paths), authorised)
        except ValidationError as error:
            problem = error.errors()[0]
            where = "".join(f"{part}." for part in problem["loc"])[:-1]
            says = problem["msg"].removeprefix("Value error, ")
            response = web.json_response({"detail": f"{where}: {says}" if where else says}, status=400)
        except web.HTTPException as error:
            response = web.json_response({"detail": error.text}, status=error.status)
        logger.debug(f"Emulator: {request.method} {request.path} answered {response.status}")
        return response

    async def _create(self, request: web.Request) -> web.Response:
        asked = await _read_create(request)
        if asked.agent_id and self.options.agents and asked.agent_id not in self.options.agents:
            raise web.HTTPNotFound(text=f"agent {asked.agent_id} not found")
        if len(self.running) >= self.options.max_sessions:
            raise web.HTTPTooManyRequests(text="too many sessions are running")
        if asked.room_url is None:
            known = self.options.room_tokens
            room = self.open_room(tokens={*known, asked.token} if asked.token and known else ())
        else:
            url = urlsplit(asked.room_url)
            room = self._rooms.get(url.path.removeprefix("/rooms/"))
            if url.scheme not in ("ws", "wss") or room is None:
                raise web.HTTPBadRequest(text="properties.daily_url: not a room of this emulator")
        session = Session(asked, room, self.options, take(self._faults, "session"))
        self.sessions.append(session)
        self._session_created.set()
        created = {
            "session_id": session.id,
            "room_url": asked.room_url or f"ws://{request.host}/rooms/{room.name}",
            "control_url": f"http://{request.host}{_SESSIONS}/{session.id}/control",
        }
        return web.json_response(created, status=201)

    async def _get(self, request: web.Request) -> web.Response:
        session = self._find(request)
        return web.json_response({"session_id": session.id, "session_status": session.status, "cost": session.cost})

    async def _list(self, request: web.Request) -> web.Response:
        asked, total = Page.model_validate(dict(request.query)), self.created
        first = (asked.page - 1) * asked.limit
        rows: list[dict[str, Any]] = [
            {
                "session_id": session.id,
                "session_status": session.status,
                "created_at": session.created_at.isoformat(),
                "credits_used": session.cost,
                "provider": "daily",
            }
            for session in self.sessions[::-1][first : first + asked.limit]
        ]
        pages = {"total": total, "total_pages": -(-total // asked.limit), "has_more": first + asked.limit < total}
        return web.json_response({"sessions": rows, "pagination": {**asked.model_dump(), **pages}})

    async def _control(self, request: web.Request) -> web.Response:
        session, asked = self._find(request), ControlRequest.model_validate_json(await request.read())
        if session.ended:
            raise web.HTTPNotFound(text=f"session {session.id} has ended")
        session.control(asked)
        self.terminated += session.status is Status.COMPLETED
        return web.json_response({"success": True})

    def _find(self, request: web.Request) -> Session:
        session_id = request.match_info["session_id"]
        found = next((session for session in self.sessions if session.id == session_id), None)
        if found is None:
            raise web.HTTPNotFound(text=f"session {session_id} not found"[:100])
        return found

    # Rooms.

    async def _join_room(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(timeout=1.0, heartbeat=20.0, compress=False, max_msg_size=MEBIBYTE)
        await ws.prepare(request)
        self._sockets.add(ws)
        try:
            if request.transport is not None:
                member = await join(ws, request.transport)
                await member.stay(ws, self._admit(member, request.match_info["name"]))
        except BROKEN_RULES as error:
            says = str(error) if isinstance(error, _NotAdmitted) else f"message not understood: {error!r}"
            logger.debug(f"Emulator: a participant was sent away: {says}")
            with contextlib.suppress(ConnectionError):
                await ws.send_json({"type": "error", "error": says})
        finally:
            self._sockets.discard(ws)
            await ws.close()
        return ws

    def _admit(self, member: WebSocketMember, name: str) -> Room:
        """Return the room of this name, if it lets somebody in."""
        if refusals := take(self._faults, "join"):
            raise _NotAdmitted(refusals[0].value)
        if (room := self._rooms.get(name)) is None:
            raise _NotAdmitted("no such room")
        if not room.admits(member.token):
            raise _NotAdmitted("the token does not let you into this room")
        return room


async def _read_create(request: web.Request) -> CreateRequest:
    if request.content_type != "multipart/form-data":
        return CreateRequest.model_validate_json(await request.read())
    try:
        parts = dict(await request.post())
    except (ValueError, AssertionError, HttpProcessingError) as error:
        raise web.HTTPBadRequest(text=f"the form cannot be read: {error}") from None
    match parts:
        case {"payload": str() | bytes() | bytearray() as payload, "image": FileField() as image}:
            return CreateRequest.model_validate_json(payload, context=image.file.read())
        case _:
            raise web.HTTPBadRequest(text="the parts payload and image are required, the image as a file")
