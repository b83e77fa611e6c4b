"""From the TTS frame that is pushed to the first byte at the avatar: this package beside Pipecat's own transport.

Both run on the stand-in for daily-python, in one process and in turn, with the same script. Nothing is asserted; a
slice lasts 10 ms, so half of what is shown is the grid on which Daily plays.
"""

import asyncio
import statistics
import time
from contextlib import contextmanager

import aiohttp
import pytest

from tests.fidelity.bots import Bot
from tests.fidelity.installed import Native, standing_in
from tests.fidelity.test_differential import Processors, ours, reference
from tests.fidelity.vendor import Vendor
from tests.support.waiting import until

RESPONSES = 20


async def measure(native: Native, processors: Processors) -> list[float]:
    """Return the milliseconds of each response."""
    times: list[float] = []
    async with (
        Vendor(native) as vendor,
        aiohttp.ClientSession() as session,
        Bot(vendor, processors=processors(vendor, session)) as bot,
    ):
        await until(lambda: bool(vendor.avatars) and "Pipecat" in vendor.avatar.present)
        await asyncio.sleep(0.5)
        for number in range(RESPONSES):
            heard = sum(piece.written for piece in vendor.avatar.heard)
            pushed = time.monotonic()
            await bot.speak(0.2, f"response-{number}")
            done = number + 1
            await until(lambda done=done: vendor.avatar.events.count("response_finished") == done, 10.0)
            first = [piece for piece in vendor.avatar.heard if piece.written][heard]
            times.append((first.at - pushed) * 1000)
            await asyncio.sleep(0.2 + number % 7 * 0.0013)
        await bot.end()
    return times


def run() -> None:
    """Measure both and print the figures."""
    medians: dict[str, float] = {}
    for name, processors in {"pipecat": reference, "this package": ours}.items():
        with contextmanager(standing_in)(pytest.MonkeyPatch()) as native:
            times = asyncio.run(measure(native, processors))
        medians[name] = statistics.median(times)
        print(f"first byte, {name}: median {medians[name]:.1f} ms, worst {max(times):.1f} ms, {len(times)} responses")
    print(f"first byte, ratio: {medians['this package'] / medians['pipecat']:.2f}")
