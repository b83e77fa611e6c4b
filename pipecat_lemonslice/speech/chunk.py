"""Pieces of speech on the avatar's track: where each comes from, where it lies, when it was played. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil, inf

from pipecat.frames.frames import TTSAudioRawFrame

from pipecat_lemonslice.speech.audio import SAMPLE_BYTES

GRID_SECONDS = 0.02
"""What is repeated begins at a multiple of this length: rather a little more than too little."""


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


def joined(chunks: Iterable[Chunk]) -> list[Chunk]:
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
    """What an interruption makes of the speech on the track.

    Attributes:
        keeps_playing: Whether the avatar says what may not be interrupted, and is to say it to its end.
        sounding: Whether the avatar is heard, or still will be.
        dropped: Seconds of speech that were appended and will not be played.
        unheard: Speech that has been played and must be said again, since an avatar that is told to stop drops it.
        unplayed: Speech that follows it and must be said again.
        contexts: Contexts of all speech that is still to be heard.
    """

    keeps_playing: bool
    sounding: bool
    dropped: float
    unheard: list[Chunk]
    unplayed: list[Chunk]
    contexts: set[str | None]
