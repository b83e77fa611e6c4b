"""``pipecat-lemonslice sessions``: what is shown, what is ended, and what is said when it cannot be."""

import asyncio
import json
import signal
import subprocess
import sys

import pytest

from pipecat_lemonslice.api import CreateSessionRequest, LemonSliceApi
from pipecat_lemonslice.emulator.session import Status
from tests.cli.conftest import KEY, CommandLine


async def create(command: CommandLine, count: int) -> list[str]:
    """Create sessions; returns their ids."""
    async with LemonSliceApi(api_key=KEY, api_url=command.emulator.api_url) as api:
        request = CreateSessionRequest.model_validate({"agent_id": "agent", "transport_type": "daily"})
        return [(await api.create_session(request)).session_id for _ in range(count)]


async def test_sessions_are_listed_and_shown_with_their_cost(command: CommandLine) -> None:
    """For people in columns and a sum; for programs as JSON; those that run, one, or so many."""
    ids = await create(command, 3)
    command.emulator.sessions[0].end(Status.COMPLETED)
    people, programs, running, limited, one = await asyncio.gather(
        command.run("sessions", "list"),
        command.run("sessions", "list", "--json"),
        command.run("sessions", "list", "--running", "--json"),
        command.run("sessions", "list", "--limit", "1", "--json"),
        command.run("sessions", "show", ids[1], "--json"),
    )
    lines = people.out.splitlines()
    assert lines[0].split() == ["SESSION", "STATUS", "CREDITS", "CREATED"]
    assert [line.split()[:2] for line in lines[1:4]] == [
        [ids[2], "ACTIVE"],
        [ids[1], "ACTIVE"],
        [ids[0], "COMPLETED"],
    ]
    assert lines[4].startswith("sessions: 3, running: 2, credits: ")
    assert people.out.isascii()
    listed = json.loads(programs.out)
    assert [session["session_id"] for session in listed["sessions"]] == ids[::-1]
    assert listed["credits"] == pytest.approx(sum(session["credits_used"] for session in listed["sessions"]))
    assert [session["session_id"] for session in json.loads(running.out)["sessions"]] == [ids[2], ids[1]]
    assert len(json.loads(limited.out)["sessions"]) == 1
    assert json.loads(one.out)["session_id"] == ids[1]
    assert {ended.code for ended in (people, programs, running, limited, one)} == {0}


async def test_sessions_are_terminated_when_that_is_confirmed(command: CommandLine) -> None:
    """A no ends none; those that are named, then all that are left; nothing to do is fine."""
    ids = await create(command, 3)
    refused = await command.run("sessions", "terminate", "--all", typed="n\n")
    assert (refused.code, len(command.emulator.running)) == (1, 3)
    named = await command.run("sessions", "terminate", ids[0], typed="y\n")
    assert named.code == 0
    assert [session.id for session in command.emulator.running] == ids[1:]
    assert f"{ids[0]}  COMPLETED" in named.out
    rest = await command.run("sessions", "terminate", "--all", "--yes")
    assert (rest.code, command.emulator.running) == (0, [])
    assert rest.out.splitlines()[-1].startswith("sessions: 2, running: 0, credits: ")
    assert (await command.run("sessions", "terminate", "--all", "--yes")).out == "No session is running.\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_watching_ends_with_ctrl_c(command: CommandLine) -> None:
    """One line of JSON each time, and no word about the end."""
    (session_id,) = await create(command, 1)
    watching = await command.start("sessions", "watch", "--every", "0.1", "--json")
    assert watching.stdout
    for _ in range(2):
        line = json.loads(await watching.stdout.readline())
        assert line["sessions"][0]["session_id"] == session_id
    watching.send_signal(signal.SIGINT)
    ended = await command.ended(watching)
    assert (ended.code, ended.err) == (0, "")


async def test_what_cannot_be_done_is_one_line(command: CommandLine) -> None:
    """On stderr, with an exit code, without a traceback or the key."""
    cases = (
        (command.run("sessions", "show", "nobody"), 1, "not found"),
        (command.run("sessions", "terminate", "nobody", "--yes"), 1, "not found"),
        (command.run("sessions", "terminate"), 2, "--all"),
        (command.run("sessions", "list", LEMONSLICE_API_KEY=""), 2, "LEMONSLICE_API_KEY"),
        (command.run("sessions", "list", LEMONSLICE_API_KEY="wrong-0123456789"), 1, "invalid API key"),
    )
    for ended, (_, code, words) in zip(await asyncio.gather(*(case[0] for case in cases)), cases, strict=True):
        assert ended.code == code, ended.err
        assert words in ended.err
        assert "Traceback" not in ended.err
        assert "0123456789" not in ended.out + ended.err
        assert code == 2 or len(ended.err.splitlines()) == 1


def test_looking_after_sessions_needs_no_pipecat() -> None:
    """Its import takes seconds: help, and what only asks the API, come without it."""
    script = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from pipecat_lemonslice.cli.app import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "assert CliRunner().invoke(app, ['sessions', 'list']).exit_code == 2\n"
        "print('pipecat.frames.frames' in sys.modules)\n"
    )
    environment = {"PATH": "", "LEMONSLICE_API_KEY": ""}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout == "False\n", done.stderr
