"""``pipecat-lemonslice try``: one session, recorded, measured, and terminated whatever ends the trial."""

import asyncio
import json
import re
import shlex
import signal
import sys
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from loguru import logger

from pipecat_lemonslice.cli.app import app
from pipecat_lemonslice.emulator import Emulator, EmulatorOptions
from pipecat_lemonslice.emulator.session import Status
from tests.cli.conftest import KEY, CommandLine, Ended
from tests.emulator.client import png, tone
from tests.support.waiting import until

README = Path(__file__).parents[2] / "README.md"
SETUP = EmulatorOptions(
    api_keys=frozenset({KEY}), cold_start=0.5, join_delay=0.7, first_picture_delay=0.6, latency=0.5, record_seconds=0
)


@pytest.fixture
async def slow() -> AsyncIterator[CommandLine]:
    """An account where everything takes its time."""
    async with Emulator(SETUP) as emulator:
        yield CommandLine(emulator)


def write_wav(path: Path, pcm: bytes, rate: int = 24000, channels: int = 1, width: int = 2) -> str:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(pcm)
    return str(path)


def decoded(path: Path) -> tuple[list[av.VideoFrame], np.ndarray[Any, Any]]:
    """Pictures and sound of a recording."""
    with av.open(str(path)) as file:
        pictures = list(file.decode(video=0))
    with av.open(str(path)) as file:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    return pictures, sound


async def test_an_avatar_is_tried_recorded_and_measured(slow: CommandLine, tmp_path: Path) -> None:
    """README's example, and an agent that says a file: all is measured, the film shows it, the sessions end."""
    slow.emulator.fault("always*delay=0.4")
    slow.emulator.fault("noise=-58")
    stereo = np.repeat(np.frombuffer(tone(1.0, 44100), "<i2"), 2).tobytes()
    speech = write_wav(tmp_path / "stereo.wav", stereo, 44100, 2)
    film, written = tmp_path / "tone.mp4", tmp_path / "tone.json"
    face = tmp_path / "face.png"
    face.write_bytes(png(368, 560))
    shown = re.search("^pipecat-lemonslice (try [^#]*)", README.read_text(), re.MULTILINE)
    assert shown
    of_readme = [str(tmp_path / each) if "." in each else each for each in shlex.split(shown[1])]
    filmed, said = await asyncio.gather(
        slow.run("try", "--agent", "agent", "--wav", speech, "--out", str(film), "--report", str(written)),
        slow.run(*of_readme),
    )
    for ended in (filmed, said):
        assert (ended.code, ended.err) == (0, "")
        steps = [line.partition(" s  ")[2] for line in re.findall(" *[0-9.]+ s  .*", ended.out)]
        assert steps[0] == "created"
        assert steps[-4:] == ["speaking", "first sound", "response ended", "terminated"]
        for line in ("width +368 pixels", "height +560 pixels", "sample rate +24000 Hz", "noise +-58(.1)? dBFS"):
            assert re.search(f"\n{line}", ended.out)
    report = json.loads(written.read_text())
    least = {"create": 0.4, "queue": 0.5, "join": 0.7, "first_picture": 0.6, "lag": 0.5, "response": 1.0}
    for name, seconds in least.items():  # a busy machine adds to each of them
        assert report["measured"][name] >= seconds - 0.1, name
    assert report["outcome"] == "done"
    assert [entry["at"] for entry in report["entries"]] == sorted(entry["at"] for entry in report["entries"])
    pictures, sound = decoded(film)
    assert (pictures[0].width, pictures[0].height) == (368, 560)
    lasted = pictures[-1].time
    assert len(pictures) == pytest.approx(25 * lasted, rel=0.1)
    assert len(sound) / 24000 == pytest.approx(lasted, abs=0.3)
    loud = np.flatnonzero(np.abs(sound) > 0.1)
    assert (loud[-1] - loud[0]) / 24000 == pytest.approx(1.0, abs=0.1)
    assert loud[0] / 24000 >= 1.0 + 0.5 - 0.1
    assert len(decoded(tmp_path / "film.mp4")[0]) > 25
    assert {session.status for session in slow.emulator.sessions} == {Status.COMPLETED}


def refused(ended: Ended, code: int, *words: str) -> None:
    """One line on stderr that says so."""
    (line,) = ended.err.splitlines()
    assert ended.code == code, line
    for word in words:
        assert word in line


AGENT = ("--agent", "a")
CANNOT_WORK = {
    "no avatar": ((), ("--image", "--agent")),
    "a text as picture": (("--image", "text"), ("--image", "not an image")),
    "no picture": (("--image", "none.png"), ("--image", "none.png")),
    "two speeches": ((*AGENT, "--say", "a", "--wav", "silent.wav"), ("--say or --wav",)),
    "nothing to say": ((*AGENT, "--say", " "), ("--say", "no sound")),
    "a text as sound": ((*AGENT, "--wav", "text"), ("--wav", "text", "RIFF")),
    "no sound": ((*AGENT, "--wav", "silent.wav"), ("--wav", "no sound")),
    "8 bits": ((*AGENT, "--wav", "shallow.wav"), ("--wav", "8 bits", "16-bit PCM")),
    "too slow": ((*AGENT, "--wav", "slow.wav"), ("--wav", "100 Hz")),
    "no such folder": ((*AGENT, "--out", "none/a.mp4"), ("--out", "a.mp4", "No such file")),
    "a folder as report": ((*AGENT, "--out", "old.mp4", "--report", "."), ("--report", "directory")),
    "no key": (AGENT, ("LEMONSLICE_API_KEY",)),
}


@pytest.mark.parametrize("case", CANNOT_WORK)
def test_what_cannot_work_is_said_before_a_session_is_created(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line names the option and what is wrong with it, the status is 2, and no file is touched."""
    monkeypatch.setattr(logger, "remove", lambda: None)
    monkeypatch.delenv("LEMONSLICE_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("This is neither sound nor a picture.")
    Path("old.mp4").write_bytes(b"an older recording")
    write_wav(Path("silent.wav"), bytes(48000))
    write_wav(Path("slow.wav"), tone(1.0), rate=100)
    write_wav(Path("shallow.wav"), bytes(8000), width=1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    arguments, words = CANNOT_WORK[case]
    with pytest.raises(SystemExit) as ended:
        app(["try", *arguments])
    refused(Ended(cast("int", ended.value.code), "", capsys.readouterr().err), 2, *words)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


async def test_a_trial_that_fails_says_why_and_is_reported(command: CommandLine, tmp_path: Path) -> None:
    """A refused key, no avatar in time, an avatar that leaves or is mute: one line; the report is written anyway."""

    async def attempt(name: str, *faults: str, **environment: str) -> tuple[Ended, dict[str, Any], Emulator]:
        path = tmp_path / f"{name}.json"
        async with Emulator(EmulatorOptions(api_keys=frozenset({KEY}))) as emulator:
            for fault in faults:
                emulator.fault(fault)
            arguments = ("--agent", "a", "--say", "Hello", "--wait", "1", "--report", str(path))
            ended = await CommandLine(emulator).run("try", *arguments, **environment)
            return ended, json.loads(path.read_text()), emulator

    key, late, gone, mute = await asyncio.gather(
        attempt("key", LEMONSLICE_API_KEY="wrong-0123456789"),
        attempt("late", "never_join"),
        attempt("gone", "leave_after=0.3"),
        attempt("mute", "mute"),
    )
    refused(key[0], 1, "401", "invalid API key")
    refused(late[0], 1, "the avatar has not joined within 1 s")
    refused(gone[0], 1, "the avatar has left")
    refused(mute[0], 1, "the avatar was not heard")
    assert [each[1]["outcome"] for each in (key, late, gone, mute)] == ["ApiStatusError", *3 * ["SessionError"]]
    assert key[1]["entries"][0]["status"] == 401
    assert mute[1]["measured"]["lag"] is None
    assert mute[1]["measured"]["response"] > 0
    for _, _, emulator in (late, gone, mute):
        assert [session.status for session in emulator.sessions] == [Status.COMPLETED]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_ctrl_c_ends_the_session_first(tmp_path: Path) -> None:
    """Also one that is being created, also at SIGTERM; what was recorded can be played. Retries end at once."""

    async def interrupt(number: signal.Signals, during: str, film: Path | None = None) -> tuple[Ended, Emulator]:
        async with Emulator(EmulatorOptions(api_keys=frozenset({KEY}))) as emulator:
            if during == "create":
                emulator.fault("delay=1")
            if during == "retry":
                emulator.fault("reject=429,retry_after=20")
            command = CommandLine(emulator)
            process = await command.start("try", "--agent", "a", *(("--out", str(film)) if film else ()))
            await until(lambda: bool(emulator.requests), 30)
            if during == "retry":
                assert process.stdout
                assert (await process.stdout.readline()).endswith(b"create failed\n")
            if during == "speech":
                await (await emulator.wait_for_session()).avatar.wait_for("response_started", timeout=30)
            process.send_signal(number)
            async with asyncio.timeout(10):
                return await command.ended(process), emulator

    film = tmp_path / "film.mp4"
    *others, retried = await asyncio.gather(
        interrupt(signal.SIGINT, "create"),
        interrupt(signal.SIGINT, "speech", film),
        interrupt(signal.SIGTERM, "speech"),
        interrupt(signal.SIGINT, "retry"),
    )
    for ended, emulator in (*others, retried):
        refused(ended, 130, "Interrupted")
        assert [session.status for session in emulator.sessions] == [Status.COMPLETED] * (emulator is not retried[1])
    assert len(decoded(film)[0]) > 10
