"""Joins a room that cannot be reached, on daily-python itself, and ends at once."""

import asyncio
import json
import sys
import time

from pipecat_lemonslice.errors import RoomError
from pipecat_lemonslice.rooms import RoomOptions
from pipecat_lemonslice.rooms.daily import DailyRoom


async def main() -> None:
    started = time.monotonic()
    try:
        await DailyRoom.join("https://nowhere.invalid/room", RoomOptions(24000, 24000, token="secret", timeout=2.0))
    except RoomError as error:
        sys.stdout.write(json.dumps({"error": str(error), "seconds": time.monotonic() - started}))


asyncio.run(main())
