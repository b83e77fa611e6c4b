"""The picture that is shown without an avatar: its shape, and when it is made anew."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from pipecat_lemonslice.errors import ConfigurationError
from pipecat_lemonslice.media.pictures import SIZES, FallbackImage, fitted


def striped(width: int, height: int) -> Image.Image:
    """Red, with a green middle third."""
    image = Image.new("RGB", (width, height), "red")
    image.paste((0, 128, 0), (width // 3, 0, 2 * width // 3, height))
    return image


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(("ratio", "size"), [*SIZES.items(), (None, SIZES["2x3"])])
async def test_it_has_the_shape_of_the_avatar(ratio: str | None, size: tuple[int, int]) -> None:
    """Of a broad picture, the middle."""
    picture = encoded(striped(3000, 500))
    image = await FallbackImage(lambda: picture, ratio).picture()
    assert image is not None
    assert (image.width, image.height) == size
    assert len(image.rgb) == size[0] * size[1] * 3
    seen = Image.frombytes("RGB", size, image.rgb).getpixel((1, size[1] // 2))
    assert isinstance(seen, tuple)
    assert max(abs(a - b) for a, b in zip(seen, (0, 128, 0), strict=True)) < 8


def test_what_can_be_seen_through_is_black() -> None:
    """A transparent picture has no colours of its own."""
    clear = Image.new("RGBA", (100, 100), (255, 255, 255, 0))
    assert set(fitted(clear, (16, 16))) == {0}


async def test_it_is_made_once_and_anew_when_the_picture_changes() -> None:
    """The same bytes each time."""
    pictures = [encoded(striped(90, 90)), encoded(Image.new("RGB", (90, 90), "blue"))]
    image = FallbackImage(lambda: pictures[0], "1x1")
    first, again = await image.picture(), await image.picture()
    assert first is not None
    assert again is not None
    assert first.rgb is again.rgb
    pictures.pop(0)
    other = await image.picture()
    assert other is not None
    assert other.rgb != first.rgb


async def test_without_a_picture_nothing_is_shown(tmp_path: Path) -> None:
    """None at hand, or a file that has gone since."""
    assert await FallbackImage(lambda: None, None).picture() is None
    assert await FallbackImage(lambda: tmp_path / "gone.png", None).picture() is None
    with pytest.raises(ConfigurationError):
        fitted(tmp_path / "gone.png", (16, 16))
