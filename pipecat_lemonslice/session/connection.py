"""Watches the avatar of one session: its presence, and the silence in which LemonSlice would end the session."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from pipecat_lemonslice.api import CreateSessionRequest
from pipecat_lemonslice.errors import SessionError
from pipecat_lemonslice.media.playback import Playback
from pipecat_lemonslice.rooms import Room
from pipecat_lemonslice.session.presence import AvatarPresence, Change, Found, Over, PresenceTimeouts

QUIET_SECONDS = 1.0
"""An idle timeout sooner after speech is a failure that cut an answer off; a later one ends a quiet session."""

TIMEOUT_SLACK = 1.0
"""Seconds by which LemonSlice's idle timer may run ahead of ours."""


class IdleSessionError(SessionError):
    """LemonSlice has ended a session in which nobody spoke."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing has been said for so long that the session's idle timer is to be reset."""


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """How the avatar is watched.

    Attributes:
        avatar_name: User name with which it joins.
        timeouts: How long it is waited for.
        idle_timeout: Seconds without speech after which LemonSlice ends the session; None for never.
        keep_alive_after: Seconds without speech after which its idle timer is reset; None for never.
    """

    avatar_name: str = "LemonSlice"
    timeouts: PresenceTimeouts = field(default_factory=PresenceTimeouts)
    idle_timeout: float | None = None
    keep_alive_after: float | None = None


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How sessions are made.

    Attributes:
        request: Makes the request for the session that is about to be created.
        open_room: Joins the room at an address.
        connection: Gives how the avatar of the session that has been created is watched.
    """

    request: Callable[[], Awaitable[CreateSessionRequest]]
    open_room: Callable[[str], Awaitable[Room]]
    connection: Callable[[], ConnectionOptions] = ConnectionOptions


class AvatarConnection:
    """Watches the avatar of one session in a joined room, until the session ends."""

    def __init__(self, room: Room, options: ConnectionOptions, playback: Playback) -> None:
        """Begin to expect the avatar.

        Args:
            room: Where it joins.
            options: How it is watched.
            playback: Knows when it was given speech.
        """
        self._loop = asyncio.get_running_loop()
        self._room = room
        self._options = options
        self._playback = playback
        now = self._loop.time()
        self._presence = AvatarPresence(options.avatar_name, options.timeouts, now)
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

    def configure(self, options: ConnectionOptions) -> None:
        """Change how the avatar is watched, from now on."""
        self._options = options
        self._presence.configure(options.timeouts)
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
        deadlines = [at for at in (self._presence.deadline, self._keep_alive_at()) if at is not None]
        try:
            async with asyncio.timeout_at(min(deadlines, default=None)) as self._timeout:
                event = await self._room.next_event()
        except TimeoutError:
            return self._due(self._loop.time())
        return self._presence.handle(event, self._loop.time())

    def _due(self, now: float) -> tuple[Change | Quiet, ...]:
        due = self._presence.handle_timer(now, self._room.pictured_at)
        keep_alive_at = self._keep_alive_at()
        if keep_alive_at is None or now < keep_alive_at:
            return due
        self._asked_at = now
        return (Quiet(), *due)

    def _keep_alive_at(self) -> float | None:
        """Return when the idle timer is to be reset, unless something is said before; None for never."""
        after = self._options.keep_alive_after
        return None if after is None else max(self._asked_at, self._playback.played_at) + after

    def _ending(self, reason: str, *, idle: bool) -> SessionError:
        quiet_for = self._loop.time() - max(self._reset_at, self._playback.sounded_at)
        timeout = self._options.idle_timeout
        timed_out = timeout is not None and quiet_for >= timeout - TIMEOUT_SLACK
        if timed_out or (idle and quiet_for >= QUIET_SECONDS):
            return IdleSessionError(reason)
        return SessionError(reason)
