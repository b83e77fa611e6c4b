"""Accuracy is measured over the whole chain of trimming, levelling and decoding, with speech of several voices."""

import asyncio
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from offline.recognizer import SAMPLE_RATE, Hearing, Nothing, Recognizer, Unclear, Understood, UnknownWordsError
from offline.recognizer import prepared as prepare
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


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(PHRASES)


def heard(
    recognizer: Recognizer, texts: Sequence[str], voices: Sequence[Voice] = VOICES
) -> Iterator[tuple[str, Hearing]]:
    for voice in voices:
        for text in texts:
            yield text, recognizer.recognize(microphone(text, voice).tobytes())


def test_phrases_are_understood(recognizer: Recognizer) -> None:
    """More than 85 % of the phrases, over three voices; hardly any is taken for another."""
    results = [(text, hearing) for text, hearing in heard(recognizer, SAMPLED)]
    right = [text for text, hearing in results if hearing == Understood(text)]
    wrong = [(text, hearing) for text, hearing in results if hearing not in (Understood(text), Unclear())]
    assert len(right) > 0.85 * len(results)
    assert len(wrong) < 0.05 * len(results)


def test_other_sentences_are_not_taken_for_phrases(recognizer: Recognizer) -> None:
    """At least four of five are refused."""
    results = [hearing for _, hearing in heard(recognizer, OTHER_SENTENCES, VOICES[:1])]
    assert results.count(Unclear()) >= 0.8 * len(results)


@pytest.mark.parametrize("text", ["who are you", "tell me a story", "count to ten"])
def test_the_very_first_utterance_is_understood(text: str) -> None:
    """There is no need to warm up."""
    assert Recognizer(PHRASES).recognize(microphone(text).tobytes()) == Understood(text)


@pytest.mark.parametrize("gain", [0.1, 1.0, 3.0])
def test_loudness_does_not_matter(recognizer: Recognizer, gain: float) -> None:
    """A quiet microphone and one that clips."""
    loud = (microphone("what is an avatar", noise=5).astype(float) * gain).clip(-32768, 32767).astype("<i2")
    assert recognizer.recognize(loud.tobytes()) == Understood("what is an avatar")


@pytest.mark.parametrize("seconds", [0.0, 0.05, 2.0])
def test_silence_is_nothing(recognizer: Recognizer, seconds: float) -> None:
    """Also none at all, and that of a room."""
    count = round(seconds * SAMPLE_RATE)
    hiss = np.random.default_rng(3).normal(0, 10, count).astype("<i2")
    assert recognizer.recognize(bytes(2 * count)) == Nothing()
    assert recognizer.recognize(hiss.tobytes()) == Nothing()


def test_noise_is_no_phrase(recognizer: Recognizer) -> None:
    """Neither hiss nor a tone. Rhythmic knocking may be: the voice detection is there to keep it away."""
    rng, moments = np.random.default_rng(2), np.arange(SAMPLE_RATE) / SAMPLE_RATE
    for noise in (rng.normal(0, 3000, SAMPLE_RATE), 6000 * np.sin(2 * np.pi * 440 * moments)):
        hearing = recognizer.recognize(noise.astype("<i2").tobytes())
        assert not isinstance(hearing, Understood)


def test_noise_does_not_spoil_what_follows(recognizer: Recognizer) -> None:
    """The decoder adapts to speech that was understood only."""
    hiss = np.random.default_rng(4).normal(0, 5000, SAMPLE_RATE).astype("<i2").tobytes()
    for _ in range(5):
        recognizer.recognize(hiss)
    assert recognizer.recognize(microphone("tell me a joke").tobytes()) == Understood("tell me a joke")


def test_unknown_words_are_listed() -> None:
    """The error names all of them and the remedy."""
    with pytest.raises(UnknownWordsError, match="pronunciations") as caught:
        Recognizer(["hello", "qwertz zxcvb hello"])
    assert caught.value.words == ("qwertz", "zxcvb")


def test_a_pronunciation_makes_a_word_known() -> None:
    """Given as the dictionary writes it."""
    recognizer = Recognizer(["ask lemmywinks", "goodbye"], {"lemmywinks": "L EH M IY W IH NG K S"})
    assert recognizer.recognize(microphone("ask lemmywinks").tobytes()) == Understood("ask lemmywinks")


def test_speech_is_trimmed_and_levelled() -> None:
    """A second of silence before and after goes; the rest has one loudness."""
    quiet = (microphone("goodbye", lead=1.0, tail=1.0, noise=1) * 0.1).astype(np.int16)
    speech = prepare(quiet)
    assert speech is not None
    assert len(speech) < len(quiet) - SAMPLE_RATE
    assert np.abs(speech).max() > 2 * np.abs(quiet).max()


async def test_the_interpreter_is_free_while_it_works() -> None:
    """It is given up after each piece of an utterance, so that the event loop has its turns meanwhile."""
    recognizer, pcm = Recognizer(PHRASES), microphone("what am i looking at").tobytes()
    turns, working = 0, asyncio.create_task(asyncio.to_thread(recognizer.recognize, pcm))
    while not working.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert await working == Understood("what am i looking at")
    assert turns >= 10, "held at a stretch there are five"
