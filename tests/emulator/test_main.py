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
from pipecat_lemonslice.emulator.forms import table
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
    arguments = ("--fault", "2*reject=503,retry_after=1", "--fault", "never_join", "--room", "lobby")
    async with running(*arguments) as (url, process), aiohttp.ClientSession() as http:
        answers: list[tuple[int, str | None]] = []
        for _ in range(3):
            async with http.post(url + "/liveai/sessions", json=CREATE, headers=KEY) as response:
                answers.append((response.status, response.headers.get("Retry-After")))
        assert answers == [(503, "1"), (503, "1"), (201, None)]
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
    assert all(word in text for word in ("LEMONSLICE_API_URL", "--latency", "--cold-start", "--fault"))


def test_help_lists_every_fault(capsys: pytest.CaptureFixture[str]):
    """--help has the table of faults and the grammar that they are written in."""
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert "[TIMES*]NAME[=VALUE][,KEY=VALUE...][@PATH]" in text
    assert table() in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--latency", "-1"], "argument --latency: must be a number of seconds from 0"),
        (["--port", "x"], "argument --port: invalid int value: 'x'"),
        (["--fault", "rejct=503"], "argument --fault: unknown fault 'rejct', did you mean reject? Known: "),
        (["--fault", "malform", "--fault", "delay=x"], "argument --fault: delay: seconds must be a number of seconds"),
        (["--fault", "hang@moon"], "argument --fault: unknown path 'moon'; Known: create, list, get, control, any"),
        (["--reject", "503"], "unrecognized arguments: --reject 503"),
        (["extra"], "unrecognized arguments: extra"),
    ],
)
def test_nonsense_is_refused(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]):
    """Wrong arguments are explained and end with argparse's status."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_a_missing_renderer_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Without resvg-py one sentence says what to install, and the status is 1."""
    monkeypatch.setattr(logger, "remove", lambda: None)
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    assert main(["--port", "0"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said == ["The emulator needs resvg-py for its face: pip install 'pipecat-lemonslice[emulator]'"]
