"""How far the speech that the avatar was given has been heard back. Pure; times are seconds on one monotonic clock.

Its law. The avatar speaks as it is given speech, a lag later: from the first sound that it is given to the first that
comes back. The lag of a response is seen when its first sound comes back, and holds to its end. Where it is not seen,
because the response before was still sounding, it is taken to be as long as it was last. Rather less is taken to have
been heard than more: what is doubled can still be understood.
"""

from math import inf


class Hearing:
    """See the module. Knows of one avatar."""

    def __init__(self) -> None:
        self._lag = inf
        self._answered = False
        self._owed_since: float | None = None
        self._tail_until = -inf

    def began(self) -> None:
        """A response begins."""
        self._answered = False

    def over(self, now: float, sounding_since: float) -> None:
        """A response is over; for a lag longer, what is heard is still its own.

        Args:
            now: The time.
            sounding_since: When its first sound was played; not before now if it had none.
        """
        self._tail_until = now + (0.0 if self._lag == inf else self._lag)
        if self._lag == inf and self._owed_since is None and sounding_since < now:
            self._owed_since = sounding_since

    def interrupted(self) -> None:
        """What was said is not answered any more."""
        self._owed_since, self._tail_until = None, -inf

    def answered(self, now: float, sounding_since: float) -> None:
        """The avatar begins to sound after silence.

        Args:
            now: The time.
            sounding_since: When the first sound of the response under way was played; not before now if it had none.
        """
        if self._owed_since is not None:
            self._lag, self._owed_since = now - self._owed_since, None
        elif not self._answered and self._tail_until <= now and sounding_since < now:
            self._lag, self._answered = now - sounding_since, True

    def until(self, sounded_at: float) -> float:
        """Return until when speech must have been played to have been heard.

        Args:
            sounded_at: When the avatar was heard last; minus infinity if it has not been.
        """
        return sounded_at - self._lag
