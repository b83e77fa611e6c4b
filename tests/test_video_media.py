"""The avatar's voice in the pipeline. In virtual time."""

import asyncio

import pytest
from pipecat.frames.frames import Frame, InterruptionFrame, OutputImageRawFrame, SpeechOutputAudioRawFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from tests.support.logs import package_logs
from tests.support.stage import RATE, Stage, avatar_here, said, speech, tone


async def test_a_bots_own_pictures_are_shown_when_they_come() -> None:
    """They do not wait for the speech before them."""
    async with avatar_here() as (stage, _):
        before = stage.sink.pictures
        await stage.send(speech(5.0), OutputImageRawFrame(bytes(12), (2, 2), "RGB"), 0.0)
        assert stage.sink.pictures == before + 1


async def test_there_are_never_two_voices() -> None:
    """While the plain voice speaks, an avatar that speaks on its own is not heard."""
    async with Stage(room={"echo": False}) as stage:
        await stage.send(speech(5.0), 8.5)
        room = await stage.arrive()
        room.freeze_video()
        room.utter(tone(1.0))
        await stage.settle(1.1)
        assert stage.plain == tone(5.0)
        assert stage.voice == b""


class Held(FrameProcessor):
    """Keeps the avatar's voice back while it is closed."""

    def __init__(self) -> None:
        super().__init__(enable_direct_mode=True)
        self.open = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, SpeechOutputAudioRawFrame):
            await self.open.wait()
        await self.push_frame(frame, direction)


async def test_voice_that_nobody_takes_does_not_pile_up() -> None:
    """Of a minute the newest half is kept, which is logged once."""
    held = Held()
    with package_logs("WARNING") as lines:
        async with avatar_here(behind=[held]) as (stage, _):
            await stage.send(*[speech(1.0)] * 59, *said(1.0), 62.0, held.open.set, 0.1)
            assert len(stage.voice) == pytest.approx(30.0 * RATE * 2, abs=0.1 * RATE * 2)
            assert stage.voice.endswith(tone(1.0))
    assert [line.text.count("voice") for line in lines] == [1]


async def test_an_interruption_drops_the_voice_that_waits() -> None:
    """What nobody downstream has taken of it is not heard afterwards."""
    held = Held()
    async with avatar_here(behind=[held], room={"obedient": True}) as (stage, _):
        await stage.send(speech(3.0), 2.0, InterruptionFrame(), held.open.set, 1.0)
        assert len(stage.voice) <= 0.08 * RATE * 2


async def test_a_stall_does_not_delay_the_voice_for_good() -> None:
    """What comes in a burst is passed on; the silence in it is left out until the lead is gone."""
    async with avatar_here(room={"echo": False}) as (stage, room):
        await stage.send(speech(3.0))
        for _ in range(50):
            room.hear(tone(0.02))
            await stage.settle(0.02)
        await stage.settle(1.0)
        for packet in [tone(0.02)] * 20 + [bytes(960)] * 25 + [tone(0.02)] * 5:
            room.hear(packet)
        await stage.settle(0.5)
        assert stage.voice.replace(bytes(960), b"") == tone(0.02) * 75
        assert len(stage.voice) <= len(tone(0.02)) * (75 + 7)
