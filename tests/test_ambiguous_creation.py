"""A creation that may have succeeded is not repeated soon, as each of them may run and cost. Calls in virtual time."""

import asyncio
import math
from itertools import pairwise

import pytest

from tests.faults.emulated import EmulatedWorld
from tests.faults.vendor import Break, Fault, Hang, Refuse, Spoil
from tests.faults.world import World
from tests.support.virtual_time import run_virtual

APART = 30.0
"""Seconds between the failure of a creation that the server may have carried out and the next creation."""

MAY_HAVE_ACTED = {
    "500": Refuse(500, acted=True),
    "500 that asks for a second": Refuse(500, acted=True, retry_after=1.0),
    "502": Refuse(502, acted=True),
    "503 that asks for nothing": Refuse(503, acted=True),
    "504": Refuse(504, acted=True),
    "504 that asks for a second": Refuse(504, acted=True, retry_after=1.0),
    "520": Refuse(520, acted=True),
    "a reset": Break("after"),
    "a hang": Hang(acts=True),
    "an empty answer": Spoil(lambda _: ""),
}

CANNOT_HAVE_ACTED = {
    "429": Refuse(429),
    "503 that asks for a second": Refuse(503, retry_after=1.0),
    "no connection": Break("connect"),
}


def call(world: World, seconds: float) -> World:
    """A call of so many seconds, with a sentence near its beginning and one at its end."""

    async def scenario() -> None:
        async with world:
            await asyncio.sleep(3.0)
            await world.say(1.0)
            await asyncio.sleep(seconds)
            await world.say(1.0)
            await world.end()

    run_virtual(scenario, loop=world.loop)
    return world


def heard_whole(world: World) -> None:
    codes = {sounding.code for sounding in world.heard()}
    assert all(codes.issuperset(said.codes) for said in world.said)


def gaps(world: World) -> list[float]:
    """Seconds from each creation to the next."""
    return [after.at - before.at for before, after in pairwise(world.lemonslice.sent("create"))]


@pytest.mark.parametrize("name", MAY_HAVE_ACTED)
def test_a_creation_that_may_have_succeeded_is_repeated_half_a_minute_later(name: str) -> None:
    """One session runs unseen, not one for each attempt; the voice is heard meanwhile, then there is an avatar."""
    world = World()
    world.lemonslice.arm("create", MAY_HAVE_ACTED[name])
    call(world, 70.0)
    assert len(world.lemonslice.created) == 2
    assert world.lemonslice.most_running == 2
    assert world.lemonslice.running == ["session-1"]
    assert gaps(world)[0] >= APART
    heard_whole(world)


@pytest.mark.parametrize("fault", [Refuse(504, acted=True), Break("after")], ids=["504", "a reset"])
def test_creations_that_go_on_failing_cost_two_sessions_a_minute_at_most(fault: Fault) -> None:
    """However long the gateway answers so."""
    world = World()
    world.lemonslice.arm("create", *[fault] * 100)
    call(world, 120.0)
    assert len(world.lemonslice.created) <= 5
    assert min(gaps(world)) >= APART
    heard_whole(world)


def test_the_server_may_ask_for_more_than_half_a_minute() -> None:
    """Its wish is the least that it gets, also when it may have acted."""
    world = World()
    world.lemonslice.arm("create", Refuse(500, retry_after=60.0))
    call(world, 70.0)
    assert len(gaps(world)) == 1
    assert gaps(world)[0] >= 60.0


@pytest.mark.parametrize("name", CANNOT_HAVE_ACTED)
def test_a_creation_that_cannot_have_succeeded_is_repeated_soon(name: str) -> None:
    """Within the same request, which nobody notices."""
    world = World()
    world.lemonslice.arm("create", *[CANNOT_HAVE_ACTED[name]] * 2)
    call(world, 10.0)
    assert max(gaps(world)) < 4.0
    assert world.lemonslice.created == world.lemonslice.terminated == ["session-1"]
    assert world.errors == []
    heard_whole(world)


@pytest.mark.parametrize("fault", ["always*reject=504,when=after", "always*reset=after"])
def test_the_emulators_sessions_do_not_pile_up(fault: str) -> None:
    """Counted at a server of its own, over HTTP: three in a bit more than a minute."""
    world = EmulatedWorld()
    world.lemonslice.emulator.fault(fault)  # type: ignore[attr-defined]
    call(world, 65.0)
    assert 2 <= len(world.lemonslice.created) <= 3
    assert min(gaps(world), default=math.inf) >= APART
    heard_whole(world)
