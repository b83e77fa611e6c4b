"""Where a response is heard, and when it is over: pure state machines, without IO, clock or logging.

The law: a response starts with the first audio appended after silence, stays on the route of that audio, and ends
exactly once. It never ends before its last byte has been played, nor while audio waits. After the last byte it ends

- at once, when an explicit end has been reached behind that byte and the LLM's response is closed;
- after ``done_timeout``, when the LLM's response is closed (or there never was one);
- after ``hold_timeout`` (never less than ``done_timeout``), when the LLM's response is still open.

An interruption or the loss of the avatar ends it there and then. Inputs come with their time, outputs are returned;
the caller sleeps until :attr:`ResponseTracker.deadline` and then reports :class:`TimePassed`. Deadlines that have
passed are settled before an input is considered, so a late timer changes nothing.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto


class Route(Enum):
    """Where a response is heard."""

    AVATAR = auto()
    """Spoken by the avatar."""

    VOICE = auto()
    """Passed on as TTS audio, to be played by the output transport."""


class DoneReason(StrEnum):
    """Why a response ended."""

    STOPPED = "stopped"
    """The TTS said so, and everything has been played."""

    RESPONSE_DONE_TIMEOUT = "response_done_timeout"
    """No new audio bytes came for ``response_done_timeout`` seconds after the last one had been played."""

    RESPONSE_HOLD_TIMEOUT = "response_hold_timeout"
    """The LLM's response stayed open, but no audio came for as long as it may hold a response open."""

    INTERRUPTED = "interrupted"
    """The user, or the bot itself, interrupted it."""

    AVATAR_LOST = "avatar_lost"
    """The avatar went away."""

    ENDED = "ended"
    """The call ended."""


@dataclass(frozen=True, slots=True)
class AudioAppended:
    """Audio is appended to what is being played.

    Attributes:
        seconds: Its duration.
        route: Where it is heard.
    """

    seconds: float
    route: Route


@dataclass(frozen=True, slots=True)
class AllPlayed:
    """The room reports that the last byte appended has just been played; nothing waits behind it."""


@dataclass(frozen=True, slots=True)
class StopReached:
    """All audio in front of an explicit end (``TTSStoppedFrame``) has been played, and there is none behind it."""


@dataclass(frozen=True, slots=True)
class LLMOpened:
    """The LLM has begun to write a response."""


@dataclass(frozen=True, slots=True)
class LLMClosed:
    """The LLM has finished its response."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """What was being said is interrupted.

    Attributes:
        keeps_playing: True if what plays now may not be interrupted; the response goes on with it.
        plays_on: Seconds of audio that have been handed over and play on.
        dropped: Seconds of audio that were appended and will not be played.
    """

    keeps_playing: bool = False
    plays_on: float = 0.0
    dropped: float = 0.0


@dataclass(frozen=True, slots=True)
class Aborted:
    """The way to the listener is gone.

    Attributes:
        reason: ``AVATAR_LOST`` or ``ENDED``.
        dropped: Seconds of audio that were appended and will not be played there.
    """

    reason: DoneReason
    dropped: float = 0.0


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Nothing happened but time."""


TrackerInput = AudioAppended | AllPlayed | StopReached | LLMOpened | LLMClosed | Interrupted | Aborted | TimePassed


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    """A response has begun.

    Attributes:
        id: Its number, from 1.
        route: Where it is heard.
    """

    id: int
    route: Route


@dataclass(frozen=True, slots=True)
class ResponseDone:
    """The response is complete.

    Attributes:
        id: Its number.
        route: Where it was heard.
        reason: Why it is over.
        audio_seconds: Duration of the audio played in it.
    """

    id: int
    route: Route
    reason: DoneReason
    audio_seconds: float


TrackerOutput = ResponseStarted | ResponseDone


class ResponseTracker:
    """Decides when responses start and end. All times are seconds on one monotonic clock.

    Attributes:
        done_timeout: Seconds without new audio bytes before a response is complete.
        hold_timeout: The most seconds that an open LLM response may hold a response open.
    """

    def __init__(self, *, done_timeout: float, hold_timeout: float) -> None:
        """Create a tracker that has heard nothing yet; both timeouts may change at any time."""
        self.done_timeout = done_timeout
        self.hold_timeout = hold_timeout
        self.route: Route | None = None
        """Where the response under way is heard; None between responses."""
        self.played_until = 0.0
        """When the last byte appended so far has been played, or was."""
        self._id = 0
        self._seconds = 0.0
        self._stop_reached = False
        self._llm_open = False
        self._waiting = False

    @property
    def deadline(self) -> float | None:
        """When the response ends unless something happens; None while it cannot end by itself."""
        if self.route is None or self._waiting:
            return None
        return self.played_until + self._done_after()[0]

    def handle(self, fact: TrackerInput, now: float, *, waiting: bool = False) -> tuple[TrackerOutput, ...]:
        """Take a fact in and return what follows from it.

        Args:
            fact: What happened.
            now: When.
            waiting: Whether audio waits to be appended, or has been appended and is not known to have been played.

        Returns:
            Decisions, in order.
        """
        # Audio that has waited until now kept the response from ending, also if it waits no more.
        self._waiting = self._waiting or waiting
        settled = self._settle(now)
        self._waiting = waiting
        return (*settled, *self._apply(fact, now), *self._settle(now))

    def _apply(self, fact: TrackerInput, now: float) -> tuple[TrackerOutput, ...]:
        match fact:
            case AudioAppended(seconds, route):
                return self._append(seconds, route, now)
            case AllPlayed():
                self.played_until = now
            case StopReached():
                self._stop_reached = True
            case LLMOpened():
                self._llm_open = True
            case LLMClosed():
                self._llm_open = False
            case Interrupted(keeps_playing, plays_on, dropped):
                self._llm_open = False
                if not keeps_playing:
                    return self._cut(DoneReason.INTERRUPTED, now + plays_on, dropped)
                self._seconds = max(0.0, self._seconds - dropped)
            case Aborted(reason, dropped):
                return self._cut(reason, now, dropped)
            case TimePassed():
                pass
        return ()

    def _append(self, seconds: float, route: Route, now: float) -> tuple[TrackerOutput, ...]:
        self.played_until = max(self.played_until, now) + seconds
        self._stop_reached = False
        if self.route:
            self._seconds += seconds
            return ()
        self.route = route
        self._id += 1
        self._seconds = seconds
        return (ResponseStarted(self._id, route),)

    def _done_after(self) -> tuple[float, DoneReason]:
        if self._llm_open:
            return max(self.done_timeout, self.hold_timeout), DoneReason.RESPONSE_HOLD_TIMEOUT
        if self._stop_reached:
            return 0.0, DoneReason.STOPPED
        return self.done_timeout, DoneReason.RESPONSE_DONE_TIMEOUT

    def _cut(self, reason: DoneReason, audible_until: float, dropped: float) -> tuple[TrackerOutput, ...]:
        self.played_until = min(self.played_until, audible_until)
        self._seconds = max(0.0, self._seconds - dropped)
        return self._finish(reason)

    def _settle(self, now: float) -> tuple[TrackerOutput, ...]:
        deadline = self.deadline
        return () if deadline is None or now < deadline else self._finish(self._done_after()[1])

    def _finish(self, reason: DoneReason) -> tuple[TrackerOutput, ...]:
        route, self.route = self.route, None
        if route is None:
            return ()
        self._stop_reached = False
        return (ResponseDone(self._id, route, reason, self._seconds),)


@dataclass(frozen=True, slots=True)
class WaitedInVain:
    """Speech waited for the avatar as long as it may, and is heard without it.

    Attributes:
        seconds: How long it waited.
    """

    seconds: float


class _Avatar(Enum):
    COMING = auto()
    """Speech waits for it, within bounds."""

    HERE = auto()
    """It speaks from the next response on."""

    AWAY = auto()
    """Speech does not wait for it; it may come back."""


class RouteChooser:
    """Knows whether there is an avatar, and chooses where a response that begins is heard."""

    def __init__(self, ready_timeout: float) -> None:
        """Create a chooser that waits for an avatar.

        Args:
            ready_timeout: Seconds that speech waits for an avatar that is coming.
        """
        self.ready_timeout = ready_timeout
        self._avatar = _Avatar.COMING
        self._waiting_since: float | None = None

    def avatar_here(self) -> None:
        """The avatar speaks from the next response on."""
        self._avatar = _Avatar.HERE

    def avatar_coming(self) -> None:
        """The next response waits for the avatar."""
        self._avatar, self._waiting_since = _Avatar.COMING, None

    def avatar_gone(self) -> None:
        """There is no avatar."""
        self._avatar = _Avatar.AWAY

    def choose(self, now: float) -> Route | float | None:
        """Return the route of a response that begins.

        Args:
            now: The time.

        Returns:
            The route; or until when it is to be waited for the avatar; or None if that time is over. The next call
            then returns a route.
        """
        if self._avatar is not _Avatar.COMING:
            return Route.AVATAR if self._avatar is _Avatar.HERE else Route.VOICE
        if self._waiting_since is None:
            self._waiting_since = now
        give_up_at = self._waiting_since + self.ready_timeout
        if now < give_up_at:
            return give_up_at
        self._avatar = _Avatar.AWAY
        return None
