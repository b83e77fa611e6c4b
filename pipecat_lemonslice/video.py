"""The service that a bot puts between its TTS and its output transport: its main path, from frame to avatar and back.

Frames that are speech, or travel with it, go to the :class:`~pipecat_lemonslice.speech.output.SpeechOutput`; all others
pass. What session, speech and media report meets in :meth:`LemonSliceVideoService.handle`.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import aiohttp
from loguru import logger
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputImageRawFrame,
    ServiceUpdateSettingsFrame,
    StartFrame,
    SystemFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    UserStartedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.services.settings import ServiceSettings
from pipecat.utils.errors import ErrorCategory

from pipecat_lemonslice._pipecat import output_behind
from pipecat_lemonslice.api import LemonSliceApi, PictureSource, prepare_picture
from pipecat_lemonslice.call import Call, Event
from pipecat_lemonslice.errors import ConfigurationError, SessionError, origin
from pipecat_lemonslice.frames import AvatarActionFrame, AvatarImageFrame, AvatarKeepAliveFrame
from pipecat_lemonslice.media.relay import MediaRefused, VoiceReturned
from pipecat_lemonslice.reports import AvatarReports
from pipecat_lemonslice.rooms import open_room
from pipecat_lemonslice.session.control import Outcome, settled
from pipecat_lemonslice.session.events import (
    AvatarJoined,
    AvatarReady,
    ControlFailed,
    ControlSent,
    CreationDelayed,
    ErrorReported,
    PictureRefused,
    SessionCreated,
    SessionEnded,
    SessionState,
    StateChanged,
)
from pipecat_lemonslice.session.topology import JoinRoom, Relay, SharedTransport
from pipecat_lemonslice.settings import (
    Config,
    Fallback,
    LemonSliceVideoSettings,
    check_keywords,
    check_settings,
    default_settings,
)
from pipecat_lemonslice.speech.response import ResponseDone, ResponseStarted, WaitedInVain
from pipecat_lemonslice.speech.track import AvatarFailed

if TYPE_CHECKING:
    from pipecat.transports.daily.transport import DailyTransport

END_SECONDS = 5.0
"""How long an EndFrame waits for the end of the session, where it does."""


class LemonSliceVideoService(AvatarReports):
    """A LemonSlice avatar that speaks what the TTS says. Place it between the TTS and the output transport.

    Creates a self-managed session, joins its room, sends the speech there at the speed at which it is heard, and
    brings the avatar's voice and picture downstream. While there is no avatar, the TTS audio is heard. The service
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
        _api: LemonSliceApi | None = None,
        _open_room: JoinRoom | None = None,
        **kwargs: Any,
    ) -> None:
        """Create the service; nothing is sent before the pipeline is set up.

        Args:
            api_key: LemonSlice API key; ``LEMONSLICE_API_KEY`` if None.
            api_url: Address of the API; ``LEMONSLICE_API_URL`` if None, else the real one.
            agent_id: The avatar, by the id of an agent. Exactly one of this and the next two is given.
            agent_image_url: The avatar, by the address of a picture.
            agent_image: The avatar, by a picture (PIL image, bytes of a PNG or JPEG, or a path). It is also shown as
                the fallback image while there is no avatar; a picture given by its address is not.
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
            recording: ``enable_recording`` (``cloud``, ``cloud-audio-only``, ``local`` or ``raw-tracks``) and
                ``recordings_bucket`` (``bucket_name``, ``bucket_region``, ``assume_role_arn``), each with the other.
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
            ConfigurationError: A value is invalid; names the field and the remedy.
            TypeError: There is no such keyword.
        """
        given = locals()
        check_keywords(kwargs)
        complete = default_settings()
        if settings is not None:
            if not isinstance(settings, LemonSliceVideoSettings):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigurationError("settings must be LemonSliceVideoService.Settings(…).")
            check_settings(settings)
            complete.apply_update(settings)
        super().__init__(complete, needs_avatar=fallback == "fatal", **kwargs)
        config = Config(**{field.name: given[field.name] for field in fields(Config)})
        own = Relay(config, _open_room or open_room)
        self._topology = own if transport is None else SharedTransport(transport, config)
        self._config = self._topology.config
        self._config.check(complete)
        self._api = _api or LemonSliceApi(api_key=api_key, api_url=api_url, session=session)
        self._call: Call | None = None
        self._changing = asyncio.Lock()
        self._release: asyncio.Task[None] | None = None

    def is_avatar(self, participant: Mapping[str, Any] | str) -> bool:
        """Whether a participant of a shared room is the avatar and no person, for a bot's own event handlers.

        The name alone makes nobody an avatar: it carries the id of the token that was minted for it or, where no one
        does, it joined under the avatar's name after its session was asked for. A former session's avatar is one, too.

        Args:
            participant: As in the events of ``DailyTransport``, or its id.
        """
        return self._topology.is_avatar(participant)

    # Lifecycle.

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Ask for the session, which is created while the pipeline starts."""
        await super().setup(setup)
        self._call = Call(
            self,
            self._api,
            self._topology,
            settings=self._settings,
            forward=self.forward,
            emit=self.emit,
            pipeline_rate=setup.audio_out_sample_rate,
        )
        self._call.session.start()

    async def start(self, frame: StartFrame) -> None:
        """Begin to move speech and media."""
        await super().start(frame)
        self._topology.started()
        self.begin_handling()
        if call := self._call:
            call.running = asyncio.create_task(self.supervise(call.begin(output_behind(self))))

    async def stop(self, frame: EndFrame) -> None:
        """Let the last words be heard; the session ends while the EndFrame goes on."""
        await super().stop(frame)
        if call := self._call:
            try:
                await call.finish()
            except SessionError as error:
                self.emit(ErrorReported(error))
            await call.halt()
            if self._topology.shared or self.usage_metrics_enabled:
                # The session ends before the EndFrame gets to the transport, which then leaves a shared room, and to
                # whatever counts usage.
                with suppress(TimeoutError):
                    async with asyncio.timeout(END_SECONDS):
                        await call.session.close()
                await self.catch_up()

    async def cancel(self, frame: CancelFrame) -> None:
        """Stop speech and media, and begin to end the session."""
        await super().cancel(frame)
        if self._call:
            await self._call.halt()

    async def cleanup(self) -> None:
        """Release everything, once; the session has ended when this returns."""
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
            parts.push_async_callback(self.handle_the_rest)
            parts.push_async_callback(self._topology.close)
            if self._call:
                parts.push_async_callback(self._call.session.close)
                parts.push_async_callback(self._call.halt)

    # Frames.

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Route a frame: speech and what travels with it to the avatar, everything else on."""
        call = self._call
        if isinstance(frame, InterruptionFrame) and call:
            self._interrupt(call)
        await super().process_frame(frame, direction)
        match frame:
            case ServiceUpdateSettingsFrame() if frame.service is self or isinstance(frame.delta, self.Settings):
                await self.change_settings(frame.delta or self.Settings.from_mapping(frame.settings))
            case UserStartedSpeakingFrame() | TTSStartedFrame() | TTSAudioRawFrame() if call:
                call.session.woken.set()
            case BotStartedSpeakingFrame() if call:
                call.media.bot_silent.clear()
            case BotStoppedSpeakingFrame() if call:
                call.media.bot_silent.set()
            case AvatarKeepAliveFrame() if call:
                call.controls.keep_alive()
            case _:
                pass
        if call and _travels_with_speech(frame, direction):
            await call.speech.put(frame)
        else:
            await self.push_frame(frame, direction)

    def _interrupt(self, call: Call) -> None:
        """Drop what is being said; the avatar is told before anything else happens."""
        try:
            if call.speech.interrupt():
                call.media.interrupt()
        except Exception as error:  # the interruption must still reach the rest of the pipeline
            self.fail("interrupting", error)

    async def forward(self, frame: Frame) -> None:
        """Pass on a frame whose place in the speech has come."""
        match frame:
            case TTSAudioRawFrame() if self._config.fallback == "silent":
                return
            case AvatarImageFrame(image_url=image_url, image=image) if self._call:
                change = self.Settings(agent_image_url=image_url) if image_url else self.Settings(agent_image=image)
                self._call.controls.add(lambda: self.change_settings(change))
            case AvatarActionFrame(action=action) if self._call:
                self._call.controls.perform(action)
            case _:
                pass
        await self.push_frame(frame)

    def perform(self, action: str) -> "asyncio.Future[Outcome]":
        """Have the avatar perform an action now; without one, when it is there.

        Returns:
            What becomes of it; raises a LemonSliceError if it failed, which has been reported by then.
        """
        return self._call.controls.perform(action) if self._call else settled(Outcome.DROPPED)

    async def change_settings(self, delta: ServiceSettings) -> "asyncio.Future[Outcome]":
        """Check a change of settings, and apply it: to the session that exists now, and to all further ones.

        Returns:
            What becomes of it; raises a LemonSliceError if it was refused, which has been reported by then.
        """
        async with self._changing:  # a picture is read meanwhile, and a newer change must not come before it
            try:
                delta = self._config.change(self._settings, delta)
                if picture := delta.given_fields().get("agent_image"):
                    await asyncio.to_thread(prepare_picture, picture)
            except ConfigurationError as error:
                await self.push_error(f"Settings not changed: {error}", category=ErrorCategory.APPLICATION)
                return settled(error)
            await self._update_settings(delta)
        return self._call.configure(delta.given_fields()) if self._call else settled(Outcome.KEPT)

    # Events.

    async def handle(self, event: Event) -> None:
        """Act on what session, speech and media report, and tell the pipeline, the bot and the page."""
        call = self._call
        if call is None:
            return
        match event:
            case StateChanged(SessionState.LOST | SessionState.FAILED as state, detail):
                wait = self.note_absence(detail, final=state is SessionState.FAILED)
                await self.tell_state(state, detail, left=call.lose_avatar(wait=wait))
            case StateChanged(SessionState.DORMANT as state, detail):
                await self.tell_state(state, detail, left=call.go_dormant())
            case StateChanged(state, detail):
                await self.tell_state(state, detail)
            case CreationDelayed(reason, again_in):
                self.delay = reason
                if again_in >= call.timeouts.ready:
                    call.lose_avatar(wait=self.note_absence(reason))
            case SessionCreated(session_id):
                self.delay = ""
                await self.tell_handlers("on_session_created", session_id)
                call.controls.session_created()
            case SessionEnded():
                await self.tell_ended(event)
            case AvatarJoined():
                call.media.avatar_changed()
                await self.tell_handlers("on_avatar_connected")
            case AvatarReady():
                call.avatar_ready(event)
                await self.tell_handlers("on_avatar_ready")
            case ErrorReported():
                await self.report(call, event)
            case ControlSent():
                pass
            case ControlFailed(reason):
                await self.push_error(f"Control request failed: {reason}", category=ErrorCategory.APPLICATION)
            case PictureRefused(reason):
                call.controls.picture_refused(reason)
            case AvatarFailed(reason):
                call.session.give_up(reason)
            case MediaRefused(error):
                self.fail("taking in the avatar's voice", error)
            case ResponseStarted():
                await self.tell_started(call, event)
            case VoiceReturned(at):
                await self.tell_voice(at)
            case ResponseDone():
                await self.tell_done(call, event)
            case WaitedInVain(seconds):
                await self.wait_no_longer(call, seconds)

    def fail(self, what: str, error: Exception) -> None:
        """Handle an unexpected failure: it costs the session and never the call."""
        logger.error(f"Failed unexpectedly while {what}: {origin(error)}. Please report this.")
        if self._call:
            self._call.session.give_up(f"unexpected {type(error).__name__} while {what}")


def _travels_with_speech(frame: Frame, direction: FrameDirection) -> bool:
    """Pictures are shown when they come, the call ends by itself; everything else downstream keeps its place."""
    if direction is FrameDirection.UPSTREAM or isinstance(frame, SystemFrame | EndFrame):
        return False
    return not isinstance(frame, OutputImageRawFrame) or frame.sync_with_audio
