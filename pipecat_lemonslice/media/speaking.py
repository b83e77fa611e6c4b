"""Tells the pipeline when the bot speaks, where the avatar speaks straight to the people in a shared room.

The output transport has nothing to play then, so nobody else can tell. Each response that the avatar speaks has one
start and one stop, in order; speech that the output transport plays has none here.
"""

import asyncio

from pipecat.frames.frames import BotSpeakingFrame, BotStartedSpeakingFrame, BotStoppedSpeakingFrame, Frame
from pipecat.processors.frame_processor import FrameProcessor

PERIOD = 0.2
"""Seconds between two BotSpeakingFrames, as in Pipecat's output transports."""

MAX_WAITING = 1000
"""Starts and stops that may wait. Beyond that the pipeline is stuck, and further responses are not told of."""


class SpeakingFrames:
    """Broadcasts BotStartedSpeakingFrame, BotSpeakingFrame and BotStoppedSpeakingFrame."""

    def __init__(self, processor: FrameProcessor) -> None:
        """Create one that has nothing to tell.

        Args:
            processor: Pushes the frames, both ways.
        """
        self._processor = processor
        self._waiting: asyncio.Queue[type[Frame]] = asyncio.Queue()
        self._speaking = False

    def started(self) -> None:
        """The avatar is given a response."""
        if self._waiting.qsize() < MAX_WAITING:
            self._speaking = True
            self._waiting.put_nowait(BotStartedSpeakingFrame)

    def stopped(self) -> None:
        """The response is over, if the avatar spoke it."""
        if self._speaking:
            self._speaking = False
            self._waiting.put_nowait(BotStoppedSpeakingFrame)

    async def run(self) -> None:
        """Tell the pipeline until cancelled; what is known by then is told to the end."""
        try:
            kind = await self._waiting.get()
            while True:
                await self._broadcast(kind)
                kind = await self._next(kind)
        finally:
            while not self._waiting.empty():
                await self._broadcast(self._waiting.get_nowait())

    async def _broadcast(self, kind: type[Frame]) -> None:
        await self._processor.broadcast_frame(kind)  # pyright: ignore[reportUnknownMemberType]

    async def _next(self, kind: type[Frame]) -> type[Frame]:
        if kind is BotStoppedSpeakingFrame:
            return await self._waiting.get()
        if kind is BotStartedSpeakingFrame:
            return BotSpeakingFrame
        try:
            return await asyncio.wait_for(self._waiting.get(), PERIOD)
        except TimeoutError:
            return BotSpeakingFrame
