"""How far the speech that the avatar was given has been heard back. Pure; times are seconds on one monotonic clock.

Its law. The avatar speaks as it is given speech, a lag later. The lag of a response is seen when its first sound comes
back, and holds to its end. Where it is not seen, because the response before was still sounding, it is taken to be as
long as it was last. Rather less is taken to have been heard than more: what is doubled can still be understood.
"""

from math import inf


class Hearing:
    """See the module. Knows of one avatar."""

    def __init__(self) -> None:
        self._lag = inf
        self._began_at = 0.0
        self._answered_at: float | None = None
        self._tail_until = -inf

    def began(self, now: float) -> None:
        """A response begins."""
        self._began_at, self._answered_at = now, None

    def over(self, now: float) -> None:
        """A response is over; for a lag longer, what is heard is still its own."""
        self._tail_until = now + (0.0 if self._lag == inf else self._lag)

    def answered(self, now: float) -> None:
        """The avatar begins to sound after silence."""
        if self._answered_at is None and now >= self._tail_until:
            self._answered_at, self._lag = now, now - self._began_at

    def until(self, sounding_since: float, sounded_at: float) -> float:
        """Return until when speech must have been played to have been heard.

        Args:
            sounding_since: When the first sound of the response was played.
            sounded_at: When the avatar was heard last; minus infinity if it has not been.
        """
        lag = self._lag
        if self._answered_at is not None and self._answered_at >= sounding_since:
            lag = self._answered_at - sounding_since
        return sounded_at - lag
