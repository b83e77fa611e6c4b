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
    """A stretch of one code, as the user hears it.

    Attributes:
        sent: When it was sent on to the user.
        begin: From when it is heard.
        code: Which slice it is of.
        samples: How long it lasts.
        by: Whose voice it is: the avatar's, or the plain voice.
    """

    sent: float
    begin: float
    code: int
    samples: int
    by: str

    @property
    def end(self) -> float:
        return self.begin + self.samples / RATE


def played(frames: Iterable[tuple[float, Frame]]) -> Iterator[Sounding]:
    """What the user hears: an output transport plays what it gets in order, at the speed of sound."""
    playhead = 0.0
    for at, frame in frames:
        if not isinstance(frame, SpeechOutputAudioRawFrame | TTSAudioRawFrame):
            continue
        by = "avatar" if isinstance(frame, SpeechOutputAudioRawFrame) else "voice"
        for one in sounding(at, max(playhead, at), frame.audio, by):
            playhead = one.end
            if one.code:
                yield one


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


def sounding(sent: float, begin: float, pcm: bytes, by: str) -> Iterator[Sounding]:
    """The codes in a piece of sound, and silence as code 0."""
    samples = np.frombuffer(pcm, dtype="<i2")
    for part in np.split(samples, np.flatnonzero(np.diff(samples)) + 1) if len(samples) else ():
        yield Sounding(sent, begin, int(part[0]), len(part), by)
        begin += len(part) / RATE
