"""The events that a session emits, in order."""

from dataclasses import dataclass
from enum import Enum

from pipecat_lemonslice.api import ControlEvent
from pipecat_lemonslice.errors import LemonSliceError, SessionError
from pipecat_lemonslice.messages import AvatarTrouble
from pipecat_lemonslice.rooms import Participant, Room


class SessionState(Enum):
    """Where a session is in its life."""

    CREATING = "creating"
    """A session is being created."""

    JOINING = "joining"
    """It exists; its room is being joined."""

    WAITING = "waiting"
    """The bot is in the room; the avatar's first picture has not come."""

    READY = "ready"
    """The avatar can be seen, and speaks what it is given."""

    DORMANT = "dormant"
    """LemonSlice has ended a quiet session; a new one is created when somebody speaks."""

    LOST = "lost"
    """The avatar or the room has gone; a new session is created after a pause."""

    ENDED = "ended"
    """The call is over, and the session with it."""

    FAILED = "failed"
    """No session can be had; trying again would give the same answer."""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The session has changed its state.

    Attributes:
        state: The new one.
        detail: A sentence for people; may be empty.
    """

    state: SessionState
    detail: str


@dataclass(frozen=True, slots=True)
class CreationDelayed:
    """An attempt to create a session has failed; the next one is made later.

    Attributes:
        reason: Why it failed.
        again_in: Seconds until the next attempt.
    """

    reason: str
    again_in: float


@dataclass(frozen=True, slots=True)
class SessionCreated:
    """A session exists, and costs.

    Attributes:
        session_id: The id that LemonSlice gave it.
    """

    session_id: str


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """A session is over.

    Attributes:
        session_id: Its id.
        cost: Its cost in credits; None where unknown.
        seconds: How long it lasted.
    """

    session_id: str
    cost: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class ErrorReported:
    """A failure: one for each outage, and one more if it is final.

    Attributes:
        error: What.
        final: Whether no further session is created.
    """

    error: LemonSliceError
    final: bool = False


@dataclass(frozen=True, slots=True)
class ControlSent:
    """A control request has been answered, or has failed.

    Attributes:
        event: What it said.
        seconds: How long that took.
        failure: Why it failed; empty if it did not.
    """

    event: ControlEvent
    seconds: float
    failure: str


@dataclass(frozen=True, slots=True)
class ControlFailed:
    """A control request of the application failed.

    Attributes:
        reason: What the server, or whoever refused it, said.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class PictureRefused:
    """The avatar cannot show the picture that LemonSlice has taken; the one before stays.

    Attributes:
        reason: A sentence for people.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class AvatarJoined:
    """The avatar is in the room.

    Attributes:
        participant: The avatar.
    """

    participant: Participant


@dataclass(frozen=True, slots=True)
class AvatarReady:
    """The avatar can be seen, so it may speak.

    Attributes:
        room: The way to it.
        session_id: What its messages carry.
    """

    room: Room
    session_id: str


SessionEvent = (
    StateChanged
    | CreationDelayed
    | SessionCreated
    | SessionEnded
    | ErrorReported
    | ControlSent
    | ControlFailed
    | PictureRefused
    | AvatarJoined
    | AvatarReady
)


def trouble_event(trouble: AvatarTrouble) -> ErrorReported | PictureRefused:
    """Return the event that reports trouble of an avatar which goes on."""
    if trouble.kind == "image_change_error":
        return PictureRefused(f"the avatar cannot show the new picture: {trouble.detail or 'no detail given'}")
    return ErrorReported(SessionError(f"the avatar reports {trouble.kind}: {trouble.detail}"))
