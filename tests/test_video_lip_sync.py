"""How far picture and voice of the same instant are apart at the user, with Pipecat's own output; in virtual time.

The avatar shows a numbered picture every 40 ms, and its voice says the same number by its loudness. What is written to
the transport is what the user gets: a picture when it is written, voice when all voice before it has been played.
"""

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pipecat.frames.frames import InterruptionFrame, OutputImageRawFrame

from pipecat_lemonslice.rooms import Picture
from tests.support.stage import RATE, Stage, avatar_here, speech
from tests.support.user import UserOutput, pipecat_in_virtual_time

PICTURE = 0.04
PACKET = 0.02
WIDTH, HEIGHT = 8, 8


class User(UserOutput):
    """A user that notes when each number is seen first, and heard first."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(video_out_width=WIDTH, video_out_height=HEIGHT, **settings)
        self.heard: dict[int, float] = {}
        self.seen: dict[int, float] = {}

    def hear(self, at: float, samples: NDArray[np.int16], sample_rate: int) -> None:
        loudness = np.abs(samples)
        for code in np.unique(loudness[loudness >= 1000]).tolist():
            self.heard.setdefault((code - 1000) // 200, at + float(np.argmax(loudness == code)) / sample_rate)

    def see(self, at: float, picture: OutputImageRawFrame) -> None:
        self.seen.setdefault(picture.image[0], at)

    def apart(self, first: int, last: int) -> list[float]:
        """Return how much later each picture was seen than its voice was heard."""
        both = [number for number in range(first, last) if number in self.seen and number in self.heard]
        return [self.seen[number] - self.heard[number] for number in both]


def packet(number: int) -> bytes:
    """20 ms of voice that says a number."""
    wave = np.ones(round(PACKET * RATE), "<i2") * (1000 + 200 * number)
    wave[::2] *= -1
    return wave.tobytes()


async def play(stage: Stage, first: int, last: int, stall: float = 0.0) -> dict[int, float]:
    """Let the avatar say numbers and show them; what comes is held up for some seconds at first, and comes at once.

    Returns:
        When each picture came.
    """
    came: dict[int, float] = {}
    begin = stage.now
    await asyncio.sleep(stall)
    for number in range(first, last):
        for half in range(2):
            due = begin + (number - first) * PICTURE + half * PACKET
            if stage.now < due:
                await asyncio.sleep(due - stage.now)
            if half == 0:
                came[number] = stage.now
                stage.room.see(Picture(bytes([number]) * (WIDTH * HEIGHT * 3), WIDTH, HEIGHT))
            stage.room.hear(packet(number))
    return came


@pytest.fixture(autouse=True)
def pipecats_clock() -> Iterator[None]:
    with pipecat_in_virtual_time():
        yield


SETTINGS: dict[str, dict[str, Any]] = {
    "chunks of 40 ms": {},
    "chunks of 10 ms": {"audio_out_10ms_chunks": 1},
    "chunks of 100 ms": {"audio_out_10ms_chunks": 10},
    "a buffer of 200 ms": {"buffer": 0.2},
    "25 a second": {"video_out_framerate": 25},
    "slow": {"picture_seconds": 0.06},
    "voice in gaps": {"late": 0.002},
    "live": {"video_out_is_live": True},
    "live, 25 a second": {"video_out_is_live": True, "video_out_framerate": 25},
    "live, a buffer of 200 ms": {"video_out_is_live": True, "buffer": 0.2},
    "live, chunks of 100 ms": {"video_out_is_live": True, "audio_out_10ms_chunks": 10},
    "live, voice in gaps": {"video_out_is_live": True, "late": 0.002},
    "live, slow": {"video_out_is_live": True, "picture_seconds": 0.06},
}


@pytest.mark.parametrize("setting", SETTINGS)
async def test_picture_and_voice_of_an_instant_leave_together(setting: str) -> None:
    """Within 40 ms in the median, also after a pause, and when voice waits that has come at once after a stall."""
    user = User(**SETTINGS[setting])
    async with avatar_here(behind=[user], room={"echo": False}) as (stage, _):
        await stage.send(speech(6.0))
        await play(stage, 0, 50)
        for _ in range(67):
            await stage.settle(PACKET)
            stage.room.hear(bytes(len(packet(0))))
        await play(stage, 50, 100, stall=0.2)
        await stage.settle(1.0)
        for apart in (user.apart(5, 50), user.apart(60, 100)):
            assert len(apart) >= 15
            assert abs(median(apart)) <= 0.04


@pytest.mark.parametrize("live", [False, True], ids=["", "live"])
async def test_an_interruption_does_not_stop_the_picture(live: bool) -> None:
    """Pictures that wait for the voice that it drops make way for those that come after it."""
    user = User(video_out_is_live=live)
    async with avatar_here(behind=[user], room={"echo": False}) as (stage, _):
        await stage.send(speech(6.0))
        await play(stage, 0, 25, stall=0.4)
        interrupted = stage.now
        await stage.send(InterruptionFrame())
        await play(stage, 25, 50)
        await stage.settle(1.0)
        assert list(user.seen) == sorted(user.seen)
        times = list(user.seen.values())
        assert max(later - earlier for earlier, later in pairwise(times[10:])) <= 0.1
        assert min(at for number, at in user.seen.items() if number >= 25) - interrupted <= 0.1


async def test_pictures_wait_for_late_voice_in_bounded_time() -> None:
    """Two seconds of speech come at once: the user hears them late, and pictures are then 0.6 s late at the most."""
    user = User()
    async with avatar_here(behind=[user], room={"echo": False}) as (stage, _):
        await stage.send(speech(6.0))
        came = await play(stage, 0, 75, stall=2.0)
        await stage.settle(1.0)
        assert list(user.seen) == sorted(user.seen)
        late = [user.seen[number] - came[number] for number in came if number in user.seen]
        assert len(late) >= 20
        assert max(late) <= 0.65
