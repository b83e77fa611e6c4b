"""The frames that wait: for an avatar, for audio in front of them to be played, or for their turn.

Owns their order and how much they are. Knows positions on the track, and nothing of who plays it.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from pipecat.frames.frames import Frame, TTSAudioRawFrame

from pipecat_lemonslice.rooms.playout import SAMPLE_BYTES
from pipecat_lemonslice.speech.replay import Chunk

MAX_QUEUED_SECONDS = 1800.0
"""Speech that may wait. Beyond it the pipeline is held back until some has been spoken; nothing is dropped."""

MAX_QUEUED_FRAMES = 100_000
"""Frames that may wait, of any kind; likewise."""


@dataclass(frozen=True, slots=True, eq=False)
class Drained:
    """A mark in the queue: everything before it has been heard."""

    reached: asyncio.Event


class SpeechQueue:
    """The frames that wait. What is behind audio comes first, then what was taken off the track, then what has come."""

    def __init__(self, sample_rate: int) -> None:
        """Create an empty queue.

        Args:
            sample_rate: What audio that does not say its rate is taken to have, in Hz.
        """
        self.behind: deque[tuple[int, Frame]] = deque()
        """Frames behind audio on the track, each with the position that has to be played first."""
        self.released: list[Chunk | Frame] | None = None
        """What was taken off the track, to be put in front of what waits; None if nothing was."""
        self.items: deque[Frame | Drained] = deque()
        """What has come and waits for its turn."""
        self.pieces = 0
        """How many pieces of audio there are among the items and what was taken off the track."""
        self.seconds = 0.0
        """Their duration."""
        self._rate = sample_rate

    @property
    def contexts(self) -> set[str | None]:
        """The TTS contexts of all audio that waits."""
        waiting = {item.context_id for item in self.items if isinstance(item, TTSAudioRawFrame)}
        return waiting | {item.origin.context_id for item in self.released or () if isinstance(item, Chunk)}

    def put(self, item: Frame | Drained) -> None:
        """Add something at the end; a frame that cannot be read raises, and does not enter."""
        self._count(item, 1)
        self.items.append(item)

    def pop(self) -> float:
        """Remove what comes next; returns how many seconds of audio that was."""
        return self._count(self.items.popleft(), -1)

    def drop(self, head: Frame | Drained | None) -> None:
        """Remove a frame that comes next, if it still does, without looking into it: it cannot be read."""
        if isinstance(head, Frame) and self.items and self.items[0] is head:
            self.items.popleft()
            self._recount()

    def drop_interruptible(self) -> None:
        """Remove every frame, and all speech that was taken off the track, that an interruption ends."""
        self.items = deque(item for item in self.items if isinstance(item, Drained) or not item.interruptible)
        self.behind = deque((at, frame) for at, frame in self.behind if not frame.interruptible)
        if self.released is not None:
            origins = [(item.origin if isinstance(item, Chunk) else item, item) for item in self.released]
            self.released = [item for origin, item in origins if not origin.interruptible]
        self._recount()

    def release(self, speech: Iterable[Chunk]) -> None:
        """Take speech off the track, with the frames that stand in it; it goes in front of everything that waits."""
        items: list[Chunk | Frame] = []
        for chunk in speech:
            while self.behind and self.behind[0][0] <= chunk.begin:
                items.append(self.behind.popleft()[1])
            items.append(chunk)
        items += [frame for _, frame in self.behind]
        self.behind.clear()
        if items:
            self.released = [*items, *(self.released or ())]
            self._recount()

    def release_remainder(self, speech: list[Chunk]) -> None:
        """Add what follows the speech that was taken off the track."""
        if speech:
            self.released = [*(self.released or ()), *speech]
            self._recount()

    def requeue(self) -> None:
        """Put what was taken off the track in front of everything that waits."""
        for item in reversed(self.released or []):
            frame = item.origin.frame(item.pcm, self._rate) if isinstance(item, Chunk) else item
            self.items.appendleft(frame)
        self.released = None
        self._recount()

    def close(self) -> None:
        """Let everybody go who waits for the end, and forget the rest: nothing is played any longer."""
        for item in self.items:
            if isinstance(item, Drained):
                item.reached.set()
        self.items.clear()
        self.behind.clear()
        self.released = None
        self._recount()

    def _count(self, item: Chunk | Frame | Drained, sign: int) -> float:
        """Keep the totals, so that nothing has to look through the queue; returns the item's seconds of audio."""
        match item:
            case TTSAudioRawFrame():
                rate = item.sample_rate if item.sample_rate > 0 else self._rate
                seconds = len(item.audio) / (SAMPLE_BYTES * max(1, item.num_channels) * rate)
            case Chunk():
                seconds = (item.end - item.begin) / self._rate
            case _:
                return 0.0
        self.seconds += sign * seconds
        self.pieces += sign
        return seconds

    def _recount(self) -> None:
        self.pieces, self.seconds = 0, 0.0
        for item in (*(self.released or ()), *self.items):
            self._count(item, 1)
