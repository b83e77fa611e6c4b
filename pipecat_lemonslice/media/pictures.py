"""The avatar's pictures on their way downstream: how many, in which size, and the image while there is no avatar."""

import asyncio
from io import BytesIO
from weakref import WeakValueDictionary

from loguru import logger
from PIL import Image, ImageOps
from pipecat.frames.frames import OutputImageRawFrame
from pipecat.services.settings import ServiceSettings

from pipecat_lemonslice.api import PictureSource, prepare_picture
from pipecat_lemonslice.errors import ConfigurationError
from pipecat_lemonslice.rooms import Picture
from pipecat_lemonslice.settings import Config

WAITING_PICTURES = 6
"""Pictures that may wait to be shown, about a quarter of a second of them."""

MOST_WAITING_PICTURES = 32
"""Pictures that may wait when a processor seems to keep some of them, about a second of them."""

BLOCKED_SECONDS = 1.0
"""After so long without a picture being taken, a processor may be keeping those that wait."""

PROBE_SECONDS = 0.1
"""One more picture may then wait for each of these."""

KEPT_PICTURES = 250
"""Pictures that a pipeline may keep, ten seconds of them, before it gets fewer."""

TRICKLE_SECONDS = 1.0
"""Time between two pictures when more than that are kept."""

SIZES = {"2x3": (368, 560), "1x1": (512, 512), "9x16": (360, 640)}
"""Width and height in pixels by aspect ratio."""

Size = tuple[int, int]


class VideoThrottle:
    """Sends no more pictures downstream than are taken there. Nobody downstream can stop them.

    Pure: times are seconds on one monotonic clock. Output transports queue pictures without bound and say nothing of
    it. Other processors may keep pictures for themselves, which must not be taken for a queue. Its laws:

    1. A picture waits from when it is sent until it, or a later one, reaches the output, or until nobody has it; and
       then in the queues of the output. At most ``WAITING_PICTURES`` wait.
    2. If none is taken for ``BLOCKED_SECONDS``, somebody in front of the output may be keeping them and passing none
       on. One more may then wait every ``PROBE_SECONDS``, up to ``MOST_WAITING_PICTURES``. A processor
       that keeps its last few pictures then releases one for each that comes.
    3. A picture that is taken while none is sent was waiting, and not kept. The bound is ``WAITING_PICTURES`` again.
    4. With ``KEPT_PICTURES`` in memory, one goes every ``TRICKLE_SECONDS``.

    Attributes:
        most_queued: Pictures that the output may have in its queues.
    """

    def __init__(self) -> None:
        """Create a throttle through which nothing has gone."""
        self.most_queued = WAITING_PICTURES
        self._living: WeakValueDictionary[int, OutputImageRawFrame] = WeakValueDictionary()
        self._arrived = -1
        self._limit = WAITING_PICTURES
        self._waiting = 0
        self._sent = False
        self._sent_at = self._taken_at = float("-inf")

    @property
    def kept(self) -> int:
        """Pictures that are still referenced."""
        return len(self._living)

    def sent(self, frame: OutputImageRawFrame, now: float) -> None:
        """A picture goes downstream now."""
        self._living[frame.id] = frame
        self._waiting += 1
        self._sent, self._sent_at = True, now

    def arrived(self, frame: OutputImageRawFrame) -> None:
        """A picture has reached the output, so those before it wait no more."""
        if frame.id in self._living:
            self._arrived = max(self._arrived, frame.id)

    def is_open(self, queued: int, now: float) -> bool:
        """Whether another picture may go now.

        Args:
            queued: Pictures in the queues of the output.
            now: The time.
        """
        self._look(sum(number > self._arrived for number in list(self._living)), now)
        if self.kept >= KEPT_PICTURES and now - self._sent_at < TRICKLE_SECONDS:
            return False
        return self._waiting + queued < self._limit and queued < self.most_queued

    def _look(self, waiting: int, now: float) -> None:
        """Adapt the bound to what has been taken since the last look."""
        taken = waiting < self._waiting
        if waiting < WAITING_PICTURES or (taken and not self._sent):
            self._limit = WAITING_PICTURES
        if waiting < WAITING_PICTURES or taken:
            self._taken_at = now
        elif now - self._taken_at >= BLOCKED_SECONDS:
            self._limit = min(MOST_WAITING_PICTURES, waiting + 1)
            self._taken_at = now - BLOCKED_SECONDS + PROBE_SECONDS
        self._waiting, self._sent = waiting, False


class FallbackImage:
    """The agent's picture, shown while there is no avatar. One that is known by its address only is not fetched."""

    def __init__(self, config: Config, settings: ServiceSettings) -> None:
        """Create an image that has not been made yet.

        Args:
            config: What sessions are asked for.
            settings: The settings; they change while the call runs.
        """
        self._config, self._settings = config, settings
        self._size = SIZES.get(config.aspect_ratio or "2x3", SIZES["2x3"])
        self._made: tuple[PictureSource, bytes] | None = None

    async def picture(self) -> Picture | None:
        """Return the picture to be shown, in the size of the avatar's; None if there is none. Made once."""
        source = self._config.picture(self._settings)
        if source is None:
            return None
        if self._made is None or self._made[0] is not source:
            try:
                self._made = source, await asyncio.to_thread(fitted, source, self._size)
            except ConfigurationError as error:  # the file has been removed meanwhile
                logger.debug(f"The agent's picture cannot be shown: {error}")
                return None
        return Picture(self._made[1], *self._size)


def fitted(source: PictureSource, size: Size) -> bytes:
    """Return a picture as RGB bytes of a size, its middle where the shape differs. Takes long: for a thread.

    Args:
        source: The picture; where it is transparent it becomes black.
        size: Width and height in pixels.

    Returns:
        ``height * width * 3`` bytes.

    Raises:
        ConfigurationError: The picture cannot be read.
    """
    with Image.open(BytesIO(prepare_picture(source).data)) as opened:
        foreground = opened.convert("RGBA")
    background = Image.new("RGBA", foreground.size, "black")
    background.alpha_composite(foreground)
    return ImageOps.fit(background.convert("RGB"), size, Image.Resampling.LANCZOS).tobytes()


def letterboxed(picture: Picture, size: Size) -> Picture:
    """Return a picture in another size, whole and in its own shape, in the middle of black. Takes long: for a thread.

    Args:
        picture: The picture.
        size: Width and height in pixels.

    Returns:
        A picture of that size.
    """
    scale = min(size[0] / picture.width, size[1] / picture.height)
    width, height = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    scaled = Image.frombytes("RGB", (picture.width, picture.height), picture.rgb).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    background = Image.new("RGB", size)
    background.paste(scaled, ((size[0] - width) // 2, (size[1] - height) // 2))
    return Picture(background.tobytes(), *size)
