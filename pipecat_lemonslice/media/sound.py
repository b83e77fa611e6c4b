"""What is sound and what is silence on an audio track. Pure: samples in, an answer out.

The law: a track is never wholly silent, its noise floor may lie anywhere up to -50 dBFS. So sound is what rises above
the track's own floor, which is the least level of the last seconds. A level that stays the same for a second is a
floor too, however it began. Above ``ALWAYS_DBFS`` everything is sound, below ``NEVER_DBFS`` nothing is. Until the floor
is known it counts as digital silence, so that speech that is under way when the track begins is not lost. A click is
not sound: it is shorter than any syllable.
"""

from collections import deque
from operator import itemgetter

import numpy as np

PARTS = 4
PART_SECONDS = 0.005
"""Each block of 20 ms is judged by the third-loudest of its four parts: a click reaches two of them at most."""

WINDOWS = 3
"""A part's level is the mean of this many windows, each without its own mean: rumble and hum are loud, but slow."""

NEVER_DBFS = -65.0
ALWAYS_DBFS = -38.0

SOUND_DB = 10.0
"""How far sound rises above the floor when it begins."""

FAINT_DB = 6.0
"""Sound that has begun goes on while it is so far above the floor."""

STEADY_DB = 8.0
"""The level of a floor varies by less than this in a second. That of speech varies by more."""

SPAN_BLOCKS = 12
"""Blocks of 20 ms of which the least level is remembered together, about a quarter of a second."""

WINDOW_SPANS = 12
"""Spans whose least level is the floor, about three seconds."""

STEADY_SPANS = 4
"""Spans in which a steady level shows, about one second."""

GAP_BLOCKS = 10
"""Digital silence that is shorter is a gap in the track. It is not counted for the floor."""

HELD = 1.0
"""Up to this mean square around its mean, a window holds one value."""

FULL_SCALE = 32768.0


def _power(dbfs: float) -> float:
    """Return a level as the mean square of sample values."""
    return FULL_SCALE**2 * 10 ** (dbfs / 10)


def _ratio(db: float) -> float:
    return 10 ** (db / 10)


NEVER, ALWAYS = _power(NEVER_DBFS), _power(ALWAYS_DBFS)
SOUND, FAINT, STEADY = _ratio(SOUND_DB), _ratio(FAINT_DB), _ratio(STEADY_DB)


class SoundDetector:
    """Judges one track, in pieces of any length. Levels are mean squares of sample values."""

    def __init__(self) -> None:
        self._rate = 0
        self._window = 1
        self._rest = b""
        self.faint = False
        """Whether the last piece rose above the floor at all: sound may have begun in it."""
        self._sounds = False
        self._floor = 0.0
        self._spans: deque[tuple[float, float]] = deque([(0.0, 0.0)] * WINDOW_SPANS, WINDOW_SPANS)
        self._span_blocks = 0
        self._least, self._most = np.inf, 0.0
        self._still_blocks = 0

    def feed(self, pcm: bytes, sample_rate: int) -> list[bool]:
        """Take in the next piece of the track.

        Args:
            pcm: Signed 16-bit little-endian mono samples; half a sample at the end is left out.
            sample_rate: In Hz, greater than zero.

        Returns:
            Whether there is sound in each block of 20 ms, or hardly less; what is left over is part of the next piece.
            A piece too short to be judged is one block, like the block before it.
        """
        if sample_rate != self._rate:
            self._rate, self._rest = sample_rate, b""
            self._window = max(1, int(sample_rate * PART_SECONDS / WINDOWS))
        data = self._rest + pcm[: len(pcm) // 2 * 2]
        block_bytes = 2 * PARTS * WINDOWS * self._window
        count = len(data) // block_bytes
        self._rest = data[count * block_bytes :]
        if not count:
            return [self._sounds]
        blocks: list[bool] = []
        self.faint = False
        for noise, level, peak in self._levels(data[: count * block_bytes]):
            sound = min(max(self._floor * SOUND, NEVER), ALWAYS)
            faint = min(max(self._floor * FAINT, NEVER), ALWAYS)
            begins = level > sound
            rises = peak > sound or level > faint
            self._sounds = begins or (self._sounds and rises)
            self.faint = self.faint or rises
            blocks.append(self._sounds)
            self._learn(noise)
        return blocks

    def _levels(self, pcm: bytes) -> list[list[float]]:
        """Return of each block: how loud its noise can be, how loud it is, and how loud its loudest part is."""
        samples = np.frombuffer(pcm, "<i2").astype(np.float32).reshape(-1, self._window)
        means = samples.mean(axis=1)
        samples -= means[:, None]
        noise = np.einsum("ij,ij->i", samples, samples) / self._window
        # A value that is held is no noise, however it got there: it counts as sound and never as floor.
        level = np.maximum(noise, means * means * (noise <= HELD))
        parts = np.stack((noise, level)).reshape(2, -1, PARTS, WINDOWS).mean(axis=3)
        parts.sort(axis=2)
        return np.stack((parts[0, :, 1], parts[1, :, 1], parts[1, :, -1]), axis=1).tolist()

    def _learn(self, noise: float) -> None:
        """Take a block into account for the floor."""
        self._still_blocks = self._still_blocks + 1 if noise < 0.5 else 0
        if 0 < self._still_blocks < GAP_BLOCKS:
            return
        self._least, self._most = min(self._least, noise), max(self._most, noise)
        self._floor = min(self._floor, noise)
        self._span_blocks += 1
        if self._span_blocks == SPAN_BLOCKS:
            self._spans.append((self._least, self._most))
            self._span_blocks, self._least, self._most = 0, np.inf, 0.0
            self._settle()

    def _settle(self) -> None:
        """Find the floor again, now that a span is complete."""
        recent = list(self._spans)[-STEADY_SPANS:]
        least, most = min(recent)[0], max(recent, key=itemgetter(1))[1]
        if most < least * STEADY:
            self._spans = deque(recent, WINDOW_SPANS)
        self._floor = min(self._spans)[0]
