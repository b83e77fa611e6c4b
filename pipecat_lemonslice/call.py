"""The parts of one call, put together, and what they know of each other: speech, media, session, control requests."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable

from pipecat.frames.frames import Frame
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.settings import ServiceSettings
from pipecat.transports.base_output import BaseOutputTransport

from pipecat_lemonslice.api import LemonSliceApi
from pipecat_lemonslice.errors import SessionError
from pipecat_lemonslice.media.pictures import FallbackImage
from pipecat_lemonslice.media.playback import Playback, SharedPlayback
from pipecat_lemonslice.media.relay import MediaRelay, RelayEvent
from pipecat_lemonslice.media.speaking import SpeakingFrames
from pipecat_lemonslice.session.control import ControlRequests, Outcome
from pipecat_lemonslice.session.events import AvatarReady, SessionEvent
from pipecat_lemonslice.session.session import AvatarSession
from pipecat_lemonslice.session.topology import Topology
from pipecat_lemonslice.settings import timeouts
from pipecat_lemonslice.speech.output import OutputEvent, SpeechOutput

DRAIN_MARGIN = 5.0
"""Seconds that the last words may take beyond their own length."""

Run = Callable[[], Coroutine[None, None, None]]


Event = SessionEvent | OutputEvent | RelayEvent


class Call:
    """One call: owns speech, media, session and control requests from setup to cleanup."""

    def __init__(
        self,
        processor: FrameProcessor,
        api: LemonSliceApi,
        topology: Topology,
        *,
        settings: ServiceSettings,
        forward: Callable[[Frame], Awaitable[None]],
        emit: Callable[[Event], None],
        pipeline_rate: int,
    ) -> None:
        """Put the parts together; nothing begins yet.

        Args:
            processor: The frame processor that the call is made by.
            api: Where sessions are created.
            topology: Where bot and avatar meet.
            settings: The settings; they change while the call runs.
            forward: Passes on a frame whose place in the speech has come.
            emit: Takes every event, in order; must not block.
            pipeline_rate: Rate in Hz of what the output transport plays.
        """
        self.running: asyncio.Task[None] | None = None
        self._settings, config = settings, topology.config
        self.timeouts = timeouts(settings)
        """The settings that are durations, as they are now."""
        self.playback = SharedPlayback() if topology.shared else Playback()
        self.playback.mute_timeout = self.timeouts.mute
        self.media = MediaRelay(processor.push_frame, emit, self.playback)
        self.speaking = SpeakingFrames(processor) if topology.shared else None
        """Tells when the bot speaks, where people have the avatar straight from the room."""
        self.session = AvatarSession(
            api,
            topology,
            settings,
            self.timeouts,
            self.playback,
            open_room=lambda url: topology.open_room(url, pipeline_rate, self.media.on_voice, self.media.on_picture),
            emit=emit,
        )
        self.controls = ControlRequests(self.session, config, settings, self.playback, emit)
        self.speech = SpeechOutput(
            forward,
            emit,
            processor.get_clock().get_time,
            self.playback,
            sample_rate=topology.speech_rate(pipeline_rate),
            timeouts=self.timeouts,
        )
        self._fallback_image = None
        if not topology.shared and config.fallback == "voice":
            self._fallback_image = FallbackImage(config, settings)

    def configure(self, changed: Iterable[str]) -> asyncio.Future[Outcome]:
        """Follow a change of settings.

        Args:
            changed: Their names.

        Returns:
            What becomes of it at LemonSlice; see :meth:`ControlRequests.settings_changed`.
        """
        self.timeouts = timeouts(self._settings)
        self.speech.configure(self.timeouts)
        self.playback.mute_timeout = self.timeouts.mute
        self.session.configure(self.timeouts)
        return self.controls.settings_changed(changed)

    def begin(self, output: BaseOutputTransport | None) -> dict[str, Run]:
        """Return what runs from the start of the pipeline on, by what it does.

        Args:
            output: The output transport that shows the avatar's pictures; None where there is none to be found.
        """
        self.media.show_on(output)
        parts: dict[str, Run] = {
            "moving speech": self.speech.run,
            "moving the avatar's voice": self.media.run_voice,
            "moving the avatar's picture": self.media.run_pictures,
            "sending control requests": self.controls.run,
        }
        return {**parts, "telling when the bot speaks": self.speaking.run} if self.speaking else parts

    def avatar_ready(self, ready: AvatarReady) -> None:
        """The avatar speaks from the next response on."""
        self.speech.avatar_here(ready.room, ready.session_id)
        self.controls.avatar_ready()

    def lose_avatar(self, *, wait: bool) -> bool:
        """The avatar cannot speak; what it was saying is heard without it, if speech does not wait for the next one.

        Args:
            wait: Whether speech waits, as it did for the first one.

        Returns:
            Whether it was there.
        """
        if wait and not self.speech.has_avatar:
            return False  # speech waits already
        present = self.speech.avatar_gone()
        self.media.avatar_changed()
        if wait:
            self.speech.avatar_coming()
        return present

    def go_dormant(self) -> bool:
        """Stop using the avatar until somebody speaks; returns whether it was there."""
        present = self.lose_avatar(wait=False)
        self.speech.avatar_coming()
        if self.speech.unheard_seconds:
            self.session.woken.set()
        return present

    async def show_fallback_image(self) -> None:
        """Show the agent's picture while there is no avatar to be seen."""
        picture = await self._fallback_image.picture() if self._fallback_image else None
        if picture and not self.speech.has_avatar:
            self.media.on_picture(picture)

    async def finish(self) -> None:
        """Let the last words be heard, in bounded time.

        Raises:
            SessionError: They were not, in that time.
        """
        limit = self.speech.unheard_seconds + self.timeouts.ready + DRAIN_MARGIN
        try:
            async with asyncio.timeout(limit):
                await self.speech.drain()
                await self.media.wait_until_finished()
                if self.playback.unheard:
                    self.lose_avatar(wait=False)
                if self.speech.unheard_seconds:  # a lost or mute avatar left it unsaid
                    await self.speech.drain()
        except TimeoutError:
            raise SessionError(f"the last words were not spoken within {limit:.1f} s") from None

    async def halt(self) -> None:
        """Stop moving speech and media, and begin to end the session; idempotent."""
        running, self.running = self.running, None
        self.speech.close()
        if running:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        self.session.begin_close()
