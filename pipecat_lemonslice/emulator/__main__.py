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
from pipecat_lemonslice.emulator.options import MEBIBYTE, EmulatorOptions

_ABOUT = "LemonSlice on this machine: its REST API, rooms on WebSockets, and an avatar with a drawn face."
_USE = """
A bot that uses LemonSliceVideoService talks to it when these are in its environment:
  LEMONSLICE_API_URL=http://127.0.0.1:8900/api  LEMONSLICE_API_KEY=any

Examples:
  python -m pipecat_lemonslice.emulator
  python -m pipecat_lemonslice.emulator --cold-start 20 --join-delay 1.2
  python -m pipecat_lemonslice.emulator --reject 503 --reject-times 2 --retry-after 1
  python -m pipecat_lemonslice.emulator --leave-after 2
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
    _misbehave(emulator, given)
    try:
        await emulator.start()
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
        never_join=given.never_join,
        leave_after=given.leave_after,
        freeze_video_after=given.freeze_video_after,
        mute_after=given.mute_after,
        avatar_name=given.avatar_name,
        api_keys=frozenset(given.key),
        agents=frozenset(given.agent),
        room_tokens=frozenset(given.room_token),
        max_body=given.max_body,
        allow_private_images=given.allow_private_images,
        record_seconds=0.0,
    )


def _misbehave(emulator: Emulator, given: argparse.Namespace) -> None:
    path = given.fault_path
    if given.delay is not None:
        emulator.delay(given.delay, times=given.delay_times, path=path)
    if given.reject is not None:
        emulator.reject(given.reject, times=given.reject_times, retry_after=given.retry_after, path=path)
    if given.reset is not None:
        emulator.reset(when=given.reset, times=given.reset_times, path=path)
    if given.malform is not None:
        emulator.malform(times=given.malform, path=path)
    if given.truncate is not None:
        emulator.truncate(times=given.truncate, path=path)
    if given.hang is not None:
        emulator.hang(times=given.hang, path=path)
    emulator.drop_keys(*given.drop_key)
    if given.refuse_rooms is not None:
        emulator.refuse_rooms(given.refuse_rooms)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipecat_lemonslice.emulator",
        description=_ABOUT,
        epilog=_USE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _server_arguments(parser)
    _avatar_arguments(parser)
    _fault_arguments(parser)
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
    group.add_argument("--verbose", action="store_true", help="log requests")


def _avatar_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("avatar")
    group.add_argument(
        "--latency", type=_seconds, default=0.25, metavar="S", help="from hearing to speaking (%(default)s)"
    )
    group.add_argument("--cold-start", type=_seconds, default=0.0, metavar="S", help="time in QUEUED (0)")
    group.add_argument("--join-delay", type=_seconds, default=0.0, metavar="S", help="then until it joins (0)")
    group.add_argument("--avatar-name", default="LemonSlice", metavar="NAME", help="user name (%(default)s)")
    group.add_argument("--never-join", action="store_true", help="the avatar never comes")
    group.add_argument("--leave-after", type=_seconds, metavar="S", help="it leaves after so much speech")
    group.add_argument("--freeze-video-after", type=_seconds, metavar="S", help="its picture stops after so much")
    group.add_argument("--mute-after", type=_seconds, metavar="S", help="its voice stops after so much")


def _fault_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("misbehaviour")
    paths = ("create", "list", "get", "control", "any")
    group.add_argument("--fault-path", choices=paths, default="create", help="requests concerned (%(default)s)")
    group.add_argument("--reject", type=int, metavar="STATUS", help="answer with this status")
    group.add_argument("--reject-times", type=int, default=1, metavar="N", help="so often (1)")
    group.add_argument("--retry-after", metavar="S", help="with this Retry-After header")
    group.add_argument("--delay", type=_seconds, metavar="S", help="answer so much later")
    group.add_argument("--delay-times", type=int, default=1, metavar="N", help="so often (1)")
    group.add_argument("--reset", choices=("before", "after"), help="break the connection, before or after acting")
    group.add_argument("--reset-times", type=int, default=1, metavar="N", help="so often (1)")
    group.add_argument("--hang", type=int, nargs="?", const=1, metavar="N", help="never answer N requests (1)")
    group.add_argument("--malform", type=int, nargs="?", const=1, metavar="N", help="cut the JSON of N answers (1)")
    group.add_argument("--truncate", type=int, nargs="?", const=1, metavar="N", help="break off in N answers (1)")
    group.add_argument("--drop-key", action="append", default=[], metavar="KEY", help="leave out of the answer")
    group.add_argument("--refuse-rooms", metavar="REASON", help="let nobody into any room")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError("must be a number of seconds from 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
