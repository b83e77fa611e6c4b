"""What a bot needs before anybody calls, and what a caller is told when a call fails."""

import argparse
import asyncio
import errno
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, NoReturn

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


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """End the program with status 2."""
        self.exit(2, f"{self.prog}: error: {message} (--help explains the options)\n")


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
    parser = OneLineParser(add_help=False)
    parser.add_argument("-t", "--transport")
    parser.add_argument("-d", "--direct", action="store_true")
    given, _ = parser.parse_known_args()
    wanted = "daily" if given.direct else given.transport
    if wanted is not None and wanted not in transports:
        return [f"{script} cannot use the transport {wanted}: run it with -t {' or -t '.join(transports)}."]
    if (wanted == "daily" or list(transports) == ["daily"]) and not os.getenv("DAILY_API_KEY"):
        return ["Set DAILY_API_KEY: rooms and tokens for -t daily are made with it."]
    return []


def address_problems() -> list[str]:
    """What keeps a bot from being called at the --host and --port of the command line."""
    # Pipecat Cloud has a server of its own, and may lack what the runner imports.
    from pipecat.runner.run import runner_host, runner_port

    parser = OneLineParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--host", default=runner_host())
    parser.add_argument("--port", type=_port, default=runner_port())
    parser.add_argument("-d", "--direct", action="store_true")
    given, _ = parser.parse_known_args()
    if given.direct:  # it calls, and is not called
        return []
    try:
        found = socket.getaddrinfo(given.host, given.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        return [f"--host {given.host} is not known: give an address of this machine, such as 127.0.0.1."]
    errors = [_bind_error(family, address) for family, *_, address in found]
    if errno.EADDRINUSE in errors:
        return [f"Port {given.port} of {given.host} is in use: end what uses it, or choose another one with --port."]
    if errno.EACCES in errors:
        return [f"This user may not open port {given.port}: choose one above 1023 with --port."]
    if all(errors):
        return [f"--host {given.host} is not of this machine: give an address that it has, such as 127.0.0.1."]
    return []


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"give a port from 1 to 65535, not {text!r}")
    return int(text)


def _bind_error(family: int, address: tuple[str | int | bytes, ...]) -> int:
    """The number of the error that keeps a server from listening there; 0 if it can."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as server:
            if os.name == "posix":  # as servers do; elsewhere it would take a port that is in use
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(address)
    except OSError as error:
        return error.errno or errno.EADDRNOTAVAIL
    return 0


def package_problems(*modules: str, extra: str) -> list[str]:
    """Which of the modules cannot be imported, and how to install them."""
    missing = [module for module in modules if find_spec(module) is None]
    return [f"{' and '.join(missing)} not found: uv pip install '{extra}'"] if missing else []


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
