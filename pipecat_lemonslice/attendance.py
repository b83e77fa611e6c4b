"""Who the avatar is, and whether it is there: a pure state machine over what happens in the room.

Its law. The avatar is the participant that carries the id minted for it. While nobody does, it is the first one seen
with the avatar's name whose name counts. One that carries the id takes its place at once. It is ready when its first
picture has come, or when the others can see it in a room where the bot takes no pictures. Joining and ``bot_ready``
prove nothing. An avatar that leaves may come back within a grace; one that came back before it left takes its place at
once. Nobody else's messages count.
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
    PictureReceived,
    RoomEvent,
    RoomLost,
    VoiceReceived,
)

MAX_TWINS = 16
"""Others of the avatar's name that are remembered; anybody may choose that name."""


@dataclass(frozen=True, slots=True)
class AttendanceTimeouts:
    """How long to be patient, in seconds; None for ever.

    Parameters:
        join: For the avatar to join. A cold start takes up to two and a half minutes.
        first_picture: For the first picture after joining.
        picture: Between pictures.
        rejoin: For an avatar that has left.
    """

    join: float | None = 180.0
    first_picture: float | None = 15.0
    picture: float | None = 15.0
    rejoin: float = 2.0


@dataclass(frozen=True, slots=True)
class AvatarJoined:
    """Decision: this is the avatar; watch it."""

    participant: Participant


@dataclass(frozen=True, slots=True)
class AvatarReady:
    """Decision: the avatar can be seen, so it may speak."""


@dataclass(frozen=True, slots=True)
class AvatarGone:
    """Decision: the avatar is not there any more; it may come back."""

    reason: str


@dataclass(frozen=True, slots=True)
class AvatarReplaced:
    """Decision: the avatar is not there any more, but another of its name has been; watch that one.

    Parameters:
        reason: What became of the one before.
        participant: The avatar from now on.
    """

    reason: str
    participant: Participant


@dataclass(frozen=True, slots=True)
class AvatarOver:
    """Decision: this session will show no avatar (any more).

    Parameters:
        reason: A sentence for people.
        idle: Whether the vendor has ended it by its idle timeout.
    """

    reason: str
    idle: bool = False


@dataclass(frozen=True, slots=True)
class AvatarTroubled:
    """Decision: the avatar reports trouble, and goes on."""

    trouble: AvatarTrouble


Change = AvatarJoined | AvatarReady | AvatarGone | AvatarReplaced | AvatarOver | AvatarTroubled


class _State(Enum):
    EXPECTED = auto()
    JOINED = auto()
    SHOWN = auto()
    SEEN_BY_OTHERS = auto()
    LEFT = auto()
    OVER = auto()


class Attendance:
    """See the module. Times are seconds on one monotonic clock."""

    def __init__(self, avatar_name: str, timeouts: AttendanceTimeouts, now: float) -> None:
        """Begin to expect the avatar.

        Args:
            avatar_name: The user name that it joins with.
            timeouts: How long to be patient.
            now: The time.
        """
        self._name = avatar_name
        self._timeouts = timeouts
        self._state = _State.EXPECTED
        self._avatar: Participant | None = None
        self._twins: dict[str, Participant] = {}
        self._since = now

    @property
    def avatar(self) -> Participant | None:
        """The avatar while it is in the room, also when it is of no use any more."""
        return self._avatar

    @property
    def deadline(self) -> float | None:
        """When patience ends, unless something happens; None once it is over."""
        patience = self._patience
        return None if patience is None else self._since + patience

    @property
    def _patience(self) -> float | None:
        match self._state:
            case _State.EXPECTED:
                return self._timeouts.join
            case _State.JOINED:
                return self._timeouts.first_picture
            case _State.SHOWN:
                return self._timeouts.picture
            case _State.LEFT:
                return self._timeouts.rejoin
            case _State.SEEN_BY_OTHERS | _State.OVER:
                return None

    def handle(self, event: RoomEvent, now: float) -> Change | None:
        """Take note of what happened in the room; returns what follows from it."""
        if self._state is _State.OVER:
            return None
        match event:
            case ParticipantJoined(participant):
                return self._joined(participant, now)
            case ParticipantLeft(participant, reason):
                return self._left(participant, reason, now)
            case MessageReceived(sender, message):
                return self._message(sender, message)
            case PictureReceived():
                return self._seen(now)
            case AvatarSeen(participant):
                return self._seen_by_others(participant)
            case RoomLost(reason):
                self._avatar = None
                return self._over(reason)
            case VoiceReceived():
                return None

    def handle_timer(self, now: float) -> Change | None:
        """Settle what is due."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return None
        match self._state:
            case _State.EXPECTED:
                return self._over(f"the avatar has not joined within {self._patience:g} s")
            case _State.JOINED | _State.SHOWN:
                frozen = f"the avatar has sent no picture for {self._patience:g} s"
                return self._replace(frozen, now) or self._over(frozen)
            case _:
                return self._over("the avatar has left and not come back")

    def _joined(self, participant: Participant, now: float) -> Change | None:
        if participant.claim is not AvatarClaim.ID and (
            participant.name != self._name or participant.claim is AvatarClaim.NONE
        ):
            return None
        avatar = self._avatar
        if avatar is None:
            self._expect_picture(participant, now)
            return AvatarJoined(participant)
        if avatar.claim is participant.claim:
            if participant.id != avatar.id and len(self._twins) < MAX_TWINS:
                self._twins[participant.id] = participant
        elif participant.claim is AvatarClaim.ID:
            self._twins.clear()
            self._expect_picture(participant, now)
            return AvatarReplaced("somebody else of its name had been taken for the avatar", participant)
        return None

    def _expect_picture(self, avatar: Participant, now: float) -> None:
        self._state, self._avatar, self._since = _State.JOINED, avatar, now

    def _replace(self, reason: str, now: float) -> Change | None:
        """The one of its name that has been there longest takes its place, if there is one."""
        if not self._twins:
            return None
        twin = self._twins.pop(next(iter(self._twins)))
        self._expect_picture(twin, now)
        return AvatarReplaced(reason, twin)

    def _left(self, participant: Participant, reason: str, now: float) -> Change | None:
        self._twins.pop(participant.id, None)
        if self._avatar is None or participant.id != self._avatar.id:
            return None
        left = f"the avatar has left the room ({reason or 'no reason given'})"
        if replaced := self._replace(left, now):
            return replaced
        self._state, self._avatar, self._since = _State.LEFT, None, now
        return AvatarGone(left)

    def _seen(self, now: float) -> Change | None:
        if self._state not in (_State.JOINED, _State.SHOWN):
            return None
        first = self._state is _State.JOINED
        self._state, self._since = _State.SHOWN, now
        return AvatarReady() if first else None

    def _seen_by_others(self, participant: Participant) -> Change | None:
        if self._state is not _State.JOINED or self._avatar is None or participant.id != self._avatar.id:
            return None
        self._state = _State.SEEN_BY_OTHERS
        return AvatarReady()

    def _message(self, sender: str, message: object) -> Change | None:
        if self._avatar is None or sender != self._avatar.id:
            return None
        match parse_avatar_message(message):
            case IdleTimeout():
                reason = "LemonSlice has ended the session, because nothing was said for its idle timeout"
                return self._over(reason, idle=True)
            case AvatarTrouble(detail=detail, fatal=True):
                return self._over(f"the avatar reports a fatal error: {detail or 'no detail given'}")
            case AvatarTrouble() as trouble:
                return AvatarTroubled(trouble)
            case _:
                return None

    def _over(self, reason: str, *, idle: bool = False) -> Change:
        self._state = _State.OVER
        self._twins.clear()
        return AvatarOver(reason, idle)
