"""Uses daily-python beside Pipecat's own transport, in the order given: a second Daily.init would abort the process."""

import asyncio
import sys

from pipecat.transports.daily.transport import DailyTransport

from pipecat_lemonslice.rooms import RoomOptions
from pipecat_lemonslice.rooms.daily import DailyRoom


def pipecat() -> None:
    DailyTransport("https://nowhere.invalid/room", None, "Pipecat")


async def main() -> None:
    if sys.argv[1] == "first":
        pipecat()
    room = DailyRoom(RoomOptions(24000, 24000))
    if sys.argv[1] == "second":
        pipecat()
    room.append(bytes(480))
    while room.played < 240:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    await room.close()


asyncio.run(main())
sys.stdout.write("ended")
