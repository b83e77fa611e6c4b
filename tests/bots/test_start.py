"""What the bots say when they are started without what they need: as processes, as their users start them."""

import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.bots.process import BOTS, START_SECONDS, environment, free_port

AVATAR = {"LEMONSLICE_API_KEY": "any", "LEMONSLICE_AGENT_ID": "agent_1"}


def ended(
    script: str, arguments: Sequence[str], keys: Mapping[str, str], directory: Path
) -> tuple[int, str, list[str]]:
    """The exit code of a bot that must end by itself, what it prints, and its errors beside its log."""
    # The usual port may be in use on this machine.
    port = [] if "--port" in arguments else ["--port", str(free_port())]
    process = subprocess.run(
        [sys.executable, str(BOTS / script), *arguments, *port],
        env=environment(**{"COLUMNS": "200", **keys}),
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert "Traceback" not in process.stderr
    return process.returncode, process.stdout, [line for line in process.stderr.splitlines() if " | " not in line]


@pytest.mark.parametrize(
    ("script", "arguments", "keys", "said"),
    [
        (
            "relay.py",
            "-t daily",
            {},
            ["DAILY_API_KEY", "LEMONSLICE_API_KEY", "LEMONSLICE_AGENT_ID or LEMONSLICE_IMAGE"],
        ),
        (
            "speech_to_speech.py",
            "-t webrtc",
            {},
            ["LEMONSLICE_API_KEY", "LEMONSLICE_AGENT_ID or LEMONSLICE_IMAGE_URL", "OPENAI_API_KEY"],
        ),
        (
            "relay.py",
            "-t livekit --host nowhere.invalid",
            {**AVATAR, "LEMONSLICE_IMAGE_URL": "https://x.example/y.png", "OPENAI_API_KEY": "k"},
            [
                "-t webrtc or -t daily",
                "not both",
                "DEEPGRAM_API_KEY and CARTESIA_API_KEY",
                "--host nowhere.invalid is not known",
            ],
        ),
        ("relay.py", "--wrong", AVATAR, ["unrecognized arguments: --wrong"]),
        ("shared_room.py", "-t webrtc", AVATAR, ["-t daily"]),
        (
            "local.py",
            "-t daily --host 192.0.2.1",
            {"LEMONSLICE_API_URL": "127.0.0.1:8900"},
            [
                "local.py cannot use the transport daily",
                "LEMONSLICE_API_URL",
                "--host 192.0.2.1 is not of this machine",
            ],
        ),
        ("local.py", "--port 99999", {}, ["--port: give a port from 1 to 65535, not '99999'"]),
        ("local.py", "--sentence-pause=nan", {}, ["--sentence-pause: give a number of seconds, 0 or more"]),
    ],
)
def test_what_cannot_work_is_refused_before_anybody_calls(
    script: str, arguments: str, keys: Mapping[str, str], said: Sequence[str], tmp_path: Path
) -> None:
    """One line for each thing, an exit code, no usage and no invitation to call."""
    code, out, lines = ended(script, arguments.split(), keys, tmp_path)
    assert code != 0
    assert "http://" not in out, "it says that it can be called"
    for line, words in zip(lines, said, strict=True):
        assert words in line


def test_the_local_bot_names_the_package_that_draws_the_avatar(tmp_path: Path) -> None:
    """With a LemonSlice or emulator elsewhere it is not needed; here one line says how to install it."""
    (tmp_path / "sitecustomize.py").write_text('import sys\nsys.modules["resvg_py"] = None\n')
    code, _, lines = ended("local.py", [], {"PYTHONPATH": str(tmp_path)}, tmp_path)
    assert code != 0
    assert lines == ["resvg_py not found: uv pip install 'pipecat-lemonslice[local]'"]


def test_a_port_in_use_is_named_with_the_remedy(tmp_path: Path) -> None:
    """As when the bot runs already."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, lines = ended("relay.py", ["--host", "127.0.0.1", "--port", str(port)], AVATAR, tmp_path)
    assert code != 0
    assert lines == [f"Port {port} of 127.0.0.1 is in use: end what uses it, or choose another one with --port."]


def test_every_option_of_the_local_bot_is_explained(tmp_path: Path) -> None:
    """Also where something else on the command line is wrong: help is always given."""
    code, shown, _ = ended("local.py", ["-t", "daily", "--help"], {}, tmp_path)
    assert code == 0
    own = shown[shown.index("\n  --ears") : shown.index("\n  --host")]
    for option in ("--ears", "--voice", "--stop-events", "--sentence-pause", "--aspect"):
        text = own[own.index(f"  {option}") :]
        assert "the default is" in text or "(the default)" in text, option
