"""What ends a session when no event loop can: run in a process of its own, against the emulator."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest

from pipecat_lemonslice.api.exit_hook import EXIT_TIMEOUT, REQUEST_TIMEOUT
from pipecat_lemonslice.emulator import Emulator, EmulatorOptions

CREATE = """
import asyncio
from pipecat_lemonslice.api import CreateSessionRequest, LemonSliceApi

async def main():
    api = LemonSliceApi(api_key="test-key-0123", api_url={url!r})
    for _ in range({sessions}):
        created = await api.create_session(CreateSessionRequest(agent_id="agent"))
        hook = api.exit_hook(created.session_id, control_url=created.control_url)
    await api.close()
    {rest}

{run}
"""


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(EmulatorOptions()) as running:
        yield running


async def run(emulator: Emulator, *, rest: str = "", run: str = "asyncio.run(main())", sessions: int = 1) -> int:
    script = CREATE.format(url=emulator.api_url, rest=rest, run=run, sessions=sessions)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stderr=subprocess.DEVNULL)
    return await asyncio.wait_for(process.wait(), 30)


async def test_a_cancelled_hook_is_not_run(emulator: Emulator) -> None:
    """What has ended in order is not ended again."""
    assert await run(emulator, rest="hook.cancel()") == 0
    assert (emulator.created, emulator.terminated) == (1, 0)


async def test_a_vendor_that_is_gone_holds_nothing_up(emulator: Emulator) -> None:
    """If nobody answers, the process ends in bounded time, with its own result."""
    emulator.fault("10*hang@control")
    started = time.monotonic()
    assert await run(emulator, rest="raise SystemExit(3)", sessions=5) == 3
    assert time.monotonic() - started < EXIT_TIMEOUT + REQUEST_TIMEOUT + 10.0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
async def test_a_forked_child_ends_no_session_of_its_parent(emulator: Emulator) -> None:
    """The session is still its parent's to end."""
    rest = "import os; child = os.fork(); child or exit(); os.waitpid(child, 0); hook.cancel()"
    assert await run(emulator, rest=rest) == 0
    assert (emulator.created, emulator.terminated) == (1, 0)
