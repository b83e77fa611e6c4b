"""Models that check what people give them, and say in words what is wrong with it.

Owns how a mistake is explained; knows nothing of the fields themselves.
"""

import difflib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from pipecat_lemonslice.errors import ConfigurationError, safe_line

__all__ = ["Checked", "checked_extra", "checked_text", "checked_url", "present", "url_problem", "visible"]


class Checked(BaseModel):
    """A frozen model whose constructor raises ConfigurationError, and whose repr shows no secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)

    # Hidden from type checkers, which derive the real signature from the fields.
    if not TYPE_CHECKING:

        def __init__(self, **data: Any) -> None:
            problems: list[str] = []
            try:
                super().__init__(**data)
            except ValidationError as error:
                problems = [_explain(type(self), one) for one in error.errors(include_url=False)]
            # Raised here, and not above, so that no context carries the input along.
            if problems:
                raise ConfigurationError("\n".join(problems))

    def __repr_args__(self) -> Any:
        for name, value in super().__repr_args__():
            yield name, visible(value)


def visible(value: object) -> object:
    """As `value`, but a string is shortened and shows no secret."""
    return safe_line(value, limit=120) if isinstance(value, str) else value


def _explain(model: type[BaseModel], error: Any) -> str:
    """One validation error as a line of text: the field, what is wrong, what to do."""
    path, message = ".".join(map(str, error["loc"])), str(error["msg"])
    known = model.model_fields.get(str(error["loc"][0])) if error["loc"] else None
    remedy = f" ({known.description})" if known and known.description else ""
    match error["type"]:
        case "value_error":
            lines = message.removeprefix("Value error, ").splitlines()
            return "\n".join(f"{path} {line}".strip() for line in lines)
        case "missing":
            return f"{path} is required{remedy}"
        case "extra_forbidden":
            return f"{path} is not a field of {model.__name__}{_suggestion(path, model)}"
        case _:
            wrong = message.removeprefix("Input ")
            return f"{path} {wrong}, {_shown(known, error['input'])} was given{remedy}"


def _suggestion(name: str, model: type[BaseModel]) -> str:
    near = difflib.get_close_matches(name, model.model_fields, n=1)
    if near:
        return f". Did you mean {near[0]}?"
    door = ", or pass what is not known here through extra" if "extra" in model.model_fields else ""
    return f". Remove it or correct its name{door}"


def _shown(known: Any, value: object) -> str:
    harmless = known is not None and known.repr and isinstance(value, str | int | float | bool)
    return repr(visible(value)) if harmless else f"a {type(value).__name__}"


def url_problem(url: object, schemes: tuple[str, ...]) -> str | None:
    """What can be said against `url` as an absolute URL of one of the schemes; None if nothing."""
    good = isinstance(url, str) and _is_url(url, schemes)
    return None if good else f"is not a URL. Give one that begins with {' or '.join(schemes)}://"


def _is_url(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.hostname) and not any(map(str.isspace, url))


def checked_url(url: str | None, *schemes: str) -> str | None:
    """For validators: ValueError unless `url` is None or an absolute URL of one of the schemes."""
    if url is not None and (problem := url_problem(url, schemes)):
        raise ValueError(problem)
    return url


def checked_text(text: str | None) -> str | None:
    """For validators: ValueError if `text` is blank."""
    if text is not None and not text.strip():
        raise ValueError("is empty. Give a text, or leave it out")
    return text


def checked_extra(extra: Mapping[str, Any], known: set[str]) -> Mapping[str, Any]:
    """For validators: a copy of `extra`; ValueError if it sets one of the `known` names or is no JSON."""
    if taken := sorted(known.intersection(extra)):
        raise ValueError(f"may not set {', '.join(taken)}. Use the field of that name")
    try:
        json.dumps(dict(extra), allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError("cannot be written as JSON. Use strings, numbers, lists and mappings") from None
    return dict(extra)


def present(**fields: object) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}
