"""The queue of speech and of the frames that travel with it: who may enter, and what an interruption leaves."""

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pipecat.frames.frames import Frame, LLMFullResponseStartFrame, TTSAudioRawFrame, TTSStartedFrame, TTSTextFrame

from pipecat_lemonslice.contexts import ContextGate
from pipecat_lemonslice.stream import duration

MAX_QUEUED_SECONDS = 1800.0
"""Speech that may wait. Beyond it the pipeline is held back until some has been spoken; nothing is dropped."""

MAX_QUEUED_FRAMES = 100_000
"""Frames that may wait, of any kind; likewise."""


@dataclass(frozen=True, slots=True, eq=False)
class TakenBack:
    """A mark: what the avatar has not been heard saying goes here."""


@dataclass(frozen=True, slots=True)
class Drained:
    """A mark: everything before it has been heard."""

    done: "asyncio.Future[None]"


Item = Frame | TakenBack | Drained


class SpeechQueue:
    """Frames in order. Audio of what was interrupted does not enter; text of it neither."""

    def __init__(self, sample_rate: int) -> None:
        """Create an empty queue.

        Args:
            sample_rate: What audio that does not say its rate is taken to have, in Hz.
        """
        self._rate = sample_rate
        self._items: deque[Item] = deque()
        self._seconds = 0.0
        self._audio_items = 0
        self._gate = ContextGate()
        self._space = asyncio.Event()

    @property
    def head(self) -> Item | None:
        """What comes next; None when there is nothing."""
        return self._items[0] if self._items else None

    @property
    def seconds(self) -> float:
        """Duration of the audio in the queue."""
        return self._seconds

    @property
    def holds_audio(self) -> bool:
        """Whether any audio is in the queue, or is about to be put back into it."""
        return self._audio_items > 0

    async def wait_for_space(self) -> None:
        """Wait while the queue holds as much as it may."""
        while self._seconds > MAX_QUEUED_SECONDS or len(self._items) >= MAX_QUEUED_FRAMES:
            self._space.clear()
            await self._space.wait()

    def admit(self, frame: Frame) -> bool:
        """Take note that a frame has come; returns False if it is not wanted any more."""
        match frame:
            case LLMFullResponseStartFrame():
                self._gate.announce(None, by_tts=False)
            case TTSStartedFrame():
                self._gate.announce(frame.context_id)
            case _:
                pass
        return self._admits(frame)

    def put(self, frame: Frame) -> None:
        """Add a frame at the end; one that cannot be read raises, and does not enter."""
        self._count(frame, 1)
        self._items.append(frame)

    def lives(self, context_id: str | None) -> bool:
        """Whether a context has not been interrupted."""
        return self._gate.admits(context_id)

    def mark(self, mark: TakenBack | Drained) -> None:
        """Add a mark: what was taken back comes first of all, the end of everything last."""
        if isinstance(mark, TakenBack):
            self._items.appendleft(mark)
            self._count(mark, 1)
        else:
            self._items.append(mark)

    def pop(self) -> None:
        """Remove what comes next."""
        self._count(self._items.popleft(), -1)
        self._space.set()

    def drop(self) -> None:
        """Remove what comes next without looking into it: it cannot be read."""
        self._items.popleft()
        self._recount()

    def replace(self, mark: TakenBack, frames: Sequence[TTSAudioRawFrame]) -> None:
        """Put frames in the place of a mark."""
        at = self._items.index(mark)
        del self._items[at]
        self._count(mark, -1)
        for frame in reversed(frames):
            self._items.insert(at, frame)
            self._count(frame, 1)

    def interrupt(self, spared: Collection[str | None] = ()) -> None:
        """Drop what may be interrupted, and let no more of it in.

        Args:
            spared: Contexts that are on their way to the avatar, and may not be interrupted.
        """
        self._items = deque(item for item in self._items if _survives(item))
        self._recount()
        kept = {item.context_id for item in self._items if isinstance(item, TTSAudioRawFrame)}
        self._gate.interrupt(kept.union(spared))
        self._space.set()

    def release(self) -> None:
        """Let everybody go who waits for the end; nothing is played any more."""
        for item in self._items:
            if isinstance(item, Drained) and not item.done.done():
                item.done.set_result(None)

    def _count(self, item: Item, sign: int) -> None:
        """Keep the totals, so that nothing has to look through the queue."""
        if isinstance(item, TTSAudioRawFrame):
            self._seconds = max(0.0, self._seconds + sign * duration(item, self._rate))
        if isinstance(item, TTSAudioRawFrame | TakenBack):
            self._audio_items += sign

    def _recount(self) -> None:
        self._seconds, self._audio_items = 0.0, 0
        for item in self._items:
            self._count(item, 1)

    def _admits(self, frame: Frame) -> bool:
        match frame:
            case TTSAudioRawFrame() if not frame.audio:
                return False
            case TTSAudioRawFrame() | TTSTextFrame():
                return not frame.interruptible or self._gate.admits(frame.context_id)
            case _:
                return True


def _survives(item: Item) -> bool:
    """Marks do: what is taken back is by then what may not be interrupted, and the end comes all the same."""
    return not item.interruptible if isinstance(item, Frame) else True
