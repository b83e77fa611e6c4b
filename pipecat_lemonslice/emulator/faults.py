"""Everything that can go wrong: one table, its notation, and what faults do to the answers of the REST API.

A fault is written ``[TIMES*]NAME[=VALUE][,KEY=VALUE...][@PATH]``. ``TIMES`` is a whole number or ``always``; ``PATH``
names the requests it is for, and is needed after a value that itself ends in ``@word``. Only ``reject`` has keys.
``avatar``, ``session`` and ``server`` make the faults of sessions and joins happen.
"""

import asyncio
import contextlib
import difflib
import itertools
import json
import math
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, get_args

from aiohttp import web

from pipecat_lemonslice.emulator.models import Event
from pipecat_lemonslice.emulator.room import reset

PATHS = ("create", "list", "get", "control", "any", *get_args(Event))
"""Requests of one kind, all, or control requests with one event."""

NOTATION = "[TIMES*]NAME[=VALUE][,KEY=VALUE...][@PATH]"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_DRIP_PIECES = 50
_HANG_CHECK_SECONDS = 1.0


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


def within(least: float, most: float) -> Callable[[str], float]:
    """Return what reads a number of this range."""

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


SECONDS = Value("SECONDS", "2", within(0, 999_999), "a number of seconds from 0")
DBFS = Value("DBFS", "-61", within(-90, 0), "a level from -90 to 0 dBFS")
STATUS = Value("STATUS", "503", lambda text: int(within(200, 599)(text)), "a number from 200 to 599")
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
            raise _unknown("path", self.path, PATHS, "hang@control")


def take(faults: list[Fault], scope: Scope, *paths: str) -> list[Fault]:
    """Return what happens to a request with one of these paths, to a new session or to a join; it counts once.

    Args:
        faults: Those that are still to happen, in the order in which they were added; those that are done are removed.
        scope: What they happen to.
        paths: Those of the request.
    """
    taken: list[Fault] = []
    for fault in faults:
        kind = KINDS[fault.name]
        concerned = kind.scope is scope and (not paths or fault.path in paths)
        if concerned and not (kind.alone and any(KINDS[other.name].alone for other in taken)):
            taken.append(fault)
            fault.times -= 1
    faults[:] = [fault for fault in faults if fault.times > 0]
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
        raise _unknown("fault", name, KINDS, f"2*reject=503, written {NOTATION}")
    path = "create"
    # A text may end in anything.
    if kind.value is not TEXT and (found := re.fullmatch(r"(.*)@([\w-]*)", rest, re.DOTALL)):
        rest, path = found.groups()
        if kind.scope is not Scope.REQUESTS:
            raise _wrong(kind, f"'@{path}' does not belong there, as only faults of requests take a @PATH")
    if times is not None and not re.fullmatch("0*[1-9][0-9]{0,8}|always|inf", times):
        says = f"TIMES must be a whole number from 1, always or inf, not {times!r}"
        raise _wrong(kind, says, f"2*{kind.example}")
    number = kind.scope.value[1] if times is None else math.inf if times == "always" else float(times)
    return Fault(name, *_values(kind, rest), number, path)


def _values(kind: FaultKind, text: str) -> tuple[Any, dict[str, Any]]:
    """Return the value of a fault, and its further ones."""
    first, *pairs = re.split(",(?=[A-Za-z_]+=)", text) if kind.keys else [text]
    value = kind.default
    if first and kind.value and first.startswith("="):
        value = _read(kind, kind.value.name, kind.value, first[1:])
    elif first:
        raise _wrong(kind, f"{'' if kind.value else 'it takes no value, so '}{first!r} does not belong there")
    elif kind.value and kind.default is None:
        raise _wrong(kind, "it needs a value")
    keys: dict[str, Any] = {}
    for key, given in (pair.split("=", 1) for pair in pairs):
        if key not in kind.keys:
            raise _unknown(f"key of {kind.name}", key, kind.keys, "reject=503,retry_after=1")
        keys[key] = _read(kind, key, kind.keys[key], given)
    return value, keys


def _read(kind: FaultKind, name: str, value: Value, text: str) -> Any:
    try:
        return value.read(text)
    except ValueError as error:
        example = kind.example if value is kind.value else f"{kind.example},{name}={value.example}"
        raise _wrong(kind, f"{name} must be {value.says}, not {text!r}", example) from error


def _wrong(kind: FaultKind, says: str, example: str | None = None) -> FaultError:
    path = "[@PATH]" if kind.scope is Scope.REQUESTS else ""
    return FaultError(
        f"{kind.name}: {says}; it is written [TIMES*]{kind.usage}{path}, for example {example or kind.example}"
    )


def _unknown(what: str, name: str, known: Collection[str], example: str) -> FaultError:
    guess = difflib.get_close_matches(name.lower(), known, 1)
    hint = f", did you mean {guess[0]}?" if guess else ";"
    return FaultError(f"unknown {what} {name!r}{hint} Known: {', '.join(known)}; for example {example}")


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


async def answer(
    request: web.Request, faults: Sequence[Fault], handler: Handler, closing: asyncio.Event
) -> web.StreamResponse:
    """Answer a request as its faults say.

    Args:
        request: The request.
        faults: What happens to it: any number that add up, and one at most that decides how it ends.
        handler: Carries the request out.
        closing: Ends all waiting.
    """
    await _pause(math.fsum(fault.value for fault in faults if fault.name == "delay"), closing)
    last = next((fault for fault in faults if KINDS[fault.name].alone), None)
    match last:
        case Fault("redirect"):
            return web.Response(status=307, headers={"Location": last.value})
        case Fault("hang" | "reset", "before"):
            return await _break(request, last.name, closing)
        case Fault("reject", keys=keys) if keys.get("when") != "after":
            return _rejection(last)
        case _:
            response = await handler(request)
    assert isinstance(response, web.Response), "the REST API streams nothing"
    if changes := [fault for fault in faults if fault.name in ("drop", "foreign_control")]:
        body = json.loads(response.text or "{}")
        for fault in changes:
            if fault.name == "drop":
                body.pop(fault.value, None)
            else:
                body["control_url"] = fault.value
        response = web.json_response(body, status=response.status)
    text = response.text or ""
    match last:
        case None:
            return response
        case Fault("reject"):
            return _rejection(last)
        case Fault("malform"):
            return web.Response(text=text[: len(text) // 2], status=response.status, content_type="application/json")
        case Fault("answer", value):
            kind = "text/html" if value.startswith("<") else "application/json"
            return web.Response(text=value, status=response.status, content_type=kind)
        case Fault("drip", seconds):
            return await _drip(request, response, seconds, closing)
        case Fault("truncate"):
            await _drip(request, response, 0.0, closing, part=0.5)
        case _:
            pass  # hang and reset
    return await _break(request, last.name, closing)


def _rejection(fault: Fault) -> web.Response:
    retry_after, body = fault.keys.get("retry_after"), fault.keys.get("body")
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if body is not None:
        return web.Response(text=body, status=fault.value, content_type="text/html", headers=headers)
    detail = fault.keys.get("detail", "rejected by the emulator")
    return web.json_response({"detail": detail}, status=fault.value, headers=headers)


async def _drip(
    request: web.Request, response: web.Response, seconds: float, closing: asyncio.Event, part: float = 1.0
) -> web.StreamResponse:
    """Send status and headers at once, and in so much time a part of the body that they announce."""
    body = (response.text or "").encode()
    stream = web.StreamResponse(status=response.status, headers={"Content-Type": "application/json"})
    stream.content_length = len(body)
    await stream.prepare(request)
    ends = [round(part * len(body) * n / _DRIP_PIECES) for n in range(_DRIP_PIECES + 1)]
    with contextlib.suppress(ConnectionError):
        for begin, end in itertools.pairwise(ends):
            await _pause(seconds / _DRIP_PIECES, closing)
            await stream.write(body[begin:end])
    return stream


async def _break(request: web.Request, name: str, closing: asyncio.Event) -> web.Response:
    """Break the connection, at once or when nobody waits any longer."""
    while name == "hang" and request.transport is not None and not closing.is_set():
        await _pause(_HANG_CHECK_SECONDS, closing)
    if request.transport is not None:
        reset(request.transport)
    return web.Response()


async def _pause(seconds: float, closing: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await closing.wait()
