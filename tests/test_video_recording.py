"""Pipecat's AudioBufferProcessor behind the output records what was heard, at its time."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from pipecat.frames.frames import InputAudioRawFrame, InterruptionFrame
from pipecat.processors.audio import audio_buffer_processor
from pipecat.processors.audio.audio_buffer_processor import AudioBufferProcessor

from tests.support.stage import RATE, Stage, avatar_here, said, tone
from tests.support.user import UserOutput, pipecat_in_virtual_time

PACKET = 0.02
LAG = 0.25
LATE = 0.15
"""Seconds that the avatar's voice may be on its way through the relay and the output transport's buffers."""


async def microphone(stage: Stage, *talks: tuple[float, float]) -> None:
    """Send a packet every 20 ms, of silence unless the user talks: begin and end, in seconds from now."""
    begun = stage.now
    while True:
        talking = any(begin <= stage.now - begun < end for begin, end in talks)
        pcm = tone(PACKET, frequency=440.0) if talking else bytes(len(tone(PACKET)))
        await stage.send(InputAudioRawFrame(pcm, RATE, 1), PACKET)


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
        output = UserOutput(video_out_enabled=False)
        async with avatar_here(room=room, pipeline=lambda service: (service, output, recorder)) as (stage, _):
            await recorder.start_recording()
            user = asyncio.create_task(microphone(stage, (0.0, 0.5), (2.5, 3.0)))
            await stage.send(1.0, *said(3.0), 1.5, InterruptionFrame(), 1.0, *said(1.0, "b"), 3.0)
            await recorder.stop_recording()
            await stage.settle()
            user.cancel()
            await asyncio.gather(user, return_exceptions=True)
    ((user_pcm, bot_pcm),) = tracks
    assert len(user_pcm) == len(bot_pcm)
    assert len(user_pcm) / (2 * RATE) == pytest.approx(6.5, abs=0.1)
    asked, cut_in = sounding(user_pcm)
    assert asked == pytest.approx((0.0, 0.5), abs=0.05)
    assert cut_in == pytest.approx((2.5, 3.0), abs=0.05)
    first, second = sounding(bot_pcm)
    assert 1.0 + LAG <= first[0] <= 1.0 + LAG + LATE
    assert 2.5 - 0.1 <= first[1] <= 2.5 + LATE
    assert 3.5 + LAG <= second[0] <= 3.5 + LAG + LATE
    assert second[1] - second[0] == pytest.approx(1.0, abs=0.05)
