"""A call in which nothing is said for long, over the emulator in virtual time: what keeps it, and what that costs."""

import asyncio
from itertools import pairwise

import pytest

from pipecat_lemonslice import AvatarStatus, AvatarStatusFrame
from pipecat_lemonslice.emulator import Status
from tests.faults.world import World

IDLE_TIMEOUT = 60
QUIET = 130.0


async def quiet_call(fault: str | None) -> World:
    """Two quiet minutes in which something goes wrong, and a sentence at their end."""
    async with World(idle_timeout=IDLE_TIMEOUT) as world:
        await asyncio.sleep(5.0)
        if fault:
            world.emulator.fault(fault)
        await asyncio.sleep(QUIET)
        await world.say(1.0)
        await asyncio.sleep(12.0)
        await world.end()
    return world


def resets(world: World) -> list[float]:
    """When the service asked for more time: with every control request but the last, which terminates."""
    return [request.time for request in world.emulator.requests if request.path == "control"][:-1]


@pytest.mark.parametrize("fault", [None, "reject=400@control", "hang@control"])
async def test_a_quiet_call_is_kept_alive_at_little_cost(fault: str | None) -> None:
    """One request for each third of the idle timeout; one that fails in any way harms nothing."""
    world = await quiet_call(fault)
    times = resets(world)
    assert len(times) == pytest.approx(QUIET / IDLE_TIMEOUT * 3, abs=1)
    assert min(after - before for before, after in pairwise(times)) >= IDLE_TIMEOUT / 3 - 1e-6
    assert len(world.created) == 1
    assert world.leaked == []
    assert world.errors == []
    assert world.heard_by(world.said[0]) == {"avatar"}


async def test_a_vendor_that_does_not_know_the_event_lets_a_quiet_call_sleep() -> None:
    """The session ends by its idle timeout, which is no error; the next one is created by the next words, all heard."""
    world = await quiet_call("always*reject=400@reset-idle-timeout")
    first, second = world.emulator.sessions
    assert first.status is Status.TIMED_OUT
    assert second.status is Status.COMPLETED
    assert len(resets(world)) == 3 + 1, "the session that is over is terminated all the same"
    assert world.errors == []
    assert "on_fallback" not in world.event_names()
    frames = [(at, frame.status) for at, frame in world.sink.frames if isinstance(frame, AvatarStatusFrame)]
    asleep = [at for at, status in frames if status is AvatarStatus.DORMANT]
    assert len(asleep) == 1
    joined = first.avatar.events_of("joined")[0].time
    assert asleep[0] == pytest.approx(joined + IDLE_TIMEOUT, abs=0.5)
    said_at = world.said[0].at
    assert [status for _, status in frames][-2:] == [AvatarStatus.HERE, AvatarStatus.ENDED]
    assert all(at >= said_at for at, _ in frames if at > asleep[0])
    assert {sounding.code for sounding in world.heard()} >= set(world.said[0].codes)
    assert world.heard_by(world.said[0]) == {"avatar"}
