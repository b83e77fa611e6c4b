"""What the log says of a call, for whoever reads it at night. Calls in virtual time."""

import re

from pipecat_lemonslice import AvatarStatus, AvatarStatusFrame
from tests.faults.world import World
from tests.support.logs import package_logs
from tests.support.memory import MemoryVendor
from tests.support.stage import Stage, speech


async def test_an_api_that_cannot_be_reached_is_a_warning_at_once() -> None:
    """At the first failed attempt, with the cause; the same cause is the reason of the fallback and on the page."""
    world = World(observed=False)
    world.network.refuse(600.0)
    with package_logs() as lines:
        async with world as stage:
            assert [line.level for line in lines] == ["WARNING"]
            assert stage.now - lines[0].at < 0.1
            assert "Cannot connect" in lines[0].text
            assert re.search(r"next attempt is made in \d+\.\d s", lines[0].text)
            await stage.send(speech(1.0), 8.5)
            assert len(stage.fallbacks) == 1
            assert stage.fallbacks[0].rstrip(".") in lines[0].text
            statuses = [one for one in stage.down(AvatarStatusFrame) if one.status is AvatarStatus.VOICE_ONLY]
            assert [one.detail for one in statuses] == stage.fallbacks
            await stage.settle(30.0)
            assert len(lines) == 1, "an outage is one warning"


async def test_an_outage_that_passes_is_one_warning_and_then_says_that_the_avatar_is_there() -> None:
    """Whoever reads it sees why there was no avatar, and that there is one; a second outage is warned of anew."""
    world = World(observed=False)
    world.emulator.fault("2*reject=429,detail=too many sessions")
    with package_logs() as lines:
        async with world as stage:
            await stage.settle(10.0)
            assert [line.level for line in lines] == ["WARNING", "INFO", "INFO"]
            assert "too many sessions" in lines[0].text
            world.emulator.fault("reject=500,detail=no GPU")
            world.rooms[0].leave()
            await stage.settle(10.0)
            warnings = [line.text for line in lines if line.level == "WARNING"]
            assert len(warnings) == 2
            assert "has left" in warnings[1]


async def test_a_good_call_is_three_lines() -> None:
    """Its session created, with the id; ready, after how long; over, after how long and at what cost. No warning."""
    with package_logs() as lines:
        async with Stage(MemoryVendor(latency=1.0)) as stage:
            await stage.settle(3.5)
            await stage.arrive(1.0)
            await stage.send(speech(2.0), 6.5)
            await stage.end()
    assert [line.level for line in lines] == ["INFO"] * 3
    created, ready, over = (line.text for line in lines)
    assert "session-1" in created
    assert "created" in created
    assert "ready" in ready
    assert "3.5 s" in ready
    assert "session-1" in over
    assert "10 s" in over
    assert "1.5 credits" in over


async def test_a_cost_that_is_not_told_is_called_unknown() -> None:
    """It is not taken for none."""

    class Silent(MemoryVendor):
        async def get_session(self, session_id: str):
            raise TimeoutError

    with package_logs() as lines:
        async with Stage(Silent()) as stage:
            await stage.end()
    assert "unknown" in lines[-1].text
    assert "credits" not in lines[-1].text
