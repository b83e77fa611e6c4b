"""Random calls: habits of speech, interruptions, faults, recoveries and ends in any order, in virtual time.

    FAULT_SCHEDULES=200000 pytest tests/faults/test_schedules.py     # a long run, with a seed of its own

Without the variable it is a fixed set of schedules, the same each time.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import groupby

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loguru import logger

from pipecat_lemonslice import AvatarResponseDoneFrame, AvatarResponseStartedFrame
from tests.faults.hearing import SLICE, SLICE_SAMPLES
from tests.faults.schedules import IN_RELAY, IN_SHARED_ROOM, Expected, Happen, Interrupt, Order, Say, Wait, obey
from tests.faults.shared import SharedWorld
from tests.faults.world import World
from tests.support.network import NetworkLoop
from tests.support.stage import RATE
from tests.support.virtual_time import run_virtual

LONG_RUN = int(os.environ.get("FAULT_SCHEDULES") or 0)
SCHEDULES = LONG_RUN or 300
ENDS_WITHIN = 30.0
"""Seconds from the last order until everything is over, at the most: what is unsaid, ready_timeout, and margins."""

IN_FLIGHT = 3
"""Slices that cannot be taken back."""


def orders(misfortunes: Iterable[str]) -> st.SearchStrategy[Order]:
    return st.one_of(
        st.builds(
            Say, st.integers(1, 15), st.integers(1, 15), st.booleans(), st.booleans(), st.sampled_from([0, 0, 1])
        ),
        st.builds(Wait, st.sampled_from([0.0, 0.013, 0.02, 0.1, 0.25, 0.5, 1.0, 4.0, 10.0])),
        st.builds(Happen, st.sampled_from(list(misfortunes))),
        st.just(Interrupt()),
    )


async def play(world: World, schedule: list[Order], ending: str) -> None:
    expected = Expected(set(), [])
    async with world:
        for order in schedule:
            await obey(world, order, expected)
        started = world.now
        await (world.end() if ending == "end" else world.cancel())
    assert world.now - started <= ENDS_WITHIN
    check_responses(world)
    check_heard(world, expected, whole=ending == "end")
    check_unheard(world, expected)
    assert world.leaked == []
    assert world.strays == []
    assert all(room.closed for room in world.rooms)


# What must hold.


def check_responses(world: World) -> None:
    """Each start has its end, before the next one; an avatar that stays is told so."""
    kinds = (AvatarResponseStartedFrame, AvatarResponseDoneFrame)
    told = [type(frame) for _, frame in world.sink.frames if isinstance(frame, kinds)]
    assert told == list(kinds) * (len(told) // 2)
    for room in (room for room in world.rooms if not room.left):
        events = [event for event in room.events if event != "interrupt"]
        assert all(len(list(same)) == 1 for _, same in groupby(events)), room.events
        assert not events or events[0] == "response_started"
        assert room.astray == []


def check_heard(world: World, expected: Expected, *, whole: bool) -> None:
    """What should be heard is heard whole, in order and once, but for a few slices at each change-over."""
    heard, newest = Counter[int](), 0
    for _, code, samples in world.emitted():
        heard[code] += samples
        assert code > newest - 4 - world.unknown_lag / SLICE, "out of order"
        newest = max(newest, code)
    doubled = sum(max(0, count - SLICE_SAMPLES) for count in heard.values()) / RATE
    changes = expected.losses + _sayings_again(world, expected)
    assert doubled <= changes * 3 * SLICE + 1e-9, f"{doubled:.3f} s doubled"
    if whole:
        missing = sum(max(0, SLICE_SAMPLES - heard[code]) for code in expected.wanted) / RATE
        assert missing <= changes * world.unknown_lag + 1e-9, f"{missing:.3f} s missing"


def _sayings_again(world: World, expected: Expected) -> int:
    """How often the avatar may have been given once more what may not be interrupted, but was dropped with the rest."""
    return len(expected.unwanted) if any(not said.interruptible for said in world.said) else 0


def check_unheard(world: World, expected: Expected) -> None:
    """Nothing of what was interrupted is sent on afterwards, but what was in flight before words that must be heard."""
    lasting = any(not said.interruptible for said in world.said)
    late_most = (IN_FLIGHT if lasting else 0) + (world.unknown_lag / SLICE if lasting or expected.losses else 0)
    for at, codes in expected.unwanted:
        late = {code for sent, code, _ in world.emitted() if sent > at and code in codes}
        assert len(late) <= late_most, f"heard after the interruption: {sorted(late)}"


def schedules(many: int, orders: st.SearchStrategy[Order]) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Run a test with so many schedules: the same ones each time, but for a long run."""

    def decorate(test: Callable[..., None]) -> Callable[[], None]:
        given_test = given(
            schedule=st.lists(orders, min_size=1, max_size=8), ending=st.sampled_from(["end", "end", "cancel"])
        )(test)
        return settings(
            max_examples=many,
            derandomize=not LONG_RUN,
            database=None,
            deadline=None,
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
