"""Random calls: habits of speech, interruptions, faults, recoveries and ends in any order, in virtual time.

    FAULT_SCHEDULES=200000 pytest tests/faults/test_schedules.py     # a long run, with a seed of its own

Without the variable it is a fixed set of schedules, the same each time.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from loguru import logger
from pipecat.frames.frames import InterruptionFrame

from pipecat_lemonslice import AvatarResponseDoneFrame, AvatarResponseStartedFrame
from tests.faults.hearing import SLICE
from tests.faults.shared import SharedWorld
from tests.faults.world import Site, World
from tests.support.network import NetworkLoop
from tests.support.virtual_time import run_virtual

LONG_RUN = int(os.environ.get("FAULT_SCHEDULES") or 0)
SCHEDULES = LONG_RUN or 300
ENDS_WITHIN = 30.0
"""Seconds from the last order until everything is over, at the most: what is unsaid, ready_timeout, and margins."""

IN_FLIGHT = 3
"""Slices that cannot be taken back."""

# What can happen.


@dataclass(frozen=True)
class Say:
    """Say something.

    Attributes:
        slices: How much, in 20 ms.
        chunk: In pieces of so many.
        stop: Whether the TTS says that it is over.
        llm: Whether it is an LLM's response.
        lasting: Whether it may not be interrupted.
    """

    slices: int
    chunk: int
    stop: bool
    llm: bool
    lasting: bool


@dataclass(frozen=True)
class Wait:
    """Let so many seconds pass."""

    seconds: float


@dataclass(frozen=True)
class Happen:
    """Something happens: an interruption, or a misfortune."""

    what: str


LOSSES: dict[str, Callable[[Site], object]] = {
    "leave": lambda site: site.leave(),
    "return": lambda site: (site.leave(), site.arrive()),
    "socket": lambda site: site.session.room.drop_connections(),
    "fatal": lambda site: site.say({"type": "daily_error", "fatal": True}),
    "stall": lambda site: setattr(site, "frozen", True),
    "messages": lambda site: setattr(site, "refuses_messages", True),
}
"""Of the avatar, by what happens to it or its room."""

MISFORTUNES: dict[str, Callable[[World], object]] = {
    "refused": lambda world: world.emulator.fault("2*reject=409"),
    "reset": lambda world: world.emulator.fault("reset=before"),
    "late": lambda world: world.keep_away(12.0),
    "join": lambda world: world.join_refusals.append(RuntimeError("unforeseen")),
}
"""Of the session that is created next."""

IN_RELAY = [what for what in (*LOSSES, *MISFORTUNES) if what not in ("stall", "messages")]
"""There a socket takes whatever is written."""

IN_SHARED_ROOM = [what for what in (*LOSSES, *MISFORTUNES) if what not in ("socket", "join")]
"""There the bot's own transport has the connection, and joins."""

Order = Say | Wait | Happen


def orders(misfortunes: list[str]) -> st.SearchStrategy[Order]:
    return st.one_of(
        st.builds(
            Say, st.integers(1, 15), st.integers(1, 15), st.booleans(), st.booleans(), st.sampled_from([0, 0, 1])
        ),
        st.builds(Wait, st.sampled_from([0.0, 0.013, 0.02, 0.1, 0.25, 0.5, 1.0, 4.0, 10.0])),
        st.builds(Happen, st.sampled_from(misfortunes)),
        st.just(Happen("interrupt")),
    )


MOMENTS: list[tuple[list[Order], str]] = [
    ([Wait(4.0), Say(1, 1, False, False, True), Wait(0.0), Happen("leave")], "cancel"),
    (
        [Say(1, 1, False, False, False), Wait(1.0), Say(1, 1, False, False, False), Wait(0.0), Happen("return")],
        "cancel",
    ),
    ([Wait(4.0), Say(5, 2, True, True, False), Happen("interrupt"), Say(5, 2, True, True, False)], "end"),
    ([Wait(1.0), Say(2, 1, False, False, False), Happen("interrupt"), Wait(4.0)], "end"),
]
"""Schedules that chance seldom finds, with their endings: losses and interruptions in the moment of something else."""


@dataclass
class Interruption:
    """An interruption.

    Attributes:
        at: When.
        unwanted: Codes that must not leave the service any more.
        joined: How many of them may, as the next words join what had been handed over: two writes.
    """

    at: float
    unwanted: set[int]
    joined: int = 0


@dataclass
class Expected:
    """What was said, and what became of the wish to hear it.

    Attributes:
        wanted: Codes that must be heard.
        interruptions: All so far.
        losses: How often the avatar may have been lost.
    """

    wanted: set[int] = field(default_factory=set)
    interruptions: list[Interruption] = field(default_factory=list)
    losses: int = 0


async def obey(world: World, order: Order, expected: Expected) -> None:
    match order:
        case Say(slices, chunk, stop, llm, lasting):
            said = await world.say(slices * SLICE, chunk=chunk * SLICE, stop=stop, llm=llm, interruptible=not lasting)
            expected.wanted |= set(said.codes)
            for interruption in expected.interruptions:
                if said.at - interruption.at <= 2 * SLICE:
                    interruption.joined = 2
        case Wait(seconds):
            await asyncio.sleep(seconds)
        case Happen("interrupt"):
            await world.settle()  # what was sent before has arrived: system frames overtake in Pipecat's queues
            fleeting = {code for said in world.said if said.interruptible for code in said.codes}
            expected.wanted -= fleeting
            expected.interruptions.append(Interruption(world.now, fleeting))
            await world.send(InterruptionFrame())
        case Happen(what) if what in MISFORTUNES:
            MISFORTUNES[what](world)
        case Happen(what):
            expected.losses += 1
            if world.rooms and not world.rooms[-1].closed:
                LOSSES[what](world.rooms[-1])


async def play(world: World, schedule: list[Order], ending: str) -> None:
    expected = Expected()
    async with world:
        for order in schedule:
            await obey(world, order, expected)
        started = world.now
        await (world.end() if ending == "end" else world.cancel())
    assert world.now - started <= ENDS_WITHIN
    check_responses(world, len(expected.interruptions))
    check_heard(world, expected, whole=ending == "end")
    assert world.leaked == []
    assert world.strays == []
    assert all(room.closed for room in world.rooms)


# What must hold.


def check_responses(world: World, interruptions: int) -> None:
    """Each start has its end, before the next one; an avatar that stays is told so.

    What was handed over when an interruption came reaches the avatar behind the end of the response. Its own detection
    ends that.
    """
    kinds = (AvatarResponseStartedFrame, AvatarResponseDoneFrame)
    told = [type(frame) for _, frame in world.sink.frames if isinstance(frame, kinds)]
    assert told == list(kinds) * (len(told) // 2)
    for room in (room for room in world.rooms if not room.left):
        events = [event for event in room.events if event != "interrupt"]
        assert all(len(list(same)) == 1 for _, same in groupby(events)), room.events
        assert not events or events[0] == "response_started"
        assert room.astray == ["response_done_timeout"] * min(len(room.astray), interruptions)


def check_heard(world: World, expected: Expected, *, whole: bool) -> None:
    """What should be heard is heard whole, in order and once, and nothing else, but for a few slices at each change."""
    heard, newest, lag = sorted(world.heard(), key=lambda one: one.sent), 0, world.unknown_lag / SLICE
    for one in heard:
        assert one.code > newest - 4 - lag, "out of order"
        newest = max(newest, one.code)
    lasting = any(not said.interruptible for said in world.said)
    # The avatar may have been given once more what may not be interrupted, but was dropped with the rest.
    changes = expected.losses + len(expected.interruptions) * lasting
    assert world.doubled() <= changes * 3 * SLICE + 1e-9, f"{world.doubled():.3f} s doubled"
    if whole:
        missing = world.missing(expected.wanted)
        assert missing <= changes * world.unknown_lag + 1e-9, f"{missing:.3f} s missing"
    late_most = IN_FLIGHT * lasting + (lag if lasting or expected.losses else 0)
    for each in expected.interruptions:
        late = {one.code for one in heard if one.sent > each.at and one.code in each.unwanted}
        assert len(late) <= max(late_most, each.joined), f"heard after the interruption: {sorted(late)}"


def schedules(many: int, orders: st.SearchStrategy[Order]) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Run a test with so many schedules: the same ones each time, but for a long run."""

    def decorate(test: Callable[..., None]) -> Callable[[], None]:
        given_test = given(
            schedule=st.lists(orders, min_size=1, max_size=8), ending=st.sampled_from(["end", "end", "cancel"])
        )(test)
        for schedule, ending in MOMENTS:
            given_test = example(schedule=schedule, ending=ending)(given_test)
        return settings(
            max_examples=many,
            derandomize=not LONG_RUN,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
            print_blob=True,
        )(given_test)

    return decorate


def run(world: World, schedule: list[Order], ending: str) -> None:
    for name in ("pipecat", "pipecat_lemonslice"):
        logger.disable(name)
    try:
        run_virtual(play(world, schedule, ending), loop=NetworkLoop)
    finally:
        for name in ("pipecat", "pipecat_lemonslice"):
            logger.enable(name)


@schedules(SCHEDULES, orders(IN_RELAY))
def test_any_schedule_is_survived(schedule: list[Order], ending: str) -> None:
    """Starts and ends alternate, what should be heard is heard once and nothing else, and nothing is left over."""
    run(World(observed=False, join_delay=0.0, latency=0.0), schedule, ending)


@schedules(SCHEDULES, orders(IN_SHARED_ROOM))
def test_any_schedule_is_survived_in_a_shared_room(schedule: list[Order], ending: str) -> None:
    """The same, but for words within the avatar's lag when it goes, as the bot does not hear it there."""
    run(SharedWorld(observed=False, latency=0.0), schedule, ending)
