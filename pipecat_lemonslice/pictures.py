"""Makes any picture one that the service takes: upright, PNG or JPEG, small enough never to be refused.

The work keeps a processor busy; call it through `asyncio.to_thread`. Nothing here knows of requests.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TypeAlias, TypeVar

from PIL import Image, ImageOps

from pipecat_lemonslice.errors import ConfigurationError

__all__ = [
    "MAX_BYTES",
    "MAX_SIDE",
    "PictureSource",
    "PreparedPicture",
    "check_picture",
    "picture_problem",
    "prepare_picture",
]

T = TypeVar("T")

PictureSource: TypeAlias = bytes | Image.Image | os.PathLike[str] | str
"""The bytes of an image file, a Pillow image, or the path of a file."""

MAX_SIDE = 1120
"""Pixels of the longer side: twice the height at which the avatar is drawn."""

MAX_BYTES = 1_000_000
"""Size that no gateway refuses."""

_MAX_PIXELS = 80_000_000
_MAX_FILE_BYTES = 100_000_000
_SMALLEST_SIDE = 16
# Only formats that Pillow reads by itself; others start foreign programs.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_TAKEN = "Give a PNG, JPEG, WebP, GIF, BMP or TIFF as bytes, as a path or as a PIL image"
_LARGEST_PROFILE = 8192


@dataclass(frozen=True)
class PreparedPicture:
    """A picture ready to be sent.

    Attributes:
        data: Bytes of a PNG or JPEG file.
        content_type: "image/png" or "image/jpeg".
        extension: "png" or "jpg", without a dot.
    """

    data: bytes = field(repr=False)
    content_type: str
    extension: str


_KINDS = {"PNG": ("image/png", "png"), "JPEG": ("image/jpeg", "jpg")}


def picture_problem(image: object) -> str | None:
    """What can be said against `image` without opening it; None if nothing. Never quotes its contents."""
    match image:
        case Image.Image():
            return None if image.width and image.height else f"has no pixels. {_TAKEN}"
        case bytes() | bytearray():
            return None if len(image) else f"is empty. {_TAKEN}"
        case str() if image.startswith(("http://", "https://", "data:")):
            return "is a URL. Give it as agent_image_url (or image_url), or give the picture itself"
        case str() | os.PathLike():
            return _file_problem(Path(image))  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return f"is of type {type(image).__name__}. {_TAKEN}"


def _file_problem(path: Path) -> str | None:
    try:
        if not path.is_file():
            return f"is not a file, {path.name!r}. Check the path"
        size = path.stat().st_size
    except (OSError, ValueError):
        return "is a path that cannot be read. Check it"
    return None if size <= _MAX_FILE_BYTES else f"has more than {_MAX_FILE_BYTES:,} bytes. Scale it down"


def prepare_picture(
    image: PictureSource, *, max_bytes: int = MAX_BYTES, max_side: int = MAX_SIDE, name: str = "agent_image"
) -> PreparedPicture:
    """Turn `image` into a PNG (if it has transparent parts) or a JPEG that is small enough.

    PNG and JPEG files that are small enough, upright and sound stay as they are, byte for byte.

    Args:
        image: Bytes of an image file, a Pillow image (left unchanged), or a path.
        max_bytes: The most that the result may have.
        max_side: The most pixels of its longer side.
        name: The field that errors speak of.

    Returns:
        The picture to send.

    Raises:
        ConfigurationError: It is no image, is damaged, is missing, or has more than 80 million pixels.
    """
    result = _attempt(image, max_bytes, max_side)
    if isinstance(result, str):
        raise ConfigurationError(f"{name} {result}.")
    return result


def check_picture(image: PictureSource, *, name: str = "agent_image") -> None:
    """Refuse what is no picture. Reads its header only; a file that is damaged further on is found when it is sent.

    Raises:
        ConfigurationError: Says what is wrong with it.
    """
    problem = picture_problem(image) or _guarded(lambda: _header_problem(image))
    if problem:
        raise ConfigurationError(f"{name} {problem}.")


def _header_problem(image: PictureSource) -> str | None:
    if isinstance(image, Image.Image):
        return None if _fits(image) else _too_many_pixels()
    source = image if isinstance(image, (str, os.PathLike)) else BytesIO(image)
    with Image.open(source, formats=_FORMATS) as opened:
        return None if _fits(opened) else _too_many_pixels()


def _attempt(image: PictureSource, max_bytes: int, max_side: int) -> PreparedPicture | str:
    if problem := picture_problem(image):
        return problem
    return _guarded(lambda: _prepare(image, max_bytes, max_side))


def _guarded(work: Callable[[], T]) -> T | str:
    """Return what `work` returns, or what is wrong with the picture that it could not read."""
    try:
        return work()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return _too_many_pixels()
    except Image.UnidentifiedImageError:
        return f"is not an image that can be read. {_TAKEN}"
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, MemoryError) as error:
        return f"is damaged or cannot be read ({type(error).__name__}). {_TAKEN}"


def _too_many_pixels() -> str:
    return f"has more than {_MAX_PIXELS:,} pixels. Scale it down; {MAX_SIDE} on the longer side are enough"


def _prepare(image: PictureSource, max_bytes: int, max_side: int) -> PreparedPicture | str:
    if isinstance(image, Image.Image):
        return _encode(image.copy(), max_bytes, max_side) if _fits(image) else _too_many_pixels()
    data = Path(image).read_bytes() if isinstance(image, (str, os.PathLike)) else bytes(image)
    with Image.open(BytesIO(data), formats=_FORMATS) as opened:
        if not _fits(opened):
            return _too_many_pixels()
        if len(data) <= max_bytes and _is_ready(opened, max_side):
            opened.load()  # a damaged file has to be found here, not by the server
            return PreparedPicture(data, *_KINDS[str(opened.format)])
        opened.draft("RGB", (max_side, max_side))
        return _encode(opened, max_bytes, max_side)


def _fits(image: Image.Image) -> bool:
    return image.width * image.height <= _MAX_PIXELS


def _is_ready(image: Image.Image, max_side: int) -> bool:
    upright = image.getexif().get(0x0112, 1) in (0, 1)
    plain = image.mode in ("RGB", "RGBA", "L", "LA", "P") and getattr(image, "n_frames", 1) == 1
    return image.format in _KINDS and upright and plain and max(image.size) <= max_side


def _encode(image: Image.Image, max_bytes: int, max_side: int) -> PreparedPicture | str:
    profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA", "P") else None
    colours = _plain_colours(ImageOps.exif_transpose(image), max_side)
    kind = "PNG" if colours.mode == "RGBA" else "JPEG"
    for smaller, quality in _ever_smaller(colours, max_side):
        buffer = BytesIO()
        smaller.save(buffer, kind, quality=quality, optimize=True, icc_profile=_small(profile), exif=b"")
        if buffer.tell() <= max_bytes:
            return PreparedPicture(buffer.getvalue(), *_KINDS[kind])
    return f"cannot be made smaller than {max_bytes:,} bytes"


def _small(profile: object) -> bytes | None:
    return profile if isinstance(profile, bytes) and len(profile) <= _LARGEST_PROFILE else None


def _plain_colours(image: Image.Image, max_side: int) -> Image.Image:
    """RGBA if some part can be seen through, else RGB."""
    if not image.has_transparency_data:
        return _eight_bit(image).convert("RGB")
    clear = image.convert("RGBA")
    clear.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    lowest, _ = clear.getchannel("A").getextrema()
    return clear if isinstance(lowest, (int, float)) and lowest < 255 else clear.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Sixteen-bit grey as eight-bit grey; Pillow's own conversion cuts everything above 255 off."""
    if not image.mode.startswith("I;16"):
        return image
    return image.convert("I").point(lambda value: value / 256).convert("L")


def _ever_smaller(image: Image.Image, max_side: int) -> Iterator[tuple[Image.Image, int]]:
    """Copies of `image` that need fewer and fewer bytes, with the JPEG quality for each."""
    side = max_side
    while side >= _SMALLEST_SIDE:
        copy = image.copy()
        copy.thumbnail((side, side), Image.Resampling.LANCZOS)
        yield copy, 92
        if image.mode == "RGB":
            yield copy, 80
        side = side * 3 // 4
