"""Ten seconds of 20 ms writes, two in flight, on daily-python itself; prints what came of it as JSON."""

import asyncio
import json
import sys
import time
from itertools import accumulate, pairwise

from pipecat_lemonslice.rooms import RoomOptions
from pipecat_lemonslice.rooms._native import SpeechSource
from pipecat_lemonslice.rooms.daily import DailyRoom

RATE, SECONDS = 24000, 10.0
PCM = bytes(RATE // 50 * 2)


def longest_gap(played: list[float]) -> float:
    """The longest silence between two writes, in seconds.

    A completion may be late because the machine is busy; only what all later ones are late by was silence.
    """
    late = [at - index * 0.020 for index, at in enumerate(played)]
    shift = list(accumulate(reversed(late), min))[::-1]
    return max(after - before for before, after in pairwise(shift))


async def watch_loop(absences: list[float]) -> None:
    """Note for how long the event loop was away: a machine that has no time for it proves nothing."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.005)
        absences.append(time.monotonic() - before - 0.005)


async def main() -> None:
    played: list[float] = []
    write = SpeechSource.write

    def noted(self: SpeechSource, pcm: bytes, on_played: object) -> None:
        def done() -> None:
            played.append(time.monotonic())
            on_played()  # type: ignore[operator]

        write(self, pcm, done)

    SpeechSource.write = noted  # type: ignore[method-assign]
    room = DailyRoom(RoomOptions(RATE, RATE))  # not joined: a source paces all the same
    absences: list[float] = []
    watch = asyncio.create_task(watch_loop(absences))
    started = time.monotonic()
    in_flight = [room.write(PCM)]
    for _ in range(round(SECONDS * 50) - 1):
        in_flight.append(room.write(PCM))
        await in_flight.pop(0)
    await in_flight.pop()
    result = {"total": played[-1] - started, "writes": len(played), "gap": longest_gap(played)}
    result["starved"] = sum(absence for absence in absences if absence > 0.025)
    sys.stdout.write(json.dumps(result))
    watch.cancel()
    await room.close()


asyncio.run(main())
