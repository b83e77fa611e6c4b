"""What commands write: results on stdout, one line on stderr for what fails, and the exit code that goes with it.

Exit codes: 0 done, 1 it failed, 2 it was asked for in a way that cannot work, 130 Ctrl-C.
"""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console


def fail(message: str, code: int = 1) -> NoReturn:
    """Say on stderr what failed, and end the command."""
    typer.echo(message, err=True)
    raise typer.Exit(code)


@contextmanager
def failures_told() -> Generator[None]:
    """Turn what a command may raise into a line on stderr and an exit code, and keep logs out of the output."""
    from loguru import logger

    logger.remove()  # before Pipecat is imported, which greets
    from pipecat_lemonslice.errors import ConfigurationError, LemonSliceError

    try:
        yield
    except LemonSliceError as error:
        fail(str(error), 2 if isinstance(error, ConfigurationError) else 1)
    except KeyboardInterrupt:
        fail("Interrupted.", 130)
    except BrokenPipeError:
        raise  # typer ends without a word, as what stands before `head` does
    except OSError as error:
        # What is left in the buffer could not be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        fail(f"The output cannot be written: {error.strerror}.")


def console() -> "Console":
    """Return stdout as rich sees it. Where it is not a terminal, lines are as long as they need to be."""
    from rich.console import Console

    return Console(highlight=False, emoji=False, markup=False, width=None if sys.stdout.isatty() else 1000)
