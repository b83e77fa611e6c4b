"""The queue of speech: who may enter, how much it holds, and what an interruption leaves."""

import asyncio

import pytest
from pipecat.frames.frames import (
    Frame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSStartedFrame,
    TTSTextFrame,
)

from pipecat_lemonslice.frames import AvatarImageFrame
from pipecat_lemonslice.speech_queue import MAX_QUEUED_FRAMES, MAX_QUEUED_SECONDS, Drained, SpeechQueue, TakenBack
from tests.support.stage import RATE, speech
from tests.support.virtual_time import virtual_time


def add(queue: SpeechQueue, *frames: Frame) -> list[bool]:
    entered = [queue.admit(frame) for frame in frames]
    for frame, admitted in zip(frames, entered, strict=True):
        if admitted:
            queue.put(frame)
    return entered


def rest(queue: SpeechQueue) -> list[object]:
    items: list[object] = []
    while queue.head is not None:
        items.append(queue.head)
        queue.pop()
    return items


@virtual_time
async def test_frames_come_out_in_order_and_audio_is_counted() -> None:
    """Seconds of audio go up and down; text has none."""
    queue, frames = SpeechQueue(RATE), [speech(1.0), LLMTextFrame("x"), speech(0.5, "b", 8000)]
    add(queue, *frames)
    assert queue.seconds == pytest.approx(1.5)
    assert queue.holds_audio
    assert rest(queue) == frames
    assert queue.seconds == 0
    assert not queue.holds_audio


@virtual_time
async def test_empty_audio_does_not_enter() -> None:
    """Nor does anything of a context that was interrupted."""
    queue = SpeechQueue(RATE)
    text = TTSTextFrame("x", "word")
    text.context_id = "a"
    assert add(queue, speech(0.0), speech(1.0)) == [False, True]
    queue.interrupt()
    assert add(queue, speech(1.0), text, TTSStartedFrame("a"), LLMTextFrame("x")) == [False, False, True, True]
    assert add(queue, speech(1.0, interruptible=False)) == [True]
    assert not queue.lives("a")
    assert queue.lives("b")


@virtual_time
async def test_an_llm_response_opens_for_unlabelled_audio() -> None:
    """After an interruption, unlabelled audio of a source that announces waits for the next answer."""
    queue = SpeechQueue(RATE)
    add(queue, TTSStartedFrame(), speech(1.0, None))
    queue.interrupt()
    assert add(queue, speech(1.0, None), LLMFullResponseStartFrame(), speech(1.0, None)) == [False, True, True]


@virtual_time
async def test_an_interruption_leaves_what_may_not_be_interrupted_and_the_end() -> None:
    """Uninterruptible frames, what is taken back, and whoever waits for everything to be heard."""
    queue = SpeechQueue(RATE)
    kept, picture = speech(1.0, "k", interruptible=False), AvatarImageFrame(image_url="https://x.test/a.png")
    drained = Drained(asyncio.get_running_loop().create_future())
    add(queue, speech(1.0), kept, LLMTextFrame("x"), picture)
    queue.mark(drained)
    mark = TakenBack()
    queue.mark(mark)
    queue.interrupt()
    assert queue.seconds == pytest.approx(1.0)
    assert rest(queue) == [mark, kept, picture, drained]
    assert add(queue, speech(1.0, "k"), speech(1.0, "a")) == [True, False]


@virtual_time
async def test_what_plays_on_is_spared() -> None:
    """The context of audio that may not be interrupted lives on."""
    queue = SpeechQueue(RATE)
    add(queue, speech(1.0, "a"), speech(1.0, "b"))
    queue.interrupt({"b"})
    assert rest(queue) == []
    assert add(queue, speech(1.0, "b"), speech(1.0, "a")) == [True, False]


@virtual_time
async def test_what_was_taken_back_comes_first() -> None:
    """The mark is replaced where it stands, by any number of frames, which count."""
    queue, later = SpeechQueue(RATE), speech(1.0, "b")
    first, second = speech(0.5), speech(0.5, "d")
    add(queue, later)
    marks = [TakenBack(), TakenBack()]
    queue.mark(marks[0])
    assert queue.holds_audio
    queue.mark(marks[1])
    queue.replace(marks[0], [first, second])
    queue.replace(marks[1], [])
    assert queue.seconds == pytest.approx(2.0)
    assert rest(queue) == [first, second, later]


@virtual_time
async def test_beyond_its_limit_it_holds_the_pipeline_back() -> None:
    """Until something has been spoken, or everything was interrupted."""
    queue = SpeechQueue(RATE)
    await queue.wait_for_space()
    minute = speech(60.0)
    add(queue, *[minute] * round(MAX_QUEUED_SECONDS / 60.0), minute)
    for make_space in (queue.pop, lambda: queue.interrupt()):
        waiting = asyncio.create_task(queue.wait_for_space())
        await asyncio.sleep(1.0)
        assert not waiting.done()
        make_space()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert waiting.done()
        add(queue, minute)


@virtual_time
async def test_frames_of_any_kind_are_held_back_when_there_are_too_many() -> None:
    """As many as may wait do, in their order; the next waits for one to leave."""
    queue, frame = SpeechQueue(RATE), LLMTextFrame("x")
    for _ in range(MAX_QUEUED_FRAMES):
        await queue.wait_for_space()
        queue.put(frame)
    waiting = asyncio.create_task(queue.wait_for_space())
    await asyncio.sleep(1.0)
    assert not waiting.done()
    queue.pop()
    await asyncio.wait_for(waiting, 1.0)


@virtual_time
async def test_whoever_waits_for_the_end_is_released() -> None:
    """Once, also if asked again."""
    queue, mark = SpeechQueue(RATE), Drained(asyncio.get_running_loop().create_future())
    queue.mark(mark)
    queue.release()
    queue.release()
    assert mark.done.done()
