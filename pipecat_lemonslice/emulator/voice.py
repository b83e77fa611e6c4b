"""Sound, pure: the delay between hearing and speaking, sample rates, loudness, noise.

PCM is signed 16 bit, little endian, one channel. Times come in as arguments.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import soxr  # pyright: ignore[reportMissingTypeStubs]

PACKET_SECONDS = 0.02

_LATE_SECONDS = 0.06
"""Speech that comes late by no more than this still joins the speech before it without a gap."""

_OPENING_DBFS = (-44.0, -35.0, -29.0, -24.0, -19.0)
"""Loudness from which on the mouth opens to 1, 2, … 5."""


class Converter:
    """A stream of PCM from one sample rate to another. Equal rates leave every byte as it is."""

    def __init__(self, source: int, target: int) -> None:
        self._stream = None if source == target else soxr.ResampleStream(source, target, 1, dtype="int16")
        self._packet_bytes = round(target * PACKET_SECONDS) * 2
        self._waiting = bytearray()

    def packets(self, pcm: bytes) -> Iterator[bytes]:
        """Return the next packets of the stream: whole ones, if it is resampled, and a few milliseconds later."""
        if self._stream is None:
            yield pcm
            return
        self._waiting += self._stream.resample_chunk(np.frombuffer(pcm, np.int16)).tobytes()
        while len(self._waiting) >= self._packet_bytes:
            yield bytes(self._waiting[: self._packet_bytes])
            del self._waiting[: self._packet_bytes]


@dataclass
class _Run:
    """Speech to be spoken without a gap from ``due`` on."""

    due: float
    pcm: bytearray = field(default_factory=bytearray)


class DelayLine:
    """Speech goes in as it is heard and comes out, sample for sample, ``latency`` seconds later.

    Pauses on the way in are pauses on the way out; a little unevenness is not.

    Attributes:
        sample_rate: Rate in Hz of what comes out.
    """

    def __init__(self, sample_rate: int, latency: float) -> None:
        self.sample_rate = sample_rate
        self._latency = latency
        self._runs: deque[_Run] = deque()

    def push(self, pcm: bytes, now: float) -> None:
        """Put in speech that is heard now."""
        due, last = now + self._latency, self._runs[-1] if self._runs else None
        if last is None or due > last.due + len(last.pcm) / (2 * self.sample_rate) + min(self._latency, _LATE_SECONDS):
            last = _Run(due)
            self._runs.append(last)
        last.pcm += pcm

    def peek(self, count: int, now: float) -> bytes:
        """Return up to ``count`` bytes that are to be spoken from now on without a gap; empty in a pause."""
        while self._runs and not self._runs[0].pcm:
            self._runs.popleft()
        return bytes(self._runs[0].pcm[:count]) if self._runs and self._runs[0].due <= now + 1e-6 else b""

    def pull(self, count: int, now: float) -> bytes:
        """Take out what ``peek`` shows."""
        if taken := self.peek(count, now):
            del self._runs[0].pcm[:count]
            self._runs[0].due = now + count / (2 * self.sample_rate)
        return taken

    @property
    def waiting(self) -> int:
        """Bytes that were put in and have not come out."""
        return sum(len(run.pcm) for run in self._runs)

    def clear(self) -> int:
        """Forget everything that has not come out; returns how many bytes that were."""
        dropped = self.waiting
        self._runs.clear()
        return dropped


def with_noise(pcm: bytes, dbfs: float, random: np.random.Generator) -> bytes:
    """Return PCM with white noise of this mean level in dB, where 0 is a square wave at full scale."""
    samples = np.frombuffer(pcm, np.int16)
    noise = np.round(random.normal(0.0, 32768 * 10 ** (dbfs / 20), len(samples)))
    return (samples + noise).clip(-32768, 32767).astype(np.int16).tobytes()


def click(sample_rate: int) -> bytes:
    """Return a packet that is louder than any speech: a square wave of about 1 kHz at full scale."""
    count, half = round(sample_rate * PACKET_SECONDS), max(1, sample_rate // 2000)
    return np.where(np.arange(count) // half % 2, -32768, 32767).astype("<i2").tobytes()


def mouth_opening(pcm: bytes) -> int:
    """Return how far the mouth opens for this sound, from 0 to 5, by its loudness."""
    if not pcm:
        return 0
    samples = np.frombuffer(pcm, np.int16).astype(np.float32)
    power = float(np.dot(samples, samples)) / len(samples)
    dbfs = 10 * math.log10(max(power, 1e-3) / 32768.0**2)
    return sum(dbfs >= threshold for threshold in _OPENING_DBFS)
