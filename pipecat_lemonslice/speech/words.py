"""TTS contexts: which of them were interrupted, and when the words that are timed within them are due.

Pure: times are arguments. A word is due when the audio of its context has been played as far as the word's place in it.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

from pipecat.frames.frames import (
    AggregatedTextFrame,
    AggregatedTextProgressFrame,
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)

MAX_CONTEXTS = 256
"""Contexts remembered; the oldest are forgotten first. A late chunk comes seconds late, not hundreds of turns."""


MAX_WAITING_WORDS = 10_000
"""Words that wait for their audio. Further ones keep their place among the other frames instead, as if untimed."""


class InterruptedContexts:
    """Knows which TTS audio belongs to speech that was interrupted.

    Labelled audio is judged by its context id. Audio without one can only be told apart where the source announces
    its utterances: then, after an interruption, it waits for the next announcement.
    """

    def __init__(self) -> None:
        self._living: dict[str, None] = {}
        self._dead: dict[str, None] = {}
        self._announces = False
        self._muted = False

    def announce(self, context_id: str | None, *, by_tts: bool = True) -> None:
        """Take note that an utterance begins.

        Args:
            context_id: Its context, if it has one.
            by_tts: Whether the source of the audio says so; False if another, such as the LLM, does.
        """
        if context_id is None:
            self._announces = self._announces or by_tts
            self._muted = False
        else:
            self._note(context_id)

    def admit(self, frame: Frame) -> bool:
        """Take note of a frame that comes; returns False if it belongs to what was interrupted, or is empty."""
        match frame:
            case LLMFullResponseStartFrame():
                self.announce(None, by_tts=False)
            case TTSStartedFrame():
                self.announce(frame.context_id)
            case TTSAudioRawFrame() if not frame.audio:
                return False
            case TTSAudioRawFrame() | TTSTextFrame():
                return not frame.interruptible or self.admits(frame.context_id)
            case _:
                pass
        return True

    def admits(self, context_id: str | None) -> bool:
        """Whether what belongs to this context may still be heard."""
        if context_id is None:
            return not self._muted
        self._note(context_id)
        return context_id not in self._dead

    def interrupt(self, spared: Collection[str | None]) -> None:
        """Refuse everything said so far from now on.

        Args:
            spared: Contexts with audio that may not be interrupted.
        """
        for context_id in [c for c in self._living if c not in spared]:
            del self._living[context_id]
            self._dead[context_id] = None
        self._muted = self._announces
        _shorten(self._dead)

    def _note(self, context_id: str) -> None:
        if context_id not in self._dead:
            self._living[context_id] = None
            _shorten(self._living)


@dataclass(slots=True)
class _Progress:
    begun_ns: int
    """From when the TTS counts the times of its words."""
    spoken: float = 0.0
    """Seconds of it that have been played to the avatar, or passed on as TTS audio."""
    late_ns: int | None = None
    """By how much it is heard later than its TTS believes; None while the avatar speaks it, or nobody yet."""


@dataclass(frozen=True, slots=True, order=True)
class _TimedFrame:
    position: float
    arrival: int
    frame: Frame = field(compare=False)


class WordTimer:
    """Releases frames that carry a presentation time when the audio that they belong to has been played.

    A TTS stamps the words of a context from the arrival of its first audio on, or from its own last word if that is
    later. That is turned into a position within the context, so that speech that waited, or is spoken late, takes its
    words along.
    """

    def __init__(self) -> None:
        self._contexts: dict[str, _Progress] = {}
        # A heap for each context, so that a word costs the same however many wait.
        self.waiting: dict[str, list[_TimedFrame]] = {}
        """The frames that wait for their audio, by context."""
        self.moved: set[str] = set()
        """Contexts of which a frame may have become due."""
        self._count = 0
        self._arrivals = 0
        self._last_word_ns = 0
        self._last_kept_word_ns = 0

    def remaining(self, context_id: str | None) -> float | None:
        """Return how many seconds of a context have to be played until its next word is due; None if none waits."""
        waiting, progress = self.waiting.get(context_id or ""), self._contexts.get(context_id or "")
        return max(0.0, waiting[0].position - progress.spoken) if waiting and progress else None

    def arrived(self, frame: TTSAudioRawFrame | TTSTextFrame, now_ns: int) -> None:
        """Take note of audio or a word, when it comes.

        Args:
            frame: The frame.
            now_ns: Pipeline clock, in nanoseconds.
        """
        context_id = frame.context_id
        if context_id is not None and context_id not in self._contexts:
            self._contexts[context_id] = _Progress(max(now_ns, self._last_word_ns))
            _shorten(self._contexts)
            self.moved |= self.waiting.keys() - self._contexts.keys()
        if isinstance(frame, TTSTextFrame) and frame.pts:
            self._last_word_ns = frame.pts
            self._last_kept_word_ns = self._last_kept_word_ns if frame.interruptible else frame.pts

    def late_ns(self, context_id: str | None) -> int:
        """Return by how many nanoseconds a context that is heard as TTS audio is later than its TTS believes."""
        progress = self._contexts.get(context_id or "")
        return (progress.late_ns or 0) if progress else 0

    def hold(self, frame: Frame) -> bool:
        """Keep a text until its time has come.

        Args:
            frame: Any frame; only texts that carry a presentation time and belong to a context are kept.

        Returns:
            False if there is nothing to time it by, or no need; the caller then treats it like any other.
        """
        context_id: str | None = getattr(frame, "context_id", None)
        progress = self._contexts.get(context_id or "")
        if progress is None or progress.late_ns is not None or context_id is None or not frame.pts:
            return False
        if self._count >= MAX_WAITING_WORDS:
            return False
        if not isinstance(frame, AggregatedTextFrame | AggregatedTextProgressFrame):
            return False
        position = (frame.pts - progress.begun_ns) / 1e9
        self._arrivals += 1
        self._count += 1
        heappush(self.waiting.setdefault(context_id, []), _TimedFrame(position, self._arrivals, frame))
        self.moved.add(context_id)
        return True

    def due(self) -> list[Frame]:
        """Return the frames whose audio has been played."""
        moved, self.moved = self.moved, set()
        taken: list[_TimedFrame] = []
        for context_id in moved:
            progress, waiting = self._contexts.get(context_id), self.waiting.get(context_id, [])
            while waiting and (progress is None or 0.0 < progress.spoken >= waiting[0].position):
                taken.append(heappop(waiting))
            if not waiting:
                self.waiting.pop(context_id, None)
        return self._taken(taken)

    def due_before(self, frame: Frame) -> list[Frame]:
        """Return the frames that must not come later than this one."""
        match frame:
            case TTSStoppedFrame():
                return self.finish(frame.context_id)
            case LLMFullResponseEndFrame():
                return self.overdue()
            case _:
                return []

    def played(self, context_id: str | None, seconds: float) -> None:
        """Take note of audio that was played to the avatar."""
        if progress := self._contexts.get(context_id or ""):
            progress.spoken += seconds
            progress.late_ns = None
            if context_id in self.waiting:
                self.moved.add(context_id)

    def taken_back(self, context_id: str | None, seconds: float) -> None:
        """Take note that so much of what was played of this context will be heard once more."""
        if progress := self._contexts.get(context_id or ""):
            progress.spoken -= seconds

    def voiced(self, context_id: str | None, seconds: float, heard_from_ns: int) -> list[Frame]:
        """Take note of audio that is passed on as TTS audio, to be heard without the avatar.

        Args:
            context_id: Its context.
            seconds: Its duration.
            heard_from_ns: When it will be heard, by the pipeline clock in nanoseconds.

        Returns:
            What waited of the context, stamped anew; the output transport times it.
        """
        progress = self._contexts.get(context_id or "")
        if progress is None:
            return []
        if progress.late_ns is None:
            progress.late_ns = max(0, heard_from_ns - progress.begun_ns - round(progress.spoken * 1e9))
        progress.spoken += seconds
        frames = self.finish(context_id)
        for frame in frames:
            frame.pts = (frame.pts or 0) + progress.late_ns
        return frames

    def overdue(self) -> list[Frame]:
        """Return what waits for audio that does not seem to come: of contexts that have been spoken in part."""
        spoken = (known for known in self.waiting if (progress := self._contexts.get(known)) and progress.spoken > 0)
        return self._taken([timed for context_id in list(spoken) for timed in self.waiting.pop(context_id)])

    def finish(self, context_id: str | None) -> list[Frame]:
        """Return what still waits of a context, or of all of them for None."""
        contexts = list(self.waiting) if context_id is None else [context_id]
        return self._taken([timed for each in contexts for timed in self.waiting.pop(each, [])])

    def restamp(self, frame: Frame, *, avatar: bool) -> None:
        """Words of speech that waited are late by as much; at the avatar's pace they need no time of their own."""
        if avatar:
            frame.pts = None
        elif frame.pts:
            frame.pts += self.late_ns(getattr(frame, "context_id", None))

    def interrupt(self) -> None:
        """Drop what waits and may be dropped. The TTS counts its next words from what it keeps."""
        self._last_word_ns = self._last_kept_word_ns
        for context_id, waiting in list(self.waiting.items()):
            # A sorted list is a heap.
            self.waiting[context_id] = sorted(timed for timed in waiting if not timed.frame.interruptible)
        self._count = sum(map(len, self.waiting.values()))

    def _taken(self, taken: list[_TimedFrame]) -> list[Frame]:
        """Return frames in the order in which they came; they wait no more."""
        self._count -= len(taken)
        return [timed.frame for timed in sorted(taken, key=lambda timed: timed.arrival)]


def _shorten(contexts: dict[str, Any]) -> None:
    while len(contexts) > MAX_CONTEXTS:
        del contexts[next(iter(contexts))]
