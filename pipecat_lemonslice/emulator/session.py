"""One session: its status, its cost, its avatar, and the clock that ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pipecat_lemonslice.emulator.avatar import Avatar, AvatarOrder
from pipecat_lemonslice.emulator.bodies import CreateOrder
from pipecat_lemonslice.emulator.clock import IdleTimer
from pipecat_lemonslice.emulator.face import SIZES
from pipecat_lemonslice.emulator.faults import NeverJoin, SessionFault
from pipecat_lemonslice.emulator.kept import Kept
from pipecat_lemonslice.emulator.options import MEBIBYTE, EmulatorOptions
from pipecat_lemonslice.emulator.record import Kind
from pipecat_lemonslice.emulator.room import Room
from pipecat_lemonslice.emulator.tasks import Tasks

MOST_CONTROLS = 10_000
MOST_WEIGHT = 16 * MEBIBYTE
"""Control requests kept of one session, and characters in them; later ones are obeyed and not kept."""

_LONG = 3600.0
"""Seconds between two looks at a session that lives for ever."""


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


@dataclass(frozen=True)
class CreateRequest:
    """A create request as it was received.

    Parameters:
        body: The JSON body.
        headers: The headers; the value of the API key is left out.
        multipart: Whether it came as multipart/form-data.
        image_bytes: Length of the uploaded picture's file; 0: none.
        image_size: Width and height of the uploaded picture.
    """

    body: Mapping[str, Any]
    headers: Mapping[str, str]
    multipart: bool = False
    image_bytes: int = 0
    image_size: tuple[int, int] | None = None


class Session:
    """A session from its creation on.

    Args:
        session_id: Its id.
        request: The request that created it.
        order: What that request asked for.
        image: The uploaded picture, if there was one.
        room: Where its avatar goes.
        options: The emulator's options.
        faults: What befalls it.
    """

    def __init__(
        self,
        session_id: str,
        request: CreateRequest,
        order: CreateOrder,
        image: bytes | None,
        room: Room,
        options: EmulatorOptions,
        faults: Collection[SessionFault],
    ):
        self.id = session_id
        self.request = request
        self.room = room
        self.picture_size = SIZES[order.aspect_ratio]
        self.created_at = datetime.now(UTC)
        self._controls = Kept[Mapping[str, Any]](MOST_CONTROLS, MOST_WEIGHT)
        self._order = order
        self._options = options
        self._clock = asyncio.get_running_loop().time
        self._status = Status.QUEUED
        self._active_since: float | None = None
        self._ended_at: float | None = None
        self._idle = IdleTimer(order.idle_timeout, self._clock())
        self._tasks = Tasks()
        self.avatar = Avatar(_avatar_order(session_id, order, image), room, self._idle, options, faults)
        self._tasks.spawn(self.avatar.prepare())
        self._tasks.spawn(self._live(NeverJoin() not in faults))

    @property
    def status(self) -> Status:
        """Where it is."""
        return self._status

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self._status not in (Status.QUEUED, Status.ACTIVE)

    @property
    def cost(self) -> float:
        """Credits it has cost so far: it costs while it is active."""
        if self._active_since is None:
            return 0.0
        seconds = (self._ended_at or self._clock()) - self._active_since
        return round(seconds / 60 * self._options.credits_per_minute, 4)

    @property
    def controls(self) -> list[Mapping[str, Any]]:
        """Bodies of the control requests that it obeyed, in order."""
        return list(self._controls.items)

    def obeyed(self, body: Mapping[str, Any]) -> None:
        """Keep the body of a control request that was carried out."""
        self._controls.add(body, len(repr(body)))

    def reset_idle_timeout(self) -> None:
        """Let it live for another idle timeout from now on."""
        self._idle.reset(self._clock())
        self.avatar.note(Kind.IDLE_RESET)

    async def terminate(self) -> None:
        """End it at the user's wish."""
        self.avatar.note(Kind.TERMINATED)
        self._end(Status.COMPLETED)
        await self.close()

    async def close(self) -> None:
        """Stop whatever it does; its status stays as it is."""
        await self.avatar.close()
        await self._tasks.close()

    async def _live(self, avatar_comes: bool) -> None:
        await asyncio.sleep(self._options.cold_start)
        self._status, self._active_since = Status.ACTIVE, self._clock()
        self._idle.reset(self._clock())
        await asyncio.sleep(self._options.join_delay)
        if not self.room.admits(self._order.token):
            self._end(Status.FAILED)
            return
        if avatar_comes:
            self.avatar.rejoin()
        await self._idleness()
        self.avatar.note(Kind.IDLE_TIMEOUT)
        self.avatar.send("idle_timeout")
        self._end(Status.TIMED_OUT)
        await self.avatar.close()

    async def _idleness(self) -> None:
        """Return when nobody has spoken for the idle timeout."""
        while True:
            deadline = self._idle.deadline
            left = _LONG if deadline is None else deadline - self._clock()
            if left <= 0:
                return
            await asyncio.sleep(left)

    def _end(self, status: Status) -> None:
        self._status, self._ended_at = status, self._clock()
        self.avatar.leave()


def _avatar_order(session_id: str, order: CreateOrder, image: bytes | None) -> AvatarOrder:
    return AvatarOrder(
        session_id=session_id,
        picture=image or order.image_url,
        aspect_ratio=order.aspect_ratio,
        prompt=order.prompt,
        idle_prompt=order.idle_prompt,
        response_done_timeout=order.response_done_timeout,
        sample_rate=order.sample_rate,
    )
