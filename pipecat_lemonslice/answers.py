"""What the REST API answers, read with care: what is not needed may be missing or odd.

A needed key that is missing is an ApiResponseError that names it. An odd optional value counts as missing,
since refusing an answer could lose a session that has been created.
"""

import json
import re
from datetime import datetime
from enum import StrEnum
from html import unescape
from http import HTTPStatus
from typing import Annotated, Any, TypeVar, cast

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from pipecat_lemonslice.checked import visible
from pipecat_lemonslice.errors import ApiResponseError, mask, safe_line

__all__ = [
    "AnswerT",
    "CreatedSession",
    "Pagination",
    "SessionInfo",
    "SessionPage",
    "SessionStatus",
    "SessionSummary",
    "denial",
    "legible_id",
    "read_answer",
    "server_words",
]


def _none_if_odd(value: object, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(value)
    except ValidationError:
        return None


def _empty_if_odd(value: object, handler: ValidatorFunctionWrapHandler) -> Any:
    return _none_if_odd(value, handler) or ""


def _text(value: object) -> object:
    """Ids may come as numbers; blank ones are none."""
    match value:
        case bool():
            return None
        case int():
            return str(value)
        case str():
            return value.strip()
        case _:
            return value


_Odd = WrapValidator(_none_if_odd)
_Id = Annotated[str, Field(min_length=1), BeforeValidator(_text)]
_OptionalText = Annotated[Annotated[str, Field(min_length=1)] | None, _Odd]
_Text = Annotated[str, WrapValidator(_empty_if_odd)]
_OptionalNumber = Annotated[Annotated[float, Field(allow_inf_nan=False)] | None, _Odd]
_OptionalTime = Annotated[datetime | None, _Odd]


class _Answer(BaseModel):
    """A frozen model that tolerates keys it does not know; its repr shows no secret."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    def __repr_args__(self) -> Any:
        for name, value in super().__repr_args__():
            yield name, visible(value)


class SessionStatus(StrEnum):
    """Where a session is. QUEUED may last for minutes and is no failure."""

    QUEUED = "QUEUED"
    ACTIVE = "ACTIVE"
    COMPLETED = "COMPLETED"
    TIMED_OUT = "TIMED_OUT"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    """A word that this version does not know."""

    @classmethod
    def _missing_(cls, value: object) -> "SessionStatus":
        return cls.__members__.get(str(value).upper(), cls.UNKNOWN)


_Status = Annotated[SessionStatus, BeforeValidator(SessionStatus)]
_STATUS_KEYS = AliasChoices("session_status", "status")


class CreatedSession(_Answer):
    """A session that exists.

    Attributes:
        session_id: Its id.
        room_url: The room that it is in or comes to, if the service named one.
        control_url: Where control events go; not to be trusted with the API key unless it is the API's own.
    """

    session_id: _Id
    room_url: _OptionalText = None
    control_url: _Text = ""


class SessionInfo(_Answer):
    """The state of one session.

    Attributes:
        session_id: Its id.
        status: Where it is.
        cost: What it has cost, in the service's unit, once that is known.
    """

    session_id: str
    status: _Status = Field(validation_alias=_STATUS_KEYS)
    cost: _OptionalNumber = None


class SessionSummary(_Answer):
    """One line of the list of sessions.

    Attributes:
        session_id: Its id.
        status: Where it is.
        created_at: When it was created.
        credits_used: What it has cost, in credits.
        provider: Which transport it runs on.
    """

    session_id: _Id
    status: _Status = Field(default=SessionStatus.UNKNOWN, validation_alias=_STATUS_KEYS)
    created_at: _OptionalTime = None
    credits_used: _OptionalNumber = None
    provider: _OptionalText = None


class Pagination(_Answer):
    """Where a page is in the whole list; pages count from 1."""

    page: int
    limit: int
    total: int
    total_pages: int
    has_more: bool


class SessionPage(_Answer):
    """One page of the list of sessions."""

    sessions: tuple[SessionSummary, ...]
    pagination: Pagination


AnswerT = TypeVar("AnswerT", bound=BaseModel)


def read_answer(
    model: type[AnswerT], body: str, operation: str, *secrets: str, **known: str
) -> AnswerT | ApiResponseError:
    """Read a body as `model`.

    Args:
        model: What it should be.
        body: What came.
        operation: What was tried, for the error.
        secrets: What the error must not repeat, should the server do so.
        known: Keys that are known already, whatever the body says.

    Returns:
        The model. Or an error to raise, made here but not raised here, since tracebacks may show what the
        frames that they lead through hold: it tells which keys are missing or wrong, and no values.
    """
    data = _loads(body)
    if data is None:
        return ApiResponseError(f"it is no JSON but {_kind_of_text(body, *secrets)}", operation)
    if not isinstance(data, dict):
        return ApiResponseError(f"a JSON object was expected, not a {type(data).__name__}", operation)
    fields = cast("dict[str, Any]", data)
    try:
        return model.model_validate(fields | known)
    except ValidationError as error:
        problems = "; ".join(_problem(one["type"], one["loc"]) for one in error.errors()[:3])
    keys = safe_line(", ".join(sorted(fields)), *secrets, limit=120)
    return ApiResponseError(f"{problems}. It has the keys {keys or 'none'}", operation)


def _loads(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _kind_of_text(body: str, *secrets: str) -> str:
    text = body.lstrip()
    if not text:
        return "empty"
    if text.startswith("<"):
        return f'a web page, "{safe_line(_from_html(mask(text, *secrets)), limit=60)}"'
    return "JSON that breaks off or is wrong" if text[0] in "{[" else "plain text"


def _problem(kind: str, path: tuple[int | str, ...]) -> str:
    name = ".".join(map(str, path))
    return f"{name} is {'missing' if kind == 'missing' else 'not what it should be'}"


def legible_id(body: str) -> str | None:
    """The id of a session in an answer that cannot be read as a whole, such as one that breaks off."""
    found = re.search(r'"session_id"\s*:\s*"([^"\\\s]{1,200})"', body)
    return found[1] if found else None


def server_words(status: int, body: str, *secrets: str) -> str:
    """What an error body says, as one short line: from JSON, from a web page or from plain text.

    Args:
        status: HTTP status, whose name is used if the body says nothing.
        body: What came.
        secrets: What the line must not repeat, should the server do so.
    """
    body = mask(body, *secrets)
    match _loads(body):
        case {"detail": detail} | {"message": detail} | {"error": {"message": detail}} | {"error": detail}:
            words = _from_detail(detail)
        case dict() | list():
            words = ""
        case _:
            words = _from_html(body) if body.lstrip().startswith("<") else body
    return safe_line(words, *secrets) or _phrase(status)


def denial(status: int, body: str, *secrets: str) -> str | None:
    """What the body of a successful answer says if it denies success; None for any other, or none at all."""
    data = _loads(body)
    denied = isinstance(data, dict) and cast("dict[str, Any]", data).get("success") is False
    return server_words(status, body, *secrets) if denied else None


def _from_detail(detail: Any) -> str:
    """A sentence, or a list of validation errors with a place and a message each."""
    match detail:
        case str():
            return detail
        case [*items]:
            return "; ".join(_from_detail(item) for item in items[:5])
        case {"loc": [*_], "msg": str(message)}:
            return f"{message} ({'.'.join(map(str, detail['loc']))})"
        case {"msg": str(message)} | {"message": str(message)}:
            return message
        case _:
            return ""


def _from_html(page: str) -> str:
    """The title or the first heading of a page, else its text."""
    page = page[:20_000]
    for tag in ("title", "h1"):
        if (found := re.search(rf"<{tag}[^>]*>([^<]*)", page, re.IGNORECASE)) and found[1].strip():
            return unescape(found[1])
    page = re.sub(r"(?is)<(script|style)\b.*?(</\1>|$)", " ", page)
    return unescape(re.sub(r"<[^>]*>?", " ", page))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
