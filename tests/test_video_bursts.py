"""Bursts of frames: what they cost, and that the event loop goes on meanwhile."""

import asyncio
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from pipecat.frames.frames import (
    Frame,
    InterruptionFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSTextFrame,
)

from tests.support.stage import RATE, Stage, avatar_here, speech, tone
from tests.support.virtual_time import run_virtual

Burst = Callable[[Stage, int], list[Frame]]


def texts(_stage: Stage, count: int) -> list[Frame]:
    return [LLMTextFrame(str(number)) for number in range(count)]


def texts_behind_audio(stage: Stage, count: int) -> list[Frame]:
    return [speech(1.0), *texts(stage, count)]


def timed_words(stage: Stage, count: int) -> list[Frame]:
    frames: list[Frame] = [TTSStartedFrame("a"), speech(1.0)]
    for number in range(count):
        word = TTSTextFrame(str(number), "word")
        word.context_id, word.pts = "a", round((stage.now + number / count) * 1e9)
        frames.append(word)
    return frames


def audio(_stage: Stage, count: int) -> list[Frame]:
    return [TTSAudioRawFrame(tone(0.001), RATE, 1, context_id="a") for _ in range(count)]


async def processor_seconds(burst: Burst, count: int, *, interrupted: bool) -> float:
    """Return what a burst costs on its way through the pipeline."""
    async with avatar_here() as (stage, _):
        frames = burst(stage, count)
        started = time.process_time()
        await stage.send(*frames)
        if interrupted:
            await stage.send(InterruptionFrame())
        await stage.settle(count / 1000 + 2.0)
        return time.process_time() - started


@pytest.mark.parametrize("burst", [texts, texts_behind_audio, timed_words, audio])
@pytest.mark.parametrize("interrupted", [False, True])
def test_a_burst_costs_no_more_than_its_length(burst: Burst, interrupted: bool) -> None:
    """Five times as many frames at once cost less than ten times as much; the square would be twenty-five."""

    def cost(count: int) -> float:
        return min(run_virtual(lambda: processor_seconds(burst, count, interrupted=interrupted)) for _ in range(2))

    assert cost(5000) / cost(1000) < 10.0


async def test_other_tasks_have_their_turn_during_a_burst() -> None:
    """Of ten thousand text frames at once, no more than a hundred leave in one turn of the event loop."""
    async with Stage() as stage:
        sending = asyncio.create_task(stage.send(*texts(stage, 10_000)))
        left = [0]
        while left[-1] < 10_000:
            await asyncio.sleep(0)
            left.append(len(stage.down(LLMTextFrame)) if len(left) % 8 == 0 else left[-1])
        await sending
        assert [frame.text for frame in stage.down(LLMTextFrame)] == [str(number) for number in range(10_000)]
        assert max(after - before for before, after in pairwise(left)) <= 8 * 100
