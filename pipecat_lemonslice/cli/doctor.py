"""The command ``doctor``: what a call needs, one line for each thing."""

import asyncio
import contextlib
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, cast

import typer

from pipecat_lemonslice.cli.installed import PACKAGE, is_within, missing_modules, releases
from pipecat_lemonslice.cli.output import console, failures_told

if TYPE_CHECKING:
    from pipecat.transports.base_transport import TransportParams

Finding: TypeAlias = tuple[Literal["ok", "note", "fix"], str]
"""``note``: a call can be made without it; ``fix``: it cannot."""

_COLOURS = {"ok": "green", "note": "yellow", "fix": "red"}
_WITH_PICTURES = ("webrtc", "daily", "livekit")
_SHAPES = {"2x3": (368, 560), "9x16": (360, 640), "1x1": (512, 512)}


def doctor(
    bot_file: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, help="A bot, which is imported: its transports are checked too."),
    ] = None,
) -> None:
    """Check whether a call could be made: each line is ok, a note, or what to fix. Keys are not shown.

    The exit code is 0 if a call could be made, else 1.
    """
    from rich.text import Text

    with failures_told():
        out, fixes = console(), 0
        for mark, text in _findings(bot_file):
            out.print(Text.assemble((f"{mark:4} ", _COLOURS[mark]), text))
            fixes += mark == "fix"
        if fixes:
            raise typer.Exit(1)


def _findings(bot_file: Path | None) -> Iterator[Finding]:
    yield from _installed()
    # Bots load their keys from a file, so the bot comes before the keys.
    if bot_file:
        yield from _bot(bot_file)
    yield asyncio.run(_api())
    if not os.environ.get("DAILY_API_KEY"):
        yield "note", "DAILY_API_KEY is not set; it is needed for users in Daily rooms (-t daily) and for shared rooms"
    else:
        yield "ok", "DAILY_API_KEY is set"


def _installed() -> Iterator[Finding]:
    yield "ok", f"{PACKAGE} {version(PACKAGE)}"
    for name, release, supported in releases("pipecat-ai", "daily-python"):
        good = is_within(release, supported)
        yield ("ok", f"{name} {release}") if good else ("fix", f"{name} {release}: {PACKAGE} needs {supported}")
    # In a process of its own: a native library that does not fit this machine may end the process that loads it.
    loaded = subprocess.run([sys.executable, "-c", "import daily"], capture_output=True, text=True, check=False)
    if loaded.returncode:
        said = loaded.stderr.strip().splitlines()
        yield "fix", f"daily-python does not load: {said[-1] if said else f'exit code {loaded.returncode}'}"
    else:
        yield "ok", "daily-python loads"
    for extra, what in (("emulator", "the emulator's face"), ("local", "the demo and the offline bots")):
        if missing := missing_modules(extra):
            yield "note", f"{what}: {', '.join(missing)} missing; pip install '{PACKAGE}[{extra}]'"
        else:
            yield "ok", f"{what}: extra {extra} is installed"


async def _api() -> Finding:
    from pipecat_lemonslice.api import LemonSliceApi
    from pipecat_lemonslice.api.client import DEFAULT_API_URL
    from pipecat_lemonslice.errors import LemonSliceError

    try:
        async with LemonSliceApi() as api:
            await api.list_sessions(limit=1)
    except LemonSliceError as error:
        return "fix", str(error)
    return "ok", f"{os.environ.get('LEMONSLICE_API_URL') or DEFAULT_API_URL} takes the key in LEMONSLICE_API_KEY"


def _bot(file: Path) -> Iterator[Finding]:
    """What the bot's transports lack, which are what it gives to Pipecat's ``create_transport``: functions by name."""
    from pipecat.transports.base_transport import TransportParams

    from pipecat_lemonslice.errors import safe_line

    sys.path.insert(0, str(file.parent.resolve()))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            values = runpy.run_path(str(file)).values()
            tables = [cast("Mapping[object, object]", value) for value in values if isinstance(value, Mapping)]
            made = [(name, make()) for table in tables for name in _WITH_PICTURES if callable(make := table.get(name))]
    except (Exception, SystemExit) as error:
        yield "fix", f"{file.name} cannot be imported: {type(error).__name__}: {safe_line(str(error))}"
        return
    transports = [(name, params) for name, params in made if isinstance(params, TransportParams)]
    if not transports:
        yield "note", f"{file.name}: no transport_params found, as create_transport takes them; they are not checked"
    for name, params in transports:
        yield _transport(f"{file.name}, {name}", params, may_be_shared=name == "daily")


def _transport(where: str, params: "TransportParams", may_be_shared: bool) -> Finding:
    width, height = params.video_out_width, params.video_out_height
    if not params.audio_out_enabled:
        return "fix", f"{where}: the bot is not heard; write audio_out_enabled=True"
    if not params.video_out_enabled and may_be_shared:
        return "note", f"{where}: no video; right with transport=, else write video_out_enabled=True"
    if not params.video_out_enabled:
        return "fix", f"{where}: the avatar is not seen; write video_out_enabled=True"
    if not any(abs(width * high / (height * wide) - 1) < 0.02 for wide, high in _SHAPES.values()):
        sizes = ", ".join(f"{wide}x{high} ({shape})" for shape, (wide, high) in _SHAPES.items())
        return "note", f"{where}: {width}x{height} leaves bars beside the picture; the avatar's sizes are {sizes}"
    return "ok", f"{where}: audio_out_enabled, video_out_enabled, {width}x{height}"
