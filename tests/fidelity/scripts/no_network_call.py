"""A call whose avatar's room cannot be reached, on daily-python itself; prints what came of it as JSON."""

import asyncio
import json
import sys
import time
from dataclasses import replace

from pipecat_lemonslice import LemonSliceVideoService
from pipecat_lemonslice.rooms import Room, RoomOptions, open_room
from tests.fidelity.bots import Bot
from tests.fidelity.vendor import Vendor
from tests.support.stage import tone
from tests.support.waiting import until


async def hastily(url: str, options: RoomOptions) -> Room:
    """Join with less patience than the library's own 20 s."""
    return await open_room(url, replace(options, timeout=1.0))


async def main() -> None:
    settings = LemonSliceVideoService.Settings(ready_timeout=0.3)
    elsewhere = {"_open_room": hastily, "daily_room_url": "https://nowhere.invalid/room"}
    async with Vendor(None, avatar_after=None) as vendor, Bot(vendor, settings=settings, **elsewhere) as bot:
        await bot.speak(0.4)
        await until(lambda: bool(bot.errors), 5.0)
        await until(lambda: "terminate" in vendor.log, 5.0)
        started = time.monotonic()
        await bot.end()
        took = time.monotonic() - started
    errors = [frame.error for frame in bot.errors]
    json.dump({"errors": errors, "voice": bot.plain == tone(0.4), "log": vendor.log, "end": took}, sys.stdout)


asyncio.run(main())
