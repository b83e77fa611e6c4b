"""When a session that failed is replaced: plain values in, seconds out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipecat_lemonslice.errors import (
    ApiConnectionError,
    ApiResponseError,
    ApiStatusError,
    ApiTimeoutError,
    ConfigurationError,
    LemonSliceError,
    RoomError,
    SessionError,
)
from pipecat_lemonslice.session.renewal import AMBIGUOUS_CREATE_SECONDS, LONGEST_ASKED, PAUSES, pause_before_renewal

REFUSED, GONE = (ApiConnectionError("refused", False), SessionError("gone"))
LOST_SIGHT = [
    *(ApiStatusError(status, "no") for status in (500, 501, 502, 503, 504, 520, 599)),
    *(ApiConnectionError("reset", True), ApiTimeoutError("late", True), ApiResponseError("?")),
]
PAUSE: list[tuple[LemonSliceError, float | None]] = [
    # what the next attempt would be told again
    *((ApiStatusError(status, "no"), None) for status in (301, 307, 308, 400, 401, 402, 403, 404, 405, 410, 413, 451)),
    (ConfigurationError("no room"), None),
    # what may pass
    *((error, PAUSES[0]) for error in (REFUSED, RoomError("dark"), GONE)),
    *((ApiStatusError(status, "no"), PAUSES[0]) for status in (408, 409, 425, 429)),
    # a server that says when to come back has done nothing, and is left alone for so long, within reason
    (ApiStatusError(503, "no", 2.0), 2.0),
    (ApiStatusError(429, "no", 0.0), PAUSES[0]),
    (ApiStatusError(429, "no", 120.0), 120.0),
    (ApiStatusError(429, "no", 86_400.0), LONGEST_ASKED),
    # a creation that was lost sight of; the longer pause counts
    *((error, AMBIGUOUS_CREATE_SECONDS) for error in LOST_SIGHT),
    *((ApiStatusError(status, "no", 2.0), AMBIGUOUS_CREATE_SECONDS) for status in (500, 502, 504, 520)),
    (ApiStatusError(500, "no", 60.0), 60.0),
]


@pytest.mark.parametrize(("error", "pause"), PAUSE, ids=lambda value: repr(value))
def test_the_pause_after_a_failed_creation(error: LemonSliceError, pause: float | None) -> None:
    """None is for good."""
    assert pause_before_renewal(error, 1, created=False) == pause


@pytest.mark.parametrize("error", LOST_SIGHT, ids=repr)
def test_a_creation_that_was_lost_sight_of_is_not_repeated_soon(error: LemonSliceError) -> None:
    """It may have left a session behind that nobody can terminate; a failure of a known session has not."""
    assert pause_before_renewal(error, 1, created=False) == AMBIGUOUS_CREATE_SECONDS
    assert pause_before_renewal(error, 1, created=True) == PAUSES[0]


def test_pauses_grow() -> None:
    """From half a second to half a minute."""
    pauses = [pause_before_renewal(ApiStatusError(429, "no"), failures, created=False) for failures in range(1, 10)]
    assert pauses == [*PAUSES, 30.0, 30.0]


@given(
    status=st.integers(100, 999),
    asked=st.none() | st.floats(0, 86_400),
    failures=st.integers(1, 10_000),
    created=st.booleans(),
)
def test_every_pause_is_bounded(status: int, asked: float | None, failures: int, created: bool) -> None:
    """Never shorter than the first pause, never longer than what the server may ask for."""
    pause = pause_before_renewal(ApiStatusError(status, "", asked), failures, created=created)
    assert pause is None or PAUSES[0] <= pause <= LONGEST_ASKED
