"""When a failed request is sent again: the decision, which is pure, and the loop that obeys it.

The law: what the server may have acted on is sent again only if acting twice does no harm. It cannot have acted
where no connection came about, nor on 429, nor on 503 with Retry-After, which says that it will take the request
later. Any other 5xx may come from a gateway whose server has carried the request out. What the server has understood
and refused stays refused.
"""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from loguru import logger

from pipecat_lemonslice.errors import ApiConnectionError, ApiError, ApiStatusError

__all__ = [
    "FIRST_WAIT",
    "LONGEST_PATIENCE",
    "LONGEST_WAIT",
    "MAX_ATTEMPTS",
    "OnRetry",
    "decide",
    "parse_http_date",
    "parse_retry_after",
    "persistently",
]

T = TypeVar("T")

OnRetry = Callable[[ApiError, float], None]
"""Told of a failed attempt and of the seconds until the next one."""

MAX_ATTEMPTS = 5
"""How often a request is sent at most, the first time included."""

FIRST_WAIT = 0.5
"""Seconds before the second attempt; doubled for each further one."""

LONGEST_WAIT = 8.0
"""Seconds between two attempts at most, unless the server asks for more."""

LONGEST_PATIENCE = 30.0
"""Seconds that the server may ask for; if it asks for more, the caller had better know at once."""

_DAY = 86_400.0
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)


def decide(error: ApiError, attempt: int, *, idempotent: bool) -> float | None:
    """Say whether, and after which wait, a failed request is sent again.

    Args:
        error: How the attempt failed.
        attempt: Which attempt it was, from 1.
        idempotent: Whether the server may carry out the request twice.

    Returns:
        Seconds to wait before the next attempt, without jitter; None to give up.
    """
    if attempt >= MAX_ATTEMPTS:
        return None
    match error:
        case ApiStatusError(status=429, retry_after=asked):
            return _patience(asked, attempt)
        case ApiStatusError(status=503, retry_after=float() | int() as asked):
            return _patience(asked, attempt)
        case ApiStatusError(status=502 | 503 | 504, retry_after=asked) if idempotent:
            return _patience(asked, attempt)
        case ApiStatusError(status=500) if idempotent and attempt == 1:
            return _backoff(attempt)
        case ApiConnectionError(sent=sent) if idempotent or not sent:
            return _backoff(attempt)
        case _:
            return None


def _backoff(attempt: int) -> float:
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (attempt - 1))


def _patience(asked: float | None, attempt: int) -> float | None:
    if asked is None:
        return _backoff(attempt)
    return None if asked > LONGEST_PATIENCE else max(asked, _backoff(attempt))


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """Read a Retry-After header in either of its forms, seconds or an HTTP date.

    Args:
        value: The header.
        now: The time by the server's clock, with its time zone.

    Returns:
        Seconds from now, between 0 and a day; None without a header that can be read.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), _DAY)
    moment = parse_http_date(text)
    return None if moment is None else min(max((moment - now).total_seconds(), 0.0), _DAY)


def parse_http_date(text: str) -> datetime | None:
    """The moment that an HTTP date names; None if it is none."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def persistently(
    once: Callable[[], Awaitable[T]],
    *,
    idempotent: bool,
    budget: float,
    what: str = "The request",
    on_retry: OnRetry | None = None,
) -> T:
    """Call `once` until it succeeds or `decide` gives up.

    Args:
        once: Sends the request once; raises ApiError.
        idempotent: Whether the server may carry out the request twice.
        budget: Seconds in which the last attempt has to begin. An attempt under way is not cut off, as
            the server would have acted on it without anybody knowing.
        what: The subject of the line that is logged for each wait.
        on_retry: Called before each wait, with the failure and the seconds until the next attempt.

    Returns:
        What `once` returns.

    Raises:
        ApiError: The failure of the last attempt.
    """
    clock = asyncio.get_running_loop().time
    last_start = clock() + budget
    attempt = 1
    while True:
        try:
            return await once()
        except ApiError as error:
            wait = decide(error, attempt, idempotent=idempotent)
            # Jitter only adds: what a server asks for is the least that it gets.
            wait = None if wait is None else wait * random.uniform(1.0, 1.25)
            if wait is None or clock() + wait > last_start:
                raise
            failure = error
        logger.debug(f"{what} is tried again in {wait:.1f} s after attempt {attempt}: {failure}")
        if on_retry:
            on_retry(failure, wait)
        await asyncio.sleep(wait)
        attempt += 1
