"""A bot's pipeline, run as bots run theirs, that tests feed with frames."""

import asyncio
import time
from typing import Self, TypeVar

from pipecat.frames.frames import EndFrame, Frame, StartFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from tests.support.waiting import until

F = TypeVar("F", bound=Frame)


class Tap(FrameProcessor):
    """Keeps what passes, with its time and direction."""

    def __init__(self) -> None:
        super().__init__(enable_direct_mode=True)
        self.frames: list[tuple[float, Frame, FrameDirection]] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        self.frames.append((time.monotonic(), frame, direction))
        await self.push_frame(frame, direction)

    def of(self, kind: type[F], direction: FrameDirection | None = None) -> list[F]:
        return [
            frame
            for _, frame, way in self.frames
            if isinstance(frame, kind) and (direction is None or way is direction)
        ]


class Running:
    """A pipeline that runs: taps first and last, the given processors between."""

    def __init__(self, *processors: FrameProcessor, sample_rate: int = 24000) -> None:
        self.first, self.last = Tap(), Tap()
        self.worker = PipelineWorker(
            Pipeline([self.first, *processors, self.last]),
            params=PipelineParams(audio_out_sample_rate=sample_rate, audio_in_sample_rate=16000),
            enable_rtvi=False,
            cancel_on_idle_timeout=False,
        )
        self._runner = WorkerRunner(handle_sigint=False)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._runner.add_workers(self.worker)
        self._task = asyncio.create_task(self._runner.run())
        await until(lambda: bool(self.last.of(StartFrame)), 10.0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task and not self._task.done():
            await self.worker.cancel()
            await asyncio.wait_for(self._task, 15.0)

    async def send(self, *frames: Frame) -> None:
        await self.worker.queue_frames(frames)

    async def end(self, seconds: float = 15.0) -> None:
        """End the call gracefully and wait until all is over."""
        await self.send(EndFrame())
        assert self._task is not None
        await asyncio.wait_for(asyncio.shield(self._task), seconds)

    async def cancel(self) -> float:
        """Cancel the call; returns how many seconds that took."""
        assert self._task is not None
        started = time.monotonic()
        await self.worker.cancel()
        await asyncio.wait_for(asyncio.shield(self._task), 15.0)
        return time.monotonic() - started
