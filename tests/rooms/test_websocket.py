"""What is particular to the emulator's room on a WebSocket."""

import asyncio
from typing import Any, cast
from uuid import UUID

from pipecat_lemonslice.rooms import RoomLost, RoomOptions
from pipecat_lemonslice.rooms.websocket import MAX_OUTGOING, WebSocketRoom
from tests.support.virtual_time import virtual_time

OWN_ID = UUID("11111111-1111-4111-8111-111111111111")


class StuckSocket:
    """A connection whose other side reads nothing and says nothing."""

    async def send_bytes(self, data: bytes) -> None:
        await asyncio.Event().wait()

    def __aiter__(self) -> "StuckSocket":
        return self

    async def __anext__(self) -> Any:
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


@virtual_time
async def test_a_room_that_takes_no_data_is_lost_before_it_fills_the_memory() -> None:
    """Beyond the limit nothing more is kept."""
    room = WebSocketRoom(cast("Any", StuckSocket()), cast("Any", StuckSocket()), OWN_ID, RoomOptions(24000, 24000))
    await asyncio.sleep(0)
    for _ in range(MAX_OUTGOING + 2):
        room.append(bytes(960))
    assert await room.next_event() == RoomLost("the room takes no more data")
    await room.close()
