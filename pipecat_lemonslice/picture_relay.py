"""The avatar's pictures on their way to the user's transport: the newest wins, in the size that the transport has."""

import asyncio
from collections.abc import Awaitable, Callable

from loguru import logger
from PIL import Image
from pipecat.frames.frames import Frame, OutputImageRawFrame
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.transports.base_output import BaseOutputTransport

from pipecat_lemonslice._pipecat import queued_pictures, transport_params
from pipecat_lemonslice.picture_gate import KEPT_PICTURES, PictureGate
from pipecat_lemonslice.rooms import PictureReceived

RETRY_SECONDS = 0.02
"""Time between two looks at whether a picture that waits may go."""

BLOCKED_SECONDS = 5.0
"""How long none may go before this is logged."""

Size = tuple[int, int]


class PictureRelay:
    """Takes pictures in with :meth:`feed` and passes them on in :meth:`run`, fewer where they are not taken."""

    def __init__(self, push: Callable[[Frame], Awaitable[None]], output: BaseOutputTransport | None) -> None:
        """Create a relay that has no picture.

        Args:
            push: Passes a frame on, downstream.
            output: The output transport that shows the pictures; None where there is none to be found.
        """
        self._push = push
        self._output = output
        self._gate = PictureGate()
        self._loop = asyncio.get_running_loop()
        self._newest: PictureReceived | None = None
        self._came = asyncio.Event()
        self._passed_at = self._loop.time()
        self._told_blocked = self._told_kept = self._told_size = False
        if output:
            output.add_event_handler("on_after_process_frame", self._processed)  # pyright: ignore[reportUnknownMemberType]

    def feed(self, picture: PictureReceived) -> None:
        """Take a picture in, in place of one that has not been passed on yet."""
        self._newest = picture
        self._came.set()

    async def run(self) -> None:
        """Pass pictures on until cancelled."""
        while True:
            await self._came.wait()
            if not self._gate.is_open(queued_pictures(self._output), self._loop.time()):
                self._complain()
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._came.clear()
            picture, self._newest = self._newest, None
            if picture:
                await self._pass(await self._in_output_size(picture))

    async def _pass(self, picture: PictureReceived) -> None:
        frame = OutputImageRawFrame(picture.rgb, (picture.width, picture.height), "RGB")
        self._passed_at, self._told_blocked = self._loop.time(), False
        self._gate.send(frame, self._passed_at)
        await self._push(frame)

    def _processed(self, _: FrameProcessor, frame: Frame) -> None:
        if isinstance(frame, OutputImageRawFrame):
            self._gate.arrive(frame)

    async def _in_output_size(self, picture: PictureReceived) -> PictureReceived:
        """Return the picture as large as the output's video, which would otherwise stretch it."""
        params = transport_params(self._output) if self._output else None
        if params is None or not params.video_out_enabled:
            return picture
        size = params.video_out_width, params.video_out_height
        if size == (picture.width, picture.height):
            return picture
        if not self._told_size:
            self._told_size = True
            logger.warning(
                f"The avatar's picture has {picture.width}x{picture.height} pixels and the video of the output "
                f"transport {size[0]}x{size[1]}, so the picture is scaled and the rest of the video is black. "
                "To send it as it is, write in the parameters of the transport:\n"
                f"    video_out_width={picture.width},\n"
                f"    video_out_height={picture.height},"
            )
        return await asyncio.to_thread(letterboxed, picture, size)

    def _complain(self) -> None:
        if self._gate.kept >= KEPT_PICTURES:
            if not self._told_kept:
                self._told_kept = True
                logger.warning(
                    f"A processor keeps more than {KEPT_PICTURES} OutputImageRawFrame objects of the avatar, so it "
                    "gets one a second. Let it keep fewer, or copies that are smaller."
                )
        elif not self._told_blocked and self._loop.time() - self._passed_at > BLOCKED_SECONDS:
            self._told_blocked = True
            logger.warning(
                "The avatar's pictures are not being taken: the user's browser is gone, the output transport is stuck, "
                "or a processor in front of it is. The newest picture is sent when they are taken again."
            )


def letterboxed(picture: PictureReceived, size: Size) -> PictureReceived:
    """Return a picture in another size, whole and in its own shape, in the middle of black; keeps a processor busy."""
    scale = min(size[0] / picture.width, size[1] / picture.height)
    width, height = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    scaled = Image.frombytes("RGB", (picture.width, picture.height), picture.rgb).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    ground = Image.new("RGB", size)
    ground.paste(scaled, ((size[0] - width) // 2, (size[1] - height) // 2))
    return PictureReceived(ground.tobytes(), *size)
