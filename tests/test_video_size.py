"""What is seen: the avatar's picture in the size of the output's video, and a still without it. In virtual time."""

import asyncio
import threading
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pipecat.frames.frames import OutputImageRawFrame

from pipecat_lemonslice.rooms import Picture
from tests.support.logs import package_logs
from tests.support.memory import MemoryVendor
from tests.support.stage import Stage, speech, tone
from tests.support.user import UserOutput

RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 128, 0), (0, 0, 255), (0, 0, 0)
Spot = tuple[float, float]
"""A place in a picture, at parts of its width and its height."""


class Screen(UserOutput):
    """A screen of a size, which keeps the last picture."""

    def __init__(self, width: int, height: int, *, enabled: bool = True) -> None:
        super().__init__(
            video_out_enabled=enabled, video_out_width=width, video_out_height=height, video_out_framerate=1000
        )
        self.shown: OutputImageRawFrame | None = None

    def see(self, at: float, picture: OutputImageRawFrame) -> None:
        self.shown = picture

    def pixels(self, *spots: Spot) -> list[Any]:
        assert self.shown is not None
        width, height = self.shown.size
        image = Image.frombytes("RGB", self.shown.size, self.shown.image)
        return [image.getpixel((int(x * width), int(y * height))) for x, y in spots]


def flag(width: int = 368, height: int = 560) -> Image.Image:
    """Red above, green below."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (0, height // 2, width, height))
    return image


def received(image: Image.Image) -> Picture:
    return Picture(image.tobytes(), *image.size)


def encoded(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


# The avatar's own picture.


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
    size: tuple[int, int], bars: list[Spot], inside: tuple[float, float, float, float]
) -> None:
    """It is seen whole in the middle, the rest is black; one warning says what to write."""
    with package_logs("WARNING") as lines:
        async with Stage(behind=[screen := Screen(*size)]) as stage:
            stage.room.join()
            for _ in range(50):
                stage.room.see(received(flag()))
                await stage.settle(0.04)
            assert screen.shown is not None
            assert screen.shown.size == size
            left, right, top, bottom = inside
            assert screen.pixels((left, top), (right, top)) == [RED] * 2
            assert screen.pixels((left, bottom), (right, bottom)) == [GREEN] * 2
            assert screen.pixels(*bars) == [BLACK] * len(bars)
    [warning] = lines
    assert "video_out_width=368,\n" in warning.text
    assert "video_out_height=560," in warning.text


@pytest.mark.parametrize("enabled", [True, False], ids=["same size", "no video"])
async def test_a_picture_that_fits_goes_as_it_is(enabled: bool) -> None:
    """Without a copy and without a word; also where the transport has no video."""
    screen = Screen(*((368, 560) if enabled else (1280, 720)), enabled=enabled)
    picture = received(flag())
    with package_logs("WARNING") as lines:
        async with Stage(behind=[screen]) as stage:
            await stage.send(stage.room.join, lambda: stage.room.see(picture), 0.1)
            if enabled:
                assert screen.shown is not None
                assert screen.shown.image is picture.rgb
    assert lines == []


async def test_a_session_with_another_picture_size_is_shown_in_its_own_shape() -> None:
    """Sizes may change in mid-call; the warning comes once all the same."""
    with package_logs("WARNING") as lines:
        async with Stage(behind=[screen := Screen(1280, 720)]) as stage:
            stage.room.join()
            for size in ((368, 560), (512, 512)):
                stage.room.see(received(flag(*size)))
                await stage.settle(0.1)
            assert screen.pixels((0.2, 0.5), (0.25, 0.1), (0.7, 0.9)) == [BLACK, RED, GREEN]
    assert len(lines) == 1


async def test_pictures_are_scaled_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread, and once each: Pipecat finds nothing left to do, however often it shows one."""
    scaled_by: list[threading.Thread] = []
    resize = Image.Image.resize

    def spied(self: Image.Image, *args: object, **kwargs: object) -> Image.Image:
        scaled_by.append(threading.current_thread())
        return resize(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "resize", spied)
    async with Stage(behind=[Screen(1280, 720)]) as stage:
        stage.room.join()
        for number in range(10):
            stage.room.see(received(flag()))
            await asyncio.sleep(0.04)
            assert len(scaled_by) <= number + 1
        assert len(scaled_by) == 10
        assert threading.main_thread() not in scaled_by


# The agent's picture, while there is no avatar.


def picture(colour: str, size: tuple[int, int] = (368, 560)) -> bytes:
    """A picture whose middle third is of a colour, and the rest red."""
    image = Image.new("RGB", size, "red")
    image.paste(colour, (size[0] // 3, 0, 2 * size[0] // 3, size[1]))
    return encoded(image)


def stills(stage: Stage) -> list[tuple[int, ...]]:
    """The pixel in the middle of the first line of each still; the avatar's own pictures are smaller."""
    shown = [frame for frame in stage.sink.hoard or [] if frame.size != (2, 3)]
    return [tuple(frame.image[3 * (frame.size[0] // 2) :][:3]) for frame in shown]


def staged(vendor: MemoryVendor | None = None, **kwargs: Any) -> Stage:
    stage = Stage(vendor, **{"agent_id": None, "agent_image": picture("red"), **kwargs})
    stage.sink.hoard = []
    return stage


async def test_the_agents_picture_is_shown_once_per_fallback() -> None:
    """With the plain voice, and not before; the avatar's own pictures take over when it is back."""
    async with staged() as stage:
        await stage.arrive()
        await stage.send(speech(1.0), 0.5)
        assert stills(stage) == []
        stage.room.lose("gone")
        await stage.settle(0.2)
        assert stills(stage) == [RED]
        await stage.send(2.0, speech(1.0, "b"))
        await stage.until(lambda: len(stage.rooms) == 2)
        await stage.settle(2.0)
        assert len(stills(stage)) == 1
        await stage.arrive()
        assert stage.sink.hoard is not None
        assert stage.sink.hoard[-1].size == (2, 3)
        await stage.send(speech(1.0, "c"), 0.5, stage.room.leave, 0.1)
        assert len(stills(stage)) == 2


async def test_a_changed_picture_is_the_one_that_is_shown() -> None:
    """The still is the picture that the next session is asked for; an address is not fetched."""
    changes: list[tuple[list[Any], dict[str, Any]]] = [
        ([BLUE], {"agent_image": picture("blue")}),
        ([], {"agent_image_url": "https://x.test/a.png"}),
    ]
    async with staged() as stage:
        for colours, change in changes:
            await stage.arrive()
            await stage.send(stage.change(**change), 0.1)
            stage.sink.hoard = []
            await stage.send(speech(0.5), 0.3, lambda: stage.room.lose("gone"), 3.0)
            assert stills(stage) == colours


@pytest.mark.parametrize(
    "kwargs", [{"fallback": "silent"}, {"agent_image": None, "agent_id": "agent"}], ids=["silent", "no picture"]
)
async def test_nothing_is_shown_without_a_picture_or_a_voice(kwargs: dict[str, Any]) -> None:
    """There is nothing to go with."""
    async with staged(**kwargs) as stage:
        await stage.send(speech(1.0), 10.0)
        assert stills(stage) == []


@pytest.mark.parametrize(
    ("ratio", "size"), [(None, (368, 560)), ("2x3", (368, 560)), ("9x16", (360, 640)), ("1x1", (512, 512))]
)
async def test_the_still_has_the_shape_of_the_avatar(ratio: str | None, size: tuple[int, int]) -> None:
    """Of a broad picture the middle; what can be seen through is black. Refused for good, it comes with the voice."""
    clear = encoded(Image.new("RGBA", (100, 100), (255, 255, 255, 0)))
    for image, colour in ((picture("blue", (3000, 500)), BLUE), (clear, BLACK)):
        async with staged(MemoryVendor().refuse(401), agent_image=image, aspect_ratio=ratio) as stage:
            await stage.send(speech(1.0), 0.5)
            [shown] = stage.sink.hoard or []
            assert shown.size == size
            pixels = np.frombuffer(shown.image, np.uint8).reshape(-1, 3).astype(int)
            assert np.abs(pixels - colour).max() < 8


async def test_a_still_is_letterboxed_too() -> None:
    """In an output of another size."""
    async with staged(agent_image=encoded(flag()), behind=[screen := Screen(1280, 720)]) as stage:
        await stage.send(speech(1.0), 9.0)
        assert screen.pixels((0.1, 0.5), (0.5, 0.1), (0.5, 0.9)) == [BLACK, RED, GREEN]


async def test_a_picture_that_has_gone_is_not_shown(tmp_path: Path) -> None:
    """The file of it was there at construction; the voice is heard all the same."""
    file = tmp_path / "face.png"
    file.write_bytes(picture("blue"))
    stage = staged(MemoryVendor().refuse(401), agent_image=file)
    file.unlink()
    async with stage:
        await stage.send(speech(1.0), 0.5)
        assert stills(stage) == []
        assert stage.plain == tone(1.0)


async def test_a_picture_that_turns_out_to_be_broken_is_told_once() -> None:
    """Its header is whole, so it is found when the session is asked for; the plain voice is heard."""
    cut_off = picture("blue", (1000, 1000))[:-500]
    async with staged(MemoryVendor(reads_pictures=True), agent_image=cut_off) as stage:
        await stage.send(speech(1.0), speech(1.0, "b"), 60.0)
        assert stage.plain == tone(1.0) * 2
        assert ["damaged" in frame.error for frame in stage.errors] == [True]
        assert stage.vendor.created == []
