"""What the bots say when they are started without what they need: as processes, as their users start them."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

BOTS = Path(__file__).parents[2] / "bots"
NAMES = ("LEMONSLICE_", "DAILY_", "DEEPGRAM_", "OPENAI_", "CARTESIA_")
AVATAR = {"LEMONSLICE_API_KEY": "any", "LEMONSLICE_AGENT_ID": "agent_1"}
START_SECONDS = 60.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def started(script: str, arguments: Sequence[str], keys: Mapping[str, str], directory: Path) -> tuple[int, list[str]]:
    """The exit code of a bot that must end by itself, and the lines that it says beside its log."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(NAMES)}
    # The usual port may be in use on this machine.
    port = [] if "--port" in arguments else ["--port", str(free_port())]
    ended = subprocess.run(
        [sys.executable, str(BOTS / script), *arguments, *port],
        env={**kept, **keys},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    assert "http://" not in ended.stdout, "it says that it can be called"
    return ended.returncode, [line for line in ended.stderr.splitlines() if " | " not in line]


@pytest.mark.parametrize("script", ["relay.py", "speech_to_speech.py"])
def test_a_bot_without_keys_names_them_and_ends(script: str, tmp_path: Path) -> None:
    """One line for each thing that is missing, with the names of the environment variables."""
    code, lines = started(script, ["-t", "daily"], {}, tmp_path)
    assert code != 0
    daily, key, avatar, *model = lines
    assert "DAILY_API_KEY" in daily
    assert "LEMONSLICE_API_KEY" in key
    assert "LEMONSLICE_AGENT_ID or LEMONSLICE_IMAGE_URL" in avatar
    assert len(model) == (script == "speech_to_speech.py")
    assert all("OPENAI_API_KEY" in line for line in model)


@pytest.mark.parametrize(
    ("script", "arguments", "keys", "said"),
    [
        ("relay.py", ["-t", "webrtc"], {**AVATAR, "OPENAI_API_KEY": "k"}, "DEEPGRAM_API_KEY and CARTESIA_API_KEY"),
        ("relay.py", ["-t", "webrtc"], {**AVATAR, "LEMONSLICE_IMAGE_URL": "https://x.example/y.png"}, "not both"),
        ("relay.py", ["-t", "livekit"], AVATAR, "-t webrtc or -t daily"),
        ("shared_room.py", ["-t", "webrtc"], AVATAR, "-t daily"),
        ("local.py", ["-t", "daily"], {}, "local.py cannot use the transport daily"),
    ],
)
def test_what_cannot_work_is_refused_before_anybody_calls(
    script: str, arguments: Sequence[str], keys: Mapping[str, str], said: str, tmp_path: Path
) -> None:
    """In one line, with an exit code, and without an invitation to call."""
    code, lines = started(script, arguments, keys, tmp_path)
    assert code != 0
    assert len(lines) == 1
    assert said in lines[0]


def test_the_local_bot_names_the_package_that_draws_the_avatar(tmp_path: Path) -> None:
    """With a LemonSlice or emulator elsewhere it is not needed; here one line says how to install it."""
    (tmp_path / "sitecustomize.py").write_text('import sys\nsys.modules["resvg_py"] = None\n')
    code, lines = started("local.py", [], {"PYTHONPATH": str(tmp_path)}, tmp_path)
    assert code != 0
    assert lines == ["resvg_py not found: uv pip install 'pipecat-lemonslice[local]'"]


def test_a_pause_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """The line says what is wanted instead."""
    code, lines = started("local.py", ["--sentence-pause=nan"], {}, tmp_path)
    assert code == 2
    assert "--sentence-pause: give a number of seconds, 0 or more" in lines[-1]


def test_every_option_of_the_local_bot_is_explained(tmp_path: Path) -> None:
    """Also where something else on the command line is wrong: help is always given."""
    shown = subprocess.run(
        [sys.executable, str(BOTS / "local.py"), "-t", "daily", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=True,
        env={**os.environ, "COLUMNS": "200"},
    ).stdout
    own = shown[shown.index("\n  --ears") : shown.index("\n  --host")]
    for option in ("--ears", "--voice", "--stop-events", "--sentence-pause", "--aspect"):
        text = own[own.index(f"  {option}") :]
        assert "the default is" in text or "(the default)" in text, option


@pytest.mark.parametrize(
    ("script", "keys", "arguments", "said"),
    [
        ("local.py", {}, ["--port", "99999"], "--port: give a port from 1 to 65535, not '99999'"),
        ("local.py", {}, ["--host", "192.0.2.1"], "--host 192.0.2.1 is not of this machine"),
        ("relay.py", AVATAR, ["--wrong"], "unrecognized arguments: --wrong"),
        ("shared_room.py", {**AVATAR, "DAILY_API_KEY": "k"}, ["--host", "no host"], "--host no host is not known"),
    ],
)
def test_where_a_bot_cannot_be_called_is_said_in_one_line(
    script: str, keys: Mapping[str, str], arguments: Sequence[str], said: str, tmp_path: Path
) -> None:
    """Without the usage, and without an invitation to call."""
    code, lines = started(script, arguments, keys, tmp_path)
    assert code != 0
    assert len(lines) == 1
    assert said in lines[0]


def test_a_port_in_use_is_named_with_the_remedy(tmp_path: Path) -> None:
    """As when the bot runs already."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, lines = started("relay.py", ["--host", "127.0.0.1", "--port", str(port)], AVATAR, tmp_path)
    assert code != 0
    assert lines == [f"Port {port} of 127.0.0.1 is in use: end what uses it, or choose another one with --port."]


def test_the_local_bot_refuses_an_address_of_lemonslice_that_is_none(tmp_path: Path) -> None:
    """Before anybody calls."""
    code, [line] = started("local.py", [], {"LEMONSLICE_API_URL": "127.0.0.1:8900"}, tmp_path)
    assert code != 0
    assert "LEMONSLICE_API_URL" in line
