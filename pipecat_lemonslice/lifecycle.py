"""The states of a session, what it needs to know, and whom it tells."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from pipecat_lemonslice.api import CreateSessionRequest
from pipecat_lemonslice.errors import LemonSliceError
from pipecat_lemonslice.rooms import PictureReceived, Room, VoiceReceived
from pipecat_lemonslice.visit import SessionLink, VisitOptions


class SessionState(Enum):
    """Where a session is in its life."""

    CREATING = "creating"
    """A session is being asked for."""

    JOINING = "joining"
    """It exists; its room is being joined."""

    WAITING = "waiting"
    """The bot is in the room; the avatar's first picture has not come."""

    READY = "ready"
    """The avatar can be seen, and speaks what it is given."""

    DORMANT = "dormant"
    """The vendor has ended a quiet session; a new one is created when somebody speaks."""

    LOST = "lost"
    """The avatar or the room has gone; a new session is created after a pause."""

    ENDED = "ended"
    """The call is over, and the session with it."""

    FAILED = "failed"
    """No session can be had; trying again would give the same answer."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What a session needs to know.

    Parameters:
        request: Makes the request of the session that is about to be created.
        open_room: Joins the room at an address.
        visit: How the avatar of the session that has been created is met.
    """

    request: Callable[[], Awaitable[CreateSessionRequest]]
    open_room: Callable[[str], Awaitable[Room]]
    visit: Callable[[], VisitOptions] = VisitOptions


class SessionListener(Protocol):
    """Told of everything; must not block."""

    def session_state(self, state: SessionState, detail: str) -> None:
        """The session has changed its state."""
        ...

    def session_delayed(self, reason: str, again_in: float) -> None:
        """An attempt to create a session has failed; the next one is made so many seconds later."""
        ...

    def session_created(self, session_id: str) -> None:
        """A session exists, and costs."""
        ...

    def session_ended(self, session_id: str, cost: float | None) -> None:
        """A session is over; the vendor's cost of it where known."""
        ...

    def session_error(self, error: LemonSliceError) -> None:
        """Something failed; told once for each time without an avatar, and once more if no further attempt is made."""
        ...

    def avatar_joined(self) -> None:
        """The avatar is in the room."""
        ...

    def avatar_ready(self, link: SessionLink) -> None:
        """The avatar may speak."""
        ...

    def avatar_gone(self, reason: str) -> None:
        """The avatar cannot speak, and will not do so soon; the session's state says whether it ever will."""
        ...

    def avatar_media(self, media: VoiceReceived | PictureReceived) -> None:
        """The avatar is heard or seen."""
        ...
