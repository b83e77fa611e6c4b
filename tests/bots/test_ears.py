"""The offline ears. Accuracy is measured over the whole chain of trimming, levelling and decoding."""

import asyncio
from itertools import pairwise
from time import perf_counter

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
from offline.recognizer import SAMPLE_RATE, Nothing, Recognizer, Unclear, Understood, UnknownWordsError, prepared
from offline.script import PHRASES
from pipecat_lemonslice.cli.espeak import Voice
from tests.support.speech import microphone

VOICES = (Voice("en-us", 150), Voice("en-us+f3", 165), Voice("en-gb-x-rp", 175))
SAMPLED = PHRASES[::6]
OTHER_SENTENCES = (
    "what is the weather like in berlin",
    "can you book a table for two",
    "i would like to order a pizza",
    "the quick brown fox jumps over the lazy dog",
    "i am going to the supermarket",
    "turn on the lights in the kitchen",
    "the meeting starts at nine",
    "let us talk about something else",
)
UNKNOWN = "(what?)"


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(PHRASES)


def hiss(loudness: float, seconds: float) -> np.ndarray:
    return np.random.default_rng(2).normal(0, loudness, round(seconds * SAMPLE_RATE)).astype("<i2")


def test_phrases_are_understood_and_other_sentences_are_not(recognizer: Recognizer) -> None:
    """More than 85 % of the phrases, over three voices; hardly any is taken for another, few sentences for one."""
    heard = [(text, recognizer.recognize(microphone(text, voice).tobytes())) for voice in VOICES for text in SAMPLED]
    right = [text for text, hearing in heard if hearing == Understood(text)]
    wrong = [text for text, hearing in heard if hearing not in (Understood(text), Unclear())]
    assert len(right) > 0.85 * len(heard)
    assert len(wrong) < 0.05 * len(heard)
    others = [recognizer.recognize(microphone(text, VOICES[0]).tobytes()) for text in OTHER_SENTENCES]
    assert others.count(Unclear()) >= 0.8 * len(others)


@pytest.mark.parametrize("text", ["who are you", "tell me a story", "count to ten"])
def test_the_very_first_utterance_is_understood(text: str) -> None:
    """There is no need to warm up."""
    assert Recognizer(PHRASES).recognize(microphone(text).tobytes()) == Understood(text)


@pytest.mark.parametrize("gain", [0.1, 3.0])
def test_loudness_does_not_matter(recognizer: Recognizer, gain: float) -> None:
    """A quiet microphone and one that clips."""
    loud = (microphone("what is an avatar", noise=5).astype(float) * gain).clip(-32768, 32767).astype("<i2")
    assert recognizer.recognize(loud.tobytes()) == Understood("what is an avatar")


def test_speech_is_trimmed_and_levelled() -> None:
    """A second of silence before and after goes; the rest has one loudness."""
    quiet = (microphone("goodbye", lead=1.0, tail=1.0, noise=1) * 0.1).astype(np.int16)
    speech = prepared(quiet)
    assert speech is not None
    assert len(speech) < len(quiet) - SAMPLE_RATE
    assert np.abs(speech).max() > 2 * np.abs(quiet).max()


@pytest.mark.parametrize("seconds", [0.0, 0.05, 2.0])
def test_silence_is_nothing(recognizer: Recognizer, seconds: float) -> None:
    """Also none at all, and that of a room."""
    room = hiss(10, seconds).tobytes()
    assert recognizer.recognize(bytes(len(room))) == recognizer.recognize(room) == Nothing()


def test_noise_is_no_phrase_and_does_not_spoil_what_follows(recognizer: Recognizer) -> None:
    """Neither hiss nor a tone; the decoder adapts to speech that was understood only.

    Rhythmic knocking may be taken for a phrase: the voice detection is there to keep it away.
    """
    tone = 6000 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    for noise in (tone.astype("<i2"), *[hiss(5000, 1.0)] * 5):
        assert not isinstance(recognizer.recognize(noise.tobytes()), Understood)
    assert recognizer.recognize(microphone("tell me a joke").tobytes()) == Understood("tell me a joke")


def test_words_need_a_pronunciation() -> None:
    """The error names all of those that have none, and the remedy: one that is written as the dictionary does."""
    with pytest.raises(UnknownWordsError, match="pronunciations") as caught:
        PocketsphinxSTTService(phrases=["hello", "qwertz zxcvb hello"], not_understood=UNKNOWN)
    assert caught.value.words == ("qwertz", "zxcvb")
    recognizer = Recognizer(["ask lemmywinks", "goodbye"], {"lemmywinks": "L EH M IY W IH NG K S"})
    assert recognizer.recognize(microphone("ask lemmywinks").tobytes()) == Understood("ask lemmywinks")


async def test_the_interpreter_is_free_while_it_works(recognizer: Recognizer) -> None:
    """It is given up after each piece of an utterance, so that the event loop has its turns meanwhile."""
    pcm = microphone("what am i looking at").tobytes()
    turns, working = [perf_counter()], asyncio.create_task(asyncio.to_thread(recognizer.recognize, pcm))
    while not working.done():
        await asyncio.sleep(0.001)
        turns.append(perf_counter())
    assert await working == Understood("what am i looking at")
    longest = max(after - before for before, after in pairwise(turns))
    assert longest < 0.5 * (turns[-1] - turns[0]), "held at a stretch it takes nearly all of the time"


@pytest.mark.parametrize("rate", [16000, 48000])
async def test_each_utterance_becomes_a_final_transcript(rate: int) -> None:
    """In order, at any rate of the pipeline; what is no phrase is reported as such, and silence is not reported."""
    other = microphone("the meeting starts tomorrow at nine in the morning", rate=rate)
    quiet = np.zeros(rate, np.int16)
    frames: list[Frame] = []
    for samples in (microphone("who are you", rate=rate), quiet, other, microphone("tell me a story", rate=rate)):
        pieces = [samples[start : start + rate // 50].tobytes() for start in range(0, len(samples), rate // 50)]
        audio = [InputAudioRawFrame(piece, rate, 1) for piece in pieces]
        frames += [*audio[:10], VADUserStartedSpeakingFrame(), *audio[10:], VADUserStoppedSpeakingFrame()]
    ears = PocketsphinxSTTService(phrases=("hello", "who are you", "tell me a story"), not_understood=UNKNOWN)
    params = PipelineParams(audio_in_sample_rate=rate)
    down, _ = await run_test(ears, frames_to_send=frames, pipeline_params=params, start_timeout=10)
    transcripts = [frame for frame in down if isinstance(frame, TranscriptionFrame)]
    assert [frame.text for frame in transcripts] == ["who are you", UNKNOWN, "tell me a story"]
    assert all(frame.finalized for frame in transcripts)
