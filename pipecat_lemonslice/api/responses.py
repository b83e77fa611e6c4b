"""What the server sends: responses as models, and the words of a refusal.

Read leniently: only a missing key that is needed is an error, because refusing a response could lose a session that was
created. An odd optional value counts as missing.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from html import unescape
from typing import Annotated, Any, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from pipecat_lemonslice.errors import STATUS_PHRASES, ApiResponseError, safe_line

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True)
class Response:
    """What the server answered.

    Attributes:
        status: HTTP status.
        text: The body, or its beginning.
        truncated: Whether the body is longer than what is read of it.
        retry_after: Seconds after which the server asks to be called again.
        location: Where a redirect points.
        secrets: What no text made of the response may repeat, should the server do so.
        seconds: From when it was asked for to the end of its body.
    """

    status: int
    text: str = field(repr=False)
    truncated: bool = False
    retry_after: float | None = None
    location: str | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    seconds: float = 0.0


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


def _none_if_odd(value: object, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(value)
    except ValidationError:
        return None


def _number_as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_Lenient = WrapValidator(_none_if_odd)
_Id = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), BeforeValidator(_number_as_text)]
_Text = Annotated[Annotated[str, Field(min_length=1)] | None, _Lenient]
_Number = Annotated[Annotated[float, Field(allow_inf_nan=False)] | None, _Lenient]
_Time = Annotated[datetime | None, _Lenient]


class SessionStatus(StrEnum):
    """Where a session is. QUEUED may last for minutes and is not a failure; UNKNOWN stands for any other word."""

    QUEUED = "QUEUED"
    ACTIVE = "ACTIVE"
    COMPLETED = "COMPLETED"
    TIMED_OUT = "TIMED_OUT"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def _missing_(cls, value: object) -> "SessionStatus":
        return cls.__members__.get(str(value).upper(), cls.UNKNOWN)


_Status = Annotated[SessionStatus, BeforeValidator(SessionStatus)]
_STATUS_KEYS = AliasChoices("session_status", "status")


class CreatedSession(_Model):
    """A session that exists.

    Attributes:
        session_id: Its id.
        room_url: The room that it is in or comes to, if the service named one.
        control_url: Where control events go. It gets the API key only if it is on the API's own origin.
    """

    session_id: _Id
    room_url: _Text = Field(default=None, repr=False)
    control_url: _Text = Field(default=None, repr=False)


class SessionInfo(_Model):
    """The state of one session.

    Attributes:
        session_id: Its id.
        status: Where it is.
        cost: What it has cost, in the service's unit, once that is known.
    """

    session_id: str
    status: _Status = Field(validation_alias=_STATUS_KEYS)
    cost: _Number = None


class SessionSummary(_Model):
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
    created_at: _Time = None
    credits_used: _Number = None
    provider: _Text = None


class Pagination(_Model):
    """Where a page is in the whole list; pages count from 1."""

    page: int
    limit: int
    total: int
    total_pages: int
    has_more: bool


class SessionPage(_Model):
    """One page of the list of sessions."""

    sessions: tuple[SessionSummary, ...]
    pagination: Pagination


def read_model(model: type[ModelT], response: Response, operation: str, **known: str) -> ModelT:
    """Read a response as ``model``.

    Args:
        model: What it should be.
        response: The response.
        operation: What was tried, for the error.
        known: Keys that are known already, whatever the response says.

    Returns:
        The model.

    Raises:
        ApiResponseError: Says which keys are missing or wrong, and shows no values.
    """
    # Tracebacks may show the local variables of this frame, so no value of the response is one.
    try:
        return model.model_validate({**json.loads(response.text), **known})
    except ValidationError as error:
        problem = "; ".join(_problem(one["type"], one["loc"]) for one in error.errors()[:3])
        keys = safe_line(", ".join(sorted(json.loads(response.text))), *response.secrets, limit=120)
        problem += f". It has the keys {keys or 'none'}"
    except (ValueError, RecursionError):
        problem = _not_json(response)
    except TypeError:
        problem = f"expected a JSON object, got a {type(json.loads(response.text)).__name__}"
    raise ApiResponseError(problem, operation)


def _problem(kind: str, path: tuple[int | str, ...]) -> str:
    return f"{'.'.join(map(str, path))} is {'missing' if kind == 'missing' else 'not what it should be'}"


def _not_json(response: Response) -> str:
    text = response.text.lstrip()
    if text.startswith(("{", "[")):
        return "the JSON is truncated or malformed"
    if text.startswith("<"):
        title = safe_line(_html_text(text), *response.secrets, limit=60)
        return f'expected JSON, got an HTML page, "{title}"'
    return f"expected JSON, got {'plain text' if text else 'an empty body'}"


def find_session_id(response: Response) -> str | None:
    """Find the id of a session in a response that cannot be read as a whole, such as a truncated one."""
    found = re.search(r'"session_id"\s*:\s*"([^"\\\s]{1,200})"', response.text)
    return found[1] if found else None


def denies_success(response: Response) -> bool:
    """Whether the body says ``"success": false``. Any other body, or none, will do."""
    try:
        return json.loads(response.text).get("success") is False
    except (ValueError, RecursionError, AttributeError):
        return False


def server_words(response: Response) -> str:
    """Return what the body of a refusal says, as one short line: from JSON, from an HTML page or from plain text.

    A body that says nothing gives the name of the status.
    """
    try:
        words = _detail(json.loads(response.text))
    except (ValueError, RecursionError):
        words = _html_text(response.text) if response.text.lstrip().startswith("<") else response.text
    return safe_line(words, *response.secrets) or STATUS_PHRASES.get(response.status, "")


def _detail(data: Any) -> str:
    """Find the sentence in an error body, or in a list of validation errors with a place and a message each."""
    match data:
        case str():
            return data
        case [*items]:
            return "; ".join(map(_detail, items[:5]))
        case {"loc": [*place], "msg": str(message)}:
            return f"{message} ({'.'.join(map(str, place))})"
        case {"detail": inner} | {"message": inner} | {"error": inner} | {"msg": inner}:
            return _detail(inner)
        case _:
            return ""


def _html_text(page: str) -> str:
    """Return the title or the first heading of a page, else its text."""
    page = page[:20_000]
    for tag in ("title", "h1"):
        if (found := re.search(rf"<{tag}[^>]*>([^<]*)", page, re.IGNORECASE)) and found[1].strip():
            return unescape(found[1])
    page = re.sub(r"(?is)<(script|style)\b.*?(</\1>|$)", " ", page)
    return unescape(re.sub(r"<[^>]*>?", " ", page))
