"""LemonSlice's API for a test of faults: what may go wrong with a request, and an API that is answered from memory.

Only the wire is replaced: what `HttpClient` would send is answered here, status by status, so that its retries, the
reading of its answers and the hiding of secrets are the real ones.
"""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from yarl import URL

from pipecat_lemonslice.api import LemonSliceApi
from pipecat_lemonslice.api.http import HttpClient, Request
from pipecat_lemonslice.api.responses import Response
from pipecat_lemonslice.errors import ApiConnectionError, ApiTimeoutError
from tests.support.memory import MemoryHook

KEY = "lsk-S3CR3T-key-0123456789abcdef"
BOT_TOKEN = "S3CR3T-token-of-the-bot"
AVATAR_TOKEN = "S3CR3T-token-of-the-avatar"
ROOM = "wss://rooms.test/lobby?t=S3CR3T-room"
IMAGE = "https://cdn.test/face.png?sig=S3CR3T-picture"
CONTROL = "https://api.test/api/liveai/sessions/{id}/control?sig=S3CR3T-control"
FOREIGN = "https://elsewhere.test/api/liveai/sessions/{id}/control?sig=S3CR3T-foreign"
SECRET = "S3CR3T"
"""In everything that must not be seen."""


# What may go wrong.


@dataclass(frozen=True)
class Refuse:
    """Answer with a status; what was asked for is not carried out, or is all the same (``acted``)."""

    status: int
    body: str = json.dumps({"detail": f"refused by the test, {KEY}, {AVATAR_TOKEN}"})
    retry_after: float | None = None
    location: str | None = None
    acted: bool = False


@dataclass(frozen=True)
class Break:
    """Break the connection, before or after the request was carried out; or never let it come about."""

    when: str = "before"


@dataclass(frozen=True)
class Hang:
    """Carry out or not, and never answer: the client's patience ends it."""

    acts: bool = False


@dataclass(frozen=True)
class Slow:
    """Answer so many seconds later."""

    seconds: float


@dataclass(frozen=True)
class Spoil:
    """Carry out, and answer with what becomes of the text."""

    change: Callable[[str], str]


Fault = Refuse | Break | Hang | Slow | Spoil


@dataclass(frozen=True)
class Sent:
    """A request that was sent, and what went wrong with it."""

    at: float
    event: str
    url: str
    headers: dict[str, str]
    fault: Fault | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether the client cannot know that the server did nothing, although it was told of no success."""
        match self.fault:
            case Refuse(status=status, retry_after=asked):
                return status >= 500 and not (status == 503 and asked is not None)
            case Break(when):
                return when != "connect"
            case Hang():
                return True
            case _:
                return False


class Vendor:
    """LemonSlice as a test meets it: what was asked of it, and what is to go wrong with what will be."""

    url = "https://api.test/api"
    """Address of its API."""

    latency = 1.0
    """Seconds until it answers."""

    created: list[str]
    """The sessions."""

    terminated: list[str]
    """Those that have been terminated, or have ended otherwise."""

    def __init__(self) -> None:
        self.requests: list[Sent] = []
        self.exit_hooks: list[str] = []
        self.control_url: str | None = None
        self.most_running = 0
        """How many sessions have run at the same time, at most."""
        self._faults: dict[str, deque[Fault]] = {}

    def arm(self, event: str, *faults: Fault) -> None:
        """Let the next requests of a kind (create, terminate, reset-idle-timeout, cost) go wrong, one by one."""
        self._faults.setdefault(event, deque()).extend(faults)

    @property
    def running(self) -> list[str]:
        """The sessions that were created and not terminated."""
        return [name for name in self.created if name not in self.terminated]

    def expire(self) -> None:
        """Let the sessions that run end by themselves."""
        raise NotImplementedError

    def receive(self, request: Request, headers: dict[str, str]) -> tuple[str, Fault | None]:
        """Take note of a request; returns what it is for, and what is to go wrong with it."""
        event = event_of(request)
        armed = self._faults.get(event)
        fault = armed.popleft() if armed else None
        self.requests.append(Sent(asyncio.get_running_loop().time(), event, str(request.url), headers, fault))
        return event, fault

    def sent(self, event: str) -> list[Sent]:
        """The requests of a kind."""
        return [sent for sent in self.requests if sent.event == event]


class MemoryLemonSlice(Vendor):
    """The vendor in memory: sessions that are created and terminated."""

    def __init__(self) -> None:
        super().__init__()
        self.created: list[str] = []
        self.terminated: list[str] = []
        self.control_url = CONTROL
        self._ids = itertools.count(1)

    def expire(self) -> None:
        self.terminated.extend(self.running)

    def carry_out(self, event: str, url: URL) -> tuple[int, str]:
        match event:
            case "create":
                name = f"session-{next(self._ids)}"
                self.created.append(name)
                self.most_running = max(self.most_running, len(self.running))
                control = (self.control_url or CONTROL).format(id=name)
                answer = {"session_id": name, "room_url": ROOM, "control_url": control}
                return 201, json.dumps(answer)
            case "terminate":
                return self._terminate(next(part for part in url.parts if part.startswith("session-")))
            case "cost":
                return 200, json.dumps({"session_status": "COMPLETED", "cost": 1.5})
            case _:
                return 200, json.dumps({"success": True})

    def _terminate(self, name: str) -> tuple[int, str]:
        if name in self.terminated:
            return 404, json.dumps({"detail": "not found"})
        self.terminated.append(name)
        return 200, json.dumps({"success": True})


class MemoryRest(HttpClient):
    """The REST client, with its requests answered from memory."""

    def __init__(self, server: MemoryLemonSlice) -> None:
        super().__init__(KEY, URL(server.url), None, timeout=30.0)
        self._server = server

    async def exchange(self, request: Request) -> Response:
        seconds = request.timeout or self._timeout
        event, fault = self._server.receive(request, self.headers(request.url))
        if isinstance(fault, Break) and fault.when == "connect":
            raise ApiConnectionError("Cannot connect to host api.test", False, request.operation)
        await asyncio.sleep(min(seconds, self._server.latency + (fault.seconds if isinstance(fault, Slow) else 0.0)))
        match fault:
            case Refuse(status, body, retry_after, location, acted):
                if acted:
                    self._server.carry_out(event, request.url)
                return Response(status, body, False, retry_after, location, self.secrets)
            case Hang(acts):
                return await self._hang(request, seconds, acts)
            case Slow(late) if late + self._server.latency >= seconds:
                raise ApiTimeoutError(f"no complete response in {seconds:g} s", True, request.operation)
            case Break("before"):
                raise ApiConnectionError("Connection reset by peer", True, request.operation)
            case _:
                return self._answer(request, event, fault)

    async def _hang(self, request: Request, seconds: float, acts: bool) -> Response:
        if acts:
            self._server.carry_out(event_of(request), request.url)
        await asyncio.sleep(seconds - self._server.latency)
        raise ApiTimeoutError(f"no complete response in {seconds:g} s", True, request.operation)

    def _answer(self, request: Request, event: str, fault: Fault | None) -> Response:
        status, text = self._server.carry_out(event, request.url)
        match fault:
            case Break():
                raise ApiConnectionError("Connection reset by peer", True, request.operation)
            case Spoil(change):
                return Response(status, change(text), secrets=self.secrets)
            case _:
                return Response(status, text, secrets=self.secrets)


def event_of(request: Request) -> str:
    """What a request is for."""
    return "cost" if request.method == "GET" else str((request.payload or {}).get("event", "create"))


class MemoryApi(LemonSliceApi):
    """The real client over the REST client of a world; its exit hooks are noted, not sent."""

    def __init__(self, server: Vendor, rest: HttpClient) -> None:
        super().__init__(api_key=KEY, api_url=server.url)
        self._http = rest
        self._server = server

    def exit_hook(self, session_id: str, *, control_url: str | None = None) -> Any:
        return MemoryHook(cast("Any", self._server))
