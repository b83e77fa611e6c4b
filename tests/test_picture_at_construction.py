"""The avatar's picture: a mistake is found when the service is made, the work on it does not hold the loop up."""

import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from pipecat.frames.frames import ErrorFrame

from pipecat_lemonslice import LemonSliceVideoService
from pipecat_lemonslice.errors import ConfigurationError
from tests.support.memory import MemoryVendor
from tests.support.stage import Stage, speech

BIG = (6000, 4000)


def encoded(kind: str, size: tuple[int, int] = (368, 560)) -> bytes:
    buffer = BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(buffer, kind, compress_level=1)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def big() -> dict[str, bytes | Image.Image]:
    """A camera's picture of 24 million pixels, in every shape."""
    return {"PNG": encoded("PNG", BIG), "JPEG": encoded("JPEG", BIG), "PIL": Image.new("RGB", BIG)}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "PIL"])
async def test_a_cameras_picture_does_not_hold_the_loop_up(kind: str, big: dict[str, bytes | Image.Image]) -> None:
    """A bot is often made where others talk already: only what the header says is looked at."""
    LemonSliceVideoService(api_key="key", agent_id="agent")
    began = time.process_time()
    LemonSliceVideoService(api_key="key", agent_image=big[kind])
    LemonSliceVideoService(api_key="key", settings=LemonSliceVideoService.Settings(agent_image=big[kind]))
    assert time.process_time() - began < 0.02


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: b"no picture", "not an image"),
        (lambda folder: b"", "empty"),
        (lambda folder: encoded("PNG")[:20], "not an image|damaged"),
        (lambda folder: encoded("PNG", (9000, 9000)), "80,000,000 pixels"),
        (lambda folder: Image.new("1", (9000, 9000)), "80,000,000 pixels"),
        (lambda folder: Image.new("RGB", (0, 5)), "no pixels"),
        (lambda folder: folder / "none.png", "not a file"),
        (lambda folder: "https://example.test/a.png", "agent_image_url"),
        (lambda folder: 5, "type int"),
    ],
)
async def test_what_is_no_picture_is_refused_at_construction(
    make: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    """The error names the field, here and in settings."""
    picture = make(tmp_path)
    with pytest.raises(ConfigurationError, match=f"agent_image.*({words})"):
        LemonSliceVideoService(api_key="key", agent_image=picture)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match=f"agent_image.*({words})"):
        LemonSliceVideoService(
            api_key="key",
            settings=LemonSliceVideoService.Settings(agent_image=picture),  # pyright: ignore[reportArgumentType]
        )


async def test_a_picture_that_turns_out_to_be_broken_is_told_once() -> None:
    """Its header is whole, so it is found when the session is asked for; the plain voice is heard."""
    cut_off = encoded("JPEG", (1000, 1000))[:-2000]
    vendor = MemoryVendor(reads_pictures=True)
    async with Stage(vendor, agent_id=None, agent_image=cut_off) as stage:
        await stage.send(speech(1.0), speech(1.0, "b"), 60.0)
        assert len(stage.plain) == 2 * len(speech(1.0).audio)
        assert ["damaged" in frame.error for frame in stage.up(ErrorFrame)] == [True]
        assert vendor.created == []
