"""What ends a session when no event loop can: run in a process of its own, against the emulator."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from pipecat_lemonslice.emulator import Emulator, EmulatorOptions

CREATE = """
import asyncio
from pipecat_lemonslice.api import CreateSessionRequest, LemonSliceApi

async def main():
    api = LemonSliceApi(api_key="test-key-0123", api_url={url!r})
    created = await api.create_session(CreateSessionRequest(agent_id="agent"))
    will = api.last_will(created.session_id, control_url=created.control_url)
    await api.close()
    {rest}

{run}
"""


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(EmulatorOptions()) as running:
        yield running


async def run(emulator: Emulator, *, rest: str = "", run: str = "asyncio.run(main())") -> int:
    script = CREATE.format(url=emulator.api_url, rest=rest, run=run)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stderr=subprocess.DEVNULL)
    return await asyncio.wait_for(process.wait(), 30)


async def test_a_process_that_just_ends_terminates_its_session(emulator: Emulator) -> None:
    """A loop that is closed without any clean-up leaves no session running."""
    assert await run(emulator) == 0
    assert emulator.created == emulator.terminated == 1


async def test_a_process_that_fails_terminates_its_session(emulator: Emulator) -> None:
    """An exception that nobody handles leaves no session running either."""
    assert await run(emulator, rest="raise SystemExit(3)") == 3
    assert emulator.created == emulator.terminated == 1


async def test_a_revoked_will_is_not_carried_out(emulator: Emulator) -> None:
    """What has ended in order is not ended again."""
    assert await run(emulator, rest="will.revoke()") == 0
    assert (emulator.created, emulator.terminated) == (1, 0)


async def test_a_vendor_that_is_gone_holds_nothing_up(emulator: Emulator) -> None:
    """If nobody answers, the process ends all the same, with its own result."""
    emulator.hang(path="control")
    assert await run(emulator, rest="raise SystemExit(0)") == 0
