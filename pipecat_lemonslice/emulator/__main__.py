"""The emulator from the command line."""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Annotated, Any, NoReturn

from loguru import logger
from pydantic import Field

from pipecat_lemonslice.emulator.faults import NOTATION, SECONDS, Value, help_text, parse
from pipecat_lemonslice.emulator.models import EmulatorOptions
from pipecat_lemonslice.emulator.replay import read_report
from pipecat_lemonslice.emulator.server import Emulator

_ABOUT = "LemonSlice on this machine: its REST API, rooms on WebSockets, and an avatar with a drawn face."
_USE = f"""
A bot that uses LemonSliceVideoService talks to it when these are in its environment:
  LEMONSLICE_API_URL=http://127.0.0.1:8900/api  LEMONSLICE_API_KEY=any

Examples:
  python -m pipecat_lemonslice.emulator
  python -m pipecat_lemonslice.emulator --cold-start 20 --join-delay 1.2
  python -m pipecat_lemonslice.emulator --fault '2*reject=503,retry_after=1' --fault delay=4@control
  python -m pipecat_lemonslice.emulator --fault leave_after=2 --fault return_after=1
  python -m pipecat_lemonslice.emulator --fault 'always*reject=400@reset-idle-timeout'
  python -m pipecat_lemonslice.emulator --replay report.json

Faults are written {NOTATION}. TIMES is a number, or "always"; PATH says which
requests are concerned: create (unless told otherwise), list, get, control or any, or control requests with one
event, such as reset-idle-timeout or terminate.

"""

_PORT = Value("PORT", "8900", Annotated[int, Field(ge=0, le=65535)], "a port from 0 to 65535 (0 takes a free one)")
_SIZE = Value("BYTES", "4194304", Annotated[int, Field(ge=1)], "a number of bytes from 1, such as 4194304")
_TEXT = Value("TEXT", "any", Annotated[str, Field(pattern=r"\S")], "a text; leave the option out for its default")
_NAME = Annotated[str, Field(pattern="^[A-Za-z0-9_-]+$")]
_ROOM = Value("NAME", "lobby", _NAME, "letters, digits, '-' and '_', such as lobby")


def main(arguments: Sequence[str] | None = None, *, prog: str = "python -m pipecat_lemonslice.emulator") -> int:
    """Run until SIGINT or SIGTERM.

    Args:
        arguments: The command line; None: that of the process.
        prog: What the command is called in help and errors.

    Returns:
        The exit status; 2 if it cannot listen, as for wrong arguments.
    """
    given = _parser(prog).parse_args(arguments)
    logger.remove()
    if given.verbose:
        logger.add(sys.stderr, level="DEBUG")
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(_run(given))
    return 0


async def _run(given: argparse.Namespace) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Where loops take no signals, Ctrl+C interrupts the run instead.
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    options = EmulatorOptions(**{option.name: getattr(given, option.name) for option in fields(EmulatorOptions)})
    emulator = Emulator(given.replay.options(options) if given.replay else options)
    for fault in (*(given.replay.faults() if given.replay else ()), *given.fault):
        emulator.fault(fault)
    try:
        await emulator.start()
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (OSError, UnicodeError) as error:
        why = "the host name is not known" if isinstance(error, UnicodeError) else error.strerror or error
        place = f"{given.host}:{given.port}"
        sys.stderr.write(f"The emulator cannot listen on {place}: {why} (--host and --port choose another place)\n")
        return 2
    try:
        for name in given.room:
            emulator.open_room(name, given.room_tokens)
        sys.stdout.write(f"LemonSlice emulator ready: LEMONSLICE_API_URL={emulator.api_url}\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        await emulator.close()
    return 0


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        self.exit(2, f"{self.prog}: error: {message} (--help explains the options)\n")


def _fault(text: str) -> str:
    parse(text)
    return text


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=prog,
        description=_ABOUT,
        epilog=_USE + help_text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    seconds, text = SECONDS.read, _TEXT.read
    many: dict[str, Any] = {"action": "append", "default": []}
    # The defaults of options that are those of the emulator.
    parser.set_defaults(**vars(EmulatorOptions(port=8900, record_seconds=0.0)))
    add = parser.add_argument_group("server").add_argument
    add("--host", type=text, help="address to listen on (%(default)s)")
    add("--port", type=_PORT.read, help="port; 0 takes a free one (%(default)s)")
    add("--key", dest="api_keys", **many, type=text, metavar="KEY", help="accepted API key, repeatable (any)")
    add("--agent", dest="agents", **many, type=text, metavar="ID", help="known agent id, repeatable (any)")
    add("--room", **many, type=_ROOM.read, metavar="NAME", help="open the room /rooms/NAME, repeatable")
    tokens = "token for --room and for rooms of sessions that carry a daily_token, repeatable (none needed)"
    add("--room-token", dest="room_tokens", **many, type=text, metavar="TOKEN", help=tokens)
    add("--max-body", type=_SIZE.read, metavar="BYTES", help="larger requests answer 413 (4 MiB)")
    add("--fault", **many, type=_fault, metavar="SPEC", help="what goes wrong, repeatable (below)")
    add("--verbose", action="store_true", help="log requests")
    add = parser.add_argument_group("avatar").add_argument
    add("--latency", type=seconds, metavar="S", help="from hearing to speaking (%(default)s)")
    add("--cold-start", type=seconds, metavar="S", help="time in QUEUED (0)")
    add("--join-delay", type=seconds, metavar="S", help="then until it joins (0)")
    replay = "do as in a report of 'pipecat-lemonslice try', whose delays, messages, lag and noise replace those above"
    add("--replay", type=read_report, metavar="FILE", help=replay)
    add("--avatar-name", type=text, metavar="NAME", help="user name (%(default)s)")
    marks = (
        "while it speaks, every so often a white picture and a loud click at one instant, to measure lip sync (0: none)"
    )
    add("--marks", type=seconds, metavar="S", help=marks)
    return parser


if __name__ == "__main__":
    sys.exit(main())
