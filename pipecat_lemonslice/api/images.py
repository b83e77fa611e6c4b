"""Images: check what was given, and make a PNG or JPEG of it that the API never refuses for its size.

Knows nothing of requests. :func:`prepare_picture` keeps a processor busy: call it in a thread.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

from PIL import ExifTags, Image, ImageOps

from pipecat_lemonslice.errors import ConfigurationError

PictureSource: TypeAlias = bytes | Image.Image | os.PathLike[str] | str
"""The bytes of an image file, a Pillow image, or the path of a file."""

MAX_SIDE = 1120
"""Pixels of the longer side: twice the height at which the avatar is drawn."""

MAX_BYTES = 1_000_000
"""Size that no gateway refuses."""

MAX_PIXELS = 80_000_000
MAX_FILE_BYTES = 100_000_000
_MIN_SIDE = 16
# Only formats that Pillow reads by itself; for others it starts foreign programs.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_KINDS = {"PNG": ("image/png", "png"), "JPEG": ("image/jpeg", "jpg")}
_ACCEPTED = "Give a PNG, JPEG, WebP, GIF, BMP or TIFF as bytes, as a path or as a PIL image"


@dataclass(frozen=True)
class PreparedPicture:
    """An image file ready to be sent.

    Attributes:
        data: Bytes of a PNG or JPEG file.
        content_type: "image/png" or "image/jpeg".
        extension: "png" or "jpg", without a dot.
    """

    data: bytes = field(repr=False)
    content_type: str
    extension: str


def check_picture(image: PictureSource, *, name: str = "agent_image") -> None:
    """Check that ``image`` is one. Reads its header only, so damage further on is found when it is sent.

    Args:
        image: Bytes of an image file, a Pillow image, or a path.
        name: The field that errors speak of.

    Raises:
        ConfigurationError: Says what is wrong with it, without quoting it.
    """
    with _opened(image, name):
        pass


def prepare_picture(image: PictureSource, *, max_bytes: int = MAX_BYTES, name: str = "agent_image") -> PreparedPicture:
    """Make a PNG (if parts are transparent) or a JPEG of ``image``. Small upright PNG and JPEG files stay as they are.

    Args:
        image: Bytes of an image file, a Pillow image (left unchanged), or a path.
        max_bytes: The most that the result may have.
        name: The field that errors speak of.

    Returns:
        The image to send.

    Raises:
        ConfigurationError: It is not an image, is damaged, is missing, or has more than 80 million pixels.
    """
    with _opened(image, name) as opened:
        if not isinstance(image, Image.Image):
            data = Path(image).read_bytes() if isinstance(image, str | os.PathLike) else bytes(image)
            if len(data) <= max_bytes and _is_ready(opened):
                opened.load()  # so that damage is found here and not by the server
                return PreparedPicture(data, *_KINDS[str(opened.format)])
            opened.draft("RGB", (MAX_SIDE, MAX_SIDE))  # a JPEG is decoded at a smaller scale, which is faster
        return _encoded(ImageOps.exif_transpose(opened), max_bytes, name)


@contextmanager
def _opened(source: PictureSource, name: str) -> Generator[Image.Image]:
    """Open an image; whatever Pillow raises meanwhile becomes a ConfigurationError."""
    try:
        if problem := _problem(source):
            raise ConfigurationError(f"{name} {problem}.")
        if isinstance(source, Image.Image):
            yield _limited(source)
        else:
            file = source if isinstance(source, str | os.PathLike) else BytesIO(source)
            with Image.open(file, formats=_FORMATS) as opened:
                yield _limited(opened)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        remedy = f"Scale it down; {MAX_SIDE} on the longer side are enough"
        raise ConfigurationError(f"{name} has more than {MAX_PIXELS:,} pixels. {remedy}.") from None
    except Image.UnidentifiedImageError:
        raise ConfigurationError(f"{name} is not an image that can be read. {_ACCEPTED}.") from None
    except ConfigurationError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, MemoryError) as error:
        problem = f"is damaged or cannot be read ({type(error).__name__})"
        raise ConfigurationError(f"{name} {problem}. {_ACCEPTED}.") from None


def _problem(source: object) -> str | None:
    """Say what can be seen without opening it."""
    match source:
        case Image.Image():
            return None if source.width and source.height else f"has no pixels. {_ACCEPTED}"
        case bytes() | bytearray():
            return None if len(source) else f"is empty. {_ACCEPTED}"
        case str() if source.startswith(("http://", "https://", "data:")):
            return "is a URL. Give it as agent_image_url (or image_url), or give the image itself"
        case str() | os.PathLike():
            path = Path(source)  # pyright: ignore[reportUnknownArgumentType]
            if not path.is_file():
                return f"is not a file, {path.name!r}. Check the path"
            large = path.stat().st_size > MAX_FILE_BYTES
            return f"has more than {MAX_FILE_BYTES:,} bytes. Scale it down" if large else None
        case _:
            return f"is of type {type(source).__name__}. {_ACCEPTED}"


def _limited(image: Image.Image) -> Image.Image:
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    return image


def _is_ready(image: Image.Image) -> bool:
    upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
    return image.format in _KINDS and image.mode in ("RGB", "RGBA") and upright and max(image.size) <= MAX_SIDE


def _encoded(image: Image.Image, max_bytes: int, name: str) -> PreparedPicture:
    """Scale an image, which is this function's to change, down until its file is small enough."""
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode == "RGBA" and image.getchannel("A").getextrema()[0] == 255:
        image = image.convert("RGB")
    kind = "PNG" if image.mode == "RGBA" else "JPEG"
    side = MAX_SIDE
    while side >= _MIN_SIDE:
        buffer = BytesIO()
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        image.save(buffer, kind, quality=90)
        if buffer.tell() <= max_bytes:
            return PreparedPicture(buffer.getvalue(), *_KINDS[kind])
        side = side * 3 // 4
    raise ConfigurationError(f"{name} cannot be made smaller than {max_bytes:,} bytes.")
