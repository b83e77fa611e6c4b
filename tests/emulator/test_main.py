"""The command line: as a process, and what it says of arguments that cannot work."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from pipecat_lemonslice.emulator import Emulator, EmulatorOptions
from pipecat_lemonslice.emulator.__main__ import main
from pipecat_lemonslice.emulator.faults import KINDS
from tests.emulator.client import CREATE, KEY
from tests.emulator.conftest import Says


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """An emulator on a free port, by its API address, ended if the test does not end it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "pipecat_lemonslice.emulator", "--port", "0", *arguments),
        stdout=asyncio.subprocess.PIPE,
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


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_it_serves_misbehaves_and_ends() -> None:
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


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
async def test_an_ipv6_address_is_written_in_brackets() -> None:
    """The address that it prints can be used."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    async with Emulator(EmulatorOptions(host="::1")) as emulator, aiohttp.ClientSession() as http:
        assert emulator.api_url.startswith("http://[::1]:")
        async with http.get(f"{emulator.api_url}/liveai/sessions", headers=KEY) as response:
            assert response.status == 200


def test_where_it_cannot_listen_is_said(says: Says) -> None:
    """A port in use, another machine's address: one line that names it and the options, and status 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = says(2, "--port", str(port))
    assert f"cannot listen on 127.0.0.1:{port}: " in line
    assert "address already in use (--host and --port choose another place)" in line
    assert "cannot listen on 203.0.113.1:0: " in says(2, "--port", "0", "--host", "203.0.113.1")


def test_a_missing_renderer_is_said(says: Says, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without resvg-py one sentence says what to install, and the status is 1."""
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    missing = "The emulator needs resvg-py for its face: pip install 'pipecat-lemonslice[emulator]'"
    assert says(1, "--port", "0") == missing


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cold-start", "soon"], "argument --cold-start: must be a number of seconds from 0, not 'soon'"),
        (["--port", "99999"], "argument --port: must be a port from 0 to 65535 (0 takes a free one), not '99999'"),
        (["--max-body", "4M"], "argument --max-body: must be a number of bytes from 1, such as 4194304, not '4M'"),
        (["--key", ""], "argument --key: must be a text; leave the option out for its default"),
        (["--room", "a/b"], "argument --room: must be letters, digits, '-' and '_', such as lobby, not 'a/b'"),
        (["--fault", "rejct=503"], "argument --fault: unknown fault 'rejct', did you mean reject? Known: "),
        (["--reject", "503"], "unrecognized arguments: --reject 503"),
    ],
)
def test_nonsense_is_refused(arguments: list[str], said: str, says: Says) -> None:
    """Wrong arguments are explained in one line and end with argparse's status."""
    line = says(2, *arguments)
    assert said in line
    assert line.endswith("(--help explains the options)")


def test_help_explains_every_option_and_fault(capsys: pytest.CaptureFixture[str]) -> None:
    """It names the environment variables, the options, the notation, and all faults that are known."""
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(word in text for word in ("LEMONSLICE_API_URL", "--latency", "--cold-start", "--fault"))
    assert "[TIMES*]NAME[=VALUE][,KEY=VALUE...][@PATH]" in text
    assert all(text.count(f"\n    {name}") == 1 for name in KINDS)
