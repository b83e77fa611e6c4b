"""The commands ``demo`` and ``emulator``: programs with a command line of their own, which gets all arguments."""

import runpy
import sys
from pathlib import Path

import typer

from pipecat_lemonslice.cli.installed import missing_modules
from pipecat_lemonslice.cli.output import fail

_PACKAGE = Path(__file__).parents[1]


def demo(context: typer.Context) -> None:
    """Talk to an avatar in a browser on this machine, without a key. Its own --help explains the options."""
    if missing := missing_modules("local"):
        fail(f"The demo needs {', '.join(missing)}: pip install 'pipecat-lemonslice[local]'")
    # A wheel carries the bots inside of the package; in a clone they stand beside it.
    shipped = _PACKAGE / "_bots"
    bots = shipped if shipped.is_dir() else _PACKAGE.parent / "bots"
    # What Python does for a script: modules beside it are found first.
    sys.path.insert(0, str(bots))
    sys.argv = ["pipecat-lemonslice demo", *context.args]
    runpy.run_path(str(bots / "local.py"), run_name="__main__")


def emulator(context: typer.Context) -> None:
    """Run LemonSlice on this machine, to develop against. Its own --help explains the options and the faults."""
    from pipecat_lemonslice.emulator.__main__ import main

    raise typer.Exit(main(context.args, prog="pipecat-lemonslice emulator"))
