import numpy as np
import pytest
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.worker import PipelineParams
from pipecat.tests.utils import run_test

from offline.ears import PocketsphinxSTTService
from offline.recognizer import UnknownWordsError
from tests.support.speech import microphone

PHRASES = ("hello", "goodbye", "who are you", "tell me a story")
UNKNOWN = "(what?)"


def utterance(samples: np.ndarray, rate: int) -> list[Frame]:
    step = rate // 50
    chunks = [samples[start : start + step].tobytes() for start in range(0, len(samples), step)]
    audio = [InputAudioRawFrame(chunk, rate, 1) for chunk in chunks]
    return [*audio[:10], VADUserStartedSpeakingFrame(), *audio[10:], VADUserStoppedSpeakingFrame()]


async def transcripts(*utterances: np.ndarray, rate: int = 16000) -> list[TranscriptionFrame]:
    ears = PocketsphinxSTTService(phrases=PHRASES, not_understood=UNKNOWN)
    frames = [frame for samples in utterances for frame in utterance(samples, rate)]
    params = PipelineParams(audio_in_sample_rate=rate)
    down, _ = await run_test(ears, frames_to_send=frames, pipeline_params=params, start_timeout=10)
    return [frame for frame in down if isinstance(frame, TranscriptionFrame)]


@pytest.mark.parametrize("rate", [16000, 24000, 48000])
async def test_each_utterance_becomes_a_final_transcript(rate: int) -> None:
    """In the order in which they were said, at any rate of the pipeline."""
    said = [microphone(text, rate=rate) for text in ("who are you", "tell me a story")]
    frames = await transcripts(*said, rate=rate)
    assert [frame.text for frame in frames] == ["who are you", "tell me a story"]
    assert all(frame.finalized for frame in frames)


async def test_what_is_no_phrase_is_reported_as_such() -> None:
    """So that the bot can answer with a hint."""
    frames = await transcripts(microphone("the meeting starts tomorrow at nine in the morning"))
    assert [frame.text for frame in frames] == [UNKNOWN]


async def test_silence_is_not_reported() -> None:
    """When the voice detection was wrong there is no transcript."""
    assert await transcripts(np.zeros(16000, np.int16)) == []


def test_a_phrase_that_cannot_be_recognized_is_refused_at_once() -> None:
    """At construction, not at the first utterance."""
    with pytest.raises(UnknownWordsError, match="frobnicate"):
        PocketsphinxSTTService(phrases=("frobnicate",), not_understood=UNKNOWN)
