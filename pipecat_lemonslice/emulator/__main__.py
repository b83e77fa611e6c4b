"""The emulator from the command line."""

import argparse
import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from loguru import logger

from pipecat_lemonslice.emulator.faults import NOTATION, SECONDS, help_text, parse, within
from pipecat_lemonslice.emulator.models import MEBIBYTE, EmulatorOptions
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
    options = EmulatorOptions(
        host=given.host,
        port=given.port,
        latency=given.latency,
        cold_start=given.cold_start,
        join_delay=given.join_delay,
        avatar_name=given.avatar_name,
        api_keys=frozenset(given.key),
        agents=frozenset(given.agent),
        room_tokens=frozenset(given.room_token),
        max_body=given.max_body,
        record_seconds=0.0,
        marks=given.marks,
    )
    emulator = Emulator(given.replay.options(options) if given.replay else options)
    for fault in (*(given.replay.faults() if given.replay else ()), *given.fault):
        emulator.add_fault(fault)
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
            emulator.open_room(name, given.room_token)
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


def _one(read: Callable[[str], Any], says: str = "") -> Callable[[str], Any]:
    """Return what argparse reads a value with: its errors say what is wrong; argparse puts the option before them."""

    def convert(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"must be {says}, not {text!r}" if says else str(error)) from error

    return convert


def _like(pattern: str) -> Callable[[str], str]:
    """Return what reads a text of this pattern."""

    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError
        return text

    return read


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=prog,
        description=_ABOUT,
        epilog=_USE + help_text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    seconds = _one(SECONDS.read, SECONDS.says)
    port = _one(lambda text: int(within(0, 65535)(text)), "a port from 0 to 65535 (0 takes a free one)")
    size = _one(lambda text: int(within(1, 1e18)(text)), f"a number of bytes from 1, such as {4 * MEBIBYTE}")
    text = _one(_like(r"(?s).*\S.*"), "a text; leave the option out for its default")
    room = _one(_like("[A-Za-z0-9_-]+"), "letters, digits, '-' and '_', such as lobby")
    add = parser.add_argument_group("server").add_argument
    add("--host", type=text, default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=port, default=8900, help="port; 0 takes a free one (%(default)s)")
    add("--key", action="append", type=text, default=[], help="accepted API key, repeatable (any)")
    add("--agent", action="append", type=text, default=[], help="known agent id, repeatable (any)")
    add("--room", action="append", type=room, default=[], metavar="NAME", help="open the room /rooms/NAME, repeatable")
    add(
        "--room-token",
        action="append",
        type=text,
        default=[],
        metavar="TOKEN",
        help="token for --room and for rooms of sessions that carry a daily_token, repeatable (none needed)",
    )
    add("--max-body", type=size, default=4 * MEBIBYTE, metavar="BYTES", help="larger requests answer 413 (4 MiB)")
    add("--allow-private-images", action="store_true", help="without effect: links are fetched from any address")
    fault = _one(parse)
    add("--fault", action="append", type=fault, default=[], metavar="SPEC", help="what goes wrong, repeatable (below)")
    add("--verbose", action="store_true", help="log requests")
    add = parser.add_argument_group("avatar").add_argument
    add("--latency", type=seconds, default=0.25, metavar="S", help="from hearing to speaking (%(default)s)")
    add("--cold-start", type=seconds, default=0.0, metavar="S", help="time in QUEUED (0)")
    add("--join-delay", type=seconds, default=0.0, metavar="S", help="then until it joins (0)")
    add(
        "--replay",
        type=_one(read_report),
        metavar="FILE",
        help="do as in a report of 'pipecat-lemonslice try', whose delays, messages, lag and noise replace those above",
    )
    add("--avatar-name", type=text, default="LemonSlice", metavar="NAME", help="user name (%(default)s)")
    marks = (
        "while it speaks, every so often a white picture and a loud click at one instant, to measure lip sync (0: none)"
    )
    add("--marks", type=seconds, default=0.0, metavar="S", help=marks)
    return parser


if __name__ == "__main__":
    sys.exit(main())
