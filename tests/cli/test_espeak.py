import asyncio
import threading
from contextlib import aclosing

import pytest

from pipecat_lemonslice.cli.espeak import EspeakError, Event, Samples, Voice, WordBegins, engine, speech, stream

SENTENCE = "The parrot knew three words, and all of them were fish."


async def test_speech_is_streamed_while_it_is_made() -> None:
    """The first samples arrive before the last are made, and the words come with the sound, in order."""
    events: list[Event] = []
    async with aclosing(stream(SENTENCE, Voice())) as made:
        async for event in made:
            events.append(event)
    sounds = [event for event in events if isinstance(event, Samples)]
    words = [event for event in events if isinstance(event, WordBegins)]
    assert len(sounds) > 10
    assert isinstance(events[-1], Samples)
    assert [SENTENCE[word.position :].split()[0] for word in words[:3]] == ["The", "parrot", "knew"]
    assert [word.seconds for word in words] == sorted(word.seconds for word in words)


def test_a_faster_voice_takes_less_time() -> None:
    """The rate is obeyed."""
    slow, fast = speech(SENTENCE, Voice(rate=120)), speech(SENTENCE, Voice(rate=240))
    assert len(fast) < 0.7 * len(slow)


def test_an_unknown_voice_is_named() -> None:
    """The error says which voice there is not."""
    with pytest.raises(EspeakError, match="no-such-voice"):
        speech("hello", Voice("no-such-voice"))


async def test_closing_the_stream_frees_the_engine() -> None:
    """A long text whose first sound comes while the rest is being made, and is given up, leaves no work behind."""
    async with aclosing(stream(SENTENCE * 50, Voice())) as made:
        await anext(made)
        assert engine()._lock.locked()
    assert not engine()._lock.locked()
    assert len(speech("hello")) > 0


async def test_two_texts_at_once_do_not_mix() -> None:
    """Calls share the engine, one after the other: each gets the speech that it gets alone."""

    async def said(text: str) -> bytes:
        parts = [event.pcm async for event in stream(text, Voice()) if isinstance(event, Samples)]
        return b"".join(parts)

    alone = [speech(text) for text in ("one two three", "something else")]
    together = await asyncio.gather(said("one two three"), said("something else"))
    # Lengths differ by a fraction of a vibration from one time to the next.
    assert [len(pcm) for pcm in together] == pytest.approx([len(pcm) for pcm in alone], rel=0.01)


async def test_there_is_one_engine_for_all_threads() -> None:
    """However many ask for it first."""
    found = await asyncio.gather(*(asyncio.to_thread(engine) for _ in range(8)))
    assert all(one is engine() for one in found)
    assert threading.active_count() < 60
