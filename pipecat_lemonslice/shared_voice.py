"""What the pipeline is told of an avatar that speaks straight to the people in a shared room.

The bot does not hear it there, and the output transport has nothing to play, so nobody else could say when the bot
speaks. Its law: one start and one stop for every response that the avatar speaks, in order, and nothing for speech
that the output transport plays itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto

from pipecat.frames.frames import BotSpeakingFrame, BotStartedSpeakingFrame, BotStoppedSpeakingFrame, Frame

from pipecat_lemonslice.rooms import VoiceReceived
from pipecat_lemonslice.speech.track import ALL_HEARD, Heard

PERIOD = 0.2
"""Seconds between two BotSpeakingFrames, as in Pipecat's output transports."""

MAX_NEWS = 1000
"""Starts and stops that have not been told yet. Beyond that nobody listens, and a response is told of no more."""

TAIL_SECONDS = 1.0
"""How long an avatar that nobody listens to here is taken to be speaking after its last audio was played to it."""


class _News(Enum):
    STARTED = auto()
    STOPPED = auto()


class SharedVoice:
    """Stands where the relay stands when the avatar has a room of its own; see the module."""

    def __init__(
        self, broadcast: Callable[[type[Frame]], Awaitable[None]], *, avatar_speaks: Callable[[], bool]
    ) -> None:
        """Create a voice that is silent.

        Args:
            broadcast: Pushes a frame of a class both ways.
            avatar_speaks: Whether the response under way is the avatar's.
        """
        self._broadcast = broadcast
        self._avatar_speaks = avatar_speaks
        self._loop = asyncio.get_running_loop()
        self._news: asyncio.Queue[_News] = asyncio.Queue()
        self._speaking = False
        self._over_at: float | None = None

    def expect_voice(self, lag: float) -> None:
        """Take note that a response has begun."""
        if self._avatar_speaks() and not self._speaking and self._news.qsize() < MAX_NEWS:
            self._speaking = True
            self._news.put_nowait(_News.STARTED)

    def response_over(self) -> None:
        """Take note that a response is over."""
        if self._speaking:
            self._speaking = False
            self._over_at = self._loop.time()
            self._news.put_nowait(_News.STOPPED)

    def interrupt(self) -> None:
        """The avatar has been told to fall silent."""
        self._over_at = None

    def avatar_joined(self) -> None:
        """Of no consequence: nothing of the avatar's voice is kept here."""

    def sounds(self) -> bool:
        """Whether the avatar may be heard: while it speaks, and for a moment after its response is over."""
        return self._speaking or (self._over_at is not None and self._loop.time() - self._over_at < TAIL_SECONDS)

    def avatar_gone(self) -> None:
        """It says nothing more."""
        self._over_at = None

    def heard(self) -> Heard:
        """Nobody here knows; so everything that was played counts as heard."""
        return ALL_HEARD

    def unanswered(self, sounded_until: float) -> bool:
        """Nobody here knows."""
        return False

    def feed(self, voice: VoiceReceived) -> None:
        """Nothing of the avatar is wanted here: people have it from the room."""

    async def wait_until_quiet(self, lag: float) -> None:
        """Wait as long as the avatar may take to say what it was given last."""
        if self._over_at is not None:
            await asyncio.sleep(max(0.0, self._over_at + TAIL_SECONDS - self._loop.time()))

    async def run(self) -> None:
        """Tell the pipeline until cancelled; what is known by then is told to the end."""
        try:
            while True:
                await self._tell(await self._news.get())
        finally:
            while not self._news.empty():
                await self._tell_once(self._news.get_nowait())

    async def _tell(self, news: _News) -> None:
        await self._tell_once(news)
        while news is _News.STARTED:
            await self._broadcast(BotSpeakingFrame)
            try:
                news = await asyncio.wait_for(self._news.get(), PERIOD)
            except TimeoutError:
                continue
            await self._tell_once(news)

    async def _tell_once(self, news: _News) -> None:
        await self._broadcast(BotStartedSpeakingFrame if news is _News.STARTED else BotStoppedSpeakingFrame)
