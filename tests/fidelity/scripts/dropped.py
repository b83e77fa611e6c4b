"""Drops rooms in the middle of writing, closed or not, on daily-python itself, and goes on."""

import asyncio
import gc
import sys
import time

from pipecat_lemonslice.rooms import RoomOptions
from pipecat_lemonslice.rooms.daily import DailyRoom
from pipecat_lemonslice.rooms.daily_native import SETTLE_SECONDS, sources_kept


async def speak_and_drop(*, close: bool) -> None:
    room = DailyRoom(RoomOptions(24000, 24000))
    room.append(bytes(9600))
    if close:
        await room.close()


async def main() -> None:
    for _ in range(5):
        await speak_and_drop(close=True)
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
