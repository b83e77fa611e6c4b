"""The agent's picture as a still, for while there is no avatar to be seen. Made once, off the loop."""

import asyncio
from collections.abc import Callable
from io import BytesIO

from loguru import logger
from PIL import Image, ImageOps

from pipecat_lemonslice.api import PictureSource, prepare_picture
from pipecat_lemonslice.errors import ConfigurationError
from pipecat_lemonslice.rooms import PictureReceived

SIZES = {"2x3": (368, 560), "1x1": (512, 512), "9x16": (360, 640)}
"""Width and height in pixels by aspect ratio."""


class StillPicture:
    """See the module. A picture that is known by its address only is not fetched."""

    def __init__(self, source: Callable[[], PictureSource | None], aspect_ratio: str | None) -> None:
        """Create a still that has not been made yet.

        Args:
            source: Gives the picture of the avatar as it is asked for now; None where there is none at hand.
            aspect_ratio: As in the session's request; None for the default.
        """
        self._source = source
        self._size = SIZES.get(aspect_ratio or "2x3", SIZES["2x3"])
        self._made: tuple[PictureSource, bytes] | None = None

    async def picture(self) -> PictureReceived | None:
        """Return the picture to be shown; None if there is none."""
        source = self._source()
        if source is None:
            return None
        if self._made is None or self._made[0] is not source:
            try:
                self._made = source, await asyncio.to_thread(fitted, source, self._size)
            except ConfigurationError as error:  # a file that has gone since
                logger.debug(f"The agent's picture cannot be shown: {error}")
                return None
        return PictureReceived(self._made[1], *self._size)


def fitted(source: PictureSource, size: tuple[int, int]) -> bytes:
    """Return a picture as RGB bytes of a size, its middle where the shape differs; keeps a processor busy.

    Raises:
        ConfigurationError: It cannot be read.
    """
    with Image.open(BytesIO(prepare_picture(source).data)) as opened:
        clear = opened.convert("RGBA")
    ground = Image.new("RGBA", clear.size, "black")
    ground.alpha_composite(clear)
    return ImageOps.fit(ground.convert("RGB"), size, Image.Resampling.LANCZOS).tobytes()
