import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipecat_lemonslice.errors import (
    ApiConnectionError,
    ApiError,
    ApiResponseError,
    ApiStatusError,
    ApiTimeoutError,
)
from pipecat_lemonslice.retry import (
    FIRST_WAIT,
    LONGEST_PATIENCE,
    LONGEST_WAIT,
    MAX_ATTEMPTS,
    decide,
    parse_http_date,
    parse_retry_after,
    persistently,
)
from tests.support.virtual_time import virtual_time

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_gateway_refusals_are_tried_again_if_harmless(status: int):
    """429, 502, 503 and 504, for what may be carried out twice."""
    assert decide(ApiStatusError(status, ""), 1, idempotent=True) == FIRST_WAIT


@pytest.mark.parametrize(
    ("status", "asked", "wait"),
    [(429, None, 0.5), (429, 2.0, 2.0), (503, 2.0, 2.0), (503, 0.0, 0.5), (503, None, None)]
    + [(status, asked, None) for status in (500, 502, 504, 520) for asked in (None, 2.0)],
)
def test_a_creation_is_tried_again_where_the_server_says_that_it_has_not_acted(
    status: int, asked: float | None, wait: float | None
):
    """429, and 503 that names a time; any other 5xx may come from a gateway whose server has acted."""
    assert decide(ApiStatusError(status, "", asked), 1, idempotent=False) == wait


@pytest.mark.parametrize("status", [301, 302, 400, 401, 402, 403, 404, 408, 409, 413, 418, 422, 501, 505])
@pytest.mark.parametrize("idempotent", [True, False])
def test_refusals_are_final(status: int, idempotent: bool):
    """What the server has understood and refused is never tried again, whatever it says of later."""
    assert decide(ApiStatusError(status, "", 1.0), 1, idempotent=idempotent) is None


def test_internal_error_is_tried_once_more_if_harmless():
    """A 500 is tried once more for what may be carried out twice, never for creation."""
    error = ApiStatusError(500, "")
    assert decide(error, 1, idempotent=True) == FIRST_WAIT
    assert decide(error, 2, idempotent=True) is None
    assert decide(error, 1, idempotent=False) is None


@pytest.mark.parametrize("kind", [ApiConnectionError, ApiTimeoutError])
@pytest.mark.parametrize(
    ("sent", "idempotent", "again"),
    [(False, False, True), (False, True, True), (True, True, True), (True, False, False)],
)
def test_what_may_have_been_accepted_is_not_sent_twice(
    kind: type[ApiConnectionError], sent: bool, idempotent: bool, again: bool
):
    """A connection that broke after sending is tried again only if acting twice does no harm."""
    assert (decide(kind("x", sent), 1, idempotent=idempotent) is not None) is again


def test_an_answer_that_cannot_be_understood_is_final():
    """Asking again would bring the same answer, or a second session."""
    assert decide(ApiResponseError("x"), 1, idempotent=True) is None


def test_waits_double_up_to_a_bound():
    """Half a second, doubling; there are no more than four of them."""
    waits = [decide(ApiStatusError(503, ""), attempt, idempotent=True) for attempt in range(1, 7)]
    assert waits == [0.5, 1.0, 2.0, 4.0, None, None]


@pytest.mark.parametrize(("asked", "wait"), [(0.0, 0.5), (3.0, 3.0), (30.0, 30.0), (31.0, None)])
def test_retry_after_is_obeyed_or_refused(asked: float, wait: float | None):
    """What the server asks for is waited in full, and if that is too long, nothing is."""
    assert decide(ApiStatusError(429, "", asked), 1, idempotent=False) == wait


errors = st.one_of(
    st.builds(ApiStatusError, st.integers(100, 599), st.just(""), st.none() | st.floats(0, 1e6)),
    st.builds(ApiConnectionError, st.just("x"), st.booleans()),
    st.builds(ApiTimeoutError, st.just("x"), st.booleans()),
    st.builds(ApiResponseError, st.just("x")),
)


@given(errors, st.integers(1, 1000), st.booleans())
def test_every_decision_is_bounded(error: ApiError, attempt: int, idempotent: bool):
    """No wait is negative or longer than the longest, and attempts come to an end."""
    wait = decide(error, attempt, idempotent=idempotent)
    if wait is not None:
        assert FIRST_WAIT <= wait <= max(LONGEST_WAIT, LONGEST_PATIENCE)
        assert attempt < MAX_ATTEMPTS


@given(errors, st.integers(1, 1000))
def test_creation_is_never_bolder(error: ApiError, attempt: int):
    """Whatever is tried again for creation is tried again for the harmless as well."""
    if decide(error, attempt, idempotent=False) is not None:
        assert decide(error, attempt, idempotent=True) is not None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("1.5", 1.5),
        ("999999999", 86400.0),
        ("Wed, 01 Jul 2026 12:00:30 GMT", 30.0),
        ("Wed, 01 Jul 2026 14:00:30 +0200", 30.0),
        ("Wed, 01 Jul 2026 12:00:30 -0000", 30.0),
        ("Wednesday, 01-Jul-26 12:00:30 GMT", 30.0),
        ("Wed, 01 Jul 2026 11:59:00 GMT", 0.0),
        ("Wed, 01 Jul 2099 12:00:00 GMT", 86400.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e3", None),
        ("٣", None),
        ("9" * 5000, None),
        ("Wed, 99 Jul 2026 12:00:00 GMT", None),
    ],
)
def test_retry_after_in_both_forms(value: str | None, seconds: float | None):
    """Seconds and HTTP dates are read, the past is now, anything else is as good as no header."""
    assert parse_retry_after(value, now=NOW) == seconds


@given(st.text() | st.from_regex(r"\A\d{1,20}\Z"))
def test_any_retry_after_is_survived(value: str):
    """No header raises, and no number is negative or endless."""
    seconds = parse_retry_after(value, now=NOW)
    assert seconds is None or 0 <= seconds <= 86400


@given(st.integers(0, 86_400))
def test_a_date_and_its_seconds_mean_the_same(seconds: int):
    """Both forms of one moment give the same wait."""
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert parse_retry_after(date, now=NOW) == parse_retry_after(str(seconds), now=NOW) == seconds


def test_http_dates_have_a_time_zone():
    """A date without one is taken for UTC, so that dates can be subtracted."""
    assert parse_http_date("Wed, 01 Jul 2026 12:00:00") == NOW
    assert parse_http_date("") is None


class Attempts:
    """Fails in the ways that it is given, then succeeds; remembers when it was called."""

    def __init__(self, *failures: BaseException):
        self.failures = list(failures)
        self.times: list[float] = []

    async def __call__(self) -> str:
        self.times.append(asyncio.get_running_loop().time())
        if self.failures:
            raise self.failures.pop(0)
        return "done"

    @property
    def waits(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]


@virtual_time
async def test_the_loop_waits_as_decided_and_a_little_longer():
    """Each wait is the decided one plus at most a quarter of it."""
    attempts = Attempts(*(ApiStatusError(429, "") for _ in range(4)))
    assert await persistently(attempts, idempotent=False, budget=60) == "done"
    for wait, least in zip(attempts.waits, [0.5, 1, 2, 4], strict=True):
        assert least <= wait <= least * 1.25


@virtual_time
async def test_the_loop_gives_up_with_the_last_failure():
    """After the last attempt its own failure is raised, as it is."""
    last = ApiStatusError(502, "the last")
    attempts = Attempts(*(ApiStatusError(503, "") for _ in range(4)), last)
    with pytest.raises(ApiStatusError) as caught:
        await persistently(attempts, idempotent=True, budget=60)
    assert caught.value is last
    assert len(attempts.times) == MAX_ATTEMPTS
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@virtual_time
async def test_the_loop_obeys_retry_after():
    """The server's wish is the least that is waited."""
    attempts = Attempts(ApiStatusError(429, "", 20.0))
    await persistently(attempts, idempotent=False, budget=60)
    assert 20 <= attempts.waits[0] <= 25


@virtual_time
async def test_no_attempt_begins_after_the_budget():
    """A wait that would end too late is not begun."""
    attempts = Attempts(*(ApiStatusError(429, "", 4.0) for _ in range(4)))
    with pytest.raises(ApiStatusError):
        await persistently(attempts, idempotent=True, budget=9)
    assert 1 <= len(attempts.waits) <= 2
    assert asyncio.get_running_loop().time() - attempts.times[0] <= 9


@virtual_time
@pytest.mark.parametrize("error", [ValueError("bug"), asyncio.CancelledError(), ApiStatusError(401, "")])
async def test_what_is_not_to_be_repeated_comes_out_at_once(error: BaseException):
    """Bugs, cancellation and refusals end the loop with the first attempt."""
    attempts = Attempts(error)
    with pytest.raises(type(error)):
        await persistently(attempts, idempotent=True, budget=60)
    assert len(attempts.times) == 1


@virtual_time
async def test_cancelled_while_it_waits():
    """Cancelling during a wait ends it, and nothing is sent any more."""
    attempts = Attempts(ApiStatusError(503, ""))
    task = asyncio.create_task(persistently(attempts, idempotent=True, budget=60))
    await asyncio.sleep(0.25)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(10)
    assert len(attempts.times) == 1


@virtual_time
async def test_each_wait_is_told_before_it_begins():
    """With the failure and the seconds; the failure that ends it is not."""
    told: list[tuple[str, float, float]] = []
    attempts = Attempts(ApiStatusError(429, "first"), ApiStatusError(429, "second"), ApiStatusError(401, "last"))

    def note(error: ApiError, wait: float) -> None:
        told.append((str(error), wait, asyncio.get_running_loop().time()))

    with pytest.raises(ApiStatusError):
        await persistently(attempts, idempotent=False, budget=60, on_retry=note)
    assert ["first" in told[0][0], "second" in told[1][0]] == [True, True]
    assert [wait for _, wait, _ in told] == pytest.approx(attempts.waits)
    assert [at for *_, at in told] == attempts.times[:2]
