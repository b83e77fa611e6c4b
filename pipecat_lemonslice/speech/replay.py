"""The speech on the avatar's track, by position: what waits to be played, and what was played and may be said again.

Pure: positions are samples, times are seconds on one monotonic clock. An avatar that is lost, or told to stop, has not
said the last of what was played to it. When unsure, assume less was heard: a repeated syllable is better than a lost
one.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import ceil, inf

from pipecat.frames.frames import TTSAudioRawFrame

from pipecat_lemonslice.rooms.playout import SAMPLE_BYTES

REMEMBERED_SECONDS = 6.0
"""How long what was played can be heard again: longer than it takes to find out that an avatar is mute."""

GRID_SECONDS = 0.02
"""What is repeated begins at a multiple of this length: rather a little more than too little."""

GAP_SECONDS = 0.1
"""Speech that is played so much later than the speech before it begins anew."""

JITTER_SECONDS = 0.3
"""By how much an avatar's lag may have changed since it was measured."""

LEFT_BEHIND = 0.0401
"""What an interruption may leave of the speech that it interrupts, in seconds: the writes in flight."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What the TTS said of a piece of audio.

    Attributes:
        context_id: Its context.
        interruptible: Whether an interruption ends it.
        destination: Where it was to be played.
    """

    context_id: str | None
    interruptible: bool
    destination: str | None

    def frame(self, pcm: bytes, sample_rate: int) -> TTSAudioRawFrame:
        """Return audio of this origin as a frame."""
        frame = TTSAudioRawFrame(pcm, sample_rate, 1, context_id=self.context_id)
        frame.interruptible = self.interruptible
        frame.transport_destination = self.destination
        return frame


@dataclass(frozen=True, slots=True)
class Chunk:
    """Speech on the track.

    Attributes:
        begin: Its position, in samples.
        end: The position behind it.
        pcm: Mono samples at the track's rate.
        origin: Where it comes from.
        sounds: Whether there is sound in each of its equal parts.
    """

    begin: int
    end: int
    pcm: bytes = field(repr=False)
    origin: Origin
    sounds: tuple[bool, ...] = (False,)

    def part(self, begin: int, end: int) -> "Chunk":
        """Return what lies between two positions."""
        start, stop = max(begin, self.begin), min(end, self.end)
        pcm = self.pcm[(start - self.begin) * SAMPLE_BYTES : (stop - self.begin) * SAMPLE_BYTES]
        parts = len(self.sounds) / (self.end - self.begin)
        sounds = self.sounds[int((start - self.begin) * parts) : ceil((stop - self.begin) * parts)]
        return Chunk(start, stop, pcm, self.origin, sounds)


@dataclass(frozen=True, slots=True)
class Played:
    """Speech that has been played without a gap.

    Attributes:
        chunk: The speech.
        begin: When it began, on the loop's clock.
        end: When it had been played.
    """

    chunk: Chunk
    begin: float
    end: float

    @property
    def sounded_until(self) -> float:
        """When the last sound in it had been played; minus infinity if there is none."""
        sounds = self.chunk.sounds
        if not any(sounds):
            return -inf
        return self.end - sounds[::-1].index(True) * (self.end - self.begin) / len(sounds)

    def after(self, time: float) -> "Played":
        """Return what was played after a time, and up to a grid's width before it."""
        early = int((time - self.begin) / GRID_SECONDS) * GRID_SECONDS
        if early <= 0.0:
            return self
        skipped = round(early / (self.end - self.begin) * (self.chunk.end - self.chunk.begin))
        return Played(self.chunk.part(self.chunk.begin + skipped, self.chunk.end), self.begin + early, self.end)


@dataclass(frozen=True, slots=True)
class Cut:
    """What becomes of the speech on the track when the avatar is interrupted or lost.

    Attributes:
        keeps_playing: Whether the avatar says what may not be interrupted, and is to say it to its end.
        sounding: Whether the avatar is heard, or still will be.
        dropped: Seconds of speech that were appended and will not be played there; if the avatar is lost, also those
            that have been handed over.
        unheard: Speech that has been played and must be said again.
        unplayed: Speech that follows it and must be said again.
        contexts: After an interruption, the contexts of all speech that is still to be heard.
    """

    keeps_playing: bool
    sounding: bool
    dropped: float
    unheard: list[Chunk]
    unplayed: list[Chunk]
    contexts: set[str | None]


class ReplayBuffer:
    """The speech on the track to one avatar.

    Attributes:
        position: Up to where it is known to have been played, in samples.
        pending: What has been appended and is not known to have been played.
    """

    def __init__(self, sample_rate: int) -> None:
        """Create an empty buffer.

        Args:
            sample_rate: Of the track, in Hz.
        """
        self.position = 0
        self.pending: deque[Chunk] = deque()
        self._past: deque[Played] = deque()
        self._rate = sample_rate

    @property
    def pending_seconds(self) -> float:
        """Duration of what is pending."""
        if not self.pending:
            return 0.0
        return (self.pending[-1].end - max(self.position, self.pending[0].begin)) / self._rate

    def first(self, remaining: Callable[[str | None], float | None]) -> list[int]:
        """Return the first pending position at which something is due, if there is any.

        Args:
            remaining: Says of a context after how many more seconds of it something is due; None for never.
        """
        seen: set[str | None] = set()
        for chunk in self.pending:
            context_id = chunk.origin.context_id
            if context_id not in seen and (seconds := remaining(context_id)) is not None:
                return [max(self.position, chunk.begin) + max(1, ceil(seconds * self._rate))]
            seen.add(context_id)
        return []

    def play(self, position: int, now: float) -> list[Played]:
        """Take note that the speech has been played up to a position.

        Args:
            position: The position; several writes may have been played since the last call.
            now: The time.

        Returns:
            What has been played since, in order.
        """
        played: list[Played] = []
        while self.pending:
            chunk = self.pending[0]
            begin, end = max(self.position, chunk.begin), min(position, chunk.end)
            if begin >= end:
                break
            if end == chunk.end:
                self.pending.popleft()
            ended = now - (position - end) / self._rate
            played.append(Played(chunk.part(begin, end), ended - (end - begin) / self._rate, ended))
            self.position = end
        self._past.extend(played)
        while self._past and self._past[0].end < now - REMEMBERED_SECONDS:
            self._past.popleft()
        return played

    def cut(self, end: int) -> list[Chunk]:
        """Drop what lies behind a position; returns it."""
        rest = [chunk.part(end, chunk.end) for chunk in self.pending if chunk.end > end]
        self.pending = deque(chunk.part(chunk.begin, end) for chunk in self.pending if chunk.begin < end)
        return rest

    def unplayed(self) -> list[Chunk]:
        """Return what has been appended and is not known to have been played."""
        return [chunk.part(self.position, chunk.end) for chunk in self.pending]

    def unheard(self, heard_until: float, now: float, *, sounding: bool, more: bool) -> list[Chunk]:
        """Return what has been played, and has not been heard of the avatar yet.

        An avatar that has fallen silent near the end of what it was given has said all of it.

        Args:
            heard_until: Until when speech must have been played to have been heard.
            now: The time.
            sounding: Whether the avatar is heard now.
            more: Whether more speech follows.
        """
        limit = max(heard_until, now - REMEMBERED_SECONDS)
        rest = [played.after(limit) for played in self._past if played.end > limit + 1e-6]
        gap = next((at for at in range(1, len(rest)) if rest[at].begin - rest[at - 1].end > GAP_SECONDS), len(rest))
        if not sounding and (gap < len(rest) or not more):
            sounded_until = max((played.sounded_until for played in rest[:gap]), default=-inf)
            rest = rest[gap:] if sounded_until <= limit + JITTER_SECONDS else rest
        if not more and not any(sound for played in rest for sound in played.chunk.sounds):
            return []
        return _joined(played.chunk for played in rest)

    def interrupt(self, end: int, unheard: list[Chunk], *, sounding: bool) -> Cut:
        """Drop what may be interrupted; what may not be interrupted stays.

        An avatar that says hardly anything but what may not be interrupted is left alone. One that is told to stop
        drops all of it, so that is said again.

        Args:
            end: Position up to which the speech has been handed over and is played whatever happens.
            unheard: What has been played and has not been heard.
            sounding: Whether the avatar is heard, or still will be.
        """
        rest = self.cut(end)
        again = _lasting(rest)
        in_flight = self.unplayed()
        playing = [*unheard, *in_flight]
        unwanted = self._seconds([chunk for chunk in playing if chunk.origin.interruptible])
        keeps_playing = self._seconds(playing) > unwanted and unwanted <= LEFT_BEHIND
        contexts = {chunk.origin.context_id for chunk in (*_lasting(playing), *again)}
        dropped = self._seconds(rest)
        if keeps_playing:
            return Cut(True, sounding, dropped, [], again, contexts)
        self.forget(end)
        return Cut(False, sounding, dropped, _lasting(unheard), [*_lasting(in_flight), *again], contexts)

    def forget(self, position: int) -> None:
        """Forget everything in front of a position, and what is pending."""
        self.position = position
        self.pending.clear()
        self._past.clear()

    def _seconds(self, chunks: Iterable[Chunk]) -> float:
        return sum(chunk.end - chunk.begin for chunk in chunks) / self._rate


def _lasting(chunks: Iterable[Chunk]) -> list[Chunk]:
    """Return those that may not be interrupted."""
    return [chunk for chunk in chunks if not chunk.origin.interruptible]


def _joined(chunks: Iterable[Chunk]) -> list[Chunk]:
    """Return chunks of which no two neighbours have the same origin."""
    whole: list[list[Chunk]] = []
    for chunk in chunks:
        if whole and whole[-1][-1].origin == chunk.origin:
            whole[-1].append(chunk)
        else:
            whole.append([chunk])
    return [
        Chunk(
            parts[0].begin,
            parts[0].begin + sum(len(part.pcm) for part in parts) // SAMPLE_BYTES,
            b"".join([part.pcm for part in parts]),
            parts[0].origin,
            tuple(sound for part in parts for sound in part.sounds),
        )
        for parts in whole
    ]
