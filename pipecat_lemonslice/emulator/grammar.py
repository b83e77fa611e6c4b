"""Faults as text: `[TIMES*]NAME[=VALUE][,KEY=VALUE...][@PATH]`, for Python and the command line alike.

`TIMES` is a whole number, or `always` or `inf` for all. `PATH` says which requests are concerned; a VALUE that
itself ends in `@word` therefore needs its PATH said. A fault without KEYs takes everything up to there as its
VALUE, commas included; in one with KEYs a comma followed by `word=` begins the next KEY.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pipecat_lemonslice.emulator.faults import Fault
from pipecat_lemonslice.emulator.forms import FORMS, Form, Part, form_of

Path = Literal[
    "create",
    "list",
    "get",
    "control",
    "any",
    "terminate",
    "reset-idle-timeout",
    "update-image",
    "update-agent-prompt",
    "update-idle-prompt",
    "pose-trigger",
]
"""Which requests a fault is for: those of one kind, all, or control requests with one event."""

PATHS: tuple[Path, ...] = get_args(Path)

_HEAD = re.compile(r"(?:([^*=,@]*)\*)?([^*=,@]*)(.*)", re.DOTALL)
_TAIL = re.compile(r"(.*?)(?:@([A-Za-z_-]*))?", re.DOTALL)
_KEY = re.compile(r",(?=[A-Za-z_]+=)")


class FaultError(ValueError):
    """A text that is no fault; says what is wrong with it and what is known, and ends with an example."""


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
        raise _no_fault(times, name)
    rest, path = _split(rest) if form.sort.paths else (rest, None)
    texts = dict(_texts(form, rest))
    if form.value is not None and form.value.needed and form.value.name not in texts:
        raise _wrong(form, "it needs a value")
    values = {part.name: _read(form, part, texts[part.name]) for part in form.parts if part.name in texts}
    return Spec(form.make(**values), _times(form, times), _path(form, path))


def _split(text: str) -> tuple[str, str | None]:
    tail = _TAIL.fullmatch(text)
    assert tail is not None, "every part of the pattern may be empty"
    return tail[1], tail[2]


def _texts(form: Form, rest: str) -> Iterable[tuple[str, str]]:
    """The values with the fields that they belong to."""
    value, *pairs = _KEY.split(rest) if form.keys else [rest]
    if value and (form.value is None or not value.startswith("=")):
        said = "it takes no value" if form.value is None else "its value follows a ="
        raise _misplaced(form, value) or _wrong(form, f"{said}, so {_short(value)} does not belong there")
    if value and form.value is not None:
        yield form.value.name, value[1:]
    seen: set[str] = set()
    for key, text in (pair.split("=", 1) for pair in pairs):
        if key not in form.keys:
            raise _unknown_key(form, key)
        if key in seen:
            raise _wrong(form, f"{key} is said twice", form.example_of(key))
        seen.add(key)
        yield key, text


def _read(form: Form, part: Part, text: str) -> Any:
    try:
        return part.term.read(text)
    except ValueError as error:
        example = form.example if part is form.value else form.example_of(part.name)
        wrong = _wrong(form, f"{part.name} {error}, not {_short(text)}", example)
        raise _misplaced(form, text) or _unread_key(form, text) or wrong from error


def _times(form: Form, text: str | None) -> float:
    if text is None:
        return form.sort.times
    if text in ("always", "inf"):
        return math.inf
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
        says = f"TIMES must be a whole number from 1, always or inf, not {_short(text)}"
        raise _wrong(form, says, f"2*{form.example}")
    return int(text)


def _path(form: Form, text: str | None) -> Path:
    if text is not None and text not in PATHS:
        raise _unknown("path", text, PATHS, f"{form.example}@control")
    return text or "create"


# What is wrong


def _misplaced(form: Form, text: str) -> FaultError | None:
    """What to say of a TIMES or PATH that stands where a value was looked for; None: there is none."""
    if "@" in text and not form.sort.paths:
        where = _short(text[text.index("@") :])
        return _wrong(form, f"{where} does not belong there: only faults of requests take a @PATH")
    if found := re.search("@([^,=@]*)", text):
        if found[1] not in PATHS:
            return _unknown("path", found[1], PATHS, f"{form.example}@control")
        says = f"'{found[0]}' does not belong there: a PATH is one, and comes last"
        return _wrong(form, says, f"{form.example}@control")
    if "*" in text:
        return _late_times(form, text[text.index("*") :])
    return None


def _late_times(form: Form, text: str) -> FaultError:
    return _wrong(form, f"{_short(text)} does not belong there: TIMES come first", f"2*{form.example}")


def _unread_key(form: Form, text: str) -> FaultError | None:
    """What to say of a KEY that was taken for a part of the value; None: there is none."""
    _, comma, rest = text.partition(",")
    if not comma:
        return None
    if not form.keys:
        return _wrong(form, f"it takes no KEY, so {_short(comma + rest)} does not belong there")
    key = rest.partition("=")[0]
    if key in form.keys:
        return _wrong(form, f"its key {key} needs a value", form.example_of(key))
    return _unknown_key(form, key)


def _unknown_key(form: Form, key: str) -> FaultError:
    example = form.example_of(_guess(key, form.keys) or next(iter(form.keys)))
    return _unknown(f"key of {form.name}", key, form.keys, example)


def _no_fault(times: str | None, name: str) -> FaultError:
    if times is not None and times in FORMS:
        return _late_times(FORMS[times], f"*{name}")
    example = FORMS[_guess(name, FORMS) or "reject"].example
    if not name:
        return FaultError(f"a fault begins with its name; Known: {', '.join(FORMS)}; for example {example}")
    return _unknown("fault", name, FORMS, example)


def _unknown(what: str, name: str, known: Collection[str], example: str) -> FaultError:
    guess = _guess(name, known)
    hint = f", did you mean {guess}?" if guess else ";"
    return FaultError(f"unknown {what} {_short(name)}{hint} Known: {', '.join(known)}; for example {example}")


def _guess(name: str, known: Collection[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name.lower(), known, 1)), None)


def _wrong(form: Form, says: str, example: str | None = None) -> FaultError:
    usage = form.usage + ("[@PATH]" if form.sort.paths else "")
    return FaultError(f"{form.name}: {says}; it is written {usage}, for example {example or form.example}")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")


def _written(form: Form, part: Part, value: Any) -> str:
    text = repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
    return f"={text}" if part is form.value else f",{part.name}={text}"
