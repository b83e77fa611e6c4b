"""The avatar's picture and voice in the pipeline, and what steers it while it runs. In virtual time."""

import asyncio
from typing import Any

import pytest
from PIL import Image
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InterruptionFrame,
    OutputImageRawFrame,
    ServiceUpdateSettingsFrame,
    SpeechOutputAudioRawFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.processors.frameworks.rtvi.frames import RTVIServerMessageFrame

from pipecat_lemonslice import (
    AvatarActionFrame,
    AvatarImageFrame,
    AvatarKeepAliveFrame,
    LemonSliceVideoService,
)
from pipecat_lemonslice.api import PoseTrigger, ResetIdleTimeout, UpdateImage
from pipecat_lemonslice.errors import ApiStatusError
from pipecat_lemonslice.session.control import MAX_REQUESTS
from tests.support.logs import package_logs
from tests.support.memory import MemoryVendor
from tests.support.stage import RATE, Stage, avatar_here, speech, tone

Settings = LemonSliceVideoService.Settings


# Pictures.


async def test_pictures_stop_with_the_call() -> None:
    """Nothing is pushed once the call is over, though the room goes on showing."""
    async with avatar_here() as (stage, room):
        await stage.cancel()
        before = stage.sink.pictures
        for _ in range(25):
            room.show()
            await asyncio.sleep(0.04)
        assert stage.sink.pictures == before


async def test_a_bots_own_pictures_are_shown_when_they_come() -> None:
    """They do not wait for the speech before them."""
    async with avatar_here() as (stage, _):
        before = stage.sink.pictures
        await stage.send(speech(5.0), OutputImageRawFrame(bytes(12), (2, 2), "RGB"), 0.0)
        assert stage.sink.pictures == before + 1


# The voice.


@pytest.mark.parametrize("pause", [0.3, 2.0])
async def test_the_page_learns_when_the_voice_of_each_response_was_first_heard(pause: float) -> None:
    """Also for an answer that comes soon after the last one."""
    async with avatar_here(room={"track": True}) as (stage, _):
        for context in "ab":
            await stage.send(speech(1.0, context), TTSStoppedFrame(context), 1.0 + pause)
        await stage.settle(2.0)
        voices = [frame.data for frame in stage.down(RTVIServerMessageFrame) if frame.data.get("event") == "voice"]
        assert [voice["id"] for voice in voices] == [1, 2]
        for voice in voices:
            assert 250 <= voice["ttfb_ms"] <= 350


async def test_there_are_never_two_voices() -> None:
    """While the plain voice speaks, an avatar that speaks on its own is not heard."""
    async with Stage(room={"echo": False}) as stage:
        await stage.send(speech(5.0), 8.5)
        room = await stage.arrive()
        room.freeze_video()
        for _ in range(50):
            room.utter(tone(0.02))
            await stage.settle(0.02)
        await stage.settle(0.1)
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
            await stage.send(*(speech(1.0) for _ in range(60)), TTSStoppedFrame("a"), 62.0)
            held.open.set()
            await stage.settle(0.1)
            assert len(stage.voice) == pytest.approx(30.0 * RATE * 2, abs=0.1 * RATE * 2)
            assert stage.voice.endswith(tone(1.0))
    assert [line.text.count("voice") for line in lines] == [1]


async def test_an_interruption_drops_the_voice_that_waits() -> None:
    """What nobody downstream has taken of it is not heard afterwards."""
    held = Held()
    async with avatar_here(behind=[held], room={"obedient": True}) as (stage, _):
        await stage.send(speech(3.0), 2.0, InterruptionFrame())
        held.open.set()
        await stage.settle(1.0)
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


# Steering.


async def test_orders_are_given_when_the_speech_before_them_has_been_spoken_and_travel_on() -> None:
    """In their order, and each only once."""
    async with avatar_here() as (stage, _):
        await stage.send(speech(1.0), AvatarImageFrame(image_url="https://x.test/b.png"), AvatarActionFrame("wave"))
        await stage.settle(0.5)
        assert stage.vendor.controls == []
        await stage.settle(0.6)
        assert stage.vendor.controls == [PoseTrigger("wave")]
        await stage.settle(2.0)
        assert stage.vendor.controls == [PoseTrigger("wave"), UpdateImage(image_url="https://x.test/b.png")]
        assert stage.down(AvatarActionFrame)[0].action == "wave"
        assert len(stage.down(AvatarImageFrame)) == len(stage.down(AvatarActionFrame)) == 1


@pytest.mark.parametrize("frame", [AvatarActionFrame(" "), AvatarImageFrame(image_url="ftp://x.test/a")])
async def test_an_order_that_cannot_be_meant_is_told_and_harms_nothing(frame: Any) -> None:
    """One ErrorFrame; the speech behind it is spoken."""
    async with avatar_here() as (stage, room):
        await stage.send(frame, speech(1.0), TTSStoppedFrame("a"), 2.0)
        assert room.speech == tone(1.0)
        assert len(stage.up(ErrorFrame)) == 1


async def test_an_order_that_is_refused_is_told_and_harms_nothing() -> None:
    """One ErrorFrame each; also for one that was kept until there was a session."""
    vendor = MemoryVendor(latency=1.0, control_refusal=ApiStatusError(404, "no such pose"))
    async with Stage(vendor) as stage:
        await stage.send(AvatarActionFrame("early"), 2.0)
        await stage.arrive()
        await stage.send(AvatarActionFrame("wave"), AvatarKeepAliveFrame(), 1.0)
        assert ["no such pose" in frame.error for frame in stage.up(ErrorFrame)] == [True] * 3


async def test_orders_that_pile_up_are_refused() -> None:
    """As many as may wait are carried out in their order; that the rest is not is told once."""
    async with avatar_here(MemoryVendor(control_latency=1.0), keep_alive=False) as (stage, _):
        await stage.send(*(AvatarActionFrame(str(number)) for number in range(2 * MAX_REQUESTS)), MAX_REQUESTS + 10.0)
        assert stage.vendor.controls == [PoseTrigger(str(number)) for number in range(MAX_REQUESTS)]
        [error] = stage.up(ErrorFrame)
        assert f"{MAX_REQUESTS} requests wait" in error.error
        await stage.send(AvatarActionFrame("later"), 2.0)
        assert stage.vendor.controls[-1] == PoseTrigger("later")


async def test_a_keep_alive_frame_resets_the_timeout_now() -> None:
    """For bots that keep keep_alive off."""
    async with avatar_here(keep_alive=False) as (stage, _):
        await stage.send(AvatarKeepAliveFrame(), 0.0)
        assert stage.vendor.controls == [ResetIdleTimeout()]


async def test_timeouts_apply_to_the_response_under_way() -> None:
    """Without a word to the vendor."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(1.0), 0.99, stage.change(response_done_timeout=2.0), 3.0)
        assert room.time_of("response_finished") == pytest.approx(room.played_until + 2.0)
        assert stage.vendor.controls == []


@pytest.mark.parametrize(
    "fields",
    [
        {"ready_timeout": -1.0},
        {"ready_timeout": None},
        {"response_hold_timeout": float("nan")},
        {"response_done_timeout": 0},
        {"agent_prompt": " "},
        {"agent_image_url": "ftp://x.test/a"},
        {"agent_image": b"no picture"},
        {"agent_image": "/no/such/picture.png"},
        {"agent_image": Image.new("RGB", (36, 56)), "agent_image_url": "https://x.test/a.png"},
        {"agent_prompt": 5},
        {"frozen_timeout": 0},
        {"model": "flash"},
    ],
)
async def test_settings_that_cannot_be_meant_change_nothing(fields: dict[str, Any]) -> None:
    """One ErrorFrame; neither this session nor the next is spoilt; what was right beside them is not taken either."""
    async with avatar_here() as (stage, room):
        await stage.send(stage.change(agent_idle_prompt="calm", **fields), 0.1)
        assert len(stage.up(ErrorFrame)) == 1
        assert stage.vendor.controls == []
        room.lose("gone")
        await stage.until(lambda: len(stage.vendor.requests) == 2)
        assert stage.vendor.requests[0] == stage.vendor.requests[1]


async def test_settings_for_another_service_pass_by() -> None:
    """They are not ours to take."""
    async with avatar_here() as (stage, _):
        other = Stage().service
        await stage.send(ServiceUpdateSettingsFrame(settings={"voice": "x"}, service=other), 0.0)
        assert stage.up(ErrorFrame) == []
        assert len(stage.down(ServiceUpdateSettingsFrame)) == 1
        await other.cleanup()


# Secrets.
