"""A user behind Pipecat's own output, on the loop's clock."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pipecat.frames.frames import OutputAudioRawFrame, OutputImageRawFrame, StartFrame
from pipecat.transports import base_output
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams


class UserOutput(BaseOutputTransport):
    """A transport that plays voice in real time and shows pictures when they are written.

    Args:
        buffer: Seconds of voice that it takes before it holds the writer back.
        late: How much later than it could it takes each chunk of voice; without a buffer this is a gap.
        picture_seconds: How long it takes to take a picture.
        **params: Of the transport; voice and video are enabled.
    """

    def __init__(self, *, buffer: float = 0.0, late: float = 0.0, picture_seconds: float = 0.0, **params: Any) -> None:
        super().__init__(TransportParams(**{"audio_out_enabled": True, "video_out_enabled": True, **params}))
        self._buffer, self._late, self._picture_seconds = buffer, late, picture_seconds
        self._played_until = 0.0

    def hear(self, at: float, samples: NDArray[np.int16], sample_rate: int) -> None:
        """Voice is heard from a time on."""

    def see(self, at: float, picture: OutputImageRawFrame) -> None:
        """A picture is seen."""

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        now = asyncio.get_running_loop().time()
        begin = max(now, self._played_until)
        samples = np.frombuffer(frame.audio, "<i2")
        self.hear(begin, samples, frame.sample_rate)
        self._played_until = begin + len(samples) / frame.sample_rate
        await asyncio.sleep(max(0.0, self._played_until - now - self._buffer) + self._late)
        return True

    async def write_video_frame(self, frame: OutputImageRawFrame) -> bool:
        self.see(asyncio.get_running_loop().time(), frame)
        await asyncio.sleep(self._picture_seconds)
        return True


@contextmanager
def pipecat_in_virtual_time() -> Iterator[None]:
    """Let Pipecat's output go by the loop's time: how long the bot is silent, when the next live picture is due."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base_output, "time", SimpleNamespace(time=lambda: asyncio.get_running_loop().time()))
        yield
