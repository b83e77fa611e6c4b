"""Images: which are refused, which stay as they are, and that the rest becomes a small PNG or JPEG."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipecat_lemonslice.api import PreparedPicture, check_picture, prepare_picture
from pipecat_lemonslice.api.images import MAX_BYTES, MAX_FILE_BYTES, MAX_SIDE
from pipecat_lemonslice.errors import ConfigurationError


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def opened(picture: PreparedPicture) -> Image.Image:
    return Image.open(io.BytesIO(picture.data))


def noise(width: int, height: int, channels: int = 3) -> Image.Image:
    data = np.random.default_rng(1).integers(0, 255, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(data)


@pytest.mark.parametrize(
    ("kind", "content_type", "extension"), [("PNG", "image/png", "png"), ("JPEG", "image/jpeg", "jpg")]
)
def test_small_pictures_stay_as_they_are(kind: str, content_type: str, extension: str, tmp_path: Path) -> None:
    """A sound PNG or JPEG is sent byte for byte, from memory and from a file."""
    data = encoded(Image.new("RGB", (368, 560), "orange"), kind)
    path = tmp_path / "face"
    path.write_bytes(data)
    for source in (data, path, str(path)):
        assert prepare_picture(source) == PreparedPicture(data, content_type, extension)


@pytest.mark.parametrize("kind", ["WEBP", "GIF", "BMP", "TIFF"])
def test_other_formats_become_jpeg(kind: str) -> None:
    """What the service does not take is turned into what it does."""
    picture = prepare_picture(encoded(Image.new("RGB", (64, 96), "orange"), kind))
    assert (picture.content_type, picture.extension) == ("image/jpeg", "jpg")
    assert opened(picture).size == (64, 96)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "I;16", "F"])
def test_every_pillow_mode_is_taken(mode: str) -> None:
    """A PIL image of any mode becomes a PNG or JPEG that loads."""
    image = opened(prepare_picture(Image.new(mode, (40, 60))))
    image.load()
    assert image.size == (40, 60)


def test_a_pil_image_is_left_as_it_was() -> None:
    """The caller's image is neither turned, scaled nor converted."""
    image = noise(1500, 1200)
    before = image.tobytes()
    prepare_picture(image)
    assert (image.size, image.mode, image.tobytes()) == ((1500, 1200), "RGB", before)


def test_transparency_is_kept_and_only_where_there_is_some() -> None:
    """Something to see through makes a PNG, an alpha channel that is full everywhere a JPEG."""
    clear = Image.new("RGBA", (1200, 1200), (255, 0, 0, 255))
    assert prepare_picture(clear).extension == "jpg"
    ImageDraw.Draw(clear).rectangle((0, 0, 600, 600), fill=(0, 0, 0, 0))
    picture = prepare_picture(clear)
    assert picture.extension == "png"
    assert opened(picture).getpixel((1, 1)) == (0, 0, 0, 0)


def test_pictures_are_turned_upright() -> None:
    """A phone's picture, stored lying, is sent standing, and without its position and other EXIF."""
    image = Image.new("RGB", (60, 40), "red")
    ImageDraw.Draw(image).rectangle((0, 0, 20, 40), fill="blue")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = opened(prepare_picture(encoded(image, "JPEG", exif=exif, quality=95)))
    assert turned.size == (40, 60)
    red, _, blue = turned.convert("RGB").getpixel((20, 5))  # type: ignore[misc]
    assert blue > red
    assert not turned.getexif()


@pytest.mark.parametrize(
    ("make", "max_bytes", "side"),
    [
        (lambda: encoded(noise(2700, 2500), "BMP"), MAX_BYTES, None),  # 20 MB
        (lambda: noise(1200, 800, 4), 200_000, None),
        (lambda: Image.new("RGB", (1, 20000)), MAX_BYTES, MAX_SIDE),
        (lambda: Image.new("RGB", (20000, 1)), MAX_BYTES, MAX_SIDE),
    ],
)
def test_large_pictures_become_small(make: Any, max_bytes: int, side: int | None) -> None:
    """So that the service never answers 413: noise, also with transparency, and lines, which keep their one pixel."""
    picture = prepare_picture(make(), max_bytes=max_bytes)
    assert len(picture.data) <= max_bytes
    assert max(opened(picture).size) <= MAX_SIDE if side is None else max(opened(picture).size) == side


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (b"", "is empty"),
        (b"<html>no picture</html>", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "not an image"),  # Pillow starts gs
        ("no/such/file.png", "is not a file, 'file.png'"),
        (Path("no/such/file.png"), "is not a file"),
        (".", "is not a file"),
        ("a\0b", "file"),
        ("iVBORw0KGgo" * 1000, "cannot be read"),
        ("https://example.com/face.png?sig=S3CR3T", "agent_image_url"),
        (5, "is of type int"),
        (None, "is of type NoneType"),
        (encoded(noise(100, 100), "PNG")[:9000], "is damaged"),
        (encoded(noise(100, 100), "JPEG")[:-500], "is damaged"),
    ],
)
def test_what_is_no_picture_is_refused(image: object, words: str) -> None:
    """The error names the field, says what is wrong, and does not show the input."""
    with pytest.raises(ConfigurationError, match=r"^agent_image ") as caught:
        prepare_picture(image)  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert "S3CR3T" not in repr(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_bomb_does_not_go_off() -> None:
    """A tiny file of a billion pixels is refused before it is unpacked, and so is a large PIL image."""
    header = encoded(Image.new("1", (8, 8)), "PNG")
    bomb = header[:16] + (40_000).to_bytes(4, "big") * 2 + header[24:]
    with pytest.raises(ConfigurationError):
        prepare_picture(bomb)
    with pytest.raises(ConfigurationError, match="80,000,000 pixels"):
        prepare_picture(Image.new("1", (9000, 9000)))


def test_a_file_that_goes_away_is_an_error_too(tmp_path: Path) -> None:
    """A file that has vanished since it was checked is reported like one that never was."""
    path = tmp_path / "gone.png"
    path.write_bytes(encoded(noise(9, 9), "PNG"))
    check_picture(path)
    os.remove(path)
    with pytest.raises(ConfigurationError, match="not a file"):
        prepare_picture(path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """A file beyond reason is refused by its size."""
    with (tmp_path / "film.png").open("wb") as film:
        film.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ConfigurationError, match="more than 100,000,000 bytes"):
        check_picture(tmp_path / "film.png")
