import asyncio
import threading

import pytest

from tests.support.virtual_time import START, StuckError, run_virtual, virtual_time


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("steps", [1, 7, 1000])
def test_inexact_times_do_not_stall(steps: int):
    """A timer that lies within a rounding error of now still runs."""

    async def scenario() -> float:
        for _ in range(steps):
            await asyncio.sleep(0.1)
        return now() - START

    assert run_virtual(scenario) == pytest.approx(steps * 0.1)


def test_stuck_loop_raises_and_says_where():
    """Nothing ready, no timer: StuckError names the task and the line it waits in."""

    async def waits_for_ever() -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        await asyncio.create_task(waits_for_ever(), name="the-waiter")

    with pytest.raises(StuckError, match=r"the-waiter waits in .*test_virtual_time\.py:\d+ \(.*waits_for_ever\)"):
        run_virtual(scenario)


def test_spinning_loop_raises(monkeypatch: pytest.MonkeyPatch):
    """A loop that polls without time passing is not left to run for ever."""
    monkeypatch.setattr("tests.support.virtual_time._SPINS", 1000)

    async def scenario() -> None:
        while True:  # noqa: ASYNC110 - the fault under test
            await asyncio.sleep(0)

    with pytest.raises(StuckError, match="no time passes"):
        run_virtual(scenario)


def test_endless_timers_raise():
    """A heartbeat that keeps the loop alive does not hide a test that never ends."""

    async def scenario() -> None:
        while True:  # noqa: ASYNC110 - the fault under test
            await asyncio.sleep(1)

    with pytest.raises(StuckError, match="60 virtual seconds"):
        run_virtual(scenario, limit=60)


@virtual_time
async def test_the_clock_stands_still_during_a_thread():
    """Work in asyncio.to_thread takes no virtual time, even if a timer is waiting meanwhile."""
    fired: list[float] = []
    asyncio.get_running_loop().call_later(0.25, lambda: fired.append(now()))
    released = threading.Event()
    threading.Timer(0.02, released.set).start()
    assert await asyncio.to_thread(released.wait, 10)
    assert now() == START
    assert fired == []
    await asyncio.sleep(1)
    assert fired == [START + 0.25]
