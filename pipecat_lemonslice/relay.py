"""The relay: brings the avatar's voice from its room to the user's transport. Nothing of it is ever dropped."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from pipecat.frames.frames import Frame

from pipecat_lemonslice.hearing import Hearing
from pipecat_lemonslice.media import HUSH_LEAST_SECONDS, VoiceReturn
from pipecat_lemonslice.rooms import VoiceReceived
from pipecat_lemonslice.rooms.inbox import RoomInbox
from pipecat_lemonslice.speech.track import Heard

QUIET_SECONDS = 0.4
"""Silence after which the avatar has finished speaking."""

TAIL_SECONDS = 3.0
"""The most that the avatar's voice may lag behind the speech it was given."""


class AvatarRelay:
    """Takes sound in with :meth:`feed` and passes it on in :meth:`run`."""

    def __init__(
        self,
        push: Callable[[Frame], Awaitable[None]],
        *,
        voice_wanted: Callable[[], bool],
        on_voice: Callable[[], None],
        sounding_since: Callable[[], float],
    ) -> None:
        """Create a relay with nothing on its way.

        Args:
            push: Passes a frame on, downstream.
            voice_wanted: Whether the avatar's voice is to be heard now.
            on_voice: Called when sound begins after silence.
            sounding_since: Gives when the first sound of the response was played to the avatar, on the loop's clock;
                now if none has been.
        """
        self._push = push
        self._voice_wanted = voice_wanted
        self._on_voice = on_voice
        self._sounding_since = sounding_since
        self._loop = asyncio.get_running_loop()
        self._inbox = RoomInbox()
        self._voice = VoiceReturn()
        self._hearing = Hearing()
        self._answered = asyncio.Event()
        self._answered.set()

    def feed(self, voice: VoiceReceived) -> None:
        """Take sound in; never blocks."""
        self._inbox.put(voice)

    def interrupt(self) -> None:
        """Keep back what the avatar is still saying."""
        self._voice.interrupt(self._loop.time())
        self._hearing.interrupted()
        self._answered.set()

    def avatar_joined(self) -> None:
        """What is heard from now on is another avatar, or the same one anew."""
        self._voice.begin_anew()
        self._hearing = Hearing()

    def avatar_gone(self) -> None:
        """No answer is to be waited for any more, and none that comes all the same is wanted: another voice goes on."""
        self._voice.begin_anew()
        self._answered.set()

    def expect_voice(self, lag: float) -> None:
        """Take note that a response has begun.

        Args:
            lag: Seconds after which its voice should come back, as far as known; else 0.
        """
        if self._voice_wanted():
            self._voice.expect(self._loop.time() + (lag or HUSH_LEAST_SECONDS))
            self._hearing.began()
            self._answered.clear()

    def response_over(self) -> None:
        """A response is over; the output transport tells by what it plays when the bot has stopped speaking."""
        self._hearing.over(self._loop.time(), self._sounding_since())

    def sounds(self) -> bool:
        """Whether the avatar is being heard."""
        return self._voice.sounds(self._loop.time())

    def heard(self) -> Heard:
        """Return how far the avatar has been heard, on the loop's clock."""
        now = self._loop.time()
        return Heard(self._hearing.until(now - self._voice.quiet_for(now)), paused=not self.sounds())

    def unanswered(self, sounded_until: float) -> bool:
        """Whether the avatar has not been heard since its speech last sounded, at a time on the loop's clock."""
        now = self._loop.time()
        return sounded_until > now - self._voice.quiet_for(now)

    async def wait_until_quiet(self, lag: float) -> None:
        """Wait until the avatar has finished speaking, in bounded time.

        Args:
            lag: Seconds by which its voice was last seen to follow its speech; 0 where that is not known.
        """
        give_up_at = self._loop.time() + TAIL_SECONDS
        if lag or self._answered.is_set():
            await asyncio.sleep(min(lag, TAIL_SECONDS))
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(TAIL_SECONDS):
                    await self._answered.wait()
        while self._loop.time() < give_up_at:
            missing = QUIET_SECONDS - self._voice.quiet_for(self._loop.time())
            if missing <= 0:
                return
            await asyncio.sleep(missing)

    async def run(self) -> None:
        """Pass sound on until cancelled."""
        while True:
            match await self._inbox.get():
                case VoiceReceived() as voice:
                    await self._pass_voice(voice)
                case _:
                    return

    async def _pass_voice(self, voice: VoiceReceived) -> None:
        for piece in self._voice.feed(voice, self._loop.time()):
            if not self._voice_wanted():
                continue
            if piece.first:
                self._answered.set()
                self._hearing.answered(self._loop.time(), self._sounding_since())
                self._on_voice()
            await self._push(piece.frame)
