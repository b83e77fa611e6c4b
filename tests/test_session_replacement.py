"""A session that is lost is terminated beside the creation of the next one. Calls in virtual time."""

import asyncio

import pytest

from tests.faults.shared import SharedWorld
from tests.faults.vendor import Fault as Wire
from tests.faults.vendor import Hang, Refuse, Slow
from tests.faults.world import World
from tests.support.virtual_time import run_virtual

NOTICED = 2.0
"""Seconds until an avatar that has left is given up."""

SLOW: dict[str, list[Wire]] = {
    "it takes 7 s": [Slow(6.0)],
    "it hangs for 16 s": [Hang()] * 2,
    "it is refused again and again": [Refuse(503)] * 3,
}


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("make", [World, SharedWorld], ids=["relay", "shared room"])
def test_a_slow_terminate_does_not_hold_the_next_session_back(make: type[World], name: str) -> None:
    """The next one is asked for after the usual pause, and its avatar speaks; every session is terminated."""
    world = make()
    world.lemonslice.arm("terminate", *SLOW[name])

    async def scenario() -> None:
        async with world:
            await asyncio.sleep(8.0)
            world.rooms[-1].leave()
            left_at = world.now
            await asyncio.sleep(NOTICED + 0.5 + 1.0 + 2.5)
            assert len(world.lemonslice.sent("create")) == 2
            assert world.lemonslice.sent("create")[1].at - left_at <= NOTICED + 0.5 + 0.1
            await world.say(1.0)
            await asyncio.sleep(40.0)
            await world.end()

    run_virtual(scenario)
    assert world.lemonslice.running == (["session-1"] if "hangs" in name else [])
    assert {one.by for one in world.heard() if one.code in world.said[0].codes} == {"avatar"}
    assert all(room.closed for room in world.rooms)


@pytest.mark.parametrize("frame", ["end", "cancel"])
def test_the_end_of_the_call_terminates_what_is_still_to_be_terminated(frame: str) -> None:
    """Both sessions, in at most twelve seconds; what is not done by then is left to a plain request."""
    world = World()
    world.lemonslice.arm("terminate", Hang())

    async def scenario() -> float:
        async with world:
            await asyncio.sleep(5.0)
            world.rooms[-1].leave()
            await asyncio.sleep(NOTICED + 3.0)
            assert len(world.lemonslice.running) == 2
            await (world.end() if frame == "end" else world.cancel())
            ended_at = world.now
        return world.now - ended_at

    assert run_virtual(scenario) <= 12.5
    assert world.lemonslice.running == []
    assert all(room.closed for room in world.rooms)


def test_an_api_that_does_not_answer_at_all_is_left_to_plain_requests() -> None:
    """Both last wills are carried out, the lost session's too."""
    world = World()
    world.lemonslice.arm("terminate", *[Hang()] * 99)

    async def scenario() -> float:
        async with world:
            await asyncio.sleep(5.0)
            world.rooms[-1].leave()
            await asyncio.sleep(NOTICED + 3.0)
            await world.end()
            ended_at = world.now
        return world.now - ended_at

    assert run_virtual(scenario) <= 12.5
    assert world.lemonslice.exit_hooks == ["run"] * 2


def test_the_old_room_is_left_before_the_next_one_is_joined() -> None:
    """The bot is in no room twice, as it may be the same."""
    world = World()
    inside: list[int] = []

    async def scenario() -> None:
        async with world:
            await asyncio.sleep(8.0)
            world.lemonslice.arm("terminate", Slow(6.0))
            world.on_room.append(lambda _: inside.append(sum(not room.closed for room in world.rooms)))
            world.rooms[-1].leave()
            await asyncio.sleep(10.0)
            await world.end()

    run_virtual(scenario)
    assert inside == [1]
