"""What a bug report holds: everything that happened in a ``try``, in order, and nothing that must stay secret.

The law: what comes from outside is kept only if it is on a list of what may be seen. Any other text, and any other key,
becomes a placeholder, the same one wherever it appears; a number stays under keys whose numbers are harmless. The model
refuses everything else, so that not even a fault in this module could write a secret down.
"""

import json
import platform
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Annotated, Any, Literal, TypeAlias, cast, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from pipecat_lemonslice.api import CreateSessionRequest, Request, Response
from pipecat_lemonslice.rooms import MessageReceived, ParticipantJoined, ParticipantLeft, RoomEvent

KINDS: Mapping[str, str] = {
    "session_id": "session",
    "room_url": "room",
    "control_url": "url",
    "image_url": "url",
    "user_name": "name",
    "sender": "participant",
    "participant_id": "participant",
}
"""Keys whose values are replaced, and the kind of placeholder: ``session`` makes ``session-1``, ``session-2`` …"""

NUMBERS = frozenset({"cost", "credits_used"})
"""Keys whose numbers are kept."""

WORDS = frozenset(
    {
        *("QUEUED", "ACTIVE", "COMPLETED", "TIMED_OUT", "FAILED"),
        *("bot_ready", "idle_timeout", "daily_error", "video_generation_error"),
        *("image_change_complete", "image_change_error"),
        *("response_started", "response_finished", "interrupt"),
        *("terminate", "reset-idle-timeout", "daily", "livekit", "leftCall", "hidden", "number", "deep"),
    }
)
"""Texts that are kept: the vocabulary of the vendor's reference, and what stands for what is left out."""

KEYS = frozenset(
    {*KINDS, *NUMBERS, "session_status", "status", "provider", "created_at", "success", "detail"}
    | {"type", "event", "fatal", "error", "message", "reason", "data"}
)
"""Keys that are kept."""

PLACEHOLDER = re.compile(r"(session|room|url|name|participant|text|key)-[1-9][0-9]{0,6}", re.ASCII)
_RELEASE = re.compile(r"[0-9]{1,5}(\.[0-9]{1,5}){0,3}((a|b|rc|\.dev|\.post)[0-9]{1,5})?", re.ASCII)
_DEEPEST, _MOST = 8, 1e9


def _check(value: JsonValue, key: str = "") -> JsonValue:
    """Return a value in which nothing comes from outside.

    Raises:
        ValueError: Something may.
    """
    match value:
        case None | bool():
            return value
        case str() if value in WORDS or PLACEHOLDER.fullmatch(value):
            return value
        case int() | float() if key in NUMBERS:
            return value
        case list():
            return [_check(each, key) for each in value]
        case dict() if all(name in KEYS or PLACEHOLDER.fullmatch(name) for name in value):
            return {name: _check(each, name) for name, each in value.items()}
        case _:
            raise ValueError("holds something that is on no list of what may be seen")


Body: TypeAlias = Annotated[JsonValue, AfterValidator(_check)]
Name: TypeAlias = Annotated[str, Field(pattern=f"^({PLACEHOLDER.pattern})$")]
Release: TypeAlias = Annotated[str, Field(pattern=f"^({_RELEASE.pattern})$")]
Seconds: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
System: TypeAlias = Literal["linux", "darwin", "win32", "other"]
Operation: TypeAlias = Literal["create", "get", "terminate", "other"]
# fmt: off
Reached: TypeAlias = Literal[
    "create_failed", "created", "active", "room_joined", "avatar_joined", "first_picture",
    "speaking", "first_sound", "response_ended", "terminated",
]
Outcome: TypeAlias = Literal[
    "done", "interrupted", "RoomError", "SessionError",
    "ApiStatusError", "ApiConnectionError", "ApiTimeoutError", "ApiResponseError", "other",
]
# fmt: on


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Answer(_Model):
    """An answer of the API: its HTTP status, how long it took, its body without what must stay secret."""

    kind: Literal["answer"] = "answer"
    at: Seconds
    operation: Operation
    status: int
    seconds: Seconds
    retry_after: Seconds | None
    body: Body


class Person(_Model):
    """Somebody came into the room, or left it; a reason that is on no list is a placeholder."""

    kind: Literal["participant"] = "participant"
    at: Seconds
    event: Literal["joined", "left"]
    who: Name
    avatar: bool
    reason: Body = None


class Message(_Model):
    """An app message: the trial's own, which are sent to the avatar, or somebody else's."""

    kind: Literal["message"] = "message"
    at: Seconds
    direction: Literal["sent", "received"]
    who: Name | None
    body: Body


class Moment(_Model):
    """Something was reached."""

    kind: Literal["moment"] = "moment"
    at: Seconds
    what: Reached


Entry: TypeAlias = Annotated[Answer | Person | Message | Moment, Field(discriminator="kind")]


def _figure(meaning: str) -> Any:
    return Field(default=None, description=meaning, allow_inf_nan=False)


class Measured(_Model):
    """What was measured; None for what was not reached. Unless it says otherwise, a duration follows the one before."""

    create: float | None = _figure("s for the API to answer")
    queue: float | None = _figure("s until the session was active")
    join: float | None = _figure("s until the avatar was in its room")
    first_picture: float | None = _figure("s until its first picture")
    first_sound: float | None = _figure("s from the response's begin to the first sound")
    lag: float | None = _figure("s from speech played to the same speech heard")
    response: float | None = _figure("s from the response's begin to its end, all of it played")
    last_sound: float | None = _figure("s from its end to the last sound")
    fps: float | None = _figure("pictures a second")
    width: int | None = _figure("pixels")
    height: int | None = _figure("pixels")
    sample_rate: int | None = _figure("Hz, the avatar's voice")
    noise: float | None = _figure("dBFS, the avatar's voice in a pause")
    cost: float | None = _figure("credits, as known at the end")


class Report(_Model):
    """A bug report of one try.

    Attributes:
        version: Of this format.
        software: Releases; None for one that is no plain number.
        system: The operating system.
        avatar: How it was named.
        outcome: How the try ended: ``done``, ``interrupted``, or the kind of error that ended it.
        measured: What was measured.
        entries: What happened, in order; ``at`` is in seconds since the try began.
    """

    version: Literal[1] = 1
    software: dict[Literal["pipecat-lemonslice", "pipecat-ai", "daily-python", "python"], Release | None]
    system: System
    avatar: Literal["agent", "image", "image_url"]
    outcome: Outcome
    measured: Measured
    entries: tuple[Entry, ...]


class Log:
    """Writes down what happens in a try, without what must stay secret."""

    def __init__(self, clock: Callable[[], float], on_reached: Callable[[float, Reached], None]) -> None:
        """Begin now.

        Args:
            clock: Returns the time in seconds.
            on_reached: Called when something was reached, with the seconds until then.
        """
        self._on_reached = on_reached
        self._clock = clock
        self._began_at = clock()
        self._names: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self.entries: list[Answer | Person | Message | Moment] = []

    def reached(self, what: Reached) -> None:
        """Write down that something was reached."""
        self.entries.append(Moment(at=self._now(), what=what))
        self._on_reached(self.entries[-1].at, what)

    def answered(self, request: Request, response: Response) -> None:
        """Write down an answer of the API."""
        try:
            body: object = json.loads(response.text)
        except (ValueError, RecursionError):
            body = response.text
        answer = Answer(
            at=self._now(),
            operation=_operation(request),
            status=response.status,
            seconds=round(response.seconds, 3),
            retry_after=response.retry_after,
            body=self._clean(body),
        )
        self.entries.append(answer)

    def happened(self, event: RoomEvent, avatar_name: str) -> None:
        """Write down what happened in the room."""
        match event:
            case ParticipantJoined(participant) | ParticipantLeft(participant):
                left = isinstance(event, ParticipantLeft)
                self.entries.append(
                    Person(
                        at=self._now(),
                        event="left" if left else "joined",
                        who=self._placeholder("participant", participant.id),
                        avatar=participant.name == avatar_name,
                        reason=self._clean(event.reason) if left else None,
                    )
                )
            case MessageReceived(sender, message):
                who, body = self._placeholder("participant", sender), self._clean(message)
                self.entries.append(Message(at=self._now(), direction="received", who=who, body=body))
            case _:
                pass

    def sent(self, message: Mapping[str, Any]) -> None:
        """Write down a message to the avatar."""
        self.entries.append(Message(at=self._now(), direction="sent", who=None, body=self._clean(message)))

    def _now(self) -> float:
        return round(self._clock() - self._began_at, 3)

    def _clean(self, value: object, key: str = "", depth: int = 0) -> JsonValue:
        match value:
            case None | bool():
                return value
            case str() | int() | float() if key in KINDS:
                return self._placeholder(KINDS[key], str(value))
            case int() | float():
                return value if key in NUMBERS and abs(value) < _MOST else "number"
            case str():
                return value if value in WORDS else self._placeholder("text", value)
            case list() | Mapping() if depth >= _DEEPEST:
                return "deep"
            case list():
                return [self._clean(each, key, depth + 1) for each in cast("list[object]", value)]
            case Mapping():
                pairs = cast("Mapping[object, object]", value).items()
                return {self._key(str(name)): self._clean(each, str(name), depth + 1) for name, each in pairs}
            case _:
                return self._placeholder("text", repr(value))

    def _key(self, name: str) -> str:
        return name if name in KEYS else self._placeholder("key", name)

    def _placeholder(self, kind: str, text: str) -> str:
        if text not in self._names:
            self._counts[kind] += 1
            self._names[text] = f"{kind}-{self._counts[kind]}"
        return self._names[text]


def measure(entries: Sequence[Answer | Person | Message | Moment], figures: Mapping[str, Any]) -> Measured:
    """Measure by what was written down.

    Args:
        entries: What happened, in order.
        figures: Fields of :class:`Measured` that picture, voice and the API give.
    """
    rounded: dict[str, Any] = {n: round(v, 3) if isinstance(v, float) else v for n, v in figures.items()}
    at = {entry.what: entry.at for entry in reversed(entries) if isinstance(entry, Moment)}
    creations = [entry for entry in entries if isinstance(entry, Answer) and entry.operation == "create"]

    def between(begin: Reached, end: Reached) -> float | None:
        return round(max(0.0, at[end] - at[begin]), 3) if begin in at and end in at else None

    if "avatar_joined" in at:  # it may be there before anybody has seen that the session is active
        at["active"] = min(at.get("active", at["avatar_joined"]), at["avatar_joined"])
    return Measured(
        create=creations[-1].seconds if "created" in at and creations else None,
        queue=between("created", "active"),
        join=between("active", "avatar_joined"),
        first_picture=between("avatar_joined", "first_picture"),
        first_sound=between("speaking", "first_sound"),
        response=between("speaking", "response_ended"),
        **rounded,
    )


def make_report(log: Log, request: CreateSessionRequest, outcome: Outcome, measured: Measured) -> Report:
    """Put a report together."""
    named = "agent" if request.agent_id else "image_url" if request.agent_image_url else "image"
    return Report(
        software={
            "pipecat-lemonslice": _release(version("pipecat-lemonslice")),
            "pipecat-ai": _release(version("pipecat-ai")),
            "daily-python": _release(version("daily-python")),
            "python": _release(platform.python_version()),
        },
        system=_one_of(System, sys.platform),
        avatar=named,
        outcome=outcome,
        measured=measured,
        entries=tuple(log.entries),
    )


def outcome_of(error: BaseException) -> Outcome:
    """Return the name of what ended a try."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return _one_of(Outcome, type(error).__name__)


def _one_of(words: Any, text: str) -> Any:
    """Return a text if it is one of the words of a Literal, else ``other``."""
    return text if text in get_args(words) else "other"


def _release(text: str) -> str | None:
    """Return the number of a release; not what somebody's own build adds to it."""
    number = text.partition("+")[0]
    return number if _RELEASE.fullmatch(number) else None


def _operation(request: Request) -> Operation:
    match request.payload:
        case None:
            return "get"
        case {"event": "terminate"}:
            return "terminate"
        case {"event": _}:
            return "other"
        case _:
            return "create"
