"""When a session that failed is replaced by a new one: the decision, which is pure.

The law: what the next attempt would be told again is final. Everything else may pass, and is tried again with growing
pauses; for longer where the server asks for it, and where a session that nobody knows of may have come about.
"""

from pipecat_lemonslice.errors import (
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
"""Seconds at least after a creation of which nobody knows whether it succeeded: each may have left a session behind
that goes on until its idle timeout, so there must not be many of them."""

LONGEST_ASKED = 600.0
"""Seconds that the server may ask for; it is asked again then, whatever it said."""

_MAY_PASS = frozenset({408, 409, 425, 429})


def pause_before_renewal(error: LemonSliceError, failures: int, *, created: bool) -> float | None:
    """Say after which pause a session that failed is replaced.

    Args:
        error: How it failed.
        failures: How many have failed in a row, this one included.
        created: Whether there is a session, which will be terminated; without, there may be one all the same.

    Returns:
        Seconds; None if there is no use in it.
    """
    usual = PAUSES[min(failures, len(PAUSES)) - 1]
    match error:
        case ConfigurationError():
            return None
        case ApiStatusError(status=status) if 300 <= status < 500 and status not in _MAY_PASS:
            return None
        case ApiStatusError(retry_after=float() | int() as asked):
            return max(usual, min(asked, LONGEST_ASKED))
        case ApiConnectionError(sent=True) | ApiResponseError() if not created:
            return max(usual, LOST_SIGHT_SECONDS)
        case _:
            return usual
