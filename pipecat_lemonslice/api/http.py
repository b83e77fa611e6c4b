"""HTTP: timeouts, size limit, retries; the key goes to one origin only. Knows nothing of what requests mean.

Retries: a request that the server may have acted on is repeated only if it is idempotent. The server cannot have acted
if no connection was made, on 429, or on 503 with ``Retry-After``. Any other 5xx may come from a gateway in front of a
server that did act. Any other 4xx is final.

Secrets: an error is raised outside of ``except`` blocks and in frames whose local variables are safe to show, so that
neither its context nor its traceback leads to the key, a token or a signed URL.
"""

import asyncio
import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from loguru import logger
from yarl import URL

from pipecat_lemonslice.api.images import PreparedPicture
from pipecat_lemonslice.api.responses import Response, server_words
from pipecat_lemonslice.errors import (
    ApiConnectionError,
    ApiError,
    ApiResponseError,
    ApiStatusError,
    ApiTimeoutError,
    redact,
    safe_line,
)

OnRetry = Callable[[ApiError, float], None]
"""Called with the failure of an attempt and the seconds until the next one."""

OnAnswer = Callable[["Request", Response], None]
"""Called with every request that was answered, and its answer, whatever its status. Both may hold secrets."""

MAX_RESPONSE_BYTES = 1_048_576
"""How much of a response is read."""

MAX_CONNECT_SECONDS = 10.0
RETRY_BUDGET = 45.0

MAX_ATTEMPTS = 5
FIRST_DELAY = 0.5
"""Seconds before the second attempt; doubled for each further one."""

MAX_RETRY_AFTER = 30.0
"""Longest ``Retry-After`` in seconds that is waited for. If it is longer, the caller is told at once."""

_DAY = 86_400.0


@dataclass(frozen=True)
class Request:
    """One request, which may be sent several times.

    Attributes:
        operation: What it does, as the subject of a sentence.
        method: HTTP method.
        url: Where it goes.
        idempotent: Whether the server may act on it twice.
        payload: JSON body.
        image: Sent beside the payload, in a multipart form with the parts ``payload`` and ``image``.
        timeout: Seconds for one attempt; None for the client's default.
        budget: Seconds from now in which the last attempt must begin.
    """

    operation: str
    method: str
    url: URL = field(repr=False)
    idempotent: bool
    payload: Mapping[str, Any] | None = field(default=None, repr=False)
    image: PreparedPicture | None = None
    timeout: float | None = None
    budget: float = RETRY_BUDGET

    def body(self) -> aiohttp.Payload | aiohttp.FormData | None:
        """Make the body. Each attempt needs a new one, as a form can be sent only once."""
        if self.payload is None:
            return None
        data = json.dumps(self.payload)
        if self.image is None:
            return aiohttp.BytesPayload(data.encode(), content_type="application/json")
        form = aiohttp.FormData()
        form.add_field("payload", data, content_type="application/json")
        filename = f"image.{self.image.extension}"
        form.add_field("image", self.image.data, filename=filename, content_type=self.image.content_type)
        return form


class HttpClient:
    """Sends requests, with the API key to one origin only."""

    def __init__(
        self,
        key: str,
        base: URL,
        session: aiohttp.ClientSession | None,
        timeout: float,
        on_answer: OnAnswer | None = None,
    ) -> None:
        """Create a client.

        Args:
            key: The API key.
            base: The API's address, whose origin (scheme, host and port) gets the key.
            session: A session to borrow. Without one, or once it is closed, an own one is opened.
            timeout: Seconds for one attempt, body included.
            on_answer: Called with each request and its answer.
        """
        self._key = key
        self._origin = _origin(base)
        self._borrowed = session
        self._own: aiohttp.ClientSession | None = None
        self._timeout = timeout
        self._on_answer = on_answer
        self._closed = False
        self.secrets = (key,)

    async def close(self) -> None:
        """Close the client's own session. A borrowed one stays open."""
        self._closed = True
        own, self._own = self._own, None
        if own is not None:
            await own.close()

    def is_own(self, url: URL) -> bool:
        """Whether ``url`` has the origin that gets the API key."""
        return _origin(url) == self._origin

    def headers(self, url: URL) -> dict[str, str]:
        """Return the headers of a request to ``url``."""
        return {"X-API-Key": self._key} if self.is_own(url) else {}

    def hide(self, *secrets: str) -> None:
        """Keep more secrets out of all errors from now on, in case the server repeats them."""
        self.secrets = tuple(dict.fromkeys((*self.secrets, *secrets)))

    async def send(self, request: Request, on_retry: OnRetry | None = None) -> Response:
        """Send a request, again and again while ``retry_delay`` says so and ``request.budget`` lasts.

        A running attempt is never cut off for the budget, because the server may have acted on it.

        Args:
            request: The request.
            on_retry: Called before each delay.

        Returns:
            A response whose status is a success (2xx).

        Raises:
            ApiError: The failure of the last attempt.
        """
        clock = asyncio.get_running_loop().time
        last_start = clock() + request.budget
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._attempt(request)
            except ApiError as error:
                failure, delay = error, retry_delay(error, attempt, idempotent=request.idempotent)
                # Jitter is only ever added: the server gets at least the time that it asks for.
                delay = None if delay is None else delay * random.uniform(1.0, 1.25)
                if delay is None or clock() + delay > last_start:
                    raise
            logger.debug(f"{request.operation}: the next attempt follows in {delay:.1f} s. {failure}")
            if on_retry:
                on_retry(failure, delay)
            await asyncio.sleep(delay)

    async def _attempt(self, request: Request) -> Response:
        try:
            response = await self.exchange(request)
        except (aiohttp.ClientError, OSError) as error:
            failure = self._connection_error(request, error)
        else:
            logger.debug(f"{request.method} {redact(str(request.url))}: {response.status}")
            if self._on_answer:
                self._on_answer(request, response)
            if 200 <= response.status < 300 and not response.truncated:
                return response
            failure = self._response_error(request, response)
        raise failure

    async def exchange(self, request: Request) -> Response:
        """Send a request once.

        Raises:
            aiohttp.ClientError: There was no response, or not a whole one.
            OSError: Likewise.
        """
        timeout = request.timeout or self._timeout
        clock = asyncio.get_running_loop().time
        sent_at = clock()
        async with self._session().request(
            request.method,
            request.url,
            data=request.body(),
            headers=self.headers(request.url),
            timeout=aiohttp.ClientTimeout(total=timeout, connect=_connect_timeout(timeout)),
            allow_redirects=False,
            raise_for_status=False,
        ) as response:
            body = await _read(response)
            return Response(
                status=response.status,
                text=body[:MAX_RESPONSE_BYTES].decode(errors="replace"),
                truncated=len(body) > MAX_RESPONSE_BYTES,
                retry_after=retry_after(response.headers),
                location=response.headers.get("Location"),
                secrets=self.secrets,
                seconds=clock() - sent_at,
            )

    def _session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise RuntimeError("this API client is closed")
        if self._borrowed is not None and not self._borrowed.closed:
            return self._borrowed
        if self._own is None:
            # A new connection for each request: a kept one may have broken unnoticed, and then it is unknown whether
            # the server received the request.
            connector = aiohttp.TCPConnector(force_close=True)
            self._own = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._own

    def _connection_error(self, request: Request, error: Exception) -> ApiConnectionError:
        timeout = request.timeout or self._timeout
        match error:
            case aiohttp.ConnectionTimeoutError():
                return ApiTimeoutError(f"no connection in {_connect_timeout(timeout):g} s", False, request.operation)
            case TimeoutError():
                return ApiTimeoutError(f"no complete response in {timeout:g} s", True, request.operation)
            case _:
                sent = not isinstance(error, aiohttp.ClientConnectorError)
                reason = safe_line(str(error), *self.secrets) or type(error).__name__
                return ApiConnectionError(reason, sent, request.operation)

    def _response_error(self, request: Request, response: Response) -> ApiError:
        if response.status < 300:
            return ApiResponseError(f"it has more than {MAX_RESPONSE_BYTES:,} bytes", request.operation)
        if response.status < 400:
            words = f"a redirect to {safe_line(response.location or 'nowhere', *self.secrets)}"
        else:
            words = server_words(response)
        return ApiStatusError(response.status, words, response.retry_after, request.operation)


def _origin(url: URL) -> tuple[str, str | None, int | None]:
    return url.scheme, url.raw_host, url.port


def _connect_timeout(timeout: float) -> float:
    # Shorter than the whole, so that a missing connection is told apart from a missing response.
    return min(MAX_CONNECT_SECONDS, timeout / 2)


async def _read(response: aiohttp.ClientResponse) -> bytearray:
    body = bytearray()
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_RESPONSE_BYTES:
                break
    except (aiohttp.ClientError, OSError):
        # The status of a refusal says enough without the rest of its body.
        if response.status < 300:
            raise
    return body


def retry_delay(error: ApiError, attempt: int, *, idempotent: bool) -> float | None:
    """Decide whether, and after which delay, a failed request is sent again.

    Args:
        error: How the attempt failed.
        attempt: Which attempt it was, from 1.
        idempotent: Whether the server may act on the request twice.

    Returns:
        Seconds before the next attempt, without jitter; None to give up.
    """
    if attempt >= MAX_ATTEMPTS:
        return None
    backoff = FIRST_DELAY * 2.0 ** (attempt - 1)
    match error:
        case ApiStatusError(status=429) | ApiStatusError(status=503, retry_after=float() | int()):
            asked = error.retry_after or 0.0
        case ApiStatusError(status=502 | 503 | 504) if idempotent:
            asked = error.retry_after or 0.0
        case ApiStatusError(status=500) if idempotent and attempt == 1:
            asked = 0.0
        case ApiConnectionError(sent=sent) if idempotent or not sent:
            asked = 0.0
        case _:
            return None
    return None if asked > MAX_RETRY_AFTER else max(asked, backoff)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After``: seconds, or an HTTP date, which is meant by the server's clock (``Date``).

    Returns:
        Seconds from now, between 0 and a day; None without a header that can be read.
    """
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return min(float(text), _DAY)
    moment, now = _http_date(text), _http_date(headers.get("Date", "")) or datetime.now(UTC)
    return None if moment is None else min(max((moment - now).total_seconds(), 0.0), _DAY)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
