"""From the TTS frame that is pushed to the first byte at the avatar: this package beside Pipecat's own transport.

Both run on the stand-in for daily-python, in one process and in turn, with the same script. Nothing is asserted; a
slice lasts 10 ms, so half of what is shown is the grid on which Daily plays.
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Coroutine
from contextlib import contextmanager
from typing import Any

import aiohttp
import pytest
from pipecat.frames.frames import TTSStartedFrame, TTSStoppedFrame
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.transports.lemonslice.transport import LemonSliceNewSessionRequest, LemonSliceParams, LemonSliceTransport

from pipecat_lemonslice import LemonSliceVideoService
from tests.fidelity.calls import Running
from tests.fidelity.installed import URL, Native, standing_in
from tests.fidelity.vendor import Vendor
from tests.support.stage import speech
from tests.support.waiting import until

RESPONSES = 20


async def measure(native: Native, vendor: Vendor, processors: list[FrameProcessor]) -> list[float]:
    """Return the milliseconds of each response."""
    times: list[float] = []
    async with Running(*processors) as running:
        await until(lambda: bool(vendor.avatars) and "Pipecat" in vendor.avatar.people)
        await asyncio.sleep(0.5)
        for number in range(RESPONSES):
            context = f"response-{number}"
            heard = len([piece for piece in vendor.avatar.heard if piece.written])
            pushed = time.monotonic()
            await running.send(TTSStartedFrame(context), speech(0.2, context), TTSStoppedFrame(context))
            done = number + 1
            await until(lambda done=done: vendor.avatar.events.count("response_finished") == done, 10.0)
            first = [piece for piece in vendor.avatar.heard if piece.written][heard]
            times.append((first.at - pushed) * 1000)
            await asyncio.sleep(0.2 + number % 7 * 0.0013)
        await running.end()
    return times


async def ours(native: Native) -> list[float]:
    """Measure this package."""
    async with Vendor(native) as vendor:
        service = LemonSliceVideoService(
            api_key="test-key-0123", api_url=vendor.url, agent_id="agent", daily_room_url=URL
        )
        return await measure(native, vendor, [service])


async def reference(native: Native) -> list[float]:
    """Measure Pipecat's transport."""
    async with Vendor(native) as vendor, aiohttp.ClientSession() as session:
        request = LemonSliceNewSessionRequest(agent_id="agent", daily_room_url=URL)
        request.api_url = f"{vendor.url}/liveai/sessions"
        params = LemonSliceParams(audio_out_sample_rate=24000)
        transport = LemonSliceTransport("Pipecat", session, "test-key-0123", session_request=request, params=params)
        return await measure(native, vendor, [transport.input(), transport.output()])


def run() -> None:
    """Measure both and print the figures."""
    medians: dict[str, float] = {}
    kinds: dict[str, Callable[[Native], Coroutine[Any, Any, list[float]]]] = {
        "pipecat": reference,
        "this package": ours,
    }
    for name, kind in kinds.items():
        with contextmanager(standing_in)(pytest.MonkeyPatch()) as native:
            times = asyncio.run(kind(native))
        medians[name] = statistics.median(times)
        print(f"first byte, {name}: median {medians[name]:.1f} ms, worst {max(times):.1f} ms, {len(times)} responses")
    print(f"first byte, ratio: {medians['this package'] / medians['pipecat']:.2f}")
