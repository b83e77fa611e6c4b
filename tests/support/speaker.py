"""Pipecat's output transport in virtual time."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from pipecat.frames.frames import OutputAudioRawFrame, StartFrame
from pipecat.transports import base_output
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams


class Speaker(BaseOutputTransport):
    """Its sound takes as long as it lasts."""

    def __init__(self) -> None:
        super().__init__(TransportParams(audio_out_enabled=True))

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        await asyncio.sleep(len(frame.audio) / (2 * frame.sample_rate))
        return True


@contextmanager
def pipecat_in_virtual_time() -> Iterator[None]:
    """Let Pipecat's output measure by the loop's time how long the bot has been silent."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base_output, "time", SimpleNamespace(time=asyncio.get_running_loop().time))
        yield
