"""One visit to the avatar's room, from joining it until the avatar will not be seen there any more."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from pipecat_lemonslice.attendance import (
    Attendance,
    AttendanceTimeouts,
    AvatarGone,
    AvatarJoined,
    AvatarOver,
    AvatarReady,
    AvatarTroubled,
    Change,
)
from pipecat_lemonslice.errors import SessionError
from pipecat_lemonslice.messages import SpeechEvent, speech_message
from pipecat_lemonslice.rooms import PictureReceived, Room, VoiceReceived


@dataclass(frozen=True, slots=True)
class VisitOptions:
    """How the avatar is met.

    Parameters:
        avatar_name: User name that the avatar joins with.
        keep_alive_after: Seconds without speech after which the vendor's idle timer is to be reset; None for never.
        timeouts: How long to be patient.
    """

    avatar_name: str = "LemonSlice"
    keep_alive_after: float | None = None
    timeouts: AttendanceTimeouts = field(default_factory=AttendanceTimeouts)


@dataclass(slots=True)
class SessionLink:
    """The way to the avatar of one session; see :class:`pipecat_lemonslice.stream.AvatarLink`."""

    room: Room
    session_id: str
    give_up: Callable[[str], None]
    spoken_at: float

    def write(self, pcm: bytes) -> "asyncio.Future[None]":
        """Hand speech over to the room."""
        self.spoken_at = asyncio.get_running_loop().time()
        return self.room.write(pcm)

    def tell(self, event: SpeechEvent) -> None:
        """Send an app message to the avatar."""
        self.room.send(speech_message(event, self.session_id))

    def stalled(self) -> None:
        """Give the room up."""
        self.give_up("the room takes no more audio")


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
        self._link = SessionLink(room, session_id, self._give_up, spoken_at=self._loop.time())
        self._patience: asyncio.Timeout | None = None
        self._given_up: str | None = None

    async def attend(self) -> None:
        """Follow what happens in the room, for as long as it is of use.

        Raises:
            SessionError: Always, at the end; says why it ended.
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
            return self._attendance.handle_timer(self._loop.time())
        if isinstance(event, VoiceReceived | PictureReceived):
            self._listener.visit_media(event)
        return self._attendance.handle(event, self._loop.time())

    def _follow(self, change: Change) -> None:
        match change:
            case AvatarJoined(participant):
                self._room.watch(participant)
                self._listener.visit_joined()
            case AvatarReady():
                self._listener.visit_ready(self._link)
            case AvatarGone(reason):
                self._listener.visit_lost(reason)
            case AvatarOver(reason):
                raise SessionError(reason)
            case AvatarTroubled(trouble):
                self._listener.visit_trouble(SessionError(f"the avatar reports {trouble.kind}: {trouble.detail}"))

    def _give_up(self, reason: str) -> None:
        self._given_up = reason
        if self._patience:
            with suppress(RuntimeError):  # awake already
                self._patience.reschedule(self._loop.time())

    def _wake_at(self) -> float | None:
        deadlines = [at for at in (self._attendance.deadline, self._keep_alive_at()) if at is not None]
        return min(deadlines, default=None)

    def _keep_alive_at(self) -> float | None:
        return None if self._keep_alive_after is None else self._link.spoken_at + self._keep_alive_after

    def _keep_alive(self) -> None:
        due = self._keep_alive_at()
        if due is not None and self._loop.time() >= due:
            self._link.spoken_at = self._loop.time()
            self._listener.visit_quiet()
