"""The scripted brain and the offline voice together: what becomes of an answer that is cut off while it streams."""

import asyncio
from typing import Any

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
    TTSTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from offline.brain import ScriptedBrainService
from offline.script import counted
from offline.voice import EspeakTTSService, StopEvents

BOUND = 20.0


def asked(line: str) -> LLMContextFrame:
    message: Any = {"role": "user", "content": line}
    return LLMContextFrame(LLMContext([message]))


class Tap(FrameProcessor):
    """Keeps what passes downstream, and sets an event when so many words have passed."""

    def __init__(self, words: int = 0) -> None:
        super().__init__()
        self.frames: list[Frame] = []
        self.enough = asyncio.Event()
        self._words = words

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction is FrameDirection.DOWNSTREAM:
            self.frames.append(frame)
            if isinstance(frame, LLMTextFrame):
                self._words -= 1
                if self._words == 0:
                    self.enough.set()
        await self.push_frame(frame, direction)


def announced(frames: list[Frame]) -> str:
    """The sentences that a page would show."""
    whole = [one for one in frames if isinstance(one, AggregatedTextFrame) and not isinstance(one, TTSTextFrame)]
    return " ".join(one.text.strip() for one in whole)


async def interrupted_after(words: int, stop_events: StopEvents) -> tuple[list[Frame], list[Frame]]:
    """Interrupt a story after so many words and ask for something else; what left the brain, and the voice."""
    thought, said = Tap(words), Tap()
    voice = EspeakTTSService(stop_events=stop_events)
    worker = PipelineWorker(Pipeline([ScriptedBrainService(), thought, voice, said]), enable_rtvi=False)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    await worker.queue_frame(asked("tell me a story"))
    await asyncio.wait_for(thought.enough.wait(), BOUND)
    await worker.queue_frames([InterruptionFrame(), asked("count to ten"), EndFrame()])
    await asyncio.wait_for(running, BOUND)
    return thought.frames, said.frames


@pytest.mark.parametrize("stop_events", ["per_turn", "per_sentence", "never"])
@pytest.mark.parametrize("words", [1, 8])
async def test_a_sentence_that_was_cut_off_while_it_was_thought_is_not_spoken(
    words: int, stop_events: StopEvents
) -> None:
    """The voice begins with the next answer: of the half sentence there is neither text nor sound."""
    _, said = await interrupted_after(words, stop_events)
    assert announced(said) == counted(10)


async def test_the_end_of_an_interrupted_response_follows_the_interruption() -> None:
    """A voice speaks what it has when a response ends: the end must not come before the interruption."""
    thought, _ = await interrupted_after(3, "per_turn")
    kinds = (LLMFullResponseStartFrame, InterruptionFrame, LLMFullResponseEndFrame)
    assert [type(frame) for frame in thought if isinstance(frame, kinds)] == [
        LLMFullResponseStartFrame,
        InterruptionFrame,
        LLMFullResponseEndFrame,
        LLMFullResponseStartFrame,
        LLMFullResponseEndFrame,
    ]
