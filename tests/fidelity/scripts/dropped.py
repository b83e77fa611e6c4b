"""Drops rooms in the middle of writing, closed or not, on daily-python itself, and goes on.

Pipecat's own transport is made before the rooms or after the first ones, as told: a second Daily.init would abort.
"""

import asyncio
import gc
import sys
import time

from pipecat.transports.daily.transport import DailyTransport

from pipecat_lemonslice.rooms import RoomOptions
from pipecat_lemonslice.rooms.daily import DailyRoom
from pipecat_lemonslice.rooms.daily_native import SETTLE_SECONDS, sources_kept


async def speak_and_drop(*, close: bool) -> None:
    room = DailyRoom(RoomOptions(24000, 24000))
    room.append(bytes(9600))
    if close:
        await room.close()


async def main() -> None:
    if sys.argv[1] == "before":
        DailyTransport("https://nowhere.invalid/room", None, "Pipecat")
    for _ in range(5):
        await speak_and_drop(close=True)
    DailyTransport("https://nowhere.invalid/room", None, "Pipecat")
    gc.collect()
    await asyncio.sleep(0.25 + SETTLE_SECONDS)
    assert sources_kept() == 0
    for close in (True, False, True):
        await speak_and_drop(close=close)


asyncio.run(main())
gc.collect()
time.sleep(0.3)
asyncio.run(speak_and_drop(close=False))
sys.stdout.write("ended")
