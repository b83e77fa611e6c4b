"""The avatar's picture in the size of the output's video: whole, in its own shape, one warning. In virtual time."""

import asyncio
import threading
from collections.abc import Iterator
from io import BytesIO

import pytest
from loguru import logger
from PIL import Image
from pipecat.frames.frames import OutputImageRawFrame, StartFrame
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams

from pipecat_lemonslice.rooms import Picture
from tests.support.stage import Stage, speech

RED, GREEN, BLACK = (255, 0, 0), (0, 128, 0), (0, 0, 0)


class Screen(BaseOutputTransport):
    """Pipecat's own output in front of a screen, which keeps the last picture."""

    def __init__(self, width: int, height: int, *, enabled: bool = True) -> None:
        super().__init__(
            TransportParams(
                video_out_enabled=enabled, video_out_width=width, video_out_height=height, video_out_framerate=1000
            )
        )
        self.shown: OutputImageRawFrame | None = None

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_video_frame(self, frame: OutputImageRawFrame) -> bool:
        self.shown = frame
        return True

    def pixel(self, x: float, y: float) -> tuple[int, ...]:
        """A pixel, at parts of the width and the height."""
        assert self.shown is not None
        width, height = self.shown.size
        pixel = Image.frombytes("RGB", self.shown.size, self.shown.image).getpixel((int(x * width), int(y * height)))
        assert isinstance(pixel, tuple)
        return pixel


def flag(width: int = 368, height: int = 560) -> Image.Image:
    """Red above, green below."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (0, height // 2, width, height))
    return image


def received(image: Image.Image) -> Picture:
    return Picture(image.tobytes(), *image.size)


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    said: list[str] = []
    sink = logger.add(said.append, level="WARNING", format="{message}")
    yield said
    logger.remove(sink)


@pytest.mark.parametrize(
    ("size", "bars", "inside"),
    [
        ((1280, 720), [(0.0, 0.5), (0.3, 0.5), (0.7, 0.5), (0.999, 0.5)], (0.335, 0.665, 0.002, 0.998)),
        ((368, 1000), [(0.5, 0.0), (0.5, 0.21), (0.5, 0.79), (0.5, 0.999)], (0.002, 0.998, 0.23, 0.77)),
        ((184, 280), [], (0.002, 0.998, 0.002, 0.998)),
    ],
    ids=["wider", "taller", "smaller"],
)
async def test_the_picture_keeps_its_shape(
    size: tuple[int, int],
    bars: list[tuple[float, float]],
    inside: tuple[float, float, float, float],
    warnings: list[str],
) -> None:
    """It is seen whole in the middle, the rest is black; one warning says what to write."""
    screen = Screen(*size)
    async with Stage(output=screen) as stage:
        stage.room.join()
        for _ in range(50):
            stage.room.see(received(flag()))
            await stage.settle(0.04)
        assert screen.shown is not None
        assert screen.shown.size == size
        left, right, top, bottom = inside
        assert [screen.pixel(x, top) for x in (left, right)] == [RED] * 2
        assert [screen.pixel(x, bottom) for x in (left, right)] == [GREEN] * 2
        assert [screen.pixel(*bar) for bar in bars] == [BLACK] * len(bars)
        [warning] = [line for line in warnings if "video_out" in line]
        assert "video_out_width=368,\n" in warning
        assert "video_out_height=560," in warning


@pytest.mark.parametrize("enabled", [True, False], ids=["same size", "no video"])
async def test_a_picture_that_fits_goes_as_it_is(enabled: bool, warnings: list[str]) -> None:
    """Without a copy and without a word; also where the transport has no video."""
    screen = Screen(*((368, 560) if enabled else (1280, 720)), enabled=enabled)
    picture = received(flag())
    async with Stage(output=screen) as stage:
        stage.sink.hoard = []
        stage.room.join()
        stage.room.see(picture)
        await stage.settle(0.1)
        if enabled:
            assert screen.shown is not None
            assert screen.shown.image is picture.rgb
        assert warnings == []


async def test_a_still_keeps_its_shape_too() -> None:
    """The agent's picture, while there is no avatar."""
    file = BytesIO()
    flag().save(file, "PNG")
    screen = Screen(1280, 720)
    async with Stage(agent_id=None, agent_image=file.getvalue(), output=screen) as stage:
        await stage.send(speech(1.0), 9.0)
        assert screen.shown is not None
        assert (screen.pixel(0.1, 0.5), screen.pixel(0.5, 0.1), screen.pixel(0.5, 0.9)) == (BLACK, RED, GREEN)


async def test_pictures_are_scaled_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread, and once each: Pipecat finds nothing left to do, however often it shows one."""
    scaled_by: list[threading.Thread] = []
    resize = Image.Image.resize

    def spied(self: Image.Image, *args: object, **kwargs: object) -> Image.Image:
        scaled_by.append(threading.current_thread())
        return resize(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "resize", spied)
    async with Stage(output=Screen(1280, 720)) as stage:
        stage.room.join()
        for number in range(10):
            stage.room.see(received(flag()))
            await asyncio.sleep(0.04)
            assert len(scaled_by) <= number + 1
        assert len(scaled_by) == 10
        assert threading.main_thread() not in scaled_by


async def test_a_session_with_another_picture_size_is_shown_in_its_own_shape(warnings: list[str]) -> None:
    """Sizes may change in mid-call; the warning comes once all the same."""
    screen = Screen(1280, 720)
    async with Stage(output=screen) as stage:
        stage.room.join()
        for size in ((368, 560), (512, 512)):
            stage.room.see(received(flag(*size)))
            await stage.settle(0.1)
        assert (screen.pixel(0.2, 0.5), screen.pixel(0.25, 0.1), screen.pixel(0.7, 0.9)) == (BLACK, RED, GREEN)
        assert len(warnings) == 1
