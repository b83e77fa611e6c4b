"""A bounded queue of a room's unread events."""

import asyncio
from collections import deque

from loguru import logger

from pipecat_lemonslice.rooms import PictureReceived, RoomEvent, RoomLost, VoiceReceived

MAX_EVENTS = 3000
"""Half a minute of 10 ms voice. A reader that far behind is stuck; the oldest voice is then dropped."""


class RoomInbox:
    """Events in order, of pictures only the newest.

    To be used on the event loop only. Once the room is lost, that is the last event and stays so.
    """

    def __init__(self) -> None:
        self._events: deque[RoomEvent] = deque()
        self._picture: PictureReceived | None = None
        self._lost: RoomLost | None = None
        self._dropped = 0
        self._wake = asyncio.Event()

    def put(self, event: RoomEvent) -> None:
        """Add an event; ignored after the room was lost."""
        if self._lost:
            return
        match event:
            case PictureReceived():
                self._picture = event
            case RoomLost():
                self._lost = event
            case _:
                self._events.append(event)
                self._bound()
        self._wake.set()

    async def get(self) -> RoomEvent:
        """Wait for the next event: what is in order first, then the newest picture, the loss of the room last."""
        while True:
            if self._events:
                return self._events.popleft()
            if self._picture:
                picture, self._picture = self._picture, None
                return picture
            if self._lost:
                return self._lost
            self._wake.clear()
            await self._wake.wait()

    def _bound(self) -> None:
        if len(self._events) <= MAX_EVENTS:
            return
        oldest_voice = next((event for event in self._events if isinstance(event, VoiceReceived)), None)
        if oldest_voice is None:
            self._events.popleft()
        else:
            self._events.remove(oldest_voice)
        if not self._dropped:
            logger.warning("The avatar's room is read too slowly: its oldest waiting voice is being dropped")
        self._dropped += 1
