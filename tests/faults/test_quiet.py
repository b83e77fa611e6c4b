"""A call in which nothing is said for long, over the emulator in virtual time: what keeps it, and what that costs."""

import asyncio
import math
from itertools import pairwise
from typing import Any

import pytest

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


@pytest.mark.beside
@pytest.mark.parametrize("fault", [None, "reject=400@control", "reject=503@control", "hang@control", "drip=15@control"])
def test_a_quiet_call_is_kept_alive_at_little_cost(fault: str | None) -> None:
    """One request for each third of the idle timeout; one that fails in any way harms nothing."""
    world = quiet_call(lambda emulator: emulator.fault(fault) if fault else None)
    times = resets(world)
    assert len(times) == pytest.approx(QUIET / IDLE_TIMEOUT * 3, abs=1)
    assert min(after - before for before, after in pairwise(times)) >= IDLE_TIMEOUT / 3 - 1e-6
    assert len(world.lemonslice.created) == len(world.lemonslice.terminated) == 1
    assert world.errors == []
    assert heard_by(world) == {"avatar"}


@pytest.mark.beside
def test_a_vendor_that_does_not_know_the_event_costs_no_more() -> None:
    """Each session ends by its idle timeout and is replaced, which is told; nothing that is said is lost."""
    world = quiet_call(lambda emulator: emulator.reject(400, times=math.inf, path="control"))
    sessions = len(world.lemonslice.created)
    assert 2 <= sessions <= QUIET / IDLE_TIMEOUT + 2
    assert len(resets(world)) <= QUIET / IDLE_TIMEOUT * 3
    assert len(world.errors) >= sessions - 1
    assert {sounding.code for sounding in world.heard()} >= set(world.said[0].codes)


@pytest.mark.beside
def test_a_bot_that_keeps_it_alive_itself_is_left_alone() -> None:
    """With keep_alive off nothing is sent, and the session ends by its timeout."""
    world = quiet_call(keep_alive=False)
    assert resets(world) == []
    assert len(world.lemonslice.created) > 1
