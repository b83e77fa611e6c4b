"""Decisions about time, pure: the beat of sound and picture, countdowns, the idle timeout, the end of a response.

Times are seconds of any clock that only goes forward; they come in as arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum


class Ticks:
    """An even beat on an absolute clock.

    A late caller gets the beats that it missed, at most `burst` of them; after a longer stall the beat starts
    anew, so that nothing ever arrives in a flood.
    """

    def __init__(self, period: float, now: float, burst: int = 10):
        self._period = period
        self._burst = burst
        self._start = now
        self._count = 0

    @property
    def next(self) -> float:
        """When the next beat is due."""
        return self._start + self._count * self._period

    def due(self, now: float) -> list[float]:
        """The times of the beats that are due, oldest first."""
        late = int((now - self.next) / self._period) + 1 if now >= self.next else 0
        if late > self._burst:
            self._start, self._count, late = now, 0, 1
        beats = [self._start + (self._count + i) * self._period for i in range(late)]
        self._count += late
        return beats


class IdleTimer:
    """How long a session may live without speech.

    Args:
        timeout: Seconds without speech; negative: for ever.
        now: When it begins to count.
    """

    def __init__(self, timeout: float, now: float):
        self._timeout = timeout
        self._since = now

    def reset(self, until: float) -> None:
        """Speech, or a wish to live on, that lasts until this time."""
        self._since = max(self._since, until)

    @property
    def deadline(self) -> float | None:
        """When the session is over if nothing more is heard; None: never."""
        return None if self._timeout < 0 else self._since + self._timeout


class Countdown:
    """Things that happen once, each after so many seconds of speech."""

    def __init__(self):
        self._left: list[tuple[float, Callable[[], None]]] = []

    def start(self, seconds: float, what: Callable[[], None]) -> None:
        """Let something happen when so much more speech has been spent."""
        self._left.append((seconds, what))

    def spend(self, seconds: float) -> None:
        """So much speech came; what is due happens at once."""
        counted = [(left - seconds, what) for left, what in self._left]
        self._left = [(left, what) for left, what in counted if left >= 1e-6]
        for left, what in counted:
            if left < 1e-6:
                what()


class Response(Enum):
    """Where a response is."""

    NONE = "nobody speaks and nothing was announced"
    ANNOUNCED = "response_started came, its first audio has not"
    SPOKEN = "audio has come"


class ResponseWatch:
    """The avatar's own sense of where a response begins and ends.

    Args:
        timeout: Seconds without audio after the last has been played that end a response; None: only
            `finish` ends it.
    """

    def __init__(self, timeout: float | None):
        self._timeout = timeout
        self.state = Response.NONE
        self.audio_until: float | None = None
        """When the audio heard so far has been played, or cut off, played as it comes; None before the first."""

    def announce(self) -> None:
        """response_started came."""
        self.state = Response.ANNOUNCED if self.state is Response.NONE else self.state

    def hear(self, now: float, seconds: float) -> bool:
        """Audio came; true for the first of a response."""
        self.audio_until = max(self.audio_until or now, now) + seconds
        first = self.state is not Response.SPOKEN
        self.state = Response.SPOKEN
        return first

    def finish(self) -> None:
        """response_finished came."""
        self.state = Response.NONE

    def cut(self, now: float) -> None:
        """An interruption: what has not been played by now never is."""
        self.state = Response.NONE
        if self.audio_until is not None:
            self.audio_until = min(self.audio_until, now)

    def expired(self, now: float) -> bool:
        """Whether the timeout ends the response now; true once."""
        if self.state is not Response.SPOKEN or self._timeout is None or self.audio_until is None:
            return False
        over = now >= self.audio_until + self._timeout
        if over:
            self.state = Response.NONE
        return over
