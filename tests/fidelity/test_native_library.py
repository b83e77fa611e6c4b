"""daily-python itself, wherever it works without a room. In processes of their own, for what may hang or abort."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "scripts"


async def run(script: str, *args: str, seconds: float) -> str:
    """Run a script to its end, in bounded time, and return what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "faulthandler", str(SCRIPTS / f"{script}.py"), *args),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(SCRIPTS.parents[2]), "PATH": "/usr/bin:/bin", "LOGURU_LEVEL": "WARNING"},
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()[-2000:]
    return out.decode()


async def test_the_native_thread_paces_speech_whatever_the_loop_does() -> None:
    """Blocked for 150 ms five times a second, no silence in three seconds of speech, nor before the end of a response.

    The first 20 ms wait for the library's grid of 10 ms, and an interruption leaves 40 ms.
    """
    result = json.loads(await run("pacing", seconds=40))
    assert 2.99 <= result["total"] <= 3.3
    assert result["silence"] <= 0.05
    assert 0.019 <= result["first"] <= 0.02 + 0.01 + 0.01
    assert result["tail_silence"] <= 0.012
    assert result["tail_played"] == pytest.approx(0.507)
    assert result["left"] <= 0.04


async def test_a_call_whose_room_cannot_be_reached_goes_on_with_the_plain_voice() -> None:
    """One clear error, the session terminated, the speech heard without the avatar, the end not held up."""
    result = json.loads(await run("no_network_call", seconds=25))
    assert result["errors"][0] == "the room could not be joined within 1 s; check the network"
    assert result["voice"]
    assert result["log"].count("create") == result["log"].count("terminate")
    assert result["end"] < 5.0


@pytest.mark.parametrize("order", ["before", "after"])
async def test_dropping_everything_in_mid_write_hangs_nothing_beside_pipecats_transport(order: str) -> None:
    """Rooms dropped with speech unplayed, closed or not, on a loop or after it, let the process go on and end.

    Whether Pipecat's transport comes before them or after, daily-python is initialized once.
    """
    assert "ended" in await run("dropped", order, seconds=20)
