"""The connection to the avatar of one session: speech and messages out, changes of its presence in."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from pipecat_lemonslice.api import CreateSessionRequest
from pipecat_lemonslice.errors import SessionError
from pipecat_lemonslice.media.playback import Playback
from pipecat_lemonslice.messages import SpeechEvent, speech_message
from pipecat_lemonslice.rooms import Participant, PictureReceived, Room, VoiceReceived
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
        mute_timeout: Seconds in which it must be heard once it is given speech; None where nobody listens to it.
        idle_timeout: Seconds without speech after which LemonSlice ends the session; None for never.
        keep_alive_after: Seconds without speech after which its idle timer is reset; None for never.
    """

    avatar_name: str = "LemonSlice"
    timeouts: PresenceTimeouts = field(default_factory=PresenceTimeouts)
    mute_timeout: float | None = 5.0
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
    """A :class:`pipecat_lemonslice.speech.track.AvatarLink` over a joined room, watched by an AvatarPresence."""

    def __init__(
        self,
        room: Room,
        session_id: str,
        options: ConnectionOptions,
        playback: Playback,
        show: Callable[[VoiceReceived | PictureReceived], None],
    ) -> None:
        """Begin to expect the avatar in a room that has been joined.

        Args:
            room: The room.
            session_id: The id of its session, which is in every message.
            options: How the avatar is watched.
            playback: Measures whether it is heard.
            show: Takes the avatar's voice and pictures; must not block.
        """
        self._loop = asyncio.get_running_loop()
        self._room = room
        self._session_id = session_id
        self._options = options
        self._show = show
        now = self._loop.time()
        self._presence = AvatarPresence(options.avatar_name, options.timeouts, now)
        self._playback = playback
        playback.mute_timeout = options.mute_timeout
        self._watched: Participant | None = None
        self._active_at = self._spoken_at = now
        self._timeout: asyncio.Timeout | None = None
        self._given_up: str | None = None

    # Used by the speech.

    @property
    def appended(self) -> int:
        """See :attr:`pipecat_lemonslice.rooms.Room.appended`."""
        return self._room.appended

    @property
    def played(self) -> int:
        """See :attr:`pipecat_lemonslice.rooms.Room.played`."""
        return self._room.played

    def append(self, pcm: bytes) -> None:
        """Have speech played; a room that refuses it is given up."""
        self._spoken_at = self._loop.time()
        try:
            self._room.append(pcm)
        except Exception as error:
            self.give_up(f"the room refuses what it is given: {type(error).__name__}")

    def clear(self) -> int:
        """See :meth:`pipecat_lemonslice.rooms.Room.clear`."""
        return self._room.clear()

    def report_at(self, position: int) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.report_at`."""
        self._room.report_at(position)

    def listen(self, on_played: Callable[[int], None] | None) -> None:
        """See :meth:`pipecat_lemonslice.speech.track.AvatarLink.listen`."""
        self._room.on_played = on_played

    def was_played(self, *, at: float, sounds: bool) -> None:
        """See :meth:`pipecat_lemonslice.speech.track.AvatarLink.was_played`."""
        self._spoken_at = at
        expected = self._playback.mute_deadline
        self._playback.played(at, sounds=sounds)
        if sounds:
            self._active_at = at
        if expected is None and self._playback.mute_deadline is not None and not self._given_up:
            self._wake(self._deadline())

    def tell(self, event: SpeechEvent) -> None:
        """Send an app message to the avatar if it is in the room; a room that refuses it is given up."""
        if self._watched is None or self._watched != self._presence.avatar:
            return
        try:
            self._room.send(speech_message(event, self._session_id))
        except Exception as error:
            self.give_up(f"the room refuses what it is given: {type(error).__name__}")

    def stalled(self) -> None:
        """Give the room up."""
        self.give_up("the room takes no more audio")

    # Used by the session.

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
                        self._watched = participant
                        self._room.watch(participant)
                    case _:
                        pass
                yield change

    def configure(self, options: ConnectionOptions) -> None:
        """Change how the avatar is watched, from now on."""
        self._options = options
        self._presence.configure(options.timeouts)
        self._playback.mute_timeout = options.mute_timeout
        self._wake(self._deadline())

    def give_up(self, reason: str) -> None:
        """End the session for a reason that may not lie in the room."""
        self._given_up = reason
        self._wake(self._loop.time())

    def idle_timer_was_reset(self) -> None:
        """Take note that LemonSlice counts its idle timeout from now."""
        self._active_at = self._loop.time()

    async def _next_changes(self) -> tuple[Change | Quiet, ...]:
        if self._given_up:
            return (Over(self._given_up),)
        try:
            async with asyncio.timeout_at(self._deadline()) as self._timeout:
                event = await self._room.next_event()
        except TimeoutError:
            return self._due(self._loop.time())
        if isinstance(event, VoiceReceived | PictureReceived):
            self._show(event)
        return self._presence.handle(event, self._loop.time())

    def _due(self, now: float) -> tuple[Change | Quiet, ...]:
        if self._playback.mute(now):
            return (Over("the avatar is not heard, though it is given speech"),)
        keep_alive_at = self._keep_alive_at()
        if keep_alive_at is None or now < keep_alive_at:
            return self._presence.handle_timer(now)
        self._spoken_at = now
        return (Quiet(), *self._presence.handle_timer(now))

    def _deadline(self) -> float | None:
        deadlines = (self._presence.deadline, self._keep_alive_at(), self._playback.mute_deadline)
        return min((at for at in deadlines if at is not None), default=None)

    def _keep_alive_at(self) -> float | None:
        after = self._options.keep_alive_after
        return None if after is None else self._spoken_at + after

    def _wake(self, at: float | None) -> None:
        if self._timeout:
            with suppress(RuntimeError):  # it is awake
                self._timeout.reschedule(at)

    def _ending(self, reason: str, *, idle: bool) -> SessionError:
        quiet_for, timeout = self._loop.time() - self._active_at, self._options.idle_timeout
        timed_out = timeout is not None and quiet_for >= timeout - TIMEOUT_SLACK
        if timed_out or (idle and quiet_for >= QUIET_SECONDS):
            return IdleSessionError(reason)
        return SessionError(reason)
