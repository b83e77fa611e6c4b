"""Everything that can go wrong, as one tree, and how secrets are kept out of it.

    LemonSliceError
    ├── ConfigurationError     what was given is wrong; names the field and the remedy (also a ValueError)
    ├── ApiError               a REST request failed
    │   ├── ApiStatusError         the API answered, with a status that is no success
    │   ├── ApiConnectionError     there was no (whole) response
    │   │   └── ApiTimeoutError        not in time
    │   └── ApiResponseError       the response cannot be understood
    ├── RoomError              a room could not be joined, or was lost
    └── SessionError           a session failed, or ended before its time

Whether a request may be repeated does not depend on the error alone: see ``api.http.retry_delay``. No message,
argument, cause or context holds a key, a token, or the user info or query of a URL: errors are made from text that
went through ``redact``, and are raised where no foreign exception is being handled.
"""

import os
import re
import traceback
from http import HTTPStatus
from urllib.parse import quote

from pipecat.utils.errors import ErrorCategory, classify_http_status_code

from pipecat_lemonslice._pipecat import REDACTED, redact_secrets

__all__ = [
    "PASSING_STATUSES",
    "STATUS_PHRASES",
    "ApiConnectionError",
    "ApiError",
    "ApiResponseError",
    "ApiStatusError",
    "ApiTimeoutError",
    "ConfigurationError",
    "LemonSliceError",
    "RoomError",
    "SessionError",
    "origin",
    "redact",
    "safe_line",
]

_URL = re.compile(r"(?<![A-Za-z0-9+.-])(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>[^\s\"<>]*)")
_SHORTEST_SECRET = 4
_LONGEST_TEXT = 4000


def redact(text: str, *secrets: str | None) -> str:
    """Remove ``secrets`` from ``text``, and whatever else looks like a secret.

    Args:
        text: Anything that may be logged, raised or sent to a client.
        secrets: Strings known to be secret; None and those under four characters are left alone.

    Returns:
        The text, its URLs without user info, query and fragment, its credentials masked.
    """
    return redact_secrets(_URL.sub(_bare_url, _mask(text, *secrets)))


def _mask(text: str, *secrets: str | None) -> str:
    """Remove only ``secrets`` from ``text``, as they are and as they stand in a URL."""
    for secret in secrets:
        if secret and len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, REDACTED).replace(quote(secret, safe=""), REDACTED)
    return text


def origin(error: BaseException) -> str:
    """Return type and call stack of an unexpected error, without its message and without values of variables."""
    calls = reversed(traceback.extract_tb(error.__traceback__))
    stack = " <- ".join(f"{call.name} ({os.path.basename(call.filename)}:{call.lineno})" for call in calls)
    return f"{type(error).__name__} in {stack or 'an unknown place'}"


def _bare_url(match: re.Match[str]) -> str:
    address = re.split(r"[?#]", match["rest"], maxsplit=1)[0]
    authority, slash, path = address.partition("/")
    return f"{match['scheme']}://{authority.rpartition('@')[2]}{slash}{path}"


def safe_line(text: str, *secrets: str | None, limit: int = 200) -> str:
    """Return foreign text as it may be shown: redacted, one printable line, at most ``limit`` characters."""
    # The known secrets go first, so that no cut leaves a part of one.
    text = redact(_mask(text, *secrets)[:_LONGEST_TEXT])
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


class LemonSliceError(Exception):
    """Base of every error of this package."""

    category: ErrorCategory = ErrorCategory.UNKNOWN
    """Why it failed, in Pipecat's words."""


class ConfigurationError(LemonSliceError, ValueError):
    """What was given is wrong. The message names the field and says what to do."""

    category = ErrorCategory.INVALID_REQUEST


class ApiError(LemonSliceError):
    """A request to the REST API failed."""


PASSING_STATUSES = frozenset({408, 409, 425, 429})
"""Refusals that may pass: the same request may succeed later."""

STATUS_PHRASES = {status.value: status.phrase for status in HTTPStatus}

_REMEDIES = {
    400: "Check the fields of the request",
    401: "Check the API key in LEMONSLICE_API_KEY",
    402: "The account is out of credit; add some at lemonslice.com",
    403: "This API key may not do that; check the account and its plan",
    404: "Check the agent or session id (a session that has ended is not found either), and that the API's address "
    "in api_url or LEMONSLICE_API_URL is whole, as in https://lemonslice.com/api",
    408: "Try again later",
    409: "It conflicts with another request; try again later",
    413: "Send a smaller picture",
    422: "Check the fields of the request",
    425: "Try again later",
    429: "Too many requests or sessions at a time; wait and try again",
}


def _remedy(status: int) -> str:
    if 300 <= status < 400:
        return "Redirects are not followed; set LEMONSLICE_API_URL to the address of the API itself"
    if status >= 500:
        return "The fault is on LemonSlice's side; try again later"
    return _REMEDIES.get(status, "Check LEMONSLICE_API_URL and the version of this package")


class ApiStatusError(ApiError):
    """The API answered with a status that is no success.

    Args:
        status: HTTP status.
        detail: The server's own words, one line; empty if it said nothing.
        retry_after: Seconds after which the server asks to be called again, if it did.
        operation: What was tried, as the subject of a sentence.
    """

    def __init__(
        self, status: int, detail: str, retry_after: float | None = None, operation: str = "The request"
    ) -> None:
        self.status = status
        self.detail = safe_line(detail)
        self.retry_after = retry_after
        self.operation = operation
        self.category = classify_http_status_code(status)
        if self.category is ErrorCategory.UNKNOWN and 300 <= status < 500 and status not in PASSING_STATUSES:
            self.category = ErrorCategory.INVALID_REQUEST
        super().__init__(status, self.detail, retry_after, operation)

    def __str__(self) -> str:
        answer = f"{self.status} {STATUS_PHRASES.get(self.status, '')}".rstrip()
        said = "" if self.detail in answer else f', "{self.detail}"'
        later = f" (in {self.retry_after:g} s)" if self.retry_after else ""
        return f"{self.operation} failed: LemonSlice answered {answer}{said}. {_remedy(self.status)}{later}."


class ApiConnectionError(ApiError):
    """There was no response, or not a whole one.

    Args:
        reason: What broke.
        sent: Whether the request may have reached the server, so that the server may have acted on it.
        operation: What was tried, as the subject of a sentence.
    """

    category = ErrorCategory.CONNECTIVITY

    def __init__(self, reason: str, sent: bool, operation: str = "The request") -> None:
        self.reason = safe_line(reason)
        self.sent = sent
        self.operation = operation
        super().__init__(self.reason, sent, operation)

    def __str__(self) -> str:
        certainty = "It may have been carried out" if self.sent else "It was not carried out"
        return f"{self.operation} failed ({self.reason}). {certainty}. Check the network."


class ApiTimeoutError(ApiConnectionError):
    """The connection or the response did not come in time."""


class ApiResponseError(ApiError):
    """The response cannot be understood.

    Args:
        problem: What is missing or wrong in it, such as "session_id is missing".
        operation: What was tried, as the subject of a sentence.
    """

    category = ErrorCategory.SERVER

    def __init__(self, problem: str, operation: str = "The request") -> None:
        self.problem = safe_line(problem, limit=400)
        self.operation = operation
        super().__init__(self.problem, operation)

    def __str__(self) -> str:
        return (
            f"{self.operation} failed: the response cannot be understood: {self.problem}. "
            "Check LEMONSLICE_API_URL and the version of this package."
        )


class RoomError(LemonSliceError):
    """A room could not be joined, or was lost.

    Args:
        message: What failed, what was said, what to do.
        category: Why, in Pipecat's words.
    """

    def __init__(self, message: str, category: ErrorCategory = ErrorCategory.CONNECTIVITY) -> None:
        self.category = category
        super().__init__(redact(message))


class SessionError(LemonSliceError):
    """A session failed, or ended before its time.

    Args:
        message: What failed, what was said, what to do.
        category: Why, in Pipecat's words.
    """

    def __init__(self, message: str, category: ErrorCategory = ErrorCategory.SERVER) -> None:
        self.category = category
        super().__init__(redact(message))
