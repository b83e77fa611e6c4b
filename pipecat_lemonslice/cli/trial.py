"""The command ``try``: an avatar that says something, recorded, measured, and written down for a bug report."""

import asyncio
import signal
import time
import wave
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from pipecat_lemonslice.cli.output import console, fail, failures_told

if TYPE_CHECKING:
    from pipecat_lemonslice.api import CreateSessionRequest
    from pipecat_lemonslice.cli.one_session import Speech
    from pipecat_lemonslice.cli.recording import Recording
    from pipecat_lemonslice.cli.report import Measured

_HELLO = "Hello! I am your avatar. How do I look, and how do I sound?"


def try_avatar(
    image: Annotated[str | None, typer.Option(metavar="FILE|URL", help="The avatar: a picture of it.")] = None,
    agent: Annotated[str | None, typer.Option(metavar="ID", help="The avatar: an agent of your account.")] = None,
    say: Annotated[str | None, typer.Option(metavar="TEXT", help="What it says, in an offline voice.")] = None,
    wav: Annotated[Path | None, typer.Option(metavar="FILE", help="What it says instead: 16-bit PCM.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.mp4", help="Record picture and voice.")] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write what happened; nothing in it is secret.")
    ] = None,
    wait: Annotated[int, typer.Option(min=1, metavar="SECONDS", help="The most for the avatar to come.")] = 180,
) -> None:
    """Try an avatar: create one session, let it say something, and measure. The session is terminated in any case.

    The API key is read from LEMONSLICE_API_KEY, the address of the API from LEMONSLICE_API_URL if that is set.
    """
    with failures_told():
        if (image is None) == (agent is None):
            fail("Say which avatar: --image with a file or a URL, or --agent with an id.", 2)
        if say is not None and wav is not None:
            fail("Give --say or --wav, not both.", 2)
        _check_writable("--out", out)
        _check_writable("--report", report)
        speech = _recorded(wav) if wav else _spoken(_HELLO if say is None else say)
        _run(_request(image, agent), speech, wait, _recording(out), report)


def _run(
    request: "CreateSessionRequest", speech: "Speech", wait: int, recording: "Recording | None", report: Path | None
) -> None:
    from rich.markup import escape

    from pipecat_lemonslice.cli.one_session import OneSession
    from pipecat_lemonslice.cli.report import Log, make_report, outcome_of

    screen, outcome = console(), "done"
    log = Log(time.monotonic, lambda at, what: screen.print(f"{at:8.2f} s  {what.replace('_', ' ')}"))
    session: OneSession | None = None
    # What a supervisor sends ends the trial as Ctrl-C does.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with screen.status("") as status, recording or nullcontext():
            session = OneSession(log, lambda text: status.update(escape(text)), recording)
            asyncio.run(session.run(request, speech, wait))
    except BaseException as error:
        outcome = outcome_of(error)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
        if session and report:
            written = make_report(log, request, outcome, session.measured)
            report.write_text(written.model_dump_json(indent=1) + "\n", encoding="utf-8")
        for line in _lines(session.measured) if session else ():
            screen.print(line)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)


def _lines(measured: "Measured") -> Iterator[str]:
    """What was measured, for people."""
    for name, field in type(measured).model_fields.items():
        if (value := getattr(measured, name)) is not None:
            yield f"{name.replace('_', ' '):13} {value:8g} {field.description}"


# What is asked for, checked before a session is created.


def _request(image: str | None, agent: str | None) -> "CreateSessionRequest":
    from pipecat_lemonslice.api import CreateSessionRequest, check_picture

    if image is None:
        return CreateSessionRequest(agent_id=agent)
    if image.startswith(("http://", "https://")):
        return CreateSessionRequest(agent_image_url=image)
    check_picture(image, name="--image")
    return CreateSessionRequest(agent_image=image)


def _check_writable(option: str, path: Path | None) -> None:
    """End the command if a file cannot be written. One that exists stays as it is."""
    if path is None:
        return
    try:
        is_new = not path.exists()
        path.open("ab").close()
        if is_new:
            path.unlink()
    except OSError as error:
        fail(f"{option}: {path} cannot be written: {error.strerror}.", 2)


def _recorded(path: Path) -> "Speech":
    try:
        with wave.open(str(path), "rb") as file:
            pcm, width = file.readframes(file.getnframes()), file.getsampwidth()
            rate, channels = file.getframerate(), file.getnchannels()
    except (OSError, EOFError, wave.Error) as error:
        fail(f"--wav: {path} cannot be read: {getattr(error, 'strerror', None) or error or 'it is cut off'}.", 2)
    if width != 2:
        fail(f"--wav: {path} has samples of {8 * width} bits; convert it to 16-bit PCM.", 2)
    return _speech("--wav", pcm, rate, channels)


def _spoken(text: str) -> "Speech":
    try:
        from pipecat_lemonslice.cli.espeak import EspeakError, engine, speech
    except ModuleNotFoundError as error:
        fail(f"--say needs {error.name}: pip install 'pipecat-lemonslice[local]', or give --wav.", 2)
    try:
        return _speech("--say", speech(text), engine().sample_rate, 1)
    except EspeakError as error:
        fail(f"--say: {error}; give --wav instead.", 2)


def _speech(option: str, pcm: bytes, rate: int, channels: int) -> "Speech":
    from pipecat_lemonslice.cli.one_session import Speech
    from pipecat_lemonslice.media.sound import SoundDetector

    if not 8000 <= rate <= 192_000:
        fail(f"{option}: its sample rate is {rate} Hz; give one from 8000 to 192000.", 2)
    if not any(SoundDetector().feed(pcm, rate)):
        fail(f"{option}: there is no sound in it.", 2)
    return Speech(pcm, rate, channels)


def _recording(path: Path | None) -> "Recording | None":
    if path is None:
        return None
    try:
        from pipecat_lemonslice.cli.recording import Recording
    except ModuleNotFoundError as error:
        fail(f"--out needs {error.name}: pip install 'pipecat-lemonslice[local]'.", 2)
    from pipecat_lemonslice.cli.one_session import SAMPLE_RATE

    return Recording(path, SAMPLE_RATE, time.monotonic)
