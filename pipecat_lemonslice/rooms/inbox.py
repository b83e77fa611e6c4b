"""A bounded queue of a room's unread events."""

import asyncio
from collections import deque

from pipecat_lemonslice.rooms import RoomEvent, RoomLost

MAX_EVENTS = 3000
"""A reader that far behind is stuck; the oldest events are then dropped."""


class RoomInbox:
    """Events in order, for the event loop only. Once the room is lost, that is the last event and stays so."""

    def __init__(self) -> None:
        self._events: deque[RoomEvent] = deque(maxlen=MAX_EVENTS)
        self._lost: RoomLost | None = None
        self._wake = asyncio.Event()

    def put(self, event: RoomEvent) -> None:
        """Add an event; ignored after the room was lost."""
        if self._lost:
            return
        if isinstance(event, RoomLost):
            self._lost = event
        else:
            self._events.append(event)
        self._wake.set()

    async def get(self) -> RoomEvent:
        """Wait for the next event; the loss of the room comes last."""
        while True:
            if self._events:
                return self._events.popleft()
            if self._lost:
                return self._lost
            self._wake.clear()
            await self._wake.wait()
