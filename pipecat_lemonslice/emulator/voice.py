"""The avatar's voice, pure: the line that gives heard speech back after a latency, loudness, conversion, noise.

PCM is signed 16 bit, little endian, mono unless told otherwise.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
import soxr  # pyright: ignore[reportMissingTypeStubs]

PACKET_SECONDS = 0.02
"""Length of one packet of sound."""

_LATE = 0.06
"""Speech that comes up to this many seconds too late still joins the speech before it without a gap."""

_OPENING_DBFS = (-44.0, -35.0, -29.0, -24.0, -19.0)
"""Loudness from which on the mouth opens to 1, 2, … 5."""


@dataclass
class _Run:
    """Speech to be sounded without a gap from `due` on."""

    due: float
    pcm: bytearray = field(default_factory=bytearray)


class LatencyLine:
    """Speech goes in as it is heard and comes out, sample for sample, `latency` seconds later.

    What comes in without a pause comes out without one, also if it arrives a little unevenly; a pause on the
    way in is a pause on the way out.

    Args:
        sample_rate: Samples per second.
        latency: Seconds from hearing to sounding.
        limit: Seconds of speech held at most.
    """

    def __init__(self, sample_rate: int, latency: float, limit: float = 120.0):
        self._bytes_per_second = sample_rate * 2
        self._latency = latency
        self._tolerance = min(latency, _LATE)
        self._limit = int(limit * self._bytes_per_second)
        self._runs: deque[_Run] = deque()
        self.waiting = 0
        """Bytes heard and not yet sounded."""

    def push(self, pcm: bytes, now: float) -> bool:
        """Speech heard now; false if the line is full and the speech is lost."""
        if self.waiting + len(pcm) > self._limit:
            return False
        due = now + self._latency
        if not self._runs or due > self._end(self._runs[-1]) + self._tolerance:
            self._runs.append(_Run(due))
        self._runs[-1].pcm += pcm
        self.waiting += len(pcm)
        return True

    def peek(self, count: int, now: float) -> bytes:
        """Up to `count` bytes to be sounded from now on without a gap; empty in a pause."""
        run = self._current(now)
        return bytes(run.pcm[:count]) if run else b""

    def pull(self, count: int, now: float) -> bytes:
        """What `peek` gives, taken off the line."""
        run = self._current(now)
        if run is None:
            return b""
        taken = bytes(run.pcm[:count])
        del run.pcm[:count]
        run.due = now + count / self._bytes_per_second
        self.waiting -= len(taken)
        return taken

    def clear(self) -> int:
        """Forget everything not yet sounded; returns how many bytes that were."""
        dropped, self.waiting = self.waiting, 0
        self._runs.clear()
        return dropped

    def _current(self, now: float) -> _Run | None:
        while self._runs and not self._runs[0].pcm:
            self._runs.popleft()
        return self._runs[0] if self._runs and self._runs[0].due <= now + 1e-6 else None

    def _end(self, run: _Run) -> float:
        return run.due + len(run.pcm) / self._bytes_per_second


class Converter:
    """A stream of mono PCM from one sample rate to another; equal rates leave every byte as it is."""

    def __init__(self, source: int, target: int):
        self._stream = None if source == target else soxr.ResampleStream(source, target, 1, dtype="int16")

    def feed(self, pcm: bytes) -> bytes:
        """The next part of the stream; a resampler keeps a few milliseconds back."""
        if self._stream is None:
            return pcm
        return self._stream.resample_chunk(np.frombuffer(pcm, np.int16)).tobytes()

    def reset(self) -> None:
        """Forget what has been kept back."""
        if self._stream is not None:
            self._stream.clear()


class NoiseFloor:
    """White noise beneath a voice; the same for every voice, so that tests repeat themselves.

    Args:
        dbfs: Its mean level in dB, 0 for a square wave at full scale.
    """

    def __init__(self, dbfs: float):
        self._amplitude = 32768 * 10 ** (dbfs / 20)
        self._random = np.random.default_rng(7)

    def beneath(self, pcm: bytes) -> bytes:
        """The next part of the voice with as much of the noise; silence becomes noise alone."""
        samples = np.frombuffer(pcm, np.int16)
        noise = np.round(self._random.normal(0.0, self._amplitude, len(samples)))
        return (samples + noise).clip(-32768, 32767).astype(np.int16).tobytes()


def mono(pcm: bytes, channels: int) -> bytes:
    """Interleaved channels mixed down to one; a last incomplete sample is dropped."""
    whole = pcm[: len(pcm) - len(pcm) % (2 * channels)]
    if channels == 1:
        return whole
    frames = np.frombuffer(whole, np.int16).reshape(-1, channels)
    return frames.mean(axis=1).astype(np.int16).tobytes()


def opening(pcm: bytes) -> int:
    """How far the mouth opens for this sound, 0 to 5, by its loudness."""
    if len(pcm) < 2:
        return 0
    samples = np.frombuffer(pcm, np.int16).astype(np.float32)
    power = float(np.dot(samples, samples)) / len(samples)
    dbfs = 10 * math.log10(max(power, 1e-3) / 32768.0**2)
    return sum(dbfs >= threshold for threshold in _OPENING_DBFS)
