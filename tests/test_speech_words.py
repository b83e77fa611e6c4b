"""The words that travel with speech: what leaves, when, and with which time."""

import asyncio

from pipecat.frames.frames import Frame, LLMFullResponseEndFrame, TTSAudioRawFrame, TTSStoppedFrame, TTSTextFrame

from pipecat_lemonslice.speech_ports import SpeechPorts
from pipecat_lemonslice.speech_words import SpeechWords
from tests.support.stage import RATE, speech
from tests.support.virtual_time import virtual_time

SECOND = 1_000_000_000


def word(text: str, at: float, context_id: str = "a") -> TTSTextFrame:
    frame = TTSTextFrame(text, "word")
    frame.context_id, frame.pts = context_id, round(at * SECOND)
    return frame


class Words:
    """Words of a context whose first second of audio came at once, and what of them has left."""

    def __init__(self, *words: TTSTextFrame) -> None:
        self.left: list[Frame] = []
        self.words = SpeechWords(SpeechPorts(self._forward, lambda _: None, lambda: 100 * SECOND), RATE)
        assert not self.words.keep(speech(1.0))
        self.kept = [self.words.keep(frame) for frame in words]

    async def _forward(self, frame: Frame) -> None:
        await asyncio.sleep(0)
        self.left.append(frame)

    @property
    def told(self) -> list[tuple[str, int | None]]:
        return [(frame.text, frame.pts) for frame in self.left if isinstance(frame, TTSTextFrame)]


@virtual_time
async def test_a_word_leaves_when_its_audio_has_been_written() -> None:
    """Without a time of its own, as the avatar's pace is that of the audio."""
    bench = Words(word("one", 100.25), word("two", 100.75))
    assert bench.kept == [True, True]
    assert not await bench.words.forward_due()
    bench.words.written("a", 0.5)
    assert await bench.words.forward_due()
    assert bench.told == [("one", None)]
    await bench.words.forward_all()
    assert bench.told == [("one", None), ("two", None)]


@virtual_time
async def test_what_will_be_heard_once_more_takes_its_words_along() -> None:
    """As far as it had been written, frame by frame."""
    bench = Words(word("late", 100.75))
    bench.words.written("a", 0.5)
    bench.words.taken_back([speech(0.25), speech(0.5)], 0.375)
    bench.words.written("a", 0.5)
    assert not await bench.words.forward_due()
    bench.words.written("a", 0.25)
    assert await bench.words.forward_due()


@virtual_time
async def test_a_stop_and_the_end_of_the_response_are_preceded_by_their_words() -> None:
    """A stop by those of its context; the LLM's end by those whose audio does not seem to come."""
    bench = Words(word("one", 100.75), word("other", 100.0, "b"))
    await bench.words.forward_before(TTSStoppedFrame("b"))
    assert bench.told == [("other", None)]
    bench.words.written("a", 0.25)
    await bench.words.forward_before(LLMFullResponseEndFrame())
    assert ("one", None) in bench.told


@virtual_time
async def test_plain_voice_goes_first_and_its_words_are_timed_by_when_it_is_heard() -> None:
    """Words that came while it waited are late by as much as it is, and so are those that come later."""
    bench = Words(word("one", 100.25))
    await bench.words.forward_voice(speech(1.0), heard_in=2.0)
    assert isinstance(bench.left[0], TTSAudioRawFrame)
    assert bench.told == [("one", round(102.25 * SECOND))]
    later = word("two", 100.5)
    assert not bench.words.keep(later)
    bench.words.restamp(later, avatar=False)
    assert later.pts == round(102.5 * SECOND)
    bench.words.restamp(later, avatar=True)
    assert later.pts is None


@virtual_time
async def test_an_interruption_drops_what_waits() -> None:
    """Nobody is told what nobody heard."""
    bench = Words(word("one", 100.25))
    bench.words.interrupt()
    await bench.words.forward_all()
    assert bench.told == []
