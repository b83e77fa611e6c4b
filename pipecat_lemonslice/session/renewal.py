"""When a session that failed is replaced by a new one: the decision, which is pure.

The law: what the next attempt would be told again is final. Everything else may pass, and is tried again with growing
pauses; they are longer where the server asks for it, and where it may have created a session without saying so.
"""

from pipecat_lemonslice.errors import (
    PASSING_STATUSES,
    ApiConnectionError,
    ApiResponseError,
    ApiStatusError,
    ConfigurationError,
    LemonSliceError,
)

__all__ = ["LONGEST_ASKED", "LOST_SIGHT_SECONDS", "PAUSES", "pause_before_renewal"]

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds before a session is replaced, by how many have failed in a row; the last one repeats."""

LOST_SIGHT_SECONDS = 30.0
"""Seconds at least after a creation that the server may have carried out: each may have left a session behind that
costs until its idle timeout and cannot be terminated, so there must not be many of them."""

LONGEST_ASKED = 600.0
"""Seconds that the server may ask for; it is asked again then, whatever it said."""


def pause_before_renewal(error: LemonSliceError, failures: int, *, created: bool) -> float | None:
    """Say after which pause a session that failed is replaced.

    Args:
        error: How it failed.
        failures: How many have failed in a row, this one included.
        created: Whether there is a session that will be terminated. If there is none, the failed creation may have
            left one that nobody knows of.

    Returns:
        Seconds; None if there is no use in it.
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
    return max(pause, LOST_SIGHT_SECONDS) if not created and _may_have_acted(error) else pause


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
