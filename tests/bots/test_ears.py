"""The offline ears: real recognition of speech that the offline voice made."""

import pytest

from offline.espeak import Voice
from offline.recognizer import Nothing, Recognizer, Unclear, Understood, UnknownWordsError
from offline.script import PHRASES
from tests.support.speech import microphone

VOICES = (Voice(), Voice(name="en-us+m3"), Voice(name="en-gb-x-rp"))
OTHERS = (
    "the invoice was sent to the wrong department",
    "purple submarines are rather expensive",
    "my grandmother collects antique typewriters",
    "seventeen engineers repaired the broken elevator",
)


@pytest.fixture(scope="module")
def ears() -> Recognizer:
    return Recognizer(PHRASES)


def test_most_phrases_are_understood(ears: Recognizer) -> None:
    """Of every second phrase, in three voices in turn, more than 85 in 100 are understood as what they are."""
    right = total = 0
    for number, voice in enumerate(VOICES):
        for phrase in PHRASES[number :: 2 * len(VOICES)]:
            total += 1
            right += ears.recognize(microphone(phrase, voice).tobytes()) == Understood(phrase)
    assert right / total > 0.85, f"{right} of {total}"


def test_other_sentences_are_not_taken_for_phrases(ears: Recognizer) -> None:
    """What fits no phrase is reported as unclear, nearly always."""
    hearings = [ears.recognize(microphone(text).tobytes()) for text in OTHERS]
    assert hearings.count(Unclear()) >= len(hearings) - 1


def test_silence_and_noise_are_nobody(ears: Recognizer) -> None:
    """Where nobody speaks, nothing is reported."""
    assert ears.recognize(bytes(32000)) == Nothing()


def test_words_without_a_pronunciation_are_named() -> None:
    """A phrase that cannot be recognized is refused, with the words that are missing."""
    with pytest.raises(UnknownWordsError, match="xyzzy"):
        Recognizer(["xyzzy"])
