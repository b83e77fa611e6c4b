"""daily-python itself, wherever it works without a room. In processes of their own, for what may hang or abort."""

import asyncio
import json
import sys
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "scripts"


async def run(script: str, *args: str, seconds: float) -> str:
    """Run a script to its end, in bounded time, and return what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-X",
        "faulthandler",
        str(SCRIPTS / f"{script}.py"),
        *args,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=SCRIPTS.parents[2],
        env={"PYTHONPATH": str(SCRIPTS.parents[2]), "PATH": "/usr/bin:/bin", "LOGURU_LEVEL": "WARNING"},
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        process.kill()
        _, err = await process.communicate()
        raise AssertionError(f"{script} hangs; it said: {err.decode()[-2000:]}") from None
    assert process.returncode == 0, err.decode()[-2000:]
    return out.decode()


async def test_two_short_writes_in_flight_play_without_a_gap() -> None:
    """Ten seconds of 20 ms writes last ten seconds, within 0.5 %, and no pause is longer than a slice.

    On a machine that keeps the event loop waiting, pauses are allowed for as long as that.
    """
    result = json.loads(await run("pacing", seconds=40))
    assert result["writes"] == 500
    assert 9.95 <= result["total"] <= 10.05 + result["starved"]
    assert result["gap"] <= 0.010 + 0.001 + result["starved"]


async def test_a_room_that_cannot_be_reached_is_an_error_and_hangs_nothing() -> None:
    """Joining without a network ends with a clear RoomError in time, and the process with it."""
    started = time.monotonic()
    result = json.loads(await run("no_network", seconds=15))
    assert result["error"] == "the room could not be joined within 2 s; check the network"
    assert result["seconds"] < 3.0
    assert time.monotonic() - started < 12.0


async def test_a_call_whose_room_cannot_be_reached_goes_on_with_the_plain_voice() -> None:
    """One clear error, the session terminated, the speech heard without the avatar, the end not held up."""
    result = json.loads(await run("no_network_call", seconds=25))
    assert result["errors"][0] == "the room could not be joined within 1 s; check the network"
    assert result["voice"]
    assert result["log"].count("create") == result["log"].count("terminate")
    assert result["end"] < 5.0


async def test_dropping_everything_in_mid_write_hangs_nothing() -> None:
    """Rooms dropped with speech unplayed, closed or not, on a loop or after it, let the process go on and end."""
    assert "ended" in await run("dropped", seconds=20)


@pytest.mark.parametrize("order", ["first", "second"])
async def test_daily_is_set_up_once_beside_pipecat(order: str) -> None:
    """Whether Pipecat's transport comes first or second, daily-python is initialized once."""
    assert "ended" in await run("beside_pipecat", order, seconds=20)
