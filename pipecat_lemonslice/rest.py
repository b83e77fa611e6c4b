"""HTTP as this package wants it: bounded in time and size, tried again by law, careful with the key.

Knows requests and answers as bytes and JSON, not what they mean. Errors are handed up as values to the frame
that raises them, so that no traceback leads through one that holds headers.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
from loguru import logger
from yarl import URL

from pipecat_lemonslice.answers import server_words
from pipecat_lemonslice.errors import (
    ApiConnectionError,
    ApiError,
    ApiResponseError,
    ApiStatusError,
    ApiTimeoutError,
    redact,
    safe_line,
)
from pipecat_lemonslice.pictures import PreparedPicture
from pipecat_lemonslice.retry import OnRetry, parse_http_date, parse_retry_after, persistently

__all__ = ["CALL_BUDGET", "Answer", "Body", "Call", "RestClient", "form_body", "json_body", "timeout_problem"]

MAX_ANSWER_BYTES = 1_048_576
"""How much of an answer is read."""

CALL_BUDGET = 45.0
"""Seconds in which the last attempt of a call has to begin."""

_LONGEST_CONNECT = 10.0
_MOST_MET = 16
"""Secrets of earlier calls that are remembered, as a server may repeat them later."""

Body = Callable[[], aiohttp.Payload | aiohttp.FormData | None]
"""Makes the body afresh for each attempt: a form can be sent only once."""


def timeout_problem(seconds: float) -> str | None:
    """What can be said against a time limit; None if nothing."""
    sound = math.isfinite(seconds) and seconds > 0
    return None if sound else "timeout must be a number of seconds above 0"


def _no_body() -> None:
    return None


def json_body(payload: Mapping[str, Any]) -> Body:
    """A body of JSON."""
    data = json.dumps(payload).encode()
    return lambda: aiohttp.BytesPayload(data, content_type="application/json")


def form_body(payload: Mapping[str, Any], picture: PreparedPicture) -> Body:
    """A multipart form of the parts `payload` (JSON) and `image`."""
    data = json.dumps(payload)

    def make() -> aiohttp.FormData:
        form = aiohttp.FormData()
        form.add_field("payload", data, content_type="application/json")
        filename = f"image.{picture.extension}"
        form.add_field("image", picture.data, filename=filename, content_type=picture.content_type)
        return form

    return make


@dataclass(frozen=True)
class Call:
    """One request, ready to be sent any number of times.

    Attributes:
        operation: What it does, as the subject of a sentence.
        method: HTTP method.
        url: Where it goes.
        idempotent: Whether the server may carry it out twice.
        body: Makes the body.
        secrets: What the server must not make us repeat, besides the API key.
        timeout: Seconds for one attempt; None for the client's own.
        budget: Seconds in which the last attempt has to begin.
    """

    operation: str
    method: str
    url: URL = field(repr=False)
    idempotent: bool
    body: Body = field(default=_no_body, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    timeout: float | None = None
    budget: float = CALL_BUDGET


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: HTTP status.
        text: The body, at most `MAX_ANSWER_BYTES` of it.
        whole: Whether that is all of it.
        retry_after: Seconds that the server asks to be left alone.
        location: Where a redirect points.
    """

    status: int
    text: str = field(repr=False)
    whole: bool
    retry_after: float | None
    location: str | None = field(repr=False)


class RestClient:
    """Sends calls, with the API key to one origin only.

    Args:
        key: The API key.
        base: The API's address, whose origin gets the key.
        session: A session to borrow; without one, or once it is closed, an own one is opened.
        timeout: Seconds for one attempt, body included.
    """

    def __init__(self, key: str, base: URL, session: aiohttp.ClientSession | None, timeout: float):
        self._key = key
        self._origin = _origin(base)
        self._borrowed = session
        self._own: aiohttp.ClientSession | None = None
        self._timeout = timeout
        self._closed = False
        self._met: tuple[str, ...] = ()

    async def close(self) -> None:
        """Close what is owned. A borrowed session stays open."""
        self._closed = True
        own, self._own = self._own, None
        if own is not None:
            await own.close()

    def is_own(self, url: URL) -> bool:
        """Whether `url` has the origin that gets the API key."""
        return _origin(url) == self._origin

    async def send(self, call: Call, on_retry: OnRetry | None = None) -> Answer:
        """Send `call`, again and again as `retry.decide` has it.

        Args:
            call: The request.
            on_retry: Told of each failed attempt that another one follows.

        Returns:
            An answer of success (2xx).

        Raises:
            ApiError: The last attempt failed.
        """
        self._met = tuple(dict.fromkeys((*call.secrets, *self._met)))[:_MOST_MET]
        return await persistently(
            lambda: self._once(call),
            idempotent=call.idempotent,
            budget=call.budget,
            what=call.operation,
            on_retry=on_retry,
        )

    def secrets(self, call: Call) -> tuple[str, ...]:
        """What no error about `call` may repeat: what it holds, and what calls before it held."""
        return (self._key, *call.secrets, *self._met)

    async def _once(self, call: Call) -> Answer:
        outcome = await self._exchange(call)
        if isinstance(outcome, Answer):
            outcome = self._judge(call, outcome)
        if isinstance(outcome, ApiError):
            raise outcome
        return outcome

    def _judge(self, call: Call, answer: Answer) -> Answer | ApiError:
        logger.debug(f"{call.method} {redact(str(call.url))}: {answer.status}")
        secrets = self.secrets(call)
        if 300 <= answer.status < 400:
            place = safe_line(answer.location or "nowhere", *secrets)
            return ApiStatusError(answer.status, f"a redirect to {place}", None, call.operation)
        if not 200 <= answer.status < 300:
            words = server_words(answer.status, answer.text, *secrets)
            return ApiStatusError(answer.status, words, answer.retry_after, call.operation)
        if not answer.whole:
            return ApiResponseError(f"it has more than {MAX_ANSWER_BYTES:,} bytes", call.operation)
        return answer

    async def _exchange(self, call: Call) -> Answer | ApiError:
        seconds = call.timeout or self._timeout
        # A time limit of its own for connecting tells apart what the server cannot have acted on.
        connect = min(_LONGEST_CONNECT, seconds / 2)
        try:
            async with self._session().request(
                call.method,
                call.url,
                data=call.body(),
                headers=self.headers(call.url),
                timeout=aiohttp.ClientTimeout(total=seconds, connect=connect),
                allow_redirects=False,
                raise_for_status=False,
            ) as response:
                return await _read(response)
        except (aiohttp.ClientError, OSError) as error:
            return self._connection_error(call, error, seconds, connect)

    def headers(self, url: URL) -> dict[str, str]:
        """What goes with a request to `url`: the API key, if that is its own origin."""
        return {"X-API-Key": self._key} if self.is_own(url) else {}

    def _session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise RuntimeError("this API client is closed")
        if self._borrowed is not None and not self._borrowed.closed:
            return self._borrowed
        if self._own is None:
            # A new connection for each call: one that was kept alive may break unseen, and then nobody
            # knows whether a session has been created.
            connector = aiohttp.TCPConnector(force_close=True)
            self._own = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._own

    def _connection_error(self, call: Call, error: Exception, seconds: float, connect: float) -> ApiConnectionError:
        match error:
            case aiohttp.ConnectionTimeoutError():
                return ApiTimeoutError(f"no connection in {connect:g} s", False, call.operation)
            case TimeoutError():
                return ApiTimeoutError(f"no complete answer in {seconds:g} s", True, call.operation)
            case _:
                sent = not isinstance(error, aiohttp.ClientConnectorError)
                reason = safe_line(str(error), *self.secrets(call)) or type(error).__name__
                return ApiConnectionError(reason, sent, call.operation)


def _origin(url: URL) -> tuple[str, str | None, int | None]:
    return url.scheme, url.raw_host, url.port


async def _read(response: aiohttp.ClientResponse) -> Answer:
    body = bytearray()
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                break
    except (aiohttp.ClientError, OSError):
        # A refusal says enough with its status.
        if response.status < 300:
            raise
    return Answer(
        status=response.status,
        text=body[:MAX_ANSWER_BYTES].decode(errors="replace"),
        whole=len(body) <= MAX_ANSWER_BYTES,
        retry_after=_retry_after(response),
        location=response.headers.get("Location"),
    )


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    # The server's clock, where it tells it, since a date is meant by that.
    now = parse_http_date(response.headers.get("Date", "")) or datetime.now(UTC)
    return parse_retry_after(response.headers.get("Retry-After"), now=now)
