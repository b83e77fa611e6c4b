"""What a call costs: processor time of the relay bot's own process, while callers see and hear its avatar.

The offline voice, ears and brain run in the same process, and each call's pictures are encoded there. Emulator and
callers run in this process, and are not counted.
"""

import asyncio
import os
import tempfile
import time
from pathlib import Path

from pipecat_lemonslice.emulator import Emulator, EmulatorOptions
from tests.integration.test_relay_bot import Browser, process, until

SECONDS = 10.0


def processor_seconds(pid: int) -> float:
    """Return what a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(calls: int) -> None:
    """Hold that many calls at a time and print what they cost."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "bot.log"
        async with (
            Emulator(EmulatorOptions(latency=0.1)) as emulator,
            process(emulator, log, "relay.py", "-t", "webrtc") as (url, pid),
        ):
            browsers = [Browser() for _ in range(calls)]
            for browser in browsers:
                await browser.call(url)
            await until(lambda: all(browser.loudest > 500 for browser in browsers), "all callers hear the avatar")
            pictures = sum(browser.pictures for browser in browsers)
            used, begun = processor_seconds(pid), time.monotonic()
            await asyncio.sleep(SECONDS)
            lasted = time.monotonic() - begun
            share = (processor_seconds(pid) - used) / lasted / calls
            rate = (sum(browser.pictures for browser in browsers) - pictures) / lasted / calls
            print(f"{calls} call(s) speaking: {share:.0%} of a core each, {rate:.1f} pictures a second each")
            for browser in browsers:
                await browser.hang_up()


def run() -> None:
    """Measure one call, and two at a time."""
    for calls in (1, 2):
        asyncio.run(measure(calls))
