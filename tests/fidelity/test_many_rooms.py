"""A process in which many calls come and go."""

import asyncio
import gc
import threading
import weakref

from pipecat_lemonslice.rooms import RoomOptions
from pipecat_lemonslice.rooms.daily import DailyRoom
from pipecat_lemonslice.rooms.daily_native import SETTLE_SECONDS, sources_kept
from tests.fidelity.installed import Native
from tests.fidelity.rooms import AvatarPerson
from tests.support.waiting import until


async def visit(native: Native, number: int) -> "weakref.ref[DailyRoom]":
    """Join a room with an avatar in it, say something, and leave in mid-write."""
    url = f"https://example.daily.co/{number}"
    avatar = AvatarPerson(native.world, url)
    avatar.arrive()
    room = await DailyRoom.join(url, RoomOptions(24000, 24000))
    room.watch((await room.next_event()).participant)  # type: ignore[union-attr]
    room.send({"event": "response_started"})
    room.append(bytes(480))
    await until(lambda: room.played == 240)
    room.append(bytes(9600))
    await room.close()
    avatar.leave()
    return weakref.ref(room)


async def test_forty_rooms_leave_nothing_behind(native: Native) -> None:
    """After forty rooms there are as many threads as before, no room, and no source that is not playing."""
    kept = sources_kept()  # worlds of other tests have ended with audio unplayed
    await visit(native, 0)
    threads = threading.active_count()
    rooms = [await visit(native, number) for number in range(1, 41)]
    native.clients.clear()
    await asyncio.sleep(SETTLE_SECONDS)
    await until(lambda: sources_kept() <= kept, 10.0)
    await until(lambda: threading.active_count() <= threads, 10.0)
    gc.collect()
    assert [room() for room in rooms if room() is not None] == []
