"""Faults as text: `[TIMES*]NAME[=VALUE][,KEY=VALUE...][@PATH]`, for Python and the command line alike.

`TIMES` is a whole number, or `always` or `inf` for all. `PATH` says which requests are concerned; a VALUE that
itself ends in `@word` therefore needs its PATH said. A fault without KEYs takes everything up to there as its
VALUE, commas included; in one with KEYs a comma followed by `word=` begins the next KEY.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pipecat_lemonslice.emulator.faults import Fault
from pipecat_lemonslice.emulator.forms import FORMS, Form, Part, form_of

Path = Literal["create", "list", "get", "control", "any"]
"""Which requests a fault is for."""

PATHS: tuple[Path, ...] = get_args(Path)

_HEAD = re.compile(r"(?:([^*=,@]*)\*)?([^*=,@]*)(.*)", re.DOTALL)
_TAIL = re.compile(r"(.*?)(?:@([A-Za-z_]*))?", re.DOTALL)
_KEY = re.compile(r",(?=[A-Za-z_]+=)")


class FaultError(ValueError):
    """A text that is no fault; says what is wrong with it and what is known."""


@dataclass(frozen=True)
class Spec:
    """A fault that is to happen; as a string it is the text that it is read from.

    Parameters:
        fault: What is to happen.
        times: To how many requests, sessions or people; math.inf: to all.
        path: To which requests, if it is a fault of requests.
    """

    fault: Fault
    times: float = 1
    path: Path = "create"

    def __str__(self) -> str:
        form = form_of(self.fault)
        said = [(part, value) for part in form.parts if (value := getattr(self.fault, part.name)) != part.default]
        text = form.name + "".join(_written(form, part, value) for part, value in said)
        if form.sort.paths and (self.path != "create" or _split(text)[1] is not None):
            text += f"@{self.path}"
        times = "always" if self.times == math.inf else str(int(self.times))
        return text if self.times == form.sort.times else f"{times}*{text}"


def parse(text: str) -> Spec:
    """The fault that a text describes.

    Raises:
        FaultError: It describes none.
    """
    head = _HEAD.fullmatch(text)
    assert head is not None, "every part of the pattern may be empty"
    times, name, rest = head.groups()
    form = FORMS.get(name)
    if form is None:
        raise _unknown("fault", name, FORMS)
    rest, path = _split(rest) if form.sort.paths else (rest, None)
    texts = dict(_texts(form, rest))
    if form.value is not None and form.value.needed and form.value.name not in texts:
        raise FaultError(f"{name} needs a value, it is written {form.usage}")
    values = {part.name: _read(form, part, texts[part.name]) for part in form.parts if part.name in texts}
    return Spec(form.make(**values), _times(times, form.sort.times), _path(path))


def _split(text: str) -> tuple[str, str | None]:
    tail = _TAIL.fullmatch(text)
    assert tail is not None, "every part of the pattern may be empty"
    return tail[1], tail[2]


def _texts(form: Form, rest: str) -> Iterable[tuple[str, str]]:
    """The values with the fields that they belong to."""
    value, *pairs = _KEY.split(rest) if form.keys else [rest]
    if value and (form.value is None or not value.startswith("=")):
        raise FaultError(f"{_short(value)} does not belong there, it is written {form.usage}")
    if value and form.value is not None:
        yield form.value.name, value[1:]
    seen: set[str] = set()
    for key, text in (pair.split("=", 1) for pair in pairs):
        if key not in form.keys:
            raise _unknown(f"key of {form.name}", key, form.keys)
        if key in seen:
            raise FaultError(f"{form.name}: {key} is said twice")
        seen.add(key)
        yield key, text


def _read(form: Form, part: Part, text: str) -> Any:
    try:
        return part.term.read(text)
    except ValueError as error:
        raise FaultError(f"{form.name}: {part.name} {error}, not {_short(text)}") from error


def _times(text: str | None, default: float) -> float:
    if text is None:
        return default
    if text in ("always", "inf"):
        return math.inf
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
        raise FaultError(f"TIMES must be a whole number from 1, always or inf, not {_short(text)}")
    return int(text)


def _path(text: str | None) -> Path:
    if text is not None and text not in PATHS:
        raise _unknown("path", text, PATHS)
    return text or "create"


def _unknown(what: str, name: str, known: Iterable[str]) -> FaultError:
    guess = next(iter(difflib.get_close_matches(name, known, 1)), None)
    hint = f", did you mean {guess}?" if guess else ";"
    return FaultError(f"unknown {what} {_short(name)}{hint} Known: {', '.join(known)}")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")


def _written(form: Form, part: Part, value: Any) -> str:
    text = repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
    return f"={text}" if part is form.value else f",{part.name}={text}"
