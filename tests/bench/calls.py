"""What a call costs: processor time of the relay bot's own process, while callers see and hear its avatar.

The offline voice, ears and brain run in the same process, and each call's pictures are encoded there. Emulator and
callers run in this process, and are not counted.
"""

import asyncio
import os
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from pipecat_lemonslice.emulator import Emulator, EmulatorOptions
from tests.bots.process import Bot
from tests.integration.test_relay_bot import Browser
from tests.support.waiting import until

SECONDS = 10.0


async def measure(calls: int) -> None:
    """Hold that many calls at a time and print what they cost."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        emulator = await stack.enter_async_context(Emulator(EmulatorOptions(latency=0.1)))
        keys = {"LEMONSLICE_API_URL": emulator.api_url, "LEMONSLICE_API_KEY": "any"}
        bot = await stack.enter_async_context(Bot(folder / "bot.log", "-t", "webrtc", program=("relay.py",), **keys))
        browsers = [await stack.enter_async_context(Browser(bot)) for _ in range(calls)]
        await until(lambda: all(browser.loudest > 500 for browser in browsers), 40.0)

        def so_far() -> tuple[float, float, int]:
            """Return the time, processor seconds of the bot, and pictures."""
            fields = Path(f"/proc/{bot.process.pid}/stat").read_text().rpartition(")")[2].split()
            used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            return time.monotonic(), used, sum(browser.pictures for browser in browsers)

        before = so_far()
        await asyncio.sleep(SECONDS)
        lasted, used, pictures = (after - then for after, then in zip(so_far(), before, strict=True))
        share, rate = used / lasted / calls, pictures / lasted / calls
        print(f"{calls} call(s) speaking: {share:.0%} of a core each, {rate:.1f} pictures a second each")


def run() -> None:
    """Measure one call, and two at a time."""
    for calls in (1, 2):
        asyncio.run(measure(calls))
