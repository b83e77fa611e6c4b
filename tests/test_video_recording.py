"""Pipecat's AudioBufferProcessor behind the output records what was heard, at its time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from pipecat.frames.frames import InputAudioRawFrame, InterruptionFrame, TTSStoppedFrame
from pipecat.processors.audio import audio_buffer_processor
from pipecat.processors.audio.audio_buffer_processor import AudioBufferProcessor

from tests.support.stage import RATE, Stage, avatar_here, speech, tone
from tests.support.user import UserOutput, pipecat_in_virtual_time

PACKET = 0.02
LAG = 0.25
LATE = 0.15
"""Seconds that the avatar's voice may be on its way through the relay and the output transport's buffers."""


class Microphone:
    """The user's microphone: a packet every 20 ms, of silence unless the user says something."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._talk_until = 0.0
        self._task = asyncio.create_task(self._run())

    def talk(self, seconds: float) -> None:
        self._talk_until = self._stage.now + seconds

    async def _run(self) -> None:
        while True:
            talking = self._stage.now < self._talk_until
            pcm = tone(PACKET, frequency=440.0) if talking else bytes(len(tone(PACKET)))
            await self._stage.send(InputAudioRawFrame(pcm, RATE, 1))
            await asyncio.sleep(PACKET)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@asynccontextmanager
async def microphone(stage: Stage) -> AsyncIterator[Microphone]:
    opened = Microphone(stage)
    yield opened
    await opened.close()


def sounding(pcm: bytes) -> list[tuple[float, float]]:
    """When a track sounds: begin and end of each stretch, pauses below 60 ms left out."""
    samples = np.frombuffer(pcm, "<i2")
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 100)
    if not loud.size:
        return []
    breaks = np.flatnonzero(np.diff(loud) > 0.06 * RATE)
    begins, ends = [loud[0], *loud[breaks + 1]], [*loud[breaks], loud[-1]]
    return [(begin / RATE, end / RATE) for begin, end in zip(begins, ends, strict=True)]


async def test_both_tracks_hold_what_was_heard_when_it_was_heard() -> None:
    """The avatar's voice and not the TTS's, an interrupted answer up to its interruption, and every pause."""
    recorder = AudioBufferProcessor(num_channels=2)
    tracks: list[tuple[bytes, bytes]] = []

    @recorder.event_handler("on_track_audio_data")
    async def keep(_recorder: object, user: bytes, bot: bytes, _rate: int, _channels: int) -> None:
        tracks.append((user, bot))

    with pipecat_in_virtual_time(), pytest.MonkeyPatch.context() as patch:
        loop = asyncio.get_running_loop()
        patch.setattr(audio_buffer_processor, "time", SimpleNamespace(monotonic=loop.time))
        room = {"track": True, "obedient": True, "latency": LAG}
        async with (
            avatar_here(
                room=room, pipeline=lambda service: (service, UserOutput(video_out_enabled=False), recorder)
            ) as (stage, _),
            microphone(stage) as user,
        ):
            await recorder.start_recording()
            begun = stage.now
            user.talk(0.5)
            await stage.settle(1.0)
            answered = stage.now - begun
            await stage.send(speech(3.0), TTSStoppedFrame("a"), 1.5)
            interrupted = stage.now - begun
            user.talk(0.5)
            await stage.send(InterruptionFrame(), 1.0)
            again = stage.now - begun
            await stage.send(speech(1.0, "b"), TTSStoppedFrame("b"), 3.0)
            length = stage.now - begun
            await recorder.stop_recording()
            await stage.settle()
    ((user_pcm, bot_pcm),) = tracks
    assert len(user_pcm) == len(bot_pcm)
    assert len(user_pcm) / (2 * RATE) == pytest.approx(length, abs=0.1)
    asked, cut_in = sounding(user_pcm)
    assert asked == pytest.approx((0.0, 0.5), abs=0.05)
    assert cut_in == pytest.approx((interrupted, interrupted + 0.5), abs=0.05)
    first, second = sounding(bot_pcm)
    assert answered + LAG <= first[0] <= answered + LAG + LATE
    assert interrupted - 0.1 <= first[1] <= interrupted + LATE
    assert again + LAG <= second[0] <= again + LAG + LATE
    assert second[1] - second[0] == pytest.approx(1.0, abs=0.05)
