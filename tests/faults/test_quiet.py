"""A call in which nothing is said for long, over the emulator in virtual time: what keeps it, and what that costs."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from pipecat_lemonslice import AvatarStatus, AvatarStatusFrame
from pipecat_lemonslice.emulator import Status
from tests.faults.emulated import EmulatedWorld
from tests.support.virtual_time import run_virtual

IDLE_TIMEOUT = 60
QUIET = 240.0


def quiet_call(prepare: Any = lambda _: None, **kwargs: Any) -> EmulatedWorld:
    """Four quiet minutes, and a sentence at their end."""
    world = EmulatedWorld(idle_timeout=IDLE_TIMEOUT, **kwargs)

    async def scenario() -> None:
        async with world:
            await asyncio.sleep(5.0)
            prepare(world.lemonslice.emulator)  # type: ignore[attr-defined]
            await asyncio.sleep(QUIET)
            await world.say(1.0)
            await asyncio.sleep(12.0)
            await world.end()

    run_virtual(scenario, loop=world.loop)
    return world


def resets(world: EmulatedWorld) -> list[float]:
    return [sent.at for sent in world.lemonslice.requests if sent.event == "reset-idle-timeout"]


def heard_by(world: EmulatedWorld) -> set[str]:
    return {sounding.by for sounding in world.heard() if sounding.code in world.said[0].codes}


@pytest.mark.parametrize("fault", [None, "reject=400@control", "hang@control"])
def test_a_quiet_call_is_kept_alive_at_little_cost(fault: str | None) -> None:
    """One request for each third of the idle timeout; one that fails in any way harms nothing."""
    world = quiet_call(lambda emulator: emulator.fault(fault) if fault else None)
    times = resets(world)
    assert len(times) == pytest.approx(QUIET / IDLE_TIMEOUT * 3, abs=1)
    assert min(after - before for before, after in pairwise(times)) >= IDLE_TIMEOUT / 3 - 1e-6
    assert len(world.lemonslice.created) == len(world.lemonslice.terminated) == 1
    assert world.errors == []
    assert heard_by(world) == {"avatar"}


def test_a_vendor_that_does_not_know_the_event_lets_a_quiet_call_sleep() -> None:
    """The session ends by its idle timeout, which is no error; the next one is created by the next words, all heard."""
    world = quiet_call(lambda emulator: emulator.fault("always*reject=400@reset-idle-timeout"))
    first, second = world.lemonslice.emulator.sessions  # type: ignore[attr-defined]
    assert first.status is Status.TIMED_OUT
    assert second.id in world.lemonslice.terminated
    assert len(resets(world)) == 3
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
    assert heard_by(world) == {"avatar"}
