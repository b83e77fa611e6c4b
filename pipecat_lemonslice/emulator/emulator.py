"""The emulator as a whole: started and stopped, looked at and told to misbehave."""

from __future__ import annotations

import math
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from aiohttp import web
from loguru import logger

from pipecat_lemonslice.emulator import face
from pipecat_lemonslice.emulator.armed import Armed
from pipecat_lemonslice.emulator.faults import (
    Delay,
    Drop,
    Fault,
    Hang,
    Malform,
    NeverJoin,
    RefuseRooms,
    Reject,
    Reset,
    Truncate,
)
from pipecat_lemonslice.emulator.grammar import Path, Spec, parse
from pipecat_lemonslice.emulator.options import EmulatorOptions
from pipecat_lemonslice.emulator.room import Room
from pipecat_lemonslice.emulator.server import SeenRequest, Server
from pipecat_lemonslice.emulator.service import Service
from pipecat_lemonslice.emulator.session import Session
from pipecat_lemonslice.emulator.terms import When

_SHUTDOWN_SECONDS = 2.0


class Emulator:
    """LemonSlice on this machine: its REST API, rooms, and an avatar that hears, speaks and obeys.

    Example:
        async with Emulator(EmulatorOptions(latency=0.05)) as emulator:
            emulator.reject(503, times=2)
            service = LemonSliceVideoService(api_key="any", api_url=emulator.api_url, agent_id="a")
            ...
            session = await emulator.wait_for_session()
            await session.avatar.wait_for("response_finished")
            assert session.avatar.heard == speech

    Args:
        options: How it is set up.
    """

    def __init__(self, options: EmulatorOptions | None = None):
        self.options = options or EmulatorOptions()
        self._armed = Armed()
        self._service = Service(self.options, self._armed)
        self._server = Server(self._service, self._armed, self.options)
        self._runner = web.AppRunner(self._server.application(), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        self._port = self.options.port

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen.

        Raises:
            ImportError: A package is missing that comes with the extra `emulator`.
            OSError: The port is taken, or the host is not this machine.
            OverflowError: There is no such port.
            UnicodeError: The host cannot be a name.
        """
        face.draw_ahead()
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.options.host, self.options.port)
        try:
            await site.start()
        except BaseException:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        logger.debug(f"Emulator: listening on {self.api_url}")

    async def close(self) -> None:
        """End all sessions and connections. A session that nobody terminated keeps its status."""
        await self._service.close()
        await self._server.close()
        await self._runner.cleanup()

    # Looking at it

    @property
    def api_url(self) -> str:
        """Base address of the REST API, for LEMONSLICE_API_URL."""
        return f"http://{self._address}/api"

    def room_url(self, room: Room) -> str:
        """Address of a room."""
        return f"ws://{self._address}/rooms/{room.name}"

    @property
    def sessions(self) -> list[Session]:
        """The sessions in the order in which they were created; of more than 200, some that are over are missing."""
        return list(self._service.sessions)

    @property
    def created(self) -> int:
        """How many sessions were created."""
        return self._service.created

    @property
    def terminated(self) -> int:
        """How many sessions were terminated by a request."""
        return self._service.terminated

    @property
    def running(self) -> list[Session]:
        """The sessions that are not over: after a test, those that leaked."""
        return [session for session in self._service.sessions if not session.ended]

    @property
    def requests(self) -> list[SeenRequest]:
        """The newest 10,000 requests to the REST API, in order."""
        return list(self._server.requests)

    async def wait_for_session(self, n: int = 1, timeout: float = 10.0) -> Session:
        """The n-th session, waiting for it.

        Raises:
            TimeoutError: It was not created within `timeout` seconds.
            LookupError: It was, and is forgotten.
        """
        return await self._service.wait_for_session(n, timeout)

    def open_room(self, name: str | None = None, tokens: Iterable[str] = ()) -> Room:
        """A room that exists before any session does; its `room_url` goes into `properties`.

        Args:
            name: Last part of its address; None: one that cannot be guessed.
            tokens: Tokens that let people and avatars in; none: anybody comes in.
        """
        return self._service.open_room(name, frozenset(tokens))

    # Telling it to misbehave

    def fault(self, text: str) -> None:
        """Arm a fault, written as on the command line: `2*reject=503,retry_after=1@create`.

        Faults of sessions befall the sessions created from now on.

        Raises:
            FaultError: The text is no fault.
        """
        self._armed.arm(parse(text))

    def reject(
        self,
        status: int,
        *,
        times: float = 1,
        detail: str = "rejected by the emulator",
        retry_after: float | str | None = None,
        body: str | None = None,
        path: Path = "create",
    ) -> None:
        """Answer with an error; `body` is HTML in the place of the JSON, as a gateway answers."""
        self.arm(Reject(status, detail, retry_after, body), path=path, times=times)

    def delay(self, seconds: float, *, times: float = 1, path: Path = "create") -> None:
        """Answer so much later."""
        self.arm(Delay(seconds), path=path, times=times)

    def hang(self, *, times: float = 1, when: When = "before", path: Path = "create") -> None:
        """Never answer, before or after carrying the request out."""
        self.arm(Hang(when), path=path, times=times)

    def malform(self, *, times: float = 1, path: Path = "create") -> None:
        """Carry the request out and answer with truncated JSON."""
        self.arm(Malform(), path=path, times=times)

    def truncate(self, *, times: float = 1, path: Path = "create") -> None:
        """Carry the request out and break the connection in the middle of the answer."""
        self.arm(Truncate(), path=path, times=times)

    def reset(self, *, when: When = "before", times: float = 1, path: Path = "create") -> None:
        """Break the connection, before or after carrying the request out."""
        self.arm(Reset(when), path=path, times=times)

    def drop_keys(self, *keys: str) -> None:
        """Leave these keys out of every answer to create."""
        for key in keys:
            self.arm(Drop(key))

    def never_join(self) -> None:
        """Keep the avatars of new sessions away."""
        self.arm(NeverJoin())

    def refuse_rooms(self, reason: str) -> None:
        """Let nobody into any room, for this reason."""
        self.arm(RefuseRooms(reason))

    def behave(self) -> None:
        """Forget all of this: everything goes well from now on."""
        self._armed.clear()

    def arm(self, fault: Fault, *, path: Path = "create", times: float = math.inf) -> None:
        """Arm any fault, by default for ever."""
        self._armed.arm(Spec(fault, times, path))

    @property
    def _address(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.options.host, self.options.host)
        if ":" in host:
            host = f"[{host}]"
        return f"{host}:{self._port}"
