"""The emulator from the command line."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence

from loguru import logger

from pipecat_lemonslice.emulator.emulator import Emulator
from pipecat_lemonslice.emulator.forms import table
from pipecat_lemonslice.emulator.grammar import FaultError, parse
from pipecat_lemonslice.emulator.options import MEBIBYTE, EmulatorOptions
from pipecat_lemonslice.emulator.terms import seconds

_ABOUT = "LemonSlice on this machine: its REST API, rooms on WebSockets, and an avatar with a drawn face."
_USE = """
A bot that uses LemonSliceVideoService talks to it when these are in its environment:
  LEMONSLICE_API_URL=http://127.0.0.1:8900/api  LEMONSLICE_API_KEY=any

Examples:
  python -m pipecat_lemonslice.emulator
  python -m pipecat_lemonslice.emulator --cold-start 20 --join-delay 1.2
  python -m pipecat_lemonslice.emulator --fault '2*reject=503,retry_after=1' --fault delay=4@control
  python -m pipecat_lemonslice.emulator --fault leave_after=2 --fault return_after=1

Faults are written [TIMES*]NAME[=VALUE][,KEY=VALUE...][@PATH]. TIMES is a number, or "always"; PATH says which
requests are concerned: create (unless told otherwise), list, get, control or any.

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM; returns the exit status."""
    given = _parser().parse_args(arguments)
    logger.remove()
    if given.verbose:
        logger.add(sys.stderr, level="DEBUG")
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(_run(given))
    return 0


async def _run(given: argparse.Namespace) -> int:
    stop = _stop_signal()
    emulator = Emulator(_options(given))
    for text in given.fault:
        emulator.fault(text)
    try:
        await emulator.start()
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"The emulator cannot listen on {given.host}:{given.port}: {error.strerror}\n")
        return 1
    try:
        for name in given.room:
            emulator.open_room(name, given.room_token)
        sys.stdout.write(f"LemonSlice emulator ready: LEMONSLICE_API_URL={emulator.api_url}\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        await emulator.close()
    return 0


def _stop_signal() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set; where loops take no signals, Ctrl+C interrupts the run instead."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _options(given: argparse.Namespace) -> EmulatorOptions:
    return EmulatorOptions(
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
        allow_private_images=given.allow_private_images,
        record_seconds=0.0,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipecat_lemonslice.emulator",
        description=_ABOUT,
        epilog=_USE + table(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _server_arguments(parser)
    _avatar_arguments(parser)
    return parser


def _server_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("server")
    group.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    group.add_argument("--port", type=int, default=8900, help="port; 0 takes a free one (%(default)s)")
    group.add_argument("--key", action="append", default=[], help="accepted API key, repeatable (any)")
    group.add_argument("--agent", action="append", default=[], help="known agent id, repeatable (any)")
    group.add_argument(
        "--room", action="append", default=[], metavar="NAME", help="open the room /rooms/NAME, repeatable"
    )
    group.add_argument(
        "--room-token",
        action="append",
        default=[],
        metavar="TOKEN",
        help="token for --room and for rooms of sessions that carry a daily_token, repeatable (none needed)",
    )
    group.add_argument(
        "--max-body", type=int, default=4 * MEBIBYTE, metavar="BYTES", help="larger requests answer 413 (4 MiB)"
    )
    group.add_argument("--allow-private-images", action="store_true", help="fetch pictures from private addresses, too")
    group.add_argument(
        "--fault", action="append", default=[], type=_fault, metavar="SPEC", help="what goes wrong, repeatable (below)"
    )
    group.add_argument("--verbose", action="store_true", help="log requests")


def _avatar_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("avatar")
    group.add_argument(
        "--latency", type=_seconds, default=0.25, metavar="S", help="from hearing to speaking (%(default)s)"
    )
    group.add_argument("--cold-start", type=_seconds, default=0.0, metavar="S", help="time in QUEUED (0)")
    group.add_argument("--join-delay", type=_seconds, default=0.0, metavar="S", help="then until it joins (0)")
    group.add_argument("--avatar-name", default="LemonSlice", metavar="NAME", help="user name (%(default)s)")


def _seconds(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _fault(text: str) -> str:
    try:
        parse(text)
    except FaultError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


if __name__ == "__main__":
    sys.exit(main())
