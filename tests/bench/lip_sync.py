"""How far picture and voice are apart at the user, over the emulator in real time.

The emulator's avatar marks an instant by a white picture and a click. The user is behind Pipecat's own output
transport, whose writes are taken for what is seen and heard. Emulator, bot and user share one process.
"""

import asyncio
from statistics import median
from typing import Any

import numpy as np
from loguru import logger
from numpy.typing import NDArray
from pipecat.frames.frames import OutputImageRawFrame, TTSStartedFrame, TTSStoppedFrame

from pipecat_lemonslice import AvatarStatus
from pipecat_lemonslice.emulator import Emulator, EmulatorOptions
from tests.support.stage import Stage, speech
from tests.support.user import UserOutput
from tests.support.waiting import until

SECONDS = 12.0
MARKS = 1.0
LOUD, WHITE = 25000, 250

SIZE = {"video_out_width": 368, "video_out_height": 560}
SETTINGS: dict[str, dict[str, Any]] = {
    "as Pipecat does by itself (30 a second)": SIZE,
    "25 a second": SIZE | {"video_out_framerate": 25},
    "live, 30 a second": SIZE | {"video_out_is_live": True},
    "live, 25 a second": SIZE | {"video_out_is_live": True, "video_out_framerate": 25},
    "voice in chunks of 100 ms": SIZE | {"audio_out_10ms_chunks": 10},
    "200 ms of voice buffered behind the output": SIZE | {"buffer": 0.2},
    "live, 60 ms to take a picture": SIZE | {"video_out_is_live": True, "picture_seconds": 0.06},
    "letterboxed to 1280x720": {"video_out_width": 1280, "video_out_height": 720},
}


class MarksUser(UserOutput):
    """A user that looks and listens for marks only: when each began to be perceived."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.seen: list[float] = []
        self.heard: list[float] = []

    def hear(self, at: float, samples: NDArray[np.int16], sample_rate: int) -> None:
        if len(loud := np.flatnonzero(np.abs(samples.astype(int)) >= LOUD)):
            note(self.heard, at + int(loud[0]) / sample_rate)

    def see(self, at: float, picture: OutputImageRawFrame) -> None:
        middle = 3 * (picture.size[1] // 2 * picture.size[0] + picture.size[0] // 2)
        if min(picture.image[middle - 150 : middle + 150]) >= WHITE:
            note(self.seen, at)

    @property
    def apart(self) -> list[float]:
        """How much later each picture was seen than its click was heard."""
        pairs = [(seen, min(self.heard, key=lambda heard: abs(seen - heard))) for seen in self.seen]
        return [seen - heard for seen, heard in pairs if abs(seen - heard) < MARKS / 2]


def note(times: list[float], at: float) -> None:
    """Add a mark; what follows within half a period is the same one."""
    if not times or at > times[-1] + MARKS / 2:
        times.append(at)


class Call(Stage):
    """The stage in real time, with an emulator for LemonSlice."""

    def seams(self) -> dict[str, Any]:
        return {}


async def measure(settings: dict[str, Any]) -> MarksUser:
    """Hold a call in which the avatar speaks."""
    user = MarksUser(**settings)
    async with (
        Emulator(EmulatorOptions(latency=0.1, marks=MARKS)) as emulator,
        Call(api_url=emulator.api_url, behind=[user]) as call,
    ):
        await until(lambda: AvatarStatus.HERE in call.statuses, 20.0)
        await call.send(TTSStartedFrame("a"), speech(SECONDS), TTSStoppedFrame("a"))
        await call.end()
    return user


def run() -> None:
    """Measure every setting and print the table."""
    logger.remove()
    print(f"{'picture later than voice, ms':44}{'median':>8}{'least':>8}{'most':>8}{'marks':>8}")
    for name, settings in SETTINGS.items():
        apart = asyncio.run(measure(settings)).apart
        figures = "".join(f"{1000 * value:8.0f}" for value in (median(apart), min(apart), max(apart)))
        print(f"{name:44}{figures}{len(apart):8}", flush=True)
