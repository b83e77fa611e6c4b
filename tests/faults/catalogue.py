"""The faults, each with what it may cost the call: stated once, whatever the moment."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipecat_lemonslice.errors import RoomError
from pipecat_lemonslice.media.playback import MUTE_SECONDS
from tests.faults.vendor import FOREIGN, Break, Hang, Refuse, Slow, Spoil
from tests.faults.vendor import Fault as Wire
from tests.faults.world import World, WorldRoom

READY = 8.0
"""`ready_timeout`: the most that speech waits for an avatar that is coming."""

KNOWN = 2.0
"""Seconds from the start of a call until speech is heard, at most, when the first answer of the API is a failure."""

SOON = 0.5
"""Seconds without sound that a change-over may take once it is noticed, or that nobody notices."""

LOST_SIGHT = 34.0
"""Seconds until there is an avatar once nobody knows whether a session was created."""

EARLY = ("creating", "joining", "waiting")
ROOM = ("waiting", "ready", "speaking", "between", "ending")
CREATION = ("creating", "speaking")
FROM_JOINING = ("joining", *ROOM)


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, and what follows from it.

    Attributes:
        name: In words.
        inject: Makes it happen in a call, from now on.
        moments: When it can happen.
        errors: How many ErrorFrames it makes.
        says: What is in the last of them, as patterns.
        silence: Seconds that the user hears nothing although there is something to be heard, besides waiting for an
            avatar that is coming.
        waits: Seconds that speech may wait for an avatar that is coming.
        lost: Seconds of words that are never heard.
        back: Whether the avatar speaks again in the end.
        lasts: Seconds after which it does at the latest.
        unseen: Sessions that nobody can terminate, as the vendor never told of them; they end by idle timeout.
        beside: Sessions that may still run when the next one begins, as their end takes its time.
        repeats: Whether it only prolongs an outage that has been reported already, so that it makes no ErrorFrame.
        quiet: Moments at which it remains unnoticed.
        sleeps: Whether the avatar sleeps at its quiet moments until something is said, which waits for it.
        renewal: Whether it is about the creation of a session, so that the avatar must be lost first.
        ending: Seconds that the end of the call may take longer.
        overlap: Seconds for which the avatar's last words may be heard beside the plain voice.
    """

    name: str
    inject: Callable[[World], None]
    moments: tuple[str, ...]
    errors: int = 1
    says: tuple[str, ...] = ()
    silence: float = SOON
    waits: float = READY
    lost: float = 1e-9
    back: bool = True
    lasts: float = 6.0
    unseen: int = 0
    beside: int = 0
    repeats: bool = False
    quiet: tuple[str, ...] = ()
    sleeps: bool = False
    renewal: bool = False
    ending: float = 0.0
    overlap: float = 0.0


# At the API, when a session is created.


def creation(name: str, *wire: Wire, **facts: Any) -> Fault:
    def inject(world: World) -> None:
        world.lemonslice.arm("create", *wire)

    return Fault(name, inject, CREATION, renewal=True, **{"repeats": True, **facts})


def final(status: int, *words: str, **refusal: Any) -> Fault:
    words = words or (str(status), f"the words for {status}")
    name = f"{status}, for good" + "".join(f", {key}" for key in refusal if key != "body")
    name += ", as a web page" if refusal.get("body", "").startswith("<") else ""
    refusal.setdefault("body", json.dumps({"detail": f"the words for {status}"}))
    return creation(name, Refuse(status, **refusal), says=words, back=False, waits=KNOWN, repeats=False)


def passing(status: int, times: int, errors: int, lasts: float = 6.0, **refusal: Any) -> Fault:
    says = (str(status),) if errors else ()
    name = f"{status} x{times}" + "".join(f", {key}" for key in refusal)
    waits = READY if status in (429, 503) else KNOWN
    return creation(name, *[Refuse(status, **refusal)] * times, errors=errors, says=says, lasts=lasts, waits=waits)


def unclear(name: str, *wire: Wire, lasts: float = LOST_SIGHT, **facts: Any) -> Fault:
    """After it nobody knows whether there is a session."""
    return creation(name, *wire, lasts=lasts, **facts)


def doubtful(status: int, *, times: int = 1, lasts: float = LOST_SIGHT, unseen: int = 0, **refusal: Any) -> Fault:
    """The same after a status that does not say whether the server has acted."""
    name = f"{status} x{times}" + "".join(f", {key}" for key in refusal if key != "body")
    wire = [Refuse(status, **refusal)] * times
    return unclear(name, *wire, says=(str(status),), lasts=lasts, unseen=unseen, waits=KNOWN)


HTML = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
UNREADABLE = ("cannot be understood",)

AT_CREATION = (
    *(final(status) for status in (400, 401, 402, 403, 404, 405, 410, 413, 415, 422)),
    final(307, "307", "redirect to https://elsewhere.test/x", location="https://elsewhere.test/x?sig=S3CR3T"),
    final(403, "Sorry, you have been blocked", body="<h1>Sorry, you have been blocked</h1>"),
    passing(408, 1, 1),
    passing(409, 1, 1),
    passing(409, 3, 1, lasts=10.0),
    passing(429, 2, 0),
    passing(429, 2, 0, lasts=12.0, retry_after=2.0),
    passing(429, 1, 1, lasts=64.0, retry_after=60.0),
    passing(503, 2, 0, lasts=8.0, retry_after=1.0),
    passing(503, 5, 1, lasts=16.0, retry_after=1.0),
    doubtful(500),
    doubtful(502, body=HTML),
    doubtful(502, times=2, lasts=66.0),
    doubtful(503),
    doubtful(504),
    doubtful(504, retry_after=1.0),
    doubtful(520),
    *(doubtful(status, acted=True, unseen=1) for status in (500, 502, 504)),
    unclear("an answer cut in half", Spoil(lambda text: text[: len(text) // 2]), says=("truncated",)),
    unclear("an empty answer", Spoil(lambda _: ""), says=UNREADABLE, unseen=1),
    unclear("a list for an answer", Spoil(lambda text: f"[{text}]"), says=UNREADABLE, unseen=0),
    unclear("an answer without session_id", Spoil(lambda _: '{"room_url": "wss://x"}'), says=UNREADABLE, unseen=1),
    creation("an answer with session_id alone", Spoil(lambda text: _only(text, "session_id")), errors=0),
    creation("odd types in an answer", Spoil(lambda text: _odd(text)), errors=0),
    unclear("a reset before it was accepted", Break("before"), says=("may have been carried out",), waits=KNOWN),
    unclear(
        "a reset after it was accepted", Break("after"), says=("may have been carried out",), unseen=1, waits=KNOWN
    ),
    creation("no connection x2", *[Break("connect")] * 2, errors=0),
    creation("no connection x5", *[Break("connect")] * 5, lasts=16.0, says=("Cannot connect", "was not carried out")),
    unclear("a hang before it was accepted", Hang(), lasts=64.0, says=("no complete response in 30 s",)),
    unclear(
        "a hang after it was accepted", Hang(acts=True), lasts=64.0, says=("no complete response in 30 s",), unseen=1
    ),
    creation("an answer after 4 s", Slow(4.0), errors=0),
    creation("an answer after 20 s", Slow(20.0), errors=0, lasts=24.0),
)


def _only(text: str, *keys: str) -> str:
    return json.dumps({key: value for key, value in json.loads(text).items() if key in keys})


def _odd(text: str) -> str:
    return json.dumps({**json.loads(text), "room_url": 7, "control_url": ["x"], "session_status": None, "new": {}})


# At the API, when a session is terminated.


def termination(name: str, *wire: Wire, **facts: Any) -> Fault:
    def inject(world: World) -> None:
        world.lemonslice.arm("terminate", *wire)

    return Fault(name, inject, ("speaking", "ending"), renewal=True, **{"errors": 0, "beside": 1, **facts})


def _expire(world: World) -> None:
    world.lemonslice.expire()


STILL_THERE = ("could not be terminated", "ends 60 s after the last speech")

AT_TERMINATION = (
    Fault("a session that has ended already", _expire, ("speaking", "ending"), errors=0, renewal=True),
    termination("terminate: 503 x2", *[Refuse(503)] * 2),
    termination("terminate: 500 x2", *[Refuse(500)] * 2, errors=1, says=(*STILL_THERE, "500"), unseen=1),
    termination("terminate: 401", Refuse(401), errors=1, says=(*STILL_THERE, "401"), unseen=1),
    termination("terminate: a reset after it was accepted", Break("after")),
    termination("terminate: no success", Refuse(200, '{"success": false}'), errors=1, says=STILL_THERE, unseen=1),
    termination("terminate: a hang that passes", Hang(), lasts=16.0),
)


# In the room.


def room(name: str, change: Callable[[WorldRoom], None], moments: tuple[str, ...] = ROOM, **facts: Any) -> Fault:
    """A fault of the room, as soon as there is one."""

    def inject(world: World) -> None:
        if world.rooms and not world.rooms[-1].closed:
            change(world.rooms[-1])  # type: ignore[arg-type]
        else:
            world.on_room.append(change)

    return Fault(name, inject, moments, **facts)


def avatar(name: str, change: Callable[[WorldRoom], None], **facts: Any) -> Fault:
    """A fault of the avatar, as soon as it is there."""

    def later(target: WorldRoom) -> None:
        asyncio.get_running_loop().call_later(0.0 if target.watched else 1.5, change, target)

    return room(name, later, FROM_JOINING, **facts)


def _return(target: WorldRoom, participant_id: str | None = None) -> None:
    def again() -> None:
        target.join(**({"participant_id": participant_id} if participant_id else {}))
        if isinstance(target, WorldRoom):  # in other rooms it shows itself
            target.keep_showing()

    target.leave()
    asyncio.get_running_loop().call_later(1.0, again)


def _refuse_messages(target: WorldRoom) -> None:
    target.message_error = RoomError("not joined")


def _refuse_writes(target: WorldRoom) -> None:
    target.write_error = ValueError("released")


def _stall(target: WorldRoom) -> None:
    target.frozen = True


def _join_fails(world: World) -> None:
    world.join_refusals.append(RoomError("the room refused the bot: no such meeting"))


def _join_breaks(world: World) -> None:
    world.join_refusals.append(TypeError("unforeseen S3CR3T"))


def _never_comes(world: World) -> None:
    world.keep_away()


def _comes_late(world: World) -> None:
    world.keep_away(20.0)


def _foreign_control(world: World) -> None:
    world.lemonslice.control_url = FOREIGN


SOMEBODY = "99999999-9999-4999-8999-999999999999"
MUTE_TIMEOUT = 5.0
"""As in the settings unless given."""

MUTE = {"silence": MUTE_TIMEOUT + SOON, "lost": MUTE_SECONDS}
"""It takes so long, and so much speech, to find out that an avatar is mute."""

FATAL = {"type": "daily_error", "fatal": True, "error": "meeting expired"}
TROUBLE = {"type": "video_generation_error", "error": "no GPU"}

AT_JOINING = (
    Fault(
        "the room refuses the bot",
        _join_fails,
        CREATION,
        says=("no such meeting",),
        renewal=True,
        repeats=True,
        waits=KNOWN + 1,
    ),
    Fault(
        "joining breaks",
        _join_breaks,
        CREATION,
        says=("unexpected TypeError",),
        renewal=True,
        repeats=True,
        waits=KNOWN + 1,
    ),
    Fault("the avatar never comes", _never_comes, CREATION, errors=0, back=False, renewal=True),
    Fault("the avatar comes late", _comes_late, CREATION, errors=0, lasts=24.0, renewal=True),
    Fault("a control address elsewhere", _foreign_control, CREATION, errors=0, renewal=True),
)

IN_THE_ROOM = (
    avatar("the avatar leaves", lambda target: target.leave(), says=("the avatar has left",), quiet=("ending",)),
    avatar("the avatar leaves and comes back", _return, errors=0),
    avatar("the avatar is replaced by another", lambda target: _return(target, SOMEBODY), errors=0),
    avatar("the avatar reports a fatal error", lambda target: target.say(FATAL), says=("meeting expired",)),
    avatar("the avatar reports trouble", lambda target: target.say(TROUBLE), says=("no GPU",)),
    avatar(
        "the avatar reports its idle timeout",
        lambda target: target.say({"type": "idle_timeout"}),
        quiet=("ready", "between"),
        sleeps=True,
    ),
    avatar(
        "its voice stops, its picture goes on",
        lambda target: target.mute(),
        says=("not heard",),
        lasts=12.0,
        quiet=("ending",),
        **MUTE,
    ),
    avatar(
        "its picture stops, its voice goes on",
        lambda target: target.freeze_video(),
        says=("no picture",),
        lasts=20.0,
        quiet=("ending",),
    ),
    room(
        "the network goes silent",
        lambda target: target.go_silent(),
        ("ready", "speaking", "between", "ending"),
        says=("not heard|no picture|takes no more audio",),
        lasts=20.0,
        quiet=("ending",),
        **MUTE,
    ),
    room("the socket dies", lambda target: target.lose("the socket is gone"), FROM_JOINING, says=("socket is gone",)),
    room("writes never complete", _stall, silence=3.0 + SOON, says=("takes no more audio",)),
    # At the end everything has been appended.
    room("the room refuses writes", _refuse_writes, says=("refuses what it is given",), quiet=("ending",)),
    room("the room refuses messages", _refuse_messages, says=("takes no messages .*not joined",)),
)

FAULTS = (*AT_CREATION, *AT_TERMINATION, *AT_JOINING, *IN_THE_ROOM)
