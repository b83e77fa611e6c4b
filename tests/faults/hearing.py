"""What is said in a call, and what the user hears of it.

The bot's speech is coded, each 20 ms of it another constant, so that what the user hears can be compared with what was
said, piece by piece.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from pipecat.frames.frames import (
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    SpeechOutputAudioRawFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)

from tests.support.stage import RATE

SLICE = 0.02
SLICE_SAMPLES = round(SLICE * RATE)
FIRST_CODE = 100
LAST_CODE = 30_000


@dataclass
class Utterance:
    """Something the bot says.

    Attributes:
        at: When it was sent.
        codes: Its slices of 20 ms.
        interruptible: Whether an interruption ends it.
    """

    at: float
    codes: range
    interruptible: bool = True

    @property
    def seconds(self) -> float:
        return len(self.codes) * SLICE


@dataclass(frozen=True)
class Sounding:
    """A stretch of one code, as the user hears it."""

    begin: float
    end: float
    code: int
    by: str


def played(frames: Iterable[tuple[float, Frame]]) -> Iterator[Sounding]:
    """What the user hears: an output transport plays what it gets in order, at the speed of sound."""
    playhead = 0.0
    for at, frame in frames:
        if not isinstance(frame, SpeechOutputAudioRawFrame | TTSAudioRawFrame):
            continue
        by = "avatar" if isinstance(frame, SpeechOutputAudioRawFrame) else "voice"
        playhead = max(playhead, at)
        for code, samples in runs(frame.audio):
            end = playhead + samples / RATE
            if code:
                yield Sounding(playhead, end, code, by)
            playhead = end


def spoken(codes: range, chunk: int, stop: bool, llm: bool) -> Iterator[Frame]:
    """The frames in which something coded is said, in chunks of so many slices."""
    context = f"context-{codes.start}"
    if llm:
        yield LLMFullResponseStartFrame()
    yield TTSStartedFrame(context)
    for start in range(0, len(codes), chunk):
        yield TTSAudioRawFrame(coded(codes[start : start + chunk]), RATE, 1, context_id=context)
    if stop:
        yield TTSStoppedFrame(context)
    if llm:
        yield LLMFullResponseEndFrame()


def coded(codes: range) -> bytes:
    """Speech in which each slice of 20 ms is its own code."""
    return np.repeat(np.array(codes, dtype="<i2"), SLICE_SAMPLES).tobytes()


def runs(pcm: bytes) -> Iterator[tuple[int, int]]:
    """The codes in a piece of sound, with the number of samples of each."""
    samples = np.frombuffer(pcm, dtype="<i2")
    if not len(samples):
        return
    edges = np.flatnonzero(np.diff(samples)) + 1
    for part in np.split(samples, edges):
        yield int(part[0]), len(part)


def coded_in(frames: Iterable[tuple[float, Frame]]) -> Iterator[tuple[float, int, int]]:
    """When which code came by, and how many samples of it."""
    for at, frame in frames:
        if isinstance(frame, SpeechOutputAudioRawFrame | TTSAudioRawFrame):
            yield from ((at, code, samples) for code, samples in runs(frame.audio) if code)
