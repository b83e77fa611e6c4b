"""The avatar's pictures on their way to the user: nobody downstream stops them, and none pile up. In virtual time."""

import asyncio
import gc
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from pipecat.frames.frames import Frame, OutputImageRawFrame
from pipecat.pipeline.parallel_pipeline import ParallelPipeline
from pipecat.pipeline.pipeline import Pipeline
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.base_transport import TransportParams

from pipecat_lemonslice.rooms import Picture
from tests.support.logs import package_logs
from tests.support.stage import Stage
from tests.support.user import UserOutput

WIDTH, HEIGHT = 24, 36
MOST = 35
"""Pictures in the pipeline at one time when nobody takes any: a good second of them."""

LATEST = 45
"""How many pictures an output that shows five a second may be behind: six that wait, the one it shows, the next one."""


def picture(number: int) -> Picture:
    return Picture(number.to_bytes(4, "big") + bytes(WIDTH * HEIGHT * 3 - 4), WIDTH, HEIGHT)


def number_of(image: bytes) -> int:
    return int.from_bytes(image[:4], "big")


def params(live: bool) -> dict[str, Any]:
    """Of an output that does not pace live pictures itself: Pipecat does so by the real clock."""
    size = {"video_out_width": WIDTH, "video_out_height": HEIGHT}
    return {"video_out_enabled": True, "video_out_is_live": live, "video_out_framerate": 1000, **size}


class Output(UserOutput):
    """Pipecat's own output, whose device takes a picture in so many seconds; None for never."""

    def __init__(self, *, seconds: float | None = 0.01, live: bool = True) -> None:
        super().__init__(**params(live))
        self.seconds = seconds
        self.awake = asyncio.Event()
        self.shown: list[int] = []

    async def write_video_frame(self, frame: OutputImageRawFrame) -> bool:
        if self.seconds is None:
            await self.awake.wait()
        await asyncio.sleep(self.seconds or 0.0)
        self.shown.append(number_of(frame.image))
        return True


class Between(FrameProcessor):
    """Somebody else's processor. It does something with each picture, and passes on the result, else the picture."""

    def __init__(self, do: Callable[[OutputImageRawFrame], Any], *, seconds: float = 0.0, passes: bool = True) -> None:
        super().__init__()
        self._do, self._passes = do, passes
        self.seconds = seconds
        self.taken = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, OutputImageRawFrame):
            self.taken += 1
            await asyncio.sleep(self.seconds)
            frame = self._do(frame) or frame
            if not self._passes:
                return
        await self.push_frame(frame, direction)


def keeping(pictures: int | None, *, passes: bool = True) -> Between:
    """A vision buffer: keeps the newest pictures, as they are. A recorder passes none on."""
    kept: deque[OutputImageRawFrame] = deque(maxlen=pictures)
    return Between(kept.append, passes=passes)


def replacing() -> Between:
    """A watermark: each picture goes on as another frame."""
    return Between(lambda frame: OutputImageRawFrame(bytes(frame.image), frame.size, frame.format))


BEFORE = pytest.mark.parametrize("before", [list, lambda: [replacing()], lambda: [keeping(10)]])


async def play(stage: Stage, seconds: float, *, start: int = 0) -> int:
    """Have the avatar send 25 pictures a second; returns the number of the next one."""
    pictures = round(seconds * 25)
    for number in range(start, start + pictures):
        stage.room.see(picture(number))
        await asyncio.sleep(0.04)
    return start + pictures


def living() -> int:
    """Pictures that somebody still has; what only waits to be collected is nobody's."""
    gc.collect()
    return sum(isinstance(one, OutputImageRawFrame) for one in gc.get_objects())


async def test_a_processor_that_keeps_its_last_ten_does_not_stop_the_picture() -> None:
    """Where no output can be seen that takes pictures, this shows after two seconds. Then all pictures come."""
    recorder = keeping(10, passes=False)
    async with Stage(behind=[recorder]) as stage:
        stage.room.join()
        number = await play(stage, 2.0)
        before = recorder.taken
        await play(stage, 10.0, start=number)
        assert recorder.taken - before >= 240


@pytest.mark.parametrize("live", [True, False], ids=["live", "not live"])
@pytest.mark.parametrize("kept", [10, 100])
async def test_pictures_that_somebody_keeps_do_not_stop_those_that_are_shown(kept: int, live: bool) -> None:
    """The output takes them, so more are sent, from the first second on."""
    output = Output(live=live)
    async with Stage(behind=[keeping(kept), output]) as stage:
        stage.room.join()
        await play(stage, 20.0)
        await stage.settle(0.5)
        assert len(set(output.shown)) >= 490


async def test_a_processor_that_keeps_every_picture_gets_fewer_but_never_none() -> None:
    """Ten seconds of them at the full rate, then one a second, so that memory lasts; and this is logged."""
    output = Output()
    with package_logs("WARNING") as lines:
        async with Stage(behind=[keeping(None), output]) as stage:
            stage.room.join()
            number = await play(stage, 20.0)
            assert living() <= 300
            before = len(output.shown)
            await play(stage, 20.0, start=number)
        assert ["keeps more than" in line.text for line in lines] == [True]
        assert 18 <= len(output.shown) - before <= 22
        assert number - output.shown[before - 1] <= 30


@pytest.mark.parametrize(
    "inside",
    [
        lambda service, output: [Pipeline([service]), output],
        lambda service, output: [Pipeline([Pipeline([service])]), Pipeline([keeping(3), output])],
        lambda service, output: [service, ParallelPipeline([keeping(10)], [output])],
    ],
)
async def test_the_output_is_found_in_any_pipeline(inside: Callable[..., list[FrameProcessor]]) -> None:
    """A slow one shows new pictures, wherever it stands behind the service."""
    output = Output(seconds=0.2)
    async with Stage(pipeline=lambda service: [keeping(10), *inside(service, output), keeping(10)]) as stage:
        stage.room.join()
        sent = await play(stage, 20.0)
        assert sent - output.shown[-1] <= LATEST


@BEFORE
async def test_an_output_slower_than_the_avatar_shows_what_is_new(before: Callable[[], list[FrameProcessor]]) -> None:
    """Five of 25 pictures a second are shown, and only a few wait to be, however long it goes on."""
    output = Output(seconds=0.2)
    async with Stage(behind=[*before(), output]) as stage:
        stage.room.join()
        sent = 0
        for _ in range(6):
            sent = await play(stage, 10.0, start=sent)
            assert sent - output.shown[-1] <= LATEST
        assert len(output.shown) >= 5 * 60 * 0.9


@BEFORE
@pytest.mark.parametrize("live", [True, False], ids=["live", "not live"])
async def test_an_output_that_takes_nothing_is_sent_nothing_more(
    before: Callable[[], list[FrameProcessor]], live: bool
) -> None:
    """A device that is stuck costs a good second of pictures, however long, and a line in the log if it is live."""
    output = Output(seconds=None, live=live)
    with package_logs("WARNING") as lines:
        async with Stage(behind=[*before(), output]) as stage:
            stage.room.join()
            await play(stage, 20.0)
            assert 0 < living() <= MOST
            assert output.shown == []
    # An output that is not live replaces the picture that it shows, so it takes each of them.
    assert ["are not being taken" in line.text for line in lines] == [True] * live


@pytest.mark.parametrize("live", [True, False], ids=["live", "not live"])
async def test_a_webrtc_track_that_nobody_reads_does_not_fill(live: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipecat's own track takes any number of pictures. When the browser is gone it gets a good second of them."""
    pytest.importorskip("aiortc")
    from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
    from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport

    from tests.support.webrtc import connected, waiting

    transport = SmallWebRTCTransport(SmallWebRTCConnection(), TransportParams(**params(live)))
    output = transport.output()
    track = connected(output, (WIDTH, HEIGHT), monkeypatch)
    async with Stage(behind=[replacing(), output]) as stage:
        stage.room.join()
        await play(stage, 20.0)
        assert waiting(track) > 0
        assert living() <= MOST


async def test_a_processor_that_is_stuck_is_sent_nothing_more() -> None:
    """What waits in front of it does not grow, though the output behind it has nothing to do."""
    async with Stage(behind=[Between(lambda _: None, seconds=1e6), Output()]) as stage:
        stage.room.join()
        await play(stage, 20.0)
        assert living() <= MOST


async def test_a_processor_that_was_stuck_does_not_stay_behind() -> None:
    """When it is only slow again, what waits in front of it is a second of its work, and no more."""
    between, output = Between(lambda _: None, seconds=10.0), Output()
    async with Stage(behind=[between, output]) as stage:
        stage.room.join()
        number = await play(stage, 10.0)
        between.seconds = 0.1
        number = await play(stage, 20.0, start=number)
        assert number - output.shown[-1] <= 20


async def test_a_browser_that_was_asleep_is_not_behind_for_good() -> None:
    """Two seconds after it takes pictures again it shows those of now, and all of them."""
    output = Output(seconds=None)
    async with Stage(behind=[output]) as stage:
        stage.room.join()
        number = await play(stage, 30.0)
        output.seconds = 0.04
        output.awake.set()
        number = await play(stage, 2.0, start=number)
        assert number - output.shown[-1] <= 10
        before = len(output.shown)
        await play(stage, 10.0, start=number)
        assert len(output.shown) - before >= 220


async def test_the_last_picture_is_shown_though_no_other_follows_it() -> None:
    """It waits for the output, and not for the next picture."""
    output = Output(seconds=0.5)
    async with Stage(behind=[output]) as stage:
        stage.room.join()
        sent = await play(stage, 2.0)
        await stage.settle(10.0)
        assert output.shown[-1] == sent - 1
