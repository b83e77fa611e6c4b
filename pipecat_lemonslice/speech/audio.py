"""Speech as a track takes it: one channel, one rate, whole samples; and its pieces, by origin, place and time.

Nothing is lost on the way. Knows nothing of who plays it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil, inf

import numpy as np
from loguru import logger
from pipecat.audio.resamplers.base_audio_resampler import BaseAudioResampler
from pipecat.audio.resamplers.soxr_stream_resampler import SOXRStreamAudioResampler
from pipecat.frames.frames import TTSAudioRawFrame

SAMPLE_BYTES = 2

GRID_SECONDS = 0.02
"""What is repeated begins at a multiple of this length: rather a little more than too little."""


def audio_format(frame: TTSAudioRawFrame, default_rate: int) -> tuple[int, int]:
    """Return rate and channels of a frame; what it does not say is guessed, so that it is heard at all."""
    if frame.sample_rate <= 0 or frame.num_channels <= 0:
        logger.debug(f"{frame} does not say its format; it is read as mono at {default_rate} Hz")
    return frame.sample_rate if frame.sample_rate > 0 else default_rate, max(1, frame.num_channels)


class AudioConverter:
    """Turns a stream of 16-bit PCM in any format into mono at one rate; whole samples, nothing lost on the way.

    Bytes that are no whole sample yet wait for the rest. A change of format ends one stream and begins another: what
    the resampler still holds of the first comes out before the second.
    """

    def __init__(self, sample_rate: int) -> None:
        """Create a converter.

        Args:
            sample_rate: Rate of what comes out, in Hz.
        """
        self._out_rate = sample_rate
        self._rate, self._channels = sample_rate, 1
        self._resampler: BaseAudioResampler | None = None
        self._carry = b""
        self.holds_audio = False
        """Whether :meth:`flush` may have something to give."""

    async def feed(self, pcm: bytes, rate: int, channels: int) -> bytes:
        """Convert what comes next.

        Args:
            pcm: Interleaved 16-bit little-endian samples; any number of bytes.
            rate: Its rate in Hz.
            channels: Its channels.

        Returns:
            Mono samples that are ready; the resampler may keep some back.
        """
        tail = b""
        if (rate, channels) != (self._rate, self._channels):
            tail = await self.flush()
            self._rate, self._channels = rate, channels
        pcm = self._carry + pcm
        whole = len(pcm) - len(pcm) % (SAMPLE_BYTES * channels)
        self._carry = pcm[whole:]
        tail += await self._resample(_mix_down(pcm[:whole], channels))
        self.holds_audio = bool(self._carry) or self._resampler is not None
        return tail

    async def flush(self) -> bytes:
        """End the stream and return everything held back; half a sample is completed with zeros."""
        missing = -len(self._carry) % (SAMPLE_BYTES * self._channels)
        pcm = await self._resample(_mix_down(self._carry + bytes(missing), self._channels))
        if self._resampler:
            pcm += await self._resampler.flush()
        self.reset()
        return pcm

    def reset(self) -> None:
        """Forget everything held back."""
        self._resampler, self._carry, self.holds_audio = None, b"", False

    async def _resample(self, mono: bytes) -> bytes:
        if not mono or self._rate == self._out_rate:
            return mono
        if self._resampler is None:
            self._resampler = SOXRStreamAudioResampler(clear_after_secs=None)
        return await self._resampler.resample(mono, self._rate, self._out_rate)


def _mix_down(pcm: bytes, channels: int) -> bytes:
    if channels == 1 or not pcm:
        return pcm
    samples = np.frombuffer(pcm, dtype="<i2").reshape(-1, channels)
    return np.rint(samples.mean(axis=1)).astype("<i2").tobytes()


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
