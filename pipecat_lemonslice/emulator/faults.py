"""Everything that can go wrong: one table, its notation, and the list of faults that are still to happen.

A fault is written ``[TIMES*]NAME[=VALUE][,KEY=VALUE...][@PATH]``. ``TIMES`` is a whole number or ``always``; ``PATH``
names the requests it is for, and is needed after a value that itself ends in ``@word``. Only ``reject`` has keys.
``request_faults``, ``avatar``, ``session`` and ``server`` make the faults happen.
"""

import difflib
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

PATHS = (
    *("create", "list", "get", "control", "any"),
    *("terminate", "reset-idle-timeout", "update-image", "update-agent-prompt", "update-idle-prompt", "pose-trigger"),
)
"""Requests of one kind, all, or control requests with one event."""

NOTATION = "[TIMES*]NAME[=VALUE][,KEY=VALUE...][@PATH]"


class FaultError(ValueError):
    """A text that is not a fault; says what is wrong, and gives an example that works."""


class Scope(Enum):
    """What a fault happens to, with how many of them unless ``TIMES`` says otherwise."""

    REQUESTS = ("requests", 1)
    SESSIONS = ("sessions created from then on", math.inf)
    JOINS = ("people who want to come into a room", math.inf)


@dataclass(frozen=True)
class Value:
    """How a value is written.

    Attributes:
        name: Stands for it in help texts.
        example: One that can be read.
        read: Returns the value of a text, or raises ``ValueError``.
        says: What the text must be.
    """

    name: str
    example: str
    read: Callable[[str], Any] = str
    says: str = ""


def _within(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        if not least <= value <= most:
            raise ValueError
        return value

    return read


def _line(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError
    return text


def _when(text: str) -> str:
    return ("before", "after")[("before", "after").index(text)]


SECONDS = Value("SECONDS", "2", _within(0, 999_999), "a number of seconds from 0")
DBFS = Value("DBFS", "-61", _within(-90, 0), "a level from -90 to 0 dBFS")
STATUS = Value("STATUS", "503", lambda text: int(_within(200, 599)(text)), "a number from 200 to 599")
WHEN = Value("before|after", "after", _when, "before or after")
KEY = Value("KEY", "room_url", _line, "one line of text")
URL = Value("URL", "https://elsewhere.test/", _line, "one line of text")
RETRY_AFTER = Value("SECONDS", "1", _line, "one line of text")
TEXT = Value("TEXT", "meeting over")
BODY = Value("BODY", "[]")
HTML = Value("HTML", "<p>Bad gateway</p>")


@dataclass(frozen=True)
class FaultKind:
    """One row of the table.

    Attributes:
        name: Its name.
        scope: What it happens to.
        help: What it does, for ``--help``.
        value: How its value is written; None: it takes none.
        default: The value that is left out; None: it has to be written.
        keys: How its further values are written.
        alone: Only the first such fault happens to a request or a join. The others add up.
    """

    name: str
    scope: Scope
    help: str
    value: Value | None = None
    default: Any = None
    keys: Mapping[str, Value] = field(default_factory=dict[str, Value])
    alone: bool = False

    @property
    def usage(self) -> str:
        """How it is written."""
        value = f"={self.value.name}" if self.value else ""
        keys = "".join(f"[,{key}={value.name}]" for key, value in self.keys.items())
        return self.name + (value if self.default is None else f"[{value}]") + keys

    @property
    def example(self) -> str:
        """One that can be read."""
        return f"{self.name}={self.value.example}" if self.value else self.name


_REJECT_KEYS = {"detail": TEXT, "retry_after": RETRY_AFTER, "body": HTML, "when": WHEN}
_R, _S, _J = Scope.REQUESTS, Scope.SESSIONS, Scope.JOINS
_KINDS = (
    FaultKind("delay", _R, "Answer so much later", SECONDS),
    FaultKind("drop", _R, "Leave this key out of the answer", KEY),
    FaultKind("foreign_control", _R, "Name this control_url in the answer", URL),
    FaultKind("reject", _R, "Answer with an error; a body is HTML, as a gateway's", STATUS, None, _REJECT_KEYS, True),
    FaultKind("redirect", _R, "Answer 307 with this Location", URL, alone=True),
    FaultKind("hang", _R, "Never answer, before or after carrying the request out", WHEN, "before", alone=True),
    FaultKind("reset", _R, "Break the connection, before or after carrying it out", WHEN, "before", alone=True),
    FaultKind("truncate", _R, "Carry it out and break the connection in mid-answer", alone=True),
    FaultKind("malform", _R, "Carry it out and answer with the first half of the JSON", alone=True),
    FaultKind("answer", _R, 'Carry it out and answer this; HTML if it begins with "<"', BODY, alone=True),
    FaultKind("drip", _R, "Send the body spread over so much time", SECONDS, alone=True),
    # Seconds of speech are those that the avatar has heard.
    FaultKind("never_join", _S, "The avatar never comes, though the session becomes ACTIVE"),
    FaultKind("leave_after", _S, "The avatar leaves after so much speech", SECONDS),
    FaultKind("return_after", _S, "Whenever it has left, it comes back so much later", SECONDS),
    FaultKind("freeze_video", _S, "It sends no picture after so much speech; 0: it never does", SECONDS, 0.0),
    FaultKind("mute", _S, "It is not heard after so much speech; 0: it never is", SECONDS, 0.0),
    FaultKind("noise", _S, "Its voice has a noise floor of this level, in silence too", DBFS),
    FaultKind("fatal", _S, "It reports a fatal daily_error when it has joined", TEXT, "meeting expired"),
    FaultKind("trouble", _S, "It reports a video_generation_error when it has joined", TEXT, "no GPU"),
    FaultKind("cut_after", _S, "Every connection to the room breaks after so much speech", SECONDS),
    FaultKind("refuse_rooms", _J, "Nobody is let into any room", TEXT, "refused by the emulator", alone=True),
)
KINDS: Mapping[str, FaultKind] = {kind.name: kind for kind in _KINDS}


@dataclass
class Fault:
    """A fault that is to happen.

    Attributes:
        name: Which kind.
        value: Its value.
        keys: Its further values.
        times: How often it is still to happen.
        path: To which requests, if it happens to requests.

    Raises:
        FaultError: There is no such path.
    """

    name: str
    value: Any = None
    keys: Mapping[str, Any] = field(default_factory=dict[str, Any])
    times: float = 1
    path: str = "create"

    def __post_init__(self) -> None:
        if self.path not in PATHS:
            raise _unknown("path", self.path, PATHS, f"{KINDS[self.name].example}@control")


class FaultList:
    """The faults that are still to happen, in the order in which they were added."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Let a fault happen."""
        if fault.times > 0:
            self._faults.append(fault)

    def clear(self) -> None:
        """Let everything go well from now on."""
        self._faults.clear()

    def take(self, scope: Scope, *paths: str) -> list[Fault]:
        """Return what happens to a request with one of these paths, to a new session or to a join; it counts once."""
        taken: list[Fault] = []
        for fault in self._faults:
            if KINDS[fault.name].scope is not scope or (paths and fault.path not in paths):
                continue
            if not KINDS[fault.name].alone or not any(KINDS[other.name].alone for other in taken):
                taken.append(fault)
                fault.times -= 1
        self._faults = [fault for fault in self._faults if fault.times > 0]
        return taken


def parse(text: str) -> Fault:
    """Return the fault that a text describes.

    Raises:
        FaultError: It describes none.
    """
    head = re.fullmatch(r"(?:([^*=,@]*)\*)?([^*=,@]*)(.*)", text, re.DOTALL)
    assert head is not None, "every part of the pattern may be empty"
    times, name, rest = head.groups()
    kind = KINDS.get(name)
    if kind is None:
        guess = _guess(name, KINDS) or "reject"
        raise _unknown("fault", name, KINDS, f"{KINDS[guess].example}, written {NOTATION}")
    path = "create"
    if kind.scope is Scope.REQUESTS:
        if found := re.fullmatch(r"(.*)@([\w-]*)", rest, re.DOTALL):
            rest, path = found.groups()
    elif "@" in rest and (kind.value is not TEXT or rest[0] != "="):
        where = rest[rest.index("@") :]
        raise _wrong(kind, f"{_short(where)} does not belong there, as only faults of requests take a @PATH")
    value, keys = _values(kind, rest)
    return Fault(name, value, keys, _times(kind, times), path)


def _times(kind: FaultKind, text: str | None) -> float:
    if text is None:
        return kind.scope.value[1]
    if text in ("always", "inf"):
        return math.inf
    if not re.fullmatch("0*[1-9][0-9]{0,8}", text):
        says = f"TIMES must be a whole number from 1, always or inf, not {_short(text)}"
        raise _wrong(kind, says, f"2*{kind.example}")
    return int(text)


def _values(kind: FaultKind, rest: str) -> tuple[Any, dict[str, Any]]:
    text, *pairs = re.split(",(?=[A-Za-z_]+=)", rest) if kind.keys else [rest]
    if text and (kind.value is None or not text.startswith("=")):
        says = "it takes no value, so " if kind.value is None else ""
        raise _wrong(kind, f"{says}{_short(text)} does not belong there")
    if kind.value and kind.default is None and not text:
        raise _wrong(kind, "it needs a value")
    value = _read(kind, kind.value.name, kind.value, text[1:]) if text and kind.value else kind.default
    keys: dict[str, Any] = {}
    for key, given in (pair.split("=", 1) for pair in pairs):
        if key not in kind.keys:
            guess = _guess(key, kind.keys) or "detail"
            raise _unknown(f"key of {kind.name}", key, kind.keys, f"{kind.example},{guess}={kind.keys[guess].example}")
        keys[key] = _read(kind, key, kind.keys[key], given)
    return value, keys


def _read(kind: FaultKind, name: str, value: Value, text: str) -> Any:
    try:
        return value.read(text)
    except ValueError as error:
        example = kind.example if value is kind.value else f"{kind.example},{name}={value.example}"
        raise _wrong(kind, f"{name} must be {value.says}, not {_short(text)}", example) from error


def _wrong(kind: FaultKind, says: str, example: str | None = None) -> FaultError:
    path = "[@PATH]" if kind.scope is Scope.REQUESTS else ""
    return FaultError(
        f"{kind.name}: {says}; it is written [TIMES*]{kind.usage}{path}, for example {example or kind.example}"
    )


def _unknown(what: str, name: str, known: Collection[str], example: str) -> FaultError:
    guess = _guess(name, known)
    hint = f", did you mean {guess}?" if guess else ";"
    return FaultError(f"unknown {what} {_short(name)}{hint} Known: {', '.join(known)}; for example {example}")


def _guess(name: str, known: Collection[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name.lower(), known, 1)), None)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")


def help_text() -> str:
    """Return all kinds of faults in lines, grouped by what they happen to."""
    lines: list[str] = []
    for scope in Scope:
        title, times = scope.value
        lines.append(f"  {title} (TIMES: {'all' if times == math.inf else times})")
        for kind in (kind for kind in KINDS.values() if kind.scope is scope):
            usage = f"    {kind.usage}"
            lines.append(f"{usage:31}{kind.help}" if len(usage) < 31 else f"{usage}\n{'':31}{kind.help}")
    return "\n".join(lines)
