"""Watches the avatar of one session: its presence, and the silence in which LemonSlice would end the session."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from math import inf

from pipecat_lemonslice.errors import SessionError
from pipecat_lemonslice.media.playback import Playback
from pipecat_lemonslice.rooms import Room
from pipecat_lemonslice.session.presence import AvatarPresence, Change, Found, Over
from pipecat_lemonslice.settings import Config, Timeouts

QUIET_SECONDS = 1.0
"""An idle timeout sooner after speech is a failure that cut an answer off; a later one ends a quiet session."""

KEEP_ALIVE_SHARE = 1 / 3
"""Share of the idle timeout without speech after which LemonSlice's idle timer is reset."""

TIMEOUT_SLACK = 1.0
"""Seconds by which LemonSlice's idle timer may run ahead of ours."""


class IdleSessionError(SessionError):
    """LemonSlice has ended a session in which nobody spoke."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing has been said for so long that the session's idle timer is to be reset."""


class AvatarConnection:
    """Watches the avatar of one session in a joined room, until the session ends."""

    def __init__(self, room: Room, config: Config, timeouts: Timeouts, playback: Playback) -> None:
        """Begin to expect the avatar.

        Args:
            room: Where it joins.
            config: What its session was asked for.
            timeouts: How long it is waited for.
            playback: Knows when it was given speech.
        """
        self._loop = asyncio.get_running_loop()
        self._room = room
        self._playback = playback
        self._idle_timeout = config.idle_timeout if config.idle_timeout > 0 else inf
        self._keep_alive_after = self._idle_timeout * KEEP_ALIVE_SHARE if config.keep_alive else inf
        now = self._loop.time()
        self._presence = AvatarPresence(config.avatar_name, timeouts, now)
        self._reset_at = self._asked_at = now
        self._timeout: asyncio.Timeout | None = None
        self._given_up: str | None = None

    async def changes(self) -> AsyncIterator[Change | Quiet]:
        """Follow what happens in the room, for as long as the avatar may be seen there.

        Yields:
            What has changed. An avatar that is found is being watched by then.

        Raises:
            IdleSessionError: LemonSlice has ended the session, because nobody spoke.
            SessionError: It has ended for any other reason, which the error says.
        """
        while True:
            for change in await self._next_changes():
                match change:
                    case Over(reason, idle):
                        raise self._ending(reason, idle=idle)
                    case Found(participant):
                        self._room.watch(participant)
                    case _:
                        pass
                yield change

    def configure(self, timeouts: Timeouts) -> None:
        """Change how long the avatar is waited for."""
        self._presence.timeouts = timeouts
        self._wake()

    def give_up(self, reason: str) -> None:
        """End the session for a reason that may not lie in the room."""
        self._given_up = reason
        self._wake()

    def _wake(self) -> None:
        """Look again at what is due."""
        if self._timeout:
            with suppress(RuntimeError):  # it is awake
                self._timeout.reschedule(self._loop.time())

    def idle_timer_was_reset(self) -> None:
        """Take note that LemonSlice counts its idle timeout from now."""
        self._reset_at = self._loop.time()

    async def _next_changes(self) -> tuple[Change | Quiet, ...]:
        if self._given_up:
            return (Over(self._given_up),)
        due_at = min(inf if (at := self._presence.deadline) is None else at, self._keep_alive_at())
        try:
            async with asyncio.timeout_at(due_at if due_at < inf else None) as self._timeout:
                event = await self._room.next_event()
        except TimeoutError:
            return self._due(self._loop.time())
        return self._presence.handle(event, self._loop.time())

    def _due(self, now: float) -> tuple[Change | Quiet, ...]:
        due = self._presence.handle_timer(now, self._room.pictured_at)
        if now < self._keep_alive_at():
            return due
        self._asked_at = now
        return (Quiet(), *due)

    def _keep_alive_at(self) -> float:
        """Return when the idle timer is to be reset, unless something is said before; infinity for never."""
        return max(self._asked_at, self._playback.played_at) + self._keep_alive_after

    def _ending(self, reason: str, *, idle: bool) -> SessionError:
        quiet_for = self._loop.time() - max(self._reset_at, self._playback.sounded_at)
        if quiet_for >= self._idle_timeout - TIMEOUT_SLACK or (idle and quiet_for >= QUIET_SECONDS):
            return IdleSessionError(reason)
        return SessionError(reason)
