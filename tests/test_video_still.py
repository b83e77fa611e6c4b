"""What is seen while there is no avatar and the plain voice is heard. In virtual time."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pipecat.frames.frames import ServiceUpdateSettingsFrame

from pipecat_lemonslice import LemonSliceVideoService
from tests.support.memory import MemoryVendor
from tests.support.stage import Stage, speech, tone

Settings = LemonSliceVideoService.Settings


def picture(colour: str, size: tuple[int, int] = (368, 560)) -> bytes:
    """A picture whose middle third is of a colour, and the rest red."""
    image = Image.new("RGB", size, "red")
    image.paste(colour, (size[0] // 3, 0, 2 * size[0] // 3, size[1]))
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def stills(stage: Stage) -> list[bytes]:
    """The pixel in the middle of the first line of each still; the avatar's own pictures are smaller."""
    shown = [frame for frame in stage.sink.hoard or [] if frame.size != (2, 3)]
    return [frame.image[3 * (frame.size[0] // 2) :][:3] for frame in shown]


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
        assert stills(stage) == [b"\xff\x00\x00"]
        await stage.send(2.0, speech(1.0, "b"))
        await stage.until(lambda: len(stage.rooms) == 2)
        await stage.settle(2.0)
        assert len(stills(stage)) == 1
        await stage.arrive()
        assert stage.sink.hoard is not None
        assert stage.sink.hoard[-1].size == (2, 3)
        await stage.send(speech(1.0, "c"), 0.5)
        stage.room.leave()
        await stage.settle(0.1)
        assert len(stills(stage)) == 2


async def test_the_agents_picture_is_shown_when_no_avatar_comes() -> None:
    """Refused for good, it is seen with the first word."""
    vendor = MemoryVendor()
    vendor.refuse(401)
    async with staged(vendor) as stage:
        await stage.send(speech(1.0), 0.5)
        assert len(stills(stage)) == 1


async def test_a_changed_picture_is_the_one_that_is_shown() -> None:
    """The still is the picture that the next session is asked for; an address is not fetched."""
    async with staged() as stage:
        for colours, change in (
            ([b"\x00\x00\xff"], Settings(agent_image=picture("blue"))),
            ([], Settings(agent_image_url="https://x.test/a.png")),
        ):
            await stage.arrive()
            await stage.send(ServiceUpdateSettingsFrame(delta=change, service=stage.service), 0.1)
            stage.sink.hoard = []
            await stage.send(speech(0.5), 0.3)
            stage.room.lose("gone")
            await stage.settle(3.0)
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
    """Of a broad picture the middle; what can be seen through is black."""
    clear = BytesIO()
    Image.new("RGBA", (100, 100), (255, 255, 255, 0)).save(clear, "PNG")
    for image, colour in ((picture("blue", (3000, 500)), (0, 0, 255)), (clear.getvalue(), (0, 0, 0))):
        vendor = MemoryVendor()
        vendor.refuse(401)
        async with staged(vendor, agent_image=image, aspect_ratio=ratio) as stage:
            await stage.send(speech(1.0), 0.5)
            [shown] = stage.sink.hoard or []
            assert shown.size == size
            pixels = np.frombuffer(shown.image, np.uint8).reshape(-1, 3).astype(int)
            assert np.abs(pixels - colour).max() < 8


async def test_a_picture_that_has_gone_is_not_shown(tmp_path: Path) -> None:
    """The file of it was there at construction; the voice is heard all the same."""
    file = tmp_path / "face.png"
    file.write_bytes(picture("blue"))
    vendor = MemoryVendor()
    vendor.refuse(401)
    stage = staged(vendor, agent_image=file)
    file.unlink()
    async with stage:
        await stage.send(speech(1.0), 0.5)
        assert stills(stage) == []
        assert stage.plain == tone(1.0)
