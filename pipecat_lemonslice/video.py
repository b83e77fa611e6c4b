"""The service that a bot puts between its TTS and its output transport: a router, nothing more.

Frames that are speech, or travel with it, go to the :class:`~pipecat_lemonslice.avatar.Avatar`; all others pass.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, cast

import aiohttp
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputImageRawFrame,
    ServiceUpdateSettingsFrame,
    StartFrame,
    SystemFrame,
    UserStartedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.services.ai_service import AIService
from pipecat.services.settings import ServiceSettings
from pipecat.utils.errors import ErrorCategory

from pipecat_lemonslice._pipecat import output_behind
from pipecat_lemonslice.announcer import EVENTS, Announcer
from pipecat_lemonslice.api import LemonSliceApi, PictureSource, prepare_picture
from pipecat_lemonslice.avatar import Avatar, AvatarOptions, Fallback
from pipecat_lemonslice.errors import ConfigurationError
from pipecat_lemonslice.frames import AvatarKeepAliveFrame
from pipecat_lemonslice.plan import AvatarPlan, check_keywords
from pipecat_lemonslice.rooms import Room
from pipecat_lemonslice.settings import (
    LemonSliceVideoSettings,
    SessionConfig,
    check_settings,
    default_settings,
    merged,
    timeouts,
    with_one_picture,
)
from pipecat_lemonslice.venue import make_venue

if TYPE_CHECKING:
    from pipecat.transports.daily.transport import DailyTransport

END_SECONDS = 5.0
"""How long a session in a shared room may take to end before the transport leaves it."""


class LemonSliceVideoService(AIService):
    """A LemonSlice avatar that speaks what the TTS says. Place it between the TTS and the output transport.

    Creates a self-managed session, joins its room, sends the speech there at the speed at which it is heard, and
    brings the avatar's voice and picture downstream. While there is no avatar, the plain voice is heard. The service
    decides by itself when a response has ended, also when the TTS never says so.

    Event handlers available:

    - on_session_created(service, session_id)
    - on_avatar_connected(service): the avatar is in the room
    - on_avatar_ready(service): its first picture has come
    - on_avatar_disconnected(service, reason)
    - on_response_started(service)
    - on_response_done(service, reason, audio_seconds)
    - on_fallback(service, reason): speech is heard without the avatar
    - on_session_ended(service, session_id, cost): cost in credits, None where unknown

    Example::

        avatar = LemonSliceVideoService(agent_id="agent_…")
        pipeline = Pipeline([transport.input(), stt, user, llm, tts, avatar, transport.output(), assistant])
    """

    Settings = LemonSliceVideoSettings

    def __init__(
        self,
        *,
        api_key: str | None = None,
        api_url: str | None = None,
        agent_id: str | None = None,
        agent_image_url: str | None = None,
        agent_image: PictureSource | None = None,
        idle_timeout: int = 60,
        model: str | None = None,
        aspect_ratio: str | None = None,
        audio_sample_rate: int = 24000,
        daily_room_url: str | None = None,
        daily_token: str | None = None,
        bot_token: str | None = None,
        avatar_name: str = "LemonSlice",
        transport: "DailyTransport | None" = None,
        recording: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
        session: aiohttp.ClientSession | None = None,
        fallback: Fallback = "voice",
        keep_alive: bool = True,
        session_response_done_timeout: float | None = None,
        settings: LemonSliceVideoSettings | None = None,
        **kwargs: Any,
    ) -> None:
        """Create the service; nothing is sent before the pipeline is set up.

        Args:
            api_key: LemonSlice API key; ``LEMONSLICE_API_KEY`` if None.
            api_url: Address of the API; ``LEMONSLICE_API_URL`` if None, else the real one.
            agent_id: The avatar, by the id of an agent. Exactly one of this and the next two is given.
            agent_image_url: The avatar, by the address of a picture.
            agent_image: The avatar, by a picture (PIL image, bytes of a PNG or JPEG, or a path). It is also shown as
                a still while the plain voice is heard; a picture known by its address only is not.
            idle_timeout: Seconds without speech after which LemonSlice ends the session; negative for never.
            model: ``flash``, ``lite`` or ``pro``; None for the default model.
            aspect_ratio: ``2x3``, ``1x1`` or ``9x16``; None for ``2x3``.
            audio_sample_rate: Rate in Hz of the speech sent to the avatar: 16000, 24000, 44100 or 48000.
            daily_room_url: An existing Daily room for the avatar; LemonSlice makes one if None.
            daily_token: The avatar's token for that room.
            bot_token: The bot's own token for that room.
            avatar_name: The user name with which the avatar joins.
            transport: The bot's own Daily transport: the avatar then joins its room, and is heard and seen there
                straight by the people. ``daily_token`` is the avatar's for that room; one is minted where
                ``DAILY_API_KEY`` is set.
            recording: ``enable_recording`` and ``recordings_bucket``, as in the API reference.
            extra: Further request fields, by their names in the API. Fields known here are refused.
            session: HTTP session to use; the service owns one if None.
            fallback: What becomes of speech without an avatar: with ``voice`` it is heard as it is, with ``silent``
                it is not, ``fatal`` ends the pipeline.
            keep_alive: Whether a quiet call is kept from ending by ``idle_timeout`` while the bot lives.
            session_response_done_timeout: Seconds after which LemonSlice itself takes a response for complete; the
                longest that the service's own detection may take if None.
            settings: What can change while the service runs.
            **kwargs: ``name``, ``enable_direct_mode`` and ``metrics`` of the base class.

        Raises:
            ConfigurationError: Something cannot be meant; names the field and the remedy.
            TypeError: There is no such keyword.
        """
        check_keywords(kwargs, fallback=fallback, keep_alive=keep_alive, avatar_name=avatar_name, bot_token=bot_token)
        complete = default_settings()
        if settings is not None:
            if not isinstance(settings, LemonSliceVideoSettings):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigurationError("settings must be LemonSliceVideoService.Settings(…).")
            check_settings(settings)
            complete.apply_update(settings)
        super().__init__(settings=complete, **kwargs)  # pyright: ignore[reportUnknownMemberType]
        config = SessionConfig(
            agent_id=agent_id,
            agent_image_url=agent_image_url,
            agent_image=agent_image,
            idle_timeout=idle_timeout,
            model=model,
            aspect_ratio=aspect_ratio,
            audio_sample_rate=audio_sample_rate,
            daily_room_url=daily_room_url,
            daily_token=daily_token,
            recording=recording,
            extra=extra,
            session_response_done_timeout=session_response_done_timeout,
        )
        self._venue = make_venue(
            config, transport, avatar_name=avatar_name, bot_token=bot_token, plain_voice=fallback == "voice"
        )
        self._config = self._venue.config
        self._config.check(complete)
        self._api = LemonSliceApi(api_key=api_key, api_url=api_url, session=session)
        self._plan = AvatarPlan(self._venue, avatar_name, bot_token, fallback, keep_alive)
        self._avatar: Avatar | None = None
        self._release: asyncio.Task[None] | None = None
        handlers = cast("Callable[..., Awaitable[None]]", self._call_event_handler)  # pyright: ignore[reportUnknownMemberType]
        self._announcer = Announcer(self, handlers)
        for event in EVENTS:
            self._register_event_handler(event)

    def is_avatar(self, participant: Mapping[str, Any] | str) -> bool:
        """Whether a participant of a shared room is the avatar and no person, for a bot's own event handlers.

        The name alone makes nobody an avatar: it carries the id of the token that was minted for it or, where no one
        does, it joined under the avatar's name after its session was asked for. A former session's avatar is one, too.

        Args:
            participant: As in the events of `DailyTransport`, or its id.
        """
        return self._venue.is_avatar(participant)

    def can_generate_metrics(self) -> bool:
        """TTFB: from the first speech sent to the avatar to the first sound that came back."""
        return True

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Ask for the session, which is created while the pipeline starts."""
        await super().setup(setup)
        self._avatar = Avatar(self, self._announcer, self._api, self._avatar_options())

    async def start(self, frame: StartFrame) -> None:
        """Begin to move speech and media."""
        await super().start(frame)
        self._announcer.start()
        self._venue.started()
        if self._avatar:
            self._avatar.start(output_behind(self))

    async def stop(self, frame: EndFrame) -> None:
        """Let the last words be heard; the session ends while the EndFrame goes on."""
        await super().stop(frame)
        if self._avatar:
            await self._avatar.finish()
            # The transport of a shared room leaves it when the EndFrame gets there: the session ends before.
            await (self._avatar.end(within=END_SECONDS) if self._venue.shared else self._avatar.stop())

    async def cancel(self, frame: CancelFrame) -> None:
        """Fall silent, and begin to end the session."""
        await super().cancel(frame)
        if self._avatar:
            await self._avatar.stop()

    async def cleanup(self) -> None:
        """Release everything; the session has ended when this returns. Whoever calls it, it happens once."""
        if self._release is None:
            self._release = asyncio.create_task(self._release_all(), name="lemonslice-release")
        try:
            await asyncio.shield(self._release)
        finally:
            await super().cleanup()

    async def _release_all(self) -> None:
        """Release every part, the session first; one that fails does not keep the others."""
        async with AsyncExitStack() as parts:
            parts.push_async_callback(self._api.close)
            parts.push_async_callback(self._announcer.close)
            parts.push_async_callback(self._venue.close)
            avatar, self._avatar = self._avatar, None
            if avatar:
                parts.push_async_callback(avatar.close)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Route a frame: speech and what travels with it to the avatar, everything else on."""
        if isinstance(frame, InterruptionFrame) and self._avatar:
            self._avatar.interrupt()
        await super().process_frame(frame, direction)
        match frame:
            case ServiceUpdateSettingsFrame() if frame.service is self or isinstance(frame.delta, self.Settings):
                await self.change_settings(frame.delta or self.Settings.from_mapping(frame.settings))
            case UserStartedSpeakingFrame() if self._avatar:
                self._avatar.wake()
            case AvatarKeepAliveFrame() if self._avatar:
                self._avatar.keep_alive()
            case _:
                pass
        if self._avatar and _travels_with_speech(frame, direction):
            await self._avatar.put(frame)
        else:
            await self.push_frame(frame, direction)

    async def change_settings(self, delta: ServiceSettings) -> None:
        """Check a change of settings, and apply it: to the session that exists now, and to all further ones."""
        delta = with_one_picture(delta)
        try:
            check_settings(delta)
            self._config.request(merged(self._complete_settings(), delta))
            if picture := delta.given_fields().get("agent_image"):
                await asyncio.to_thread(prepare_picture, picture)
        except ConfigurationError as error:
            await self.push_error(f"Settings not changed: {error}", category=ErrorCategory.APPLICATION)
            return
        await self._update_settings(delta)
        if self._avatar:
            self._avatar.configure(timeouts(self._settings))
            self._avatar.settings_changed()

    def _complete_settings(self) -> LemonSliceVideoSettings:
        return cast("LemonSliceVideoSettings", self._settings)

    def _avatar_options(self) -> AvatarOptions:
        return self._plan.options(
            lambda: self._settings,
            open_room=self._open_room,
            pipeline_rate=self.processor_setup.audio_out_sample_rate,
            pipeline_time=self.get_clock().get_time,
        )

    async def _open_room(self, url: str) -> Room:
        return await self._plan.open_room(url, self.processor_setup.audio_out_sample_rate)


def _travels_with_speech(frame: Frame, direction: FrameDirection) -> bool:
    """Pictures are shown when they come, the call ends by itself; everything else downstream keeps its place."""
    if direction is FrameDirection.UPSTREAM or isinstance(frame, SystemFrame | EndFrame):
        return False
    return not isinstance(frame, OutputImageRawFrame) or frame.sync_with_audio
