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


@pytest.mark.parametrize("status", [301, 307, 308, 400, 401, 402, 403, 404, 405, 410, 413, 415, 422, 451])
def test_what_the_next_attempt_would_be_told_again_is_final(status: int) -> None:
    """A refusal of the request, the key or the account, and a redirect."""
    assert pause_before_renewal(ApiStatusError(status, "no"), 1, created=False) is None


def test_a_wrong_configuration_is_final() -> None:
    """Nothing was sent, and nothing will be."""
    assert pause_before_renewal(ConfigurationError("no room"), 1, created=False) is None


@pytest.mark.parametrize("status", [408, 409, 425, 429])
def test_what_may_pass_is_tried_again_with_growing_pauses(status: int) -> None:
    """Half a second at first, half a minute at most."""
    pauses = [pause_before_renewal(ApiStatusError(status, "no"), n, created=False) for n in range(1, 10)]
    assert pauses == [*PAUSES, 30.0, 30.0]


@pytest.mark.parametrize(("asked", "pause"), [(0.0, 0.5), (2.0, 2.0), (120.0, 120.0), (86_400.0, LONGEST_ASKED)])
def test_the_server_is_left_alone_for_as_long_as_it_asks(asked: float, pause: float) -> None:
    """Also for longer than one request may be delayed, within reason."""
    assert pause_before_renewal(ApiStatusError(429, "no", asked), 1, created=False) == pause


def test_a_server_that_says_when_to_come_back_has_done_nothing() -> None:
    """A 503 with Retry-After is taken at its word."""
    assert pause_before_renewal(ApiStatusError(503, "no", 2.0), 1, created=False) == 2.0


@pytest.mark.parametrize("status", [500, 502, 504, 520])
def test_a_server_that_may_have_acted_may_ask_for_more(status: int) -> None:
    """The longer of the two pauses counts."""
    assert pause_before_renewal(ApiStatusError(status, "no", 2.0), 1, created=False) == AMBIGUOUS_CREATE_SECONDS
    assert pause_before_renewal(ApiStatusError(status, "no", 60.0), 1, created=False) == 60.0


@pytest.mark.parametrize(
    "error",
    [
        ApiConnectionError("reset", True),
        ApiTimeoutError("late", True),
        ApiResponseError("?"),
        *(ApiStatusError(status, "no") for status in (500, 501, 502, 503, 504, 520, 599)),
    ],
)
def test_a_creation_that_was_lost_sight_of_is_not_repeated_soon(error: LemonSliceError) -> None:
    """It may have left a session behind that nobody can terminate; a failure of a known session has not."""
    assert pause_before_renewal(error, 1, created=False) == AMBIGUOUS_CREATE_SECONDS
    assert pause_before_renewal(error, 1, created=True) == PAUSES[0]


@pytest.mark.parametrize("error", [ApiConnectionError("refused", False), RoomError("dark"), SessionError("gone")])
def test_other_failures_are_tried_again_soon(error: LemonSliceError) -> None:
    """No connection, no room, no avatar any more."""
    assert pause_before_renewal(error, 1, created=False) == PAUSES[0]


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
