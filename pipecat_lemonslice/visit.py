"""One visit to the avatar's room, from joining it until the avatar will not be seen there any more."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from pipecat_lemonslice.attendance import (
    Attendance,
    AttendanceTimeouts,
    AvatarGone,
    AvatarJoined,
    AvatarOver,
    AvatarReady,
    AvatarReplaced,
    AvatarTroubled,
    Change,
)
from pipecat_lemonslice.errors import SessionError
from pipecat_lemonslice.messages import SpeechEvent, speech_message
from pipecat_lemonslice.rooms import Participant, PictureReceived, Room, VoiceReceived
from pipecat_lemonslice.sound import SoundDetector
from pipecat_lemonslice.voice_watch import VoiceWatch

QUIET_SECONDS = 1.0
"""An idle timeout that comes so soon after speech cuts an answer off; any other ends a quiet session."""

TIMEOUT_SLACK = 1.0
"""Seconds by which the vendor's idle timer may run ahead of ours."""


class IdleSessionError(SessionError):
    """The vendor has ended a session in which nobody spoke."""


@dataclass(frozen=True, slots=True)
class VisitOptions:
    """How the avatar is met.

    Parameters:
        avatar_name: User name that the avatar joins with.
        keep_alive_after: Seconds without speech after which the vendor's idle timer is to be reset; None for never.
        idle_timeout: Seconds without speech after which the vendor ends the session; None for never.
        timeouts: How long to be patient.
        voice_timeout: Seconds in which the avatar must be heard once it is given speech; None where it is not heard.
    """

    avatar_name: str = "LemonSlice"
    keep_alive_after: float | None = None
    idle_timeout: float | None = None
    timeouts: AttendanceTimeouts = field(default_factory=AttendanceTimeouts)
    voice_timeout: float | None = 5.0


@dataclass(slots=True)
class SessionLink:
    """The way to the avatar of one session; see :class:`pipecat_lemonslice.speech.track.AvatarLink`."""

    room: Room
    session_id: str
    give_up: Callable[[str], None]
    spoken_at: float
    on_sound: Callable[[float], None]
    on_interrupt: Callable[[], None]
    there: Callable[[], bool]

    @property
    def appended(self) -> int:
        """See :attr:`pipecat_lemonslice.rooms.Room.appended`."""
        return self.room.appended

    @property
    def played(self) -> int:
        """See :attr:`pipecat_lemonslice.rooms.Room.played`."""
        return self.room.played

    def append(self, pcm: bytes) -> None:
        """Have speech played; a room that refuses it is given up."""
        self.spoken_at = asyncio.get_running_loop().time()
        try:
            self.room.append(pcm)
        except Exception as error:
            self._refuse(error)

    def clear(self) -> int:
        """See :meth:`pipecat_lemonslice.rooms.Room.clear`."""
        return self.room.clear()

    def report_at(self, position: int) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.report_at`."""
        self.room.report_at(position)

    def listen(self, on_played: Callable[[int], None] | None) -> None:
        """See :meth:`pipecat_lemonslice.speech.track.AvatarLink.listen`."""
        self.room.on_played = on_played

    def was_played(self, *, at: float, sounds: bool) -> None:
        """See :meth:`pipecat_lemonslice.speech.track.AvatarLink.was_played`."""
        self.spoken_at = at
        if sounds:
            self.on_sound(at)

    def tell(self, event: SpeechEvent) -> None:
        """Send an app message to the avatar if it is in the room; a room that refuses it is given up."""
        if not self.there():
            return
        if event is SpeechEvent.INTERRUPT:
            self.on_interrupt()
        try:
            self.room.send(speech_message(event, self.session_id))
        except Exception as error:
            self._refuse(error)

    def stalled(self) -> None:
        """Give the room up."""
        self.give_up("the room takes no more audio")

    def _refuse(self, error: Exception) -> None:
        self.give_up(f"the room refuses what it is given: {type(error).__name__}")


class VisitListener(Protocol):
    """Told of everything; must not block."""

    def visit_joined(self) -> None:
        """The avatar is in the room."""
        ...

    def visit_ready(self, link: SessionLink) -> None:
        """The avatar can be seen, so it may speak."""
        ...

    def visit_lost(self, reason: str) -> None:
        """The avatar cannot speak any more; told before the visit ends, too."""
        ...

    def visit_trouble(self, error: SessionError) -> None:
        """The avatar reports trouble, and goes on."""
        ...

    def visit_media(self, media: VoiceReceived | PictureReceived) -> None:
        """The avatar is heard or seen."""
        ...

    def visit_quiet(self) -> None:
        """Nothing has been said for ``keep_alive_after`` seconds."""
        ...


class RoomVisit:
    """See the module. :meth:`attend` it once."""

    def __init__(self, room: Room, session_id: str, options: VisitOptions, listener: VisitListener) -> None:
        """Begin a visit to a room that has been joined."""
        self._loop = asyncio.get_running_loop()
        self._room = room
        self._listener = listener
        self._keep_alive_after = options.keep_alive_after
        self._attendance = Attendance(options.avatar_name, options.timeouts, self._loop.time())
        self._voice = VoiceWatch(options.voice_timeout)
        self._detector = SoundDetector()
        self._link = SessionLink(
            room,
            session_id,
            self.give_up,
            self._loop.time(),
            self._spoken,
            on_interrupt=self._voice.heard,
            there=lambda: self._watched is not None and self._watched == self._attendance.avatar,
        )
        self._idle_timeout = options.idle_timeout
        self._active_at = self._loop.time()
        self._watched: Participant | None = None
        self._patience: asyncio.Timeout | None = None
        self._given_up: str | None = None

    async def attend(self) -> NoReturn:
        """Follow what happens in the room, for as long as it is of use.

        Raises:
            IdleSessionError: The vendor has ended the session, because nobody spoke.
            SessionError: It has ended for any other reason, which the error says.
        """
        while True:
            if change := await self._next_change():
                self._follow(change)

    async def _next_change(self) -> Change | None:
        if self._given_up:
            return AvatarOver(self._given_up)
        try:
            async with asyncio.timeout_at(self._wake_at()) as self._patience:
                event = await self._room.next_event()
        except TimeoutError:
            self._keep_alive()
            self._listen()
            return self._attendance.handle_timer(self._loop.time())
        if isinstance(event, VoiceReceived | PictureReceived):
            self._listener.visit_media(event)
        if isinstance(event, VoiceReceived) and self._detector.feed(event.pcm, event.sample_rate):
            self._voice.heard()
        return self._attendance.handle(event, self._loop.time())

    def _follow(self, change: Change) -> None:
        match change:
            case AvatarJoined(participant):
                self._watched = participant
                self._room.watch(participant)
                self._listener.visit_joined()
            case AvatarReady():
                self._listener.visit_ready(self._link)
            case AvatarGone(reason):
                self._listener.visit_lost(reason)
            case AvatarReplaced(reason, participant):
                self._listener.visit_lost(reason)
                self._follow(AvatarJoined(participant))
            case AvatarOver(reason, idle):
                raise self._ending(reason, idle=idle)
            case AvatarTroubled(trouble):
                self._listener.visit_trouble(SessionError(f"the avatar reports {trouble.kind}: {trouble.detail}"))

    def idle_timer_was_reset(self) -> None:
        """Take note that the vendor counts its idle timeout from now."""
        self._active_at = self._loop.time()

    def _ending(self, reason: str, *, idle: bool) -> SessionError:
        quiet_for = self._loop.time() - self._active_at
        timed_out = self._idle_timeout is not None and quiet_for >= self._idle_timeout - TIMEOUT_SLACK
        if timed_out or (idle and quiet_for >= QUIET_SECONDS):
            return IdleSessionError(reason)
        return SessionError(reason)

    def give_up(self, reason: str) -> None:
        """End the visit for a reason that does not lie in the room."""
        self._given_up = reason
        self._wake(self._loop.time())

    def _wake(self, at: float | None) -> None:
        if self._patience:
            with suppress(RuntimeError):  # awake already
                self._patience.reschedule(at)

    def _wake_at(self) -> float | None:
        deadlines = (self._attendance.deadline, self._keep_alive_at(), self._voice.deadline)
        return min((at for at in deadlines if at is not None), default=None)

    def _spoken(self, at: float) -> None:
        """Speech goes to the avatar: from when on must it have been heard?"""
        self._active_at = at
        owed = self._voice.deadline
        self._voice.wrote(at)
        if owed is None and self._voice.deadline is not None and not self._given_up:
            self._wake(self._wake_at())

    def _listen(self) -> None:
        if self._voice.mute(self._loop.time()):
            self._given_up = "the avatar is not heard, though it is given speech"

    def _keep_alive_at(self) -> float | None:
        return None if self._keep_alive_after is None else self._link.spoken_at + self._keep_alive_after

    def _keep_alive(self) -> None:
        due = self._keep_alive_at()
        if due is not None and self._loop.time() >= due:
            self._link.spoken_at = self._loop.time()
            self._listener.visit_quiet()
