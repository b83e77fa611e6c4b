"""The shape of the avatar's picture from the request to the video: a real pipeline, the emulator, real sockets."""

import asyncio

import numpy as np
import pytest
from pipecat.frames.frames import OutputImageRawFrame, StartFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner

from pipecat_lemonslice import LemonSliceVideoService
from pipecat_lemonslice.emulator import Emulator, EmulatorOptions


class Screen(BaseOutputTransport):
    """Pipecat's own output in front of a screen."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__(TransportParams(video_out_enabled=True, video_out_width=size[0], video_out_height=size[1]))
        self.shown: asyncio.Queue[OutputImageRawFrame] = asyncio.Queue()

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_video_frame(self, frame: OutputImageRawFrame) -> bool:
        self.shown.put_nowait(frame)
        return True


@pytest.mark.parametrize(
    ("ratio", "size", "screen_size"),
    [
        ("9x16", (360, 640), (360, 640)),
        ("1x1", (512, 512), (512, 512)),
        ("9x16", (360, 640), (1280, 720)),
        ("1x1", (512, 512), (1280, 720)),
    ],
)
async def test_the_picture_is_shown_in_its_own_shape(
    ratio: str, size: tuple[int, int], screen_size: tuple[int, int]
) -> None:
    """It fills a video of its own size, and stands between black bars in a wider one."""
    screen = Screen(screen_size)
    async with Emulator(EmulatorOptions(latency=0.05)) as emulator:
        service = LemonSliceVideoService(
            api_key="test-key-0123", api_url=emulator.api_url, agent_id="agent", aspect_ratio=ratio
        )
        worker = PipelineWorker(
            Pipeline([service, screen]), params=PipelineParams(), cancel_on_idle_timeout=False, enable_rtvi=False
        )
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        running = asyncio.create_task(runner.run())
        try:
            frame = await asyncio.wait_for(screen.shown.get(), 10)
            assert emulator.sessions[0].picture_size == size
            assert frame.size == screen_size
            picture = np.frombuffer(frame.image, np.uint8).reshape(screen_size[1], screen_size[0], 3)
            seen = np.flatnonzero(picture.max(axis=(0, 2)))
            width = size[0] * screen_size[1] // size[1]
            left = (screen_size[0] - width) // 2
            assert (seen[0], seen[-1]) == pytest.approx((left, left + width - 1), abs=1)
        finally:
            await worker.cancel()
            await asyncio.wait_for(running, 20)
