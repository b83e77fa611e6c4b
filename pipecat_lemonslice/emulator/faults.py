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
from argparse import ArgumentTypeError
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import Field, TypeAdapter, ValidationError

from pipecat_lemonslice.emulator.models import Event
from pipecat_lemonslice.emulator.room import reset

NOTATION = "[TIMES*]NAME[=VALUE][,KEY=VALUE...][@PATH]"
PATHS = ("create", "list", "get", "control", "any", *get_args(Event))
"""Requests of one kind, all, or control requests with one event."""

_SCOPES = {
    "create": "requests (TIMES: 1)",
    "session": "sessions created from then on (TIMES: all)",
    "join": "people who want to come into a room (TIMES: all)",
}
"""What faults happen to; the key is their path unless another one is given."""

_DRIP_PIECES = 50
_HANG_CHECK_SECONDS = 1.0


class WrongText(ValueError, ArgumentTypeError):
    """A text that cannot be read; says what is wrong with it, and so does argparse."""


class FaultError(WrongText):
    """A text that is not a fault; gives an example that works."""


@dataclass(frozen=True)
class Value:
    """How a value is written, in a fault and on the command line.

    Attributes:
        name: Stands for it in help texts.
        example: One that can be read.
        kind: Its type, as pydantic reads it from a text.
        says: What the text must be.
    """

    name: str
    example: str
    kind: Any = str
    says: str = "a text"

    def read(self, text: str) -> Any:
        """Return the value of a text.

        Raises:
            WrongText: It has none.
        """
        try:
            return TypeAdapter[Any](self.kind).validate_strings(text)
        except ValidationError:
            raise WrongText(f"must be {self.says}, not {text!r}") from None


Seconds = Annotated[float, Field(ge=0, le=999_999)]
Level = Annotated[float, Field(ge=-90, le=0)]
_Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$")]

SECONDS = Value("SECONDS", "2", Seconds, "a number of seconds from 0")
_DBFS = Value("DBFS", "-61", Level, "a level from -90 to 0 dBFS")
_STATUS = Value("STATUS", "503", Annotated[int, Field(ge=200, le=599)], "a number from 200 to 599")
_WHEN = Value("before|after", "after", Literal["before", "after"], "before or after")
_KEY = Value("KEY", "room_url", _Line, "one line of text")
_URL = Value("URL", "https://elsewhere.test/", _Line, "one line of text")
_RETRY_AFTER = Value("SECONDS", "1", _Line, "one line of text")
_TEXT = Value("TEXT", "meeting over")
_BODY = Value("BODY", "[]")
_HTML = Value("HTML", "<p>Bad gateway</p>")


@dataclass(frozen=True)
class FaultKind:
    """One row of the table.

    Attributes:
        name: Its name.
        path: What it happens to, unless another path is given.
        help: What it does, for ``--help``.
        value: How its value is written; None: it takes none.
        default: The value that is left out; None: it has to be written.
        when: Whether it decides how a request or a join ends before or after that is carried out; only the first such
            fault happens. Empty: it happens beside others.
        keys: How its further values are written.
    """

    name: str
    path: str
    help: str
    value: Value | None = None
    default: Any = None
    when: Literal["", "before", "after"] = ""
    keys: Mapping[str, Value] = field(default_factory=dict[str, Value])

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

    def wrong(self, says: str, example: str = "") -> FaultError:
        """Return the error for one that is written wrongly."""
        usage = f"[TIMES*]{self.usage}{'[@PATH]' if self.path == 'create' else ''}"
        return FaultError(f"{self.name}: {says}; it is written {usage}, for example {example or self.example}")


_REJECT_KEYS = {"detail": _TEXT, "retry_after": _RETRY_AFTER, "body": _HTML, "when": _WHEN}
_R, _S, _J = _SCOPES
_KINDS = (
    FaultKind("delay", _R, "Answer so much later", SECONDS),
    FaultKind("drop", _R, "Leave this key out of the answer", _KEY),
    FaultKind("foreign_control", _R, "Name this control_url in the answer", _URL),
    FaultKind(
        "reject", _R, "Answer with an error; a body is HTML, as a gateway's", _STATUS, None, "before", _REJECT_KEYS
    ),
    FaultKind("redirect", _R, "Answer 307 with this Location", _URL, None, "before"),
    FaultKind("hang", _R, "Never answer, before or after carrying the request out", _WHEN, "before", "before"),
    FaultKind("reset", _R, "Break the connection, before or after carrying it out", _WHEN, "before", "before"),
    FaultKind("truncate", _R, "Carry it out and break the connection in mid-answer", None, None, "after"),
    FaultKind("malform", _R, "Carry it out and answer with the first half of the JSON", None, None, "after"),
    FaultKind("answer", _R, 'Carry it out and answer this; HTML if it begins with "<"', _BODY, None, "after"),
    FaultKind("drip", _R, "Send the body spread over so much time", SECONDS, None, "after"),
    # Seconds of speech are those that the avatar has heard.
    FaultKind("never_join", _S, "The avatar never comes, though the session becomes ACTIVE"),
    FaultKind("leave_after", _S, "The avatar leaves after so much speech", SECONDS),
    FaultKind("return_after", _S, "Whenever it has left, it comes back so much later", SECONDS),
    FaultKind("freeze_video", _S, "It sends no picture after so much speech; 0: it never does", SECONDS, 0.0),
    FaultKind("mute", _S, "It is not heard after so much speech; 0: it never is", SECONDS, 0.0),
    FaultKind("noise", _S, "Its voice has a noise floor of this level, in silence too", _DBFS),
    FaultKind("fatal", _S, "It reports a fatal daily_error when it has joined", _TEXT, "meeting expired"),
    FaultKind("trouble", _S, "It reports a video_generation_error when it has joined", _TEXT, "no GPU"),
    FaultKind("cut_after", _S, "Every connection to the room breaks after so much speech", SECONDS),
    FaultKind("refuse_rooms", _J, "Nobody is let into any room", _TEXT, "refused by the emulator", "before"),
)
KINDS: Mapping[str, FaultKind] = {kind.name: kind for kind in _KINDS}


@dataclass
class Fault:
    """A fault that is still to happen so many times, to requests of this path, to sessions or to joins."""

    name: str
    value: Any
    keys: Mapping[str, Any]
    times: float
    path: str

    @property
    def when(self) -> str:
        """See ``FaultKind``; this one's own value counts first."""
        kind = KINDS[self.name]
        return self.value if kind.value is _WHEN else self.keys.get("when", kind.when)


def take(faults: list[Fault], *paths: str) -> list[Fault]:
    """Return what happens to a request, a new session or a join; it counts once.

    Args:
        faults: Those that are still to happen, in the order in which they were added; those that are done are removed.
        paths: The paths by which a fault may name it.
    """
    taken: list[Fault] = []
    for fault in faults:
        if fault.path in paths and not (fault.when and any(other.when for other in taken)):
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
    path = kind.path
    # A text may end in anything.
    if kind.value is not _TEXT and (found := re.fullmatch(r"(.*)@([\w-]*)", rest, re.DOTALL)):
        rest, path = found.groups()
        if kind.path != "create":
            raise kind.wrong(f"'@{path}' does not belong there, as only faults of requests take a @PATH")
        if path not in PATHS:
            raise _unknown("path", path, PATHS, "hang@control")
    if times is None:
        times = "1" if kind.path == "create" else "inf"
    elif not re.fullmatch("0*[1-9][0-9]{0,8}|always|inf", times):
        says = f"TIMES must be a whole number from 1, always or inf, not {times!r}"
        raise kind.wrong(says, f"2*{kind.example}")
    return Fault(name, *_values(kind, rest), float(times.replace("always", "inf")), path)


def _values(kind: FaultKind, text: str) -> tuple[Any, dict[str, Any]]:
    """Return the value of a fault, and its further ones."""
    first, *pairs = re.split(",(?=[A-Za-z_]+=)", text) if kind.keys else [text]
    value, keys = kind.default, dict[str, Any]()
    if first and kind.value and first.startswith("="):
        value = _read(kind, kind.value.name, kind.value, first[1:])
    elif first:
        raise kind.wrong(f"{'' if kind.value else 'it takes no value, so '}{first!r} does not belong there")
    elif kind.value and kind.default is None:
        raise kind.wrong("it needs a value")
    for key, given in (pair.split("=", 1) for pair in pairs):
        if key not in kind.keys:
            raise _unknown(f"key of {kind.name}", key, kind.keys, "reject=503,retry_after=1")
        keys[key] = _read(kind, key, kind.keys[key], given)
    return value, keys


def _read(kind: FaultKind, name: str, value: Value, text: str) -> Any:
    try:
        return value.read(text)
    except WrongText as error:
        example = kind.example if value is kind.value else f"{kind.example},{name}={value.example}"
        raise kind.wrong(f"{name} {error}", example) from error


def _unknown(what: str, name: str, known: Collection[str], example: str) -> FaultError:
    guess = difflib.get_close_matches(name.lower(), known, 1)
    hint = f", did you mean {guess[0]}?" if guess else ";"
    return FaultError(f"unknown {what} {name!r}{hint} Known: {', '.join(known)}; for example {example}")


def help_text() -> str:
    """Return all kinds of faults in lines, grouped by what they happen to."""
    lines: list[str] = []
    for path, title in _SCOPES.items():
        lines.append(f"  {title}")
        for kind in (kind for kind in KINDS.values() if kind.path == path):
            usage = f"    {kind.usage}"
            lines.append(f"{usage:31}{kind.help}" if len(usage) < 31 else f"{usage}\n{'':31}{kind.help}")
    return "\n".join(lines)


async def answer(request: web.Request, faults: Sequence[Fault], handler: Handler) -> web.StreamResponse:
    """Answer a request as its faults say.

    Args:
        request: The request.
        faults: What happens to it: any number that add up, and one at most that decides how it ends.
        handler: Carries the request out.
    """
    await asyncio.sleep(math.fsum(fault.value for fault in faults if fault.name == "delay"))
    last = next((fault for fault in faults if fault.when), None)
    response: web.StreamResponse = web.Response()
    if last is None or last.when == "after":
        response = await handler(request)
    assert isinstance(response, web.Response), "the REST API streams nothing"
    for fault in faults:
        body = json.loads(response.text or "{}")
        match fault.name:
            case "drop":
                body.pop(fault.value, None)
            case "foreign_control":
                body["control_url"] = fault.value
            case _:
                continue
        response.text = json.dumps(body)
    text = response.text or ""
    match last:
        case None:
            return response
        case Fault("reject"):
            return _rejection(last)
        case Fault("redirect", url):
            return web.Response(status=307, headers={"Location": url})
        case Fault("malform"):
            response.text = text[: len(text) // 2]
            return response
        case Fault("answer", body):
            response.text = body
            response.content_type = "text/html" if body.startswith("<") else "application/json"
            return response
        case Fault("drip", seconds):
            return await _send(request, response, 1.0, seconds)
        case Fault("truncate"):
            await _send(request, response, 0.5, 0.0)
        case Fault("hang"):
            while request.transport is not None:  # noqa: ASYNC110 - aiohttp has no event for a client that is gone
                await asyncio.sleep(_HANG_CHECK_SECONDS)
        case _:
            pass  # reset
    if request.transport is not None:
        reset(request.transport)
    return response


def _rejection(fault: Fault) -> web.Response:
    keys = fault.keys
    headers = {"Retry-After": keys["retry_after"]} if "retry_after" in keys else {}
    if "body" in keys:
        return web.Response(text=keys["body"], status=fault.value, content_type="text/html", headers=headers)
    detail = keys.get("detail", "rejected by the emulator")
    return web.json_response({"detail": detail}, status=fault.value, headers=headers)


async def _send(request: web.Request, response: web.Response, part: float, seconds: float) -> web.StreamResponse:
    """Send status and headers at once, and in so much time a part of the body that they announce."""
    body = (response.text or "").encode()
    stream = web.StreamResponse(status=response.status, headers={"Content-Type": "application/json"})
    stream.content_length = len(body)
    await stream.prepare(request)
    ends = [round(part * len(body) * n / _DRIP_PIECES) for n in range(_DRIP_PIECES + 1)]
    with contextlib.suppress(ConnectionError):
        for begin, end in itertools.pairwise(ends):
            await asyncio.sleep(seconds / _DRIP_PIECES)
            await stream.write(body[begin:end])
    return stream
