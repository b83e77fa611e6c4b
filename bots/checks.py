"""What a bot needs before anybody calls, and what a caller is told when a call fails all the same."""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from loguru import logger
from pipecat.processors.frameworks.rtvi import models as RTVI
from pipecat.runner.types import RunnerArguments, SmallWebRTCRunnerArguments

from pipecat_lemonslice import ConfigurationError, LemonSliceVideoService
from pipecat_lemonslice.errors import origin, redact

if TYPE_CHECKING:
    from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection

# How long a failed call waits for its page to come up, and then for the page to hang up.
PAGE_SECONDS = 15.0
HANG_UP_SECONDS = 2.0


def refuse(problems: Iterable[str]) -> None:
    """End the program if there are problems, with one line for each; not when only its help was asked for.

    Raises:
        SystemExit: There are problems.
    """
    lines = "\n".join(problems)
    if lines and not {"-h", "--help"} & set(sys.argv[1:]):
        raise SystemExit(lines)


def avatar_problems() -> list[str]:
    """What is missing for the avatar of LEMONSLICE_AGENT_ID or LEMONSLICE_IMAGE_URL."""
    emulated = bool(os.getenv("LEMONSLICE_API_URL"))
    pictures = [name for name in ("LEMONSLICE_AGENT_ID", "LEMONSLICE_IMAGE_URL") if os.getenv(name)]
    problems: list[str] = []
    if not os.getenv("LEMONSLICE_API_KEY"):
        hint = "any text will do for the emulator" if emulated else "from your LemonSlice account"
        problems.append(f"Set LEMONSLICE_API_KEY ({hint}; see env.example).")
    if len(pictures) == 2:
        problems.append("Set LEMONSLICE_AGENT_ID or LEMONSLICE_IMAGE_URL, not both.")
    elif not pictures and not emulated:
        problems.append("Set LEMONSLICE_AGENT_ID or LEMONSLICE_IMAGE_URL: one of them says which avatar.")
    if not problems:
        try:
            LemonSliceVideoService(agent_id="any")
        except ConfigurationError as error:
            problems.append(str(error))
    return problems


def transport_problems(script: str, transports: Sequence[str]) -> list[str]:
    """What is wrong with the transport that the command line asks for.

    Args:
        script: Name of the bot's file.
        transports: The transports that the bot can use.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-t", "--transport")
    parser.add_argument("-d", "--direct", action="store_true")
    given, _ = parser.parse_known_args()
    wanted = "daily" if given.direct else given.transport
    if wanted is not None and wanted not in transports:
        return [f"{script} cannot use the transport {wanted}: run it with -t {' or -t '.join(transports)}."]
    if (wanted == "daily" or list(transports) == ["daily"]) and not os.getenv("DAILY_API_KEY"):
        return ["Set DAILY_API_KEY: rooms and tokens for -t daily are made with it."]
    return []


def package_problems(*modules: str, extra: str) -> list[str]:
    """Which of the modules cannot be imported, and how to install them."""
    missing = [module for module in modules if find_spec(module) is None]
    return [f"{' and '.join(missing)} not found: pip install '{extra}'"] if missing else []


@asynccontextmanager
async def caller_is_told(runner_args: RunnerArguments) -> AsyncIterator[None]:
    """Log a call that fails, tell the page of a WebRTC caller, and hang up. Without this the page waits for ever."""
    try:
        yield
    except Exception as error:
        # No traceback: it would show the values of variables, and keys are among them.
        logger.error(f"The call failed: {redact(str(error))} ({origin(error)})")
        if isinstance(runner_args, SmallWebRTCRunnerArguments):
            await _tell(runner_args.webrtc_connection, f"The bot failed: {redact(str(error))}")


async def _tell(connection: "SmallWebRTCConnection", text: str) -> None:
    """Answer the page's first message with an error, as messages before it may be lost."""
    ready, closed = asyncio.Event(), asyncio.Event()
    connection.add_event_handler("app-message", lambda *_: ready.set())
    connection.add_event_handler("closed", lambda *_: closed.set())
    await connection.connect()
    with suppress(TimeoutError):
        await asyncio.wait_for(ready.wait(), PAGE_SECONDS)
        connection.send_app_message(RTVI.Error(data=RTVI.ErrorData(error=text, fatal=True)).model_dump())
        await asyncio.wait_for(closed.wait(), HANG_UP_SECONDS)
    await connection.disconnect()
