"""One session: its status, its cost, its avatar, and the idle timeout that ends it."""

import asyncio
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

from pipecat_lemonslice.emulator.avatar import Avatar, start_task
from pipecat_lemonslice.emulator.events import Kind
from pipecat_lemonslice.emulator.faults import Fault
from pipecat_lemonslice.emulator.models import ControlRequest, CreateRequest, EmulatorOptions
from pipecat_lemonslice.emulator.room import Room


class Status(StrEnum):
    """Where a session is."""

    QUEUED = "QUEUED"
    """It was accepted and waits for a machine."""
    ACTIVE = "ACTIVE"
    """It runs and costs."""
    COMPLETED = "COMPLETED"
    """It was terminated."""
    TIMED_OUT = "TIMED_OUT"
    """Nobody spoke for its idle timeout."""
    FAILED = "FAILED"
    """The avatar could not come."""


class Session:
    """A session from its creation on.

    Attributes:
        request: The request that created it.
        room: Where its avatar goes.
        controls: Bodies of the control requests that it obeyed, in order.
    """

    def __init__(self, request: CreateRequest, room: Room, options: EmulatorOptions, faults: Collection[Fault]) -> None:
        self.id = str(uuid4())
        self.request = request
        self.room = room
        self.status = Status.QUEUED
        self.created_at = datetime.now(UTC)
        self.controls: list[Mapping[str, Any]] = []
        self._options = options
        self._clock = asyncio.get_running_loop().time
        self._active_since: float | None = None
        self._ended_at: float | None = None
        self.avatar = Avatar(self.id, request, room, options, faults)
        comes = all(fault.name != "never_join" for fault in faults)
        self._running = start_task(self._run(comes))

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.status not in (Status.QUEUED, Status.ACTIVE)

    @property
    def cost(self) -> float:
        """Credits it has cost so far: it costs while it is active."""
        if self._active_since is None:
            return 0.0
        seconds = (self._ended_at or self._clock()) - self._active_since
        return round(seconds / 60 * self._options.credits_per_minute, 4)

    def control(self, control: ControlRequest) -> None:
        """Obey a control request."""
        self.controls.append(control.body)
        self.avatar.obey(control)
        if control.event == "terminate":
            self.end(Status.COMPLETED)

    def end(self, status: Status) -> None:
        """Be over, with this status; the avatar leaves."""
        self.status, self._ended_at = status, self._clock()
        self._running.cancel()
        self.avatar.stop()

    async def close(self) -> None:
        """Stop whatever it does; its status stays as it is."""
        self._running.cancel()
        await asyncio.gather(self._running, self.avatar.stop(), return_exceptions=True)

    async def _run(self, avatar_comes: bool) -> None:
        await asyncio.sleep(self._options.cold_start)
        self.status, self._active_since = Status.ACTIVE, self._clock()
        self.avatar.active_until = self._clock()
        await asyncio.sleep(self._options.join_delay)
        if not self.room.admits(self.request.token):
            self.end(Status.FAILED)
            return
        if avatar_comes:
            self.avatar.rejoin()
        if self.request.idle_timeout < 0:
            return
        left = float(self.request.idle_timeout)
        while left > 0:
            await asyncio.sleep(left)
            left = self.avatar.active_until + self.request.idle_timeout - self._clock()
        self.avatar.note(Kind.IDLE_TIMEOUT)
        self.avatar.send("idle_timeout")
        self.end(Status.TIMED_OUT)
