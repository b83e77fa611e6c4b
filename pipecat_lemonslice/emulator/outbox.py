"""What waits to be sent to one participant: bounded, nothing lost that matters, no picture but the newest."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from uuid import UUID

MOST_TEXTS = 1000
MOST_SOUNDS = 500
"""Ten seconds of packets."""


class OutboxFull(Exception):
    """The participant has not taken its texts for so long that it counts as gone."""


@dataclass(frozen=True)
class _Packet:
    source: UUID
    data: bytes


class Outbox:
    """Texts and sounds leave in their order, pictures after them.

    Of pictures only the newest of each sender waits. When ten seconds of sound wait, the oldest goes.
    """

    def __init__(self):
        self._queue: deque[str | _Packet] = deque()
        self._pictures: dict[UUID, bytearray] = {}
        self._texts = 0
        self._news = asyncio.Event()

    def text(self, text: str) -> None:
        """Queue a text.

        Raises:
            OutboxFull: Too many wait already.
        """
        if self._texts >= MOST_TEXTS:
            raise OutboxFull
        self._texts += 1
        self._queue.append(text)
        self._news.set()

    def sound(self, source: UUID, data: bytes) -> None:
        """Queue a packet of sound."""
        if len(self._queue) - self._texts >= MOST_SOUNDS:
            self._queue.remove(next(item for item in self._queue if isinstance(item, _Packet)))
        self._queue.append(_Packet(source, data))
        self._news.set()

    def picture(self, source: UUID, data: bytearray) -> None:
        """Put a picture in the place of the one that waits."""
        self._pictures[source] = data
        self._news.set()

    def hush(self, source: UUID) -> None:
        """Forget the sound of one sender."""
        kept = [item for item in self._queue if isinstance(item, str) or item.source != source]
        self._queue = deque(kept)

    async def get(self) -> str | bytes | bytearray:
        """The next message, waiting for one."""
        while not self._queue and not self._pictures:
            self._news.clear()
            await self._news.wait()
        if not self._queue:
            return self._pictures.pop(next(iter(self._pictures)))
        match self._queue.popleft():
            case str() as text:
                self._texts -= 1
                return text
            case packet:
                return packet.data
