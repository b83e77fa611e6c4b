"""The speech track of a Daily room on daily-python itself, unjoined; prints what came of it as JSON.

The loop is blocked for 150 ms five times a second, asleep and computing in turn. Times are taken on the native thread.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any, cast

from pipecat_lemonslice.rooms.daily_native import NativeTrack, initialize

RATE = 24000


class NativeThread:
    """Stands where the way to the loop is, and stays on the native thread."""

    def call(self, function: Callable[..., object], *args: object) -> None:
        function(*args)


class Measured:
    """A track, and when it was played how far."""

    def __init__(self) -> None:
        self.reports: list[tuple[float, int]] = []
        self.track = NativeTrack(RATE, cast("Any", NativeThread()), on_played=self._note, on_failed=sys.exit)

    def _note(self) -> None:
        self.reports.append((time.monotonic(), self.track.played))

    async def played(self) -> None:
        while self.track.played < self.track.appended:  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    def longest_silence(self) -> float:
        """The longest silence between two reports, in seconds.

        A report may be late because the machine is busy; only what all later ones are late by was silence.
        """
        late = [at - position / RATE for at, position in self.reports]
        shift = list(accumulate(reversed(late), min))[::-1]
        return max(after - before for before, after in pairwise(shift))


async def block_the_loop() -> None:
    """Five times a second for 150 ms, as tools and image libraries do."""
    asleep = False
    while True:
        await asyncio.sleep(0.05)
        asleep = not asleep
        until = time.monotonic() + 0.15
        if asleep:
            time.sleep(0.15)  # noqa: ASYNC251
        while time.monotonic() < until:
            sum(range(1000))


async def main() -> None:
    initialize()
    blocked = Measured()
    begun = time.monotonic()
    blocking = asyncio.create_task(block_the_loop())
    blocked.track.append(bytes(3 * RATE * 2))
    await blocked.played()
    blocking.cancel()

    tail = Measured()
    for _ in range(3):
        tail.track.append(bytes(round(0.169 * RATE) * 2))
    await tail.played()

    cut = Measured()
    await asyncio.sleep(0.1)
    appended = time.monotonic()
    cut.track.report_at(round(0.02 * RATE))
    cut.track.append(bytes(2 * RATE * 2))
    await asyncio.sleep(0.5)
    cut.track.clear()
    left = cut.track.appended - cut.track.played
    await cut.played()

    json.dump(
        {
            "total": blocked.reports[-1][0] - begun,
            "silence": blocked.longest_silence(),
            "first": cut.reports[0][0] - appended,
            "tail_silence": tail.longest_silence(),
            "tail_played": tail.track.played / RATE,
            "left": left / RATE,
        },
        sys.stdout,
    )
    for one in (blocked, tail, cut):
        one.track.retire()


asyncio.run(main())
