"""TTS contexts: which may still be heard, and when the words that are timed within them are due.

Pure: times and positions are arguments.
"""

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from pipecat.frames.frames import Frame

MAX_CONTEXTS = 256
"""Contexts remembered; the oldest are forgotten first. A late chunk comes seconds late, not hundreds of turns."""


class ContextGate:
    """Knows which TTS audio belongs to something that was interrupted.

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

    def admits(self, context_id: str | None) -> bool:
        """Whether what belongs to this context may still be heard."""
        if context_id is None:
            return not self._muted
        self._note(context_id)
        return context_id not in self._dead

    def interrupt(self, spared: Collection[str | None]) -> None:
        """Close the gate for everything said so far.

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
    arrived_ns: int
    written: float = 0.0


@dataclass(frozen=True, slots=True)
class _TimedFrame:
    context_id: str
    position: float
    frame: Frame


class WordClock:
    """Releases frames that carry a presentation time when the audio that they belong to has been written.

    A TTS stamps words relative to the arrival of its first audio. That is turned into a position within the context,
    so that speech that waited, or is spoken late, takes its words along.
    """

    def __init__(self) -> None:
        self._contexts: dict[str, _Progress] = {}
        self._waiting: deque[_TimedFrame] = deque()

    def audio_arrived(self, context_id: str | None, now_ns: int) -> None:
        """Take note of audio of a context; only the first of each counts.

        Args:
            context_id: The context.
            now_ns: Pipeline clock, in nanoseconds.
        """
        if context_id is not None and context_id not in self._contexts:
            self._contexts[context_id] = _Progress(now_ns)
            _shorten(self._contexts)

    def delay_ns(self, context_id: str | None, now_ns: int) -> int:
        """Return by how many nanoseconds a context is later than its TTS believes, if it is spoken from now on."""
        progress = self._contexts.get(context_id or "")
        return max(0, now_ns - progress.arrived_ns) if progress else 0

    def hold(self, frame: Frame) -> bool:
        """Keep a frame until its time has come.

        Args:
            frame: Any frame.

        Returns:
            False if there is nothing to time it by; the caller then treats it like any other.
        """
        context_id: str | None = getattr(frame, "context_id", None)
        progress = self._contexts.get(context_id or "")
        if progress is None or context_id is None or not frame.pts:
            return False
        position = (frame.pts - progress.arrived_ns) / 1e9
        self._waiting.append(_TimedFrame(context_id, position, frame))
        return True

    def due(self) -> list[Frame]:
        """Return the frames whose audio has been written."""
        return self._take(self._is_due)

    def written(self, context_id: str | None, seconds: float) -> list[Frame]:
        """Take note of written audio and return the frames that are due."""
        if progress := self._contexts.get(context_id or ""):
            progress.written += seconds
        return self.due()

    def finish(self, context_id: str | None) -> list[Frame]:
        """Return what still waits of a context, or of all of them for None."""
        return self._take(lambda timed: context_id is None or timed.context_id == context_id)

    def interrupt(self) -> None:
        """Drop what waits and may be dropped."""
        self._waiting = deque(timed for timed in self._waiting if not timed.frame.interruptible)

    def _is_due(self, timed: _TimedFrame) -> bool:
        progress = self._contexts.get(timed.context_id)
        return progress is None or progress.written >= timed.position

    def _take(self, due: Callable[[_TimedFrame], bool]) -> list[Frame]:
        taken = [timed.frame for timed in self._waiting if due(timed)]
        if taken:
            self._waiting = deque(timed for timed in self._waiting if not due(timed))
        return taken


def _shorten(contexts: dict[str, Any]) -> None:
    while len(contexts) > MAX_CONTEXTS:
        del contexts[next(iter(contexts))]
