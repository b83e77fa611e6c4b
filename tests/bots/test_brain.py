import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from pipecat.frames.frames import (
    EndFrame,
    EndWorkerFrame,
    Frame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMServiceMetadataFrame,
    LLMTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.tests.utils import run_test
from pipecat.workers.runner import WorkerRunner

from offline.brain import ScriptedBrainService, tokens
from offline.script import GREETING, STORY, counted
from pipecat_lemonslice.frames import AvatarActionFrame, AvatarImageFrame


def context(*lines: str) -> LLMContextFrame:
    messages: list[Any] = [{"role": "user", "content": line} for line in lines]
    return LLMContextFrame(LLMContext(messages))


async def frames_for(*frames: Frame) -> list[Frame]:
    down, _ = await run_test(ScriptedBrainService(token_seconds=0), frames_to_send=frames, start_timeout=10)
    return [frame for frame in down if not isinstance(frame, LLMServiceMetadataFrame)]


def text(frames: Sequence[Frame]) -> str:
    return "".join(frame.text for frame in frames if isinstance(frame, LLMTextFrame))


async def test_an_answer_streams_between_its_start_and_its_end() -> None:
    """Word by word, as an LLM would; the pieces add up to the text."""
    frames = await frames_for(context("count to ten"))
    assert isinstance(frames[0], LLMFullResponseStartFrame)
    assert isinstance(frames[-1], LLMFullResponseEndFrame)
    assert all(isinstance(frame, LLMTextFrame) for frame in frames[1:-1])
    assert len(frames) == 12
    assert text(frames) == counted(10)


async def test_an_empty_context_is_greeted() -> None:
    """With a wave."""
    frames = await frames_for(context())
    assert text(frames) == GREETING
    assert [frame.action for frame in frames if isinstance(frame, AvatarActionFrame)] == ["wave"]


async def test_the_picture_changes_each_time() -> None:
    """The frames carry pictures of the avatar's size, one after the other."""
    frames = await frames_for(context("change your picture"), context(*["change your picture"] * 2))
    pictures: list[Any] = [frame.image for frame in frames if isinstance(frame, AvatarImageFrame)]
    assert [picture.size for picture in pictures] == [(368, 560), (368, 560)]
    assert pictures[0].tobytes() != pictures[1].tobytes()


@pytest.mark.parametrize(("line", "pose"), [("smile", "smile"), ("wave at me", "wave"), ("be serious", "serious")])
async def test_expressions_are_triggered_before_the_words(line: str, pose: str) -> None:
    """Right after the response has begun."""
    frames = await frames_for(context(line))
    assert isinstance(frames[1], AvatarActionFrame)
    assert frames[1].action == pose


async def test_goodbye_ends_the_call_behind_the_words() -> None:
    """The frame that asks for the end follows the end of the response."""
    frames = await frames_for(context("goodbye"))
    assert [type(frame) for frame in frames[-2:]] == [LLMFullResponseEndFrame, EndWorkerFrame]


async def test_an_interruption_cuts_the_answer_but_not_its_end() -> None:
    """No word comes afterwards, the response is closed, and the next one is answered."""
    seen: list[Frame] = []
    speaking = asyncio.Event()

    class Sink(FrameProcessor):
        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            await super().process_frame(frame, direction)
            seen.append(frame)
            if isinstance(frame, LLMTextFrame):
                speaking.set()
            await self.push_frame(frame, direction)

    worker = PipelineWorker(Pipeline([ScriptedBrainService(token_seconds=0.01), Sink()]), enable_rtvi=False)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    await worker.queue_frame(context("tell me a story"))
    await asyncio.wait_for(speaking.wait(), 10)
    await worker.queue_frames([InterruptionFrame(), context("count to ten"), EndFrame()])
    await asyncio.wait_for(running, 20)
    cut = next(index for index, frame in enumerate(seen) if isinstance(frame, InterruptionFrame))
    assert STORY.startswith(text(seen[:cut]))
    assert text(seen[cut:]) == counted(10)
    starts = sum(isinstance(frame, LLMFullResponseStartFrame) for frame in seen)
    ends = sum(isinstance(frame, LLMFullResponseEndFrame) for frame in seen)
    assert (starts, ends) == (2, 2)


def test_tokens_lose_nothing() -> None:
    """Together they are the text."""
    assert "".join(tokens(STORY)) == STORY
    assert len(tokens(STORY)) == len(STORY.split())
