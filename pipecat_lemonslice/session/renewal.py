"""When a failed session is replaced. Pure: times are seconds on one monotonic clock.

The law: a refusal that would be repeated is final. Everything else is retried with growing pauses, which are longer
if the server asks for it, and if it may have created a session without an answer.
"""

from pipecat_lemonslice.errors import (
    PASSING_STATUSES,
    ApiConnectionError,
    ApiResponseError,
    ApiStatusError,
    ConfigurationError,
    LemonSliceError,
)

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds before a session is replaced, by how many have failed in a row; the last one repeats."""

AMBIGUOUS_CREATE_SECONDS = 30.0
"""Minimum delay in seconds after an ambiguous create: each may have left a session behind that costs until its idle
timeout and cannot be terminated."""

LONGEST_ASKED = 600.0
"""The longest ``Retry-After`` in seconds that is respected."""

STEADY_SECONDS = 30.0
"""After an avatar was there for so long, the pauses start again from the shortest. One that leaves again at once must
not cost a session each second."""


class Outages:
    """Counts failures in a row, and what is known of the outage under way: the time until there is an avatar.

    Attributes:
        failures: How many sessions have failed in a row.
        warned: Whether the cause of this outage has been logged as a warning.
        reported: Whether it has been reported as an error.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.warned = self.reported = False
        self._ready_at: float | None = None

    def ready(self, now: float) -> None:
        """There is an avatar."""
        self.warned = self.reported = False
        self._ready_at = now

    def ended_quietly(self) -> None:
        """The session has ended because nobody spoke, which is no failure."""
        self.failures, self._ready_at = 0, None

    def failed(self, error: LemonSliceError, now: float, *, created: bool) -> float | None:
        """Count a failure; returns the pause before the next session as :func:`pause_before_renewal` does."""
        ready_at, self._ready_at = self._ready_at, None
        steady = ready_at is not None and now - ready_at >= STEADY_SECONDS
        self.failures = 1 if steady else self.failures + 1
        return pause_before_renewal(error, self.failures, created=created)


def pause_before_renewal(error: LemonSliceError, failures: int, *, created: bool) -> float | None:
    """Return the pause before a failed session is replaced.

    Args:
        error: How it failed.
        failures: How many have failed in a row, this one included.
        created: Whether there is a session that will be terminated. If there is none, the failed creation may have
            left one that nobody knows of.

    Returns:
        Seconds; None if the failure is final.
    """
    usual = PAUSES[min(failures, len(PAUSES)) - 1]
    match error:
        case ConfigurationError():
            return None
        case ApiStatusError(status=status) if 300 <= status < 500 and status not in PASSING_STATUSES:
            return None
        case ApiStatusError(retry_after=asked):
            pause = max(usual, min(asked or 0.0, LONGEST_ASKED))
        case _:
            pause = usual
    return max(pause, AMBIGUOUS_CREATE_SECONDS) if not created and _may_have_acted(error) else pause


def _may_have_acted(error: LemonSliceError) -> bool:
    """Whether the server may have created a session, although it did not say so."""
    match error:
        case ApiStatusError(status=503, retry_after=float() | int()):
            return False
        case ApiStatusError(status=status):
            return status >= 500
        case ApiConnectionError(sent=sent):
            return sent
        case _:
            return isinstance(error, ApiResponseError)
