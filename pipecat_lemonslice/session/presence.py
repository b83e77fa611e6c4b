"""Which participant is the avatar, whether it is there, and by when it must be: pure, time is an argument.

The law: the avatar is the participant that carries the user id minted for it. While nobody does, it is the first one
with the avatar's name whose name counts; whoever carries the id takes its place at once. It is ready when it can be
seen; joining and ``bot_ready`` prove nothing. An avatar that leaves may come back within ``rejoin`` seconds; a
same-named participant that is there already takes its place at once. Only the avatar's messages count.
"""

from dataclasses import dataclass
from enum import Enum, auto

from pipecat_lemonslice.messages import AvatarTrouble, IdleTimeout, parse_avatar_message
from pipecat_lemonslice.rooms import (
    AvatarClaim,
    AvatarSeen,
    MessageReceived,
    Participant,
    ParticipantJoined,
    ParticipantLeft,
    RoomEvent,
    RoomLost,
)
from pipecat_lemonslice.settings import Timeouts

REJOIN_SECONDS = 2.0
"""How long an avatar that has left is waited for."""


@dataclass(frozen=True, slots=True)
class Found:
    """This participant is the avatar; its media are to be received."""

    participant: Participant


@dataclass(frozen=True, slots=True)
class Visible:
    """The avatar can be seen, so it may speak."""


@dataclass(frozen=True, slots=True)
class Absent:
    """The avatar is not there; it may come back.

    Attributes:
        reason: A sentence for people.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Over:
    """This session will show no avatar.

    Attributes:
        reason: A sentence for people.
        idle: Whether LemonSlice says that it has ended it by its idle timeout.
    """

    reason: str
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Troubled:
    """The avatar reports trouble, and goes on."""

    trouble: AvatarTrouble


Change = Found | Visible | Absent | Over | Troubled


class _State(Enum):
    EXPECTED = auto()
    JOINED = auto()
    SEEN = auto()
    LEFT = auto()
    OVER = auto()


class AvatarPresence:
    """A state machine for one session's avatar. Times are seconds on one monotonic clock."""

    def __init__(self, avatar_name: str, timeouts: Timeouts, now: float, *, rejoin: float = REJOIN_SECONDS) -> None:
        """Begin to expect the avatar.

        Args:
            avatar_name: The user name with which it joins.
            timeouts: How long it is waited for.
            now: The time.
            rejoin: Seconds in which it may come back after it has left.
        """
        self._name = avatar_name
        self.timeouts = timeouts
        """How long the avatar is waited for; the wait under way follows a change."""
        self._rejoin = rejoin
        self._state = _State.EXPECTED
        self._avatar: Participant | None = None
        self._successor: Participant | None = None
        self._since = now

    @property
    def deadline(self) -> float | None:
        """When :meth:`handle_timer` is to be called, unless something happens before; None for never."""
        timeout = self._timeout
        return None if timeout is None else self._since + timeout

    @property
    def _timeout(self) -> float | None:
        match self._state:
            case _State.EXPECTED:
                return self.timeouts.join
            case _State.JOINED:
                return self.timeouts.first_frame
            case _State.SEEN:
                return self.timeouts.frozen
            case _State.LEFT:
                return self._rejoin
            case _State.OVER:
                return None

    def handle(self, event: RoomEvent, now: float) -> tuple[Change, ...]:
        """Take in what happened in the room; returns what follows from it, in order."""
        if self._state is _State.OVER:
            return ()
        match event:
            case ParticipantJoined(participant):
                return self._joined(participant, now)
            case ParticipantLeft(participant, reason):
                return self._left(participant, reason, now)
            case MessageReceived(sender, message):
                return self._message(sender, message)
            case AvatarSeen(participant):
                if self._state is not _State.JOINED or self._avatar is None or participant.id != self._avatar.id:
                    return ()
                self._state, self._since = _State.SEEN, now
                return (Visible(),)
            case RoomLost(reason):
                self._avatar = None
                return self._over(reason)

    def handle_timer(self, now: float, pictured_at: float | None) -> tuple[Change, ...]:
        """Decide what is due.

        Args:
            now: The time.
            pictured_at: When the avatar's newest picture came; None where the bot takes no pictures.
        """
        if self._state is _State.SEEN:
            self._since = max(self._since, now if pictured_at is None else pictured_at)
        deadline = self.deadline
        if deadline is None or now < deadline:
            return ()
        match self._state:
            case _State.EXPECTED:
                return self._over(f"the avatar has not joined within {self._timeout:g} s")
            case _State.JOINED | _State.SEEN:
                frozen = f"the avatar has sent no picture for {self._timeout:g} s"
                return self._succeed(frozen, now) or self._over(frozen)
            case _:
                return self._over("the avatar has left and not come back")

    def _joined(self, participant: Participant, now: float) -> tuple[Change, ...]:
        if participant.claim is AvatarClaim.NONE:
            return ()
        if participant.claim is AvatarClaim.NAME and participant.name != self._name:
            return ()
        avatar = self._avatar
        if avatar is None:
            self._expect_picture(participant, now)
            return (Found(participant),)
        if avatar.claim is participant.claim:
            if participant.id != avatar.id and self._successor is None:
                self._successor = participant
        elif participant.claim is AvatarClaim.ID:
            self._successor = None
            self._expect_picture(participant, now)
            return (Absent("another participant of its name was taken for the avatar"), Found(participant))
        return ()

    def _expect_picture(self, avatar: Participant, now: float) -> None:
        self._state, self._avatar, self._since = _State.JOINED, avatar, now

    def _succeed(self, reason: str, now: float) -> tuple[Change, ...]:
        """Let the same-named participant that is there, if any, take its place."""
        successor, self._successor = self._successor, None
        if successor is None:
            return ()
        self._expect_picture(successor, now)
        return (Absent(reason), Found(successor))

    def _left(self, participant: Participant, reason: str, now: float) -> tuple[Change, ...]:
        if self._successor and participant.id == self._successor.id:
            self._successor = None
        if self._avatar is None or participant.id != self._avatar.id:
            return ()
        left = f"the avatar has left the room ({reason or 'no reason given'})"
        if succeeded := self._succeed(left, now):
            return succeeded
        self._state, self._avatar, self._since = _State.LEFT, None, now
        return (Absent(left),)

    def _message(self, sender: str, message: object) -> tuple[Change, ...]:
        if self._avatar is None or sender != self._avatar.id:
            return ()
        match parse_avatar_message(message):
            case IdleTimeout():
                reason = "LemonSlice has ended the session, because nothing was said for its idle timeout"
                return self._over(reason, idle=True)
            case AvatarTrouble(detail=detail, fatal=True):
                return self._over(f"the avatar reports a fatal error: {detail or 'no detail given'}")
            case AvatarTrouble() as trouble:
                return (Troubled(trouble),)
            case _:
                return ()

    def _over(self, reason: str, *, idle: bool = False) -> tuple[Change, ...]:
        self._state, self._successor = _State.OVER, None
        return (Over(reason, idle),)
