"""The offline voice, and with the scripted brain before it: what becomes of an answer that is cut off."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, TypeVar

import pytest
from pipecat.frames.frames import (
    AggregatedTextFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.tests.utils import run_test
from pipecat.workers.runner import WorkerRunner

from offline.brain import ScriptedBrainService
from offline.script import counted
from offline.voice import EspeakTTSService, EspeakTTSSettings, StopEvents
from tests.support.stage import End
from tests.support.waiting import until

TEXT = "Hello there. How are you? Count to three."
BOUND = 20.0
F = TypeVar("F", bound=Frame)


def response(text: str = TEXT) -> list[Frame]:
    words = [LLMTextFrame(f"{word} ") for word in text.split()]
    return [LLMFullResponseStartFrame(), *words, LLMFullResponseEndFrame()]


def only(kind: type[F], frames: Sequence[Frame]) -> list[F]:
    return [frame for frame in frames if isinstance(frame, kind)]


def seconds(audio: Sequence[TTSAudioRawFrame]) -> float:
    return sum(len(frame.audio) / 2 / frame.sample_rate for frame in audio)


async def spoken(frames: Sequence[Frame], rate: int = 24000, **options: Any) -> list[Frame]:
    params = PipelineParams(audio_out_sample_rate=rate)
    voice = EspeakTTSService(**options)
    down, _ = await run_test(voice, frames_to_send=frames, pipeline_params=params, start_timeout=10)
    return list(down)


def came(end: End) -> list[Frame]:
    return [frame for _, frame in end.frames]


async def running(*processors: FrameProcessor) -> tuple[PipelineWorker, "asyncio.Task[None]"]:
    worker = PipelineWorker(Pipeline([*processors]), enable_rtvi=False)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    return worker, asyncio.create_task(runner.run())


@pytest.mark.parametrize("rate", [16000, 22050, 48000])
async def test_speech_comes_in_small_chunks_at_the_pipelines_rate(rate: int) -> None:
    """Chunks of 40 ms, none longer, as long in all as the engine's own speech, whatever the rate; of one context."""
    frames = await spoken(response(), rate)
    audio = only(TTSAudioRawFrame, frames)
    assert {frame.sample_rate for frame in audio} == {rate}
    assert max(len(frame.audio) for frame in audio) == 2 * round(0.04 * rate)
    native = only(TTSAudioRawFrame, await spoken(response(), 22050))
    assert seconds(audio) == pytest.approx(seconds(native), abs=0.01)
    kinds = (TTSStartedFrame, TTSAudioRawFrame, TTSStoppedFrame, TTSTextFrame)
    [context] = {frame.context_id for frame in frames if isinstance(frame, kinds)}
    assert context


async def test_speech_is_made_faster_than_it_is_heard() -> None:
    """Half a minute of speech takes a fraction of that."""
    started = time.monotonic()
    heard = seconds(only(TTSAudioRawFrame, await spoken(response(f"{TEXT} " * 8))))
    assert heard > 20
    assert time.monotonic() - started < heard / 2


@pytest.mark.parametrize(("stop_events", "stops"), [("per_turn", 1), ("per_sentence", 3), ("never", 0)])
async def test_stop_events_come_as_told_and_words_in_step_with_the_sound(stop_events: StopEvents, stops: int) -> None:
    """Once at the end of the turn, after each sentence, or never; the response ends behind them all the same.

    Each written word is one text frame, in order, with rising times, among the audio and not behind it.
    """
    frames = await spoken(response("I am 23 years old. Really, I am. Yes."), stop_events=stop_events)
    assert len({frame.context_id for frame in only(TTSStoppedFrame, frames)}) == stops
    assert len(only(TTSStoppedFrame, frames)) == stops
    assert isinstance(frames[-1], LLMFullResponseEndFrame)
    words = only(TTSTextFrame, frames)
    assert [word.text for word in words] == ["I", "am", "23", "years", "old.", "Really,", "I", "am.", "Yes."]
    times = [word.pts or 0 for word in words]
    assert times == sorted(times)
    after = frames.index(words[-3])
    assert any(isinstance(frame, TTSAudioRawFrame) for frame in frames[:after])
    assert any(isinstance(frame, TTSAudioRawFrame) for frame in frames[after:])


async def test_a_pause_separates_sentences_in_what_is_heard() -> None:
    """The next sentence comes so long after the one before has been heard; the first waits for nothing."""
    end, pause = End(FrameDirection.DOWNSTREAM), 0.25
    voice = EspeakTTSService(pause_between_sentences=pause, settings=EspeakTTSSettings(rate=400))
    worker, task = await running(voice, end)
    await worker.queue_frames([*response("One. Two."), EndFrame()])
    await asyncio.wait_for(task, BOUND)
    audio = [(at, frame) for at, frame in end.frames if isinstance(frame, TTSAudioRawFrame)]
    gap, index = max((later[0] - audio[i][0], i) for i, later in enumerate(audio[1:]))
    assert gap > seconds([frame for _, frame in audio[: index + 1]]) + pause - 0.1
    assert len(only(TTSStoppedFrame, came(end))) == 1


def asked(line: str) -> LLMContextFrame:
    message: Any = {"role": "user", "content": line}
    return LLMContextFrame(LLMContext([message]))


@pytest.mark.parametrize("stop_events", ["per_turn", "per_sentence", "never"])
@pytest.mark.parametrize("words", [1, 8])
async def test_a_sentence_that_was_cut_off_while_it_was_thought_is_not_spoken(
    words: int, stop_events: StopEvents
) -> None:
    """The voice begins with the next answer: of the half sentence there is neither text nor sound.

    The end of the interrupted response follows the interruption, as a voice speaks what it has when a response ends.
    """
    thought, said = End(FrameDirection.DOWNSTREAM), End(FrameDirection.DOWNSTREAM)
    voice = EspeakTTSService(stop_events=stop_events)
    worker, task = await running(ScriptedBrainService(), thought, voice, said)
    await worker.queue_frame(asked("tell me a story"))
    await until(lambda: len(only(LLMTextFrame, came(thought))) >= words, BOUND)
    await worker.queue_frames([InterruptionFrame(), asked("count to ten"), EndFrame()])
    await asyncio.wait_for(task, BOUND)
    whole = [one.text for one in only(AggregatedTextFrame, came(said)) if not isinstance(one, TTSTextFrame)]
    assert " ".join(text.strip() for text in whole) == counted(10)
    kinds = (LLMFullResponseStartFrame, InterruptionFrame, LLMFullResponseEndFrame)
    response = [LLMFullResponseStartFrame, LLMFullResponseEndFrame]
    told = [type(frame) for frame in came(thought) if isinstance(frame, kinds)]
    assert told == [LLMFullResponseStartFrame, InterruptionFrame, LLMFullResponseEndFrame, *response]
