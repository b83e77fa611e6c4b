"""Every way in which a process ends, counted at the emulator: as many sessions terminated as created. In real time."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from pipecat_lemonslice.emulator import Emulator, EmulatorOptions

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).parent / "scripts" / "call.py"
PATIENCE = 40.0


async def spawn(emulator: Emulator, mode: str) -> tuple[asyncio.subprocess.Process, str]:
    """A bot in a process of its own whose avatar is there; returns it and its session's id."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), emulator.api_url, mode, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
    return process, line.decode().strip()


async def status_after(emulator: Emulator, mode: str, sign: signal.Signals | None) -> str:
    """How the session of a process stands when it is over."""
    process, session_id = await spawn(emulator, mode)
    session = next(session for session in emulator.sessions if session.id == session_id)
    try:
        if sign is not None:
            process.send_signal(sign)
            await asyncio.wait_for(process.wait(), PATIENCE)
        # A bug in the bot's own code may leave Pipecat's runner hanging; the session ends all the same.
        await session.avatar.wait_until(lambda: session.ended, timeout=PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    return str(session.status)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_a_process_that_ends_leaves_no_session() -> None:
    """Signals, a crash, an exit and an abandoned loop end the session; what kill -9 leaves ends by its timeout."""
    async with Emulator(EmulatorOptions(latency=0.05)) as emulator:
        ways = {
            "SIGINT": status_after(emulator, "wait", signal.SIGINT),
            "SIGTERM": status_after(emulator, "wait", signal.SIGTERM),
            "crash": status_after(emulator, "crash", None),
            "exit": status_after(emulator, "exit", None),
            "abandoned loop": status_after(emulator, "abandon", None),
            "SIGKILL": status_after(emulator, "wait", signal.SIGKILL),
        }
        statuses = dict(zip(ways, await asyncio.gather(*ways.values()), strict=True))
        assert statuses == {**dict.fromkeys(ways, "COMPLETED"), "SIGKILL": "TIMED_OUT"}
        assert emulator.created == emulator.terminated + 1
