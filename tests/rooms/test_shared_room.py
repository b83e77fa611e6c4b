"""The user's own room for the length of one session: who can be seen there."""

import asyncio
from typing import Any, cast

from pipecat.processors.frame_processor import FrameProcessor

from pipecat_lemonslice.rooms import (
    AvatarSeen,
    MessageReceived,
    Participant,
    ParticipantJoined,
    ParticipantLeft,
    RoomEvent,
)
from pipecat_lemonslice.rooms.shared_room import SharedRoom

AVATAR = Participant("1", "LemonSlice")


async def happened(room: SharedRoom, count: int) -> list[RoomEvent]:
    return [await asyncio.wait_for(room.next_event(), 1.0) for _ in range(count)]


async def test_an_avatar_that_comes_back_is_seen_when_its_camera_is() -> None:
    """What was seen of it before it left says nothing of now."""
    room = SharedRoom(cast("Any", FrameProcessor()), 24000)
    joined, hello, left = ParticipantJoined(AVATAR), MessageReceived(AVATAR.id, "hello"), ParticipantLeft(AVATAR, "")
    for _ in range(2):
        room.note(joined)
        room.watch(AVATAR)
        room.note(hello)
        room.note_camera(AVATAR.id, visible=True)
        room.note(left)
        assert await happened(room, 4) == [joined, hello, AvatarSeen(AVATAR), left]
    await room.close()
