"""The command line, in processes of their own."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from loguru import logger

from pipecat_lemonslice.emulator.__main__ import main
from tests.emulator.town import CREATE, KEY

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """An emulator on a free port, by its API address, ended if the test does not end it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "pipecat_lemonslice.emulator", "--port", "0", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            line = (await process.stdout.readline()).decode()
        assert line.startswith("LemonSlice emulator ready: LEMONSLICE_API_URL=http://127.0.0.1:")
        yield line.strip().partition("=")[2], process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_it_serves_misbehaves_and_ends():
    """One line when ready, faults as told, and a quiet end at SIGTERM with a session running."""
    arguments = ("--reject", "503", "--reject-times", "2", "--retry-after", "1", "--never-join", "--room", "lobby")
    async with running(*arguments) as (url, process), aiohttp.ClientSession() as http:
        statuses: list[int] = []
        for _ in range(3):
            async with http.post(url + "/liveai/sessions", json=CREATE, headers=KEY) as response:
                statuses.append(response.status)
        assert statuses == [503, 503, 201]
        socket = await http.ws_connect(url.replace("http", "ws").replace("/api", "/rooms/lobby"))
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            out, _ = await process.communicate()
            assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        assert (process.returncode, out) == (0, b"")


def test_a_taken_port_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """A port that cannot be had is one sentence and status 1."""
    monkeypatch.setattr(logger, "remove", lambda: None)
    assert main(["--host", "203.0.113.1", "--port", "8900"]) == 1
    assert capsys.readouterr().err.startswith("The emulator cannot listen on 203.0.113.1:8900")


def test_help_explains_every_option(capsys: pytest.CaptureFixture[str]):
    """--help names the environment variable and each group."""
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(word in text for word in ("LEMONSLICE_API_URL", "--latency", "--cold-start", "--reject-times"))


@pytest.mark.parametrize("arguments", [["--latency", "-1"], ["--port", "x"], ["--fault-path", "moon"], ["extra"]])
def test_nonsense_is_refused(arguments: list[str]):
    """Wrong arguments end with argparse's status."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
