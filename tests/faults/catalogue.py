"""The faults, each with what it may cost the call: stated once, whatever the moment."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipecat_lemonslice.media.playback import MUTE_SECONDS
from tests.faults.world import ELSEWHERE, KEY, LAG, PORT, Site, World

READY = 8.0
"""`ready_timeout`: the most that speech waits for an avatar that is coming."""

KNOWN = 2.0
"""Seconds from the start of a call until speech is heard, at most, when the first answer of the API is a failure."""

SOON = 0.5
"""Seconds without sound that a change-over may take once it is noticed, or that nobody notices."""

LOST_SIGHT = 34.0
"""Seconds until there is an avatar once nobody knows whether a session was created."""

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
        doubtful: Creations in a row of which nobody knows whether they have succeeded.
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
    doubtful: int = 0
    beside: int = 0
    repeats: bool = False
    quiet: tuple[str, ...] = ()
    sleeps: bool = False
    renewal: bool = False
    ending: float = 0.0
    overlap: float = 0.0


# At the API, when a session is created.


def asked(*texts: str) -> Callable[[World], None]:
    """Ask the emulator for faults, in its notation."""

    def inject(world: World) -> None:
        for text in texts:
            world.emulator.fault(text)

    return inject


def creation(name: str, *texts: str, **facts: Any) -> Fault:
    return Fault(name, asked(*texts), CREATION, renewal=True, **{"repeats": True, **facts})


def final(status: int, says: str = "", **keys: str) -> Fault:
    keys = keys or {"detail": f"the words for {status}. {KEY}"}
    name = f"{status}, for good" + (", as a web page" if "body" in keys else "")
    said = (str(status), says or f"the words for {status}")
    return creation(name, _reject(status, **keys), says=said, back=False, waits=KNOWN, repeats=False)


def passing(status: int, times: int, errors: int, lasts: float = 6.0, waits: float = READY, **keys: str) -> Fault:
    says = (str(status),) if errors else ()
    return creation(
        _named(status, times, keys),
        f"{times}*{_reject(status, **keys)}",
        errors=errors,
        says=says,
        lasts=lasts,
        waits=waits if status in (429, 503) else KNOWN,
    )


def unclear(name: str, text: str, *, times: int = 1, lasts: float = LOST_SIGHT, **facts: Any) -> Fault:
    """After it nobody knows whether there is a session."""
    return creation(name, f"{times}*{text}", doubtful=times, lasts=lasts, **facts)


def doubtful(status: int, *, times: int = 1, lasts: float = LOST_SIGHT, unseen: int = 0, **keys: str) -> Fault:
    """The same after a status that does not say whether the server has acted."""
    text, name = _reject(status, **keys), _named(status, times, keys)
    return unclear(name, text, times=times, lasts=lasts, unseen=unseen, says=(str(status),), waits=KNOWN)


def _reject(status: int, **keys: str) -> str:
    return f"reject={status}" + "".join(f",{key}={value}" for key, value in keys.items())


def _named(status: int, times: int, keys: dict[str, str]) -> str:
    return f"{status} x{times}" + "".join(f", {key}" for key in keys if key != "body")


def _unreachable(seconds: float) -> Callable[[World], None]:
    return lambda world: world.network.refuse(seconds)


HTML = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
STILL_THERE = ("could not be terminated", "ends 60 s after the last speech")
UNREADABLE = ("cannot be understood",)
BROKEN = ("may have been carried out",)
UNANSWERED = ("no complete response in 30 s",)

AT_CREATION = (
    *(final(status) for status in (400, 401, 402, 403, 404, 405, 410, 413, 415, 422)),
    creation(
        "307, for good",
        "redirect=https://elsewhere.test/x?sig=S3CR3T",
        says=("307", "redirect to https://elsewhere.test/x"),
        back=False,
        waits=KNOWN,
        repeats=False,
    ),
    final(403, "Sorry, you have been blocked", body="<h1>Sorry, you have been blocked</h1>"),
    passing(408, 1, 1),
    passing(409, 1, 1),
    passing(409, 3, 1, lasts=10.0),
    passing(429, 2, 0),
    passing(429, 2, 0, lasts=12.0, retry_after="2"),
    passing(429, 1, 1, lasts=64.0, waits=KNOWN, retry_after="60"),
    passing(503, 2, 0, lasts=8.0, retry_after="1"),
    passing(503, 5, 1, lasts=16.0, retry_after="1"),
    doubtful(500),
    doubtful(502, body=HTML),
    doubtful(502, times=2, lasts=66.0),
    doubtful(503),
    doubtful(504),
    doubtful(504, retry_after="1"),
    doubtful(520),
    *(doubtful(status, when="after", unseen=1) for status in (500, 502, 504)),
    unclear("an answer cut in half", "malform", says=("truncated",)),
    unclear("an empty answer", "answer=", says=UNREADABLE, unseen=1),
    unclear("a list for an answer", "answer=[]", says=UNREADABLE, unseen=1),
    unclear("an answer without session_id", 'answer={"room_url": "wss://x"}', says=UNREADABLE, unseen=1),
    creation("an answer with session_id alone", "drop=room_url", "drop=control_url", errors=0),
    unclear("a reset before it was accepted", "reset=before", says=BROKEN, waits=KNOWN),
    unclear("a reset after it was accepted", "reset=after", says=BROKEN, unseen=1, waits=KNOWN),
    Fault("no connection for 1.2 s", _unreachable(1.2), CREATION, errors=0, renewal=True, repeats=True),
    Fault(
        "no connection for 10 s",
        _unreachable(10.0),
        ("creating",),
        lasts=16.0,
        says=("Cannot connect", "was not carried out"),
        renewal=True,
    ),
    # Longer than the end of a session is tried.
    Fault(
        "no connection for 20 s",
        _unreachable(20.0),
        ("speaking",),
        lasts=26.0,
        says=STILL_THERE,
        unseen=1,
        renewal=True,
    ),
    unclear("a hang before it was accepted", "hang=before", lasts=64.0, says=UNANSWERED),
    unclear("a hang after it was accepted", "hang=after", lasts=64.0, says=UNANSWERED, unseen=1),
    creation("an answer after 4 s", "delay=4", errors=0),
    creation("an answer after 20 s", "delay=20", errors=0, lasts=24.0),
    creation(
        "a control address elsewhere",
        f"always*foreign_control=http://{ELSEWHERE}:{PORT}/control?sig=S3CR3T-foreign",
        errors=0,
        beside=1,
    ),
)


# At the API, when a session is terminated.


def termination(name: str, text: str, **facts: Any) -> Fault:
    return Fault(
        f"terminate: {name}",
        asked(f"{text}@terminate"),
        ("speaking", "ending"),
        renewal=True,
        **{"errors": 0, "beside": 1, **facts},
    )


AT_TERMINATION = (
    Fault("a session that has ended already", World.expire, ("speaking",), errors=0, renewal=True),
    Fault("a session that has ended already", World.expire, ("ending",), errors=0),
    termination("503 x2", "2*reject=503"),
    termination("500 x2", "2*reject=500", errors=1, says=(*STILL_THERE, "500"), unseen=1),
    termination("401", "reject=401", errors=1, says=(*STILL_THERE, "401"), unseen=1),
    termination("a reset after it was accepted", "reset=after"),
    termination("no success", 'answer={"success": false}', errors=1, says=STILL_THERE),
    termination("a hang that passes", "hang=before", lasts=16.0),
)


# In the room.


def room(name: str, change: Callable[[Site], None], moments: tuple[str, ...] = ROOM, **facts: Any) -> Fault:
    """A fault of the room, as soon as there is one."""

    def inject(world: World) -> None:
        if world.rooms and not world.rooms[-1].closed:
            change(world.rooms[-1])
        else:
            world.on_site.append(change)

    return Fault(name, inject, moments, **facts)


def avatar(name: str, change: Callable[[Site], None], **facts: Any) -> Fault:
    """A fault of the avatar, as soon as it is there."""

    def later(site: Site) -> None:
        asyncio.get_running_loop().call_later(0.0 if site.avatar_is_there else 1.5, change, site)

    return room(name, later, FROM_JOINING, **facts)


def _return(site: Site) -> None:
    site.leave()
    asyncio.get_running_loop().call_later(1.0, site.arrive)


def _refuse_messages(site: Site) -> None:
    site.refuses_messages = True


def _stall(site: Site) -> None:
    site.frozen = True


def _join_fails(world: World) -> None:
    world.emulator.fault("1*refuse_rooms=the room refused the bot: no such meeting")


def _join_breaks(world: World) -> None:
    world.join_refusals.append(TypeError("unforeseen S3CR3T"))


def _comes_late(world: World) -> None:
    world.keep_away(20.0)


MUTE_TIMEOUT = 5.0
"""As in the settings unless given."""

MUTE: dict[str, Any] = {"silence": MUTE_TIMEOUT + SOON, "lost": MUTE_SECONDS}
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
    Fault("the avatar never comes", World.keep_away, CREATION, errors=0, back=False, renewal=True),
    Fault("the avatar comes late", _comes_late, CREATION, errors=0, lasts=24.0, renewal=True),
)

IN_THE_ROOM = (
    avatar("the avatar leaves", Site.leave, says=("the avatar has left",), quiet=("ending",)),
    avatar("the avatar leaves and comes back, as another", _return, errors=0),
    avatar("the avatar reports a fatal error", lambda site: site.say(FATAL), says=("meeting expired",)),
    avatar("the avatar reports trouble", lambda site: site.say(TROUBLE), says=("no GPU",)),
    avatar(
        "the avatar reports its idle timeout",
        lambda site: site.say({"type": "idle_timeout"}),
        quiet=("joining", "ready", "between"),
        sleeps=True,
    ),
    avatar(
        "its voice stops, its picture goes on",
        lambda site: site.session.avatar.mute(),
        says=("not heard",),
        lasts=12.0,
        quiet=("ending",),
        **MUTE,
    ),
    avatar(
        "its picture stops, its voice goes on",
        lambda site: site.session.avatar.freeze_video(),
        says=("no picture",),
        lasts=20.0,
        quiet=("ending",),
    ),
    # The room tells how far speech has been played, so its silence is noticed at the end, too.
    Fault(
        "the network goes silent",
        lambda world: world.network.stall(),
        ("ready", "speaking", "between", "ending"),
        says=("not heard|no picture|takes no more audio",),
        lasts=20.0,
        **MUTE,
    ),
    # Reading and writing fail together, and either may be the first to be noticed.
    room(
        "the socket dies",
        lambda site: site.session.room.drop_connections(),
        FROM_JOINING,
        says=("room has closed the connection|sending to the room failed",),
    ),
    room("writes never complete", _stall, silence=3.0 + SOON, lasts=8.0, says=("takes no more audio",)),
    # The avatar cannot be told to stop.
    room("the room refuses messages", _refuse_messages, says=("takes no messages .*not joined",), overlap=LAG),
)

FAULTS = (*AT_CREATION, *AT_TERMINATION, *AT_JOINING, *IN_THE_ROOM)
