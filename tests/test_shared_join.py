"""When the bot's transport is in a shared room, and what an error says about that: nothing by itself."""

import asyncio

from tests.faults.shared import SharedWorld

FAILURE = "Error joining https://example.daily.co/lobby: no luck"


async def test_an_error_before_joining_is_not_the_end() -> None:
    """The transport fails and joins after all: one session, its avatar speaks, and nothing is reported."""
    async with SharedWorld(joins_after=5.0) as world:
        await asyncio.sleep(1.0)
        world.transport.tell("on_error", FAILURE)
        await asyncio.sleep(9.0)
        said = await world.say(0.5)
        await world.settle(2.0)
        assert world.heard_by(said) == {"avatar"}
        assert len(world.created) == 1
        assert world.errors == []


async def test_no_session_is_created_before_the_transport_is_in_its_room() -> None:
    """It costs nothing while nobody could meet the avatar; the error says for what is waited, and why."""
    async with SharedWorld(joins_after=None) as world:
        await asyncio.sleep(1.0)
        world.transport.tell("on_error", FAILURE)
        await asyncio.sleep(29.0)
        assert world.created == []
        assert ["not joined its room" in error.error and "no luck" in error.error for error in world.errors] == [True]
        world.join_transport()
        await asyncio.sleep(10.0)
        assert len(world.created) == 1
        assert world.rooms[0].avatar_is_there


async def test_a_transport_that_has_left_is_out_of_its_room_for_good() -> None:
    """No further session is asked for."""
    async with SharedWorld() as world:
        await asyncio.sleep(10.0)
        world.transport.tell("on_left")
        await asyncio.sleep(60.0)
        assert len(world.created) == 1
        assert world.leaked == []
