"""One avatar for the length of one pipeline: its session, its speech, its voice and picture, put together.

What the session and the speech report is turned here into what the pipeline, the bot and the page are told. Created
when the pipeline is set up, closed when it is cleaned up.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from loguru import logger
from pipecat.frames.frames import Frame, TTSAudioRawFrame, TTSStartedFrame
from pipecat.services.settings import ServiceSettings
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.utils.errors import ErrorCategory

from pipecat_lemonslice.announcer import Announcer, Mouthpiece
from pipecat_lemonslice.api import CreateSessionRequest, LemonSliceApi, PoseTrigger, ResetIdleTimeout
from pipecat_lemonslice.errors import LemonSliceError, SessionError, origin
from pipecat_lemonslice.frames import AvatarActionFrame, AvatarImageFrame, AvatarStatus
from pipecat_lemonslice.lifecycle import SessionOptions, SessionState
from pipecat_lemonslice.picture_relay import PictureRelay
from pipecat_lemonslice.relay import AvatarRelay
from pipecat_lemonslice.rooms import PictureReceived, VoiceReceived
from pipecat_lemonslice.session import AvatarSession
from pipecat_lemonslice.settings import LemonSliceVideoSettings, Timeouts, control_events, told_settings
from pipecat_lemonslice.shared_voice import SharedVoice
from pipecat_lemonslice.speech.output import Notice, Route, SpeechOutput, SpeechPorts, WaitedInVain
from pipecat_lemonslice.speech.response import ResponseDone, ResponseStarted
from pipecat_lemonslice.speech.track import Heard
from pipecat_lemonslice.still import StillPicture
from pipecat_lemonslice.visit import SessionLink

Fallback = Literal["voice", "silent", "fatal"]

DRAIN_MARGIN = 5.0
"""Seconds that the last words may take beyond their own length."""

FAILURE_PAUSE = 0.05
"""Seconds before a part of the call that failed unexpectedly goes on, so that it cannot keep the processor busy."""

MAX_ERRANDS = 100
"""Control requests that have not been answered yet. Further ones are refused, with one ErrorFrame."""

MAX_KEPT_ACTIONS = 20
"""Different actions that wait for a session."""

STATUS_OF_STATE = {
    SessionState.CREATING: AvatarStatus.CALLING,
    SessionState.JOINING: AvatarStatus.JOINING,
    SessionState.WAITING: AvatarStatus.JOINING,
    SessionState.READY: AvatarStatus.HERE,
    SessionState.DORMANT: AvatarStatus.DORMANT,
    SessionState.LOST: AvatarStatus.LOST,
    SessionState.FAILED: AvatarStatus.VOICE_ONLY,
    SessionState.ENDED: AvatarStatus.ENDED,
}


class Host(Mouthpiece, Protocol):
    """The frame processor that the avatar lives in."""

    def create_task(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run something beside the pipeline."""
        ...

    async def change_settings(self, delta: LemonSliceVideoSettings) -> None:
        """Check a change of settings, and apply it."""
        ...


@dataclass(frozen=True, slots=True)
class AvatarOptions:
    """What an avatar needs to know.

    Parameters:
        session: About its session.
        settings: Gives the settings as they are now.
        timeouts: How long to be patient.
        sample_rate: Rate of the speech it takes, in Hz.
        fallback: What becomes of speech without it.
        pipeline_time: The pipeline clock, in nanoseconds.
        shared: Whether people have the avatar straight from its room.
        still: What is seen while the plain voice is heard; None for nothing.
    """

    session: SessionOptions
    settings: Callable[[], ServiceSettings]
    timeouts: Timeouts
    sample_rate: int
    fallback: Fallback
    pipeline_time: Callable[[], int]
    shared: bool = False
    still: StillPicture | None = None


class Avatar:
    """See the module. Asks for its session at once; moves nothing before :meth:`start`."""

    def __init__(self, host: Host, announcer: Announcer, api: LemonSliceApi, options: AvatarOptions) -> None:
        """Ask for the session."""
        self._host = host
        self._announcer = announcer
        self._fallback = options.fallback
        self._timeouts = options.timeouts
        self._still = options.still
        self._missing = ""
        self._delay = ""
        self._reported = ""
        self._fallen_back = self._given_up = False
        self._tasks: list[asyncio.Task[None]] = []
        self._errands: set[asyncio.Task[None]] = set()
        self._one_errand = asyncio.Lock()
        self._speech = SpeechOutput(
            SpeechPorts(self._forward, self._notice, options.pipeline_time, self._sounds, self._heard),
            sample_rate=options.sample_rate,
            done_timeout=options.timeouts.response_done,
            hold_timeout=options.timeouts.response_hold,
            ready_timeout=options.timeouts.ready,
        )
        self._relay = self._voice(options.shared)
        self._pictures: PictureRelay | None = None
        self._settings = options.settings
        self._told = told_settings(options.settings())
        self._actions: dict[str, None] = {}
        self._make_request = options.session.request
        self._session = AvatarSession(api, replace(options.session, request=self._request), self)
        self._session.start()

    async def _request(self) -> CreateSessionRequest:
        """Make the request for the next session of the settings as they are now."""
        self._told = told_settings(self._settings())
        return await self._make_request()

    def _voice(self, shared: bool) -> AvatarRelay | SharedVoice:
        if shared:
            return SharedVoice(self._host.broadcast_frame, avatar_speaks=lambda: self._speech.route is Route.AVATAR)
        return AvatarRelay(
            self._host.push_frame,
            voice_wanted=self._voice_wanted,
            on_voice=self._announcer.voice,
            sounding_since=lambda: self._speech.sounding_since,
        )

    def start(self, output: BaseOutputTransport | None) -> None:
        """Begin to move speech and media.

        Args:
            output: The output transport that shows the avatar's pictures; None if there is none.
        """
        runs = [(self._speech.run, "moving speech"), (self._relay.run, "moving the avatar's voice")]
        if isinstance(self._relay, AvatarRelay):
            self._pictures = PictureRelay(self._host.push_frame, output)
            runs.append((self._pictures.run, "moving the avatar's picture"))
        self._tasks += [self._host.create_task(self._supervise(run, what)) for run, what in runs]

    async def _supervise(self, run: Callable[[], Coroutine[Any, Any, None]], what: str) -> None:
        """Run a part of the call until cancelled. A failure in it costs the session and never the call."""
        while True:
            try:
                await run()
            except Exception as error:
                self._fail(what, error)
                await asyncio.sleep(FAILURE_PAUSE)

    def _fail(self, what: str, error: Exception) -> None:
        logger.error(f"Failed unexpectedly while {what}: {origin(error)}. Please report this.")
        self._session.give_up(f"unexpected {type(error).__name__} while {what}")

    async def put(self, frame: Frame) -> None:
        """Take in a frame that is speech, or travels with it."""
        if isinstance(frame, TTSStartedFrame | TTSAudioRawFrame):
            self.wake()
        await self._speech.put(frame)

    def wake(self) -> None:
        """Have a session created, if the last one ended because nobody spoke."""
        self._session.wake()

    def interrupt(self) -> None:
        """Drop what is being said; the avatar is told before anything else happens."""
        try:
            if self._speech.interrupt():
                self._relay.interrupt()
        except Exception as error:  # the interruption must still reach the rest of the pipeline
            self._fail("interrupting", error)

    def configure(self, timeouts: Timeouts) -> None:
        """Change how long to be patient."""
        self._timeouts = timeouts
        self._speech.configure(
            done_timeout=timeouts.response_done, hold_timeout=timeouts.response_hold, ready_timeout=timeouts.ready
        )

    def settings_changed(self) -> None:
        """Tell the session that exists now what has changed. Without one, the next request says it."""
        if self._session.session_id:
            self._run_errand(self._tell_settings)

    def keep_alive(self) -> None:
        """Reset the idle timeout of the session that exists now, if there is one."""
        if self._session.session_id:
            self._run_errand(lambda: self._session.control(ResetIdleTimeout()))

    def _act(self, action: str) -> None:
        """Have the avatar perform an action; without a session, each action is kept once for the next one."""
        if self._session.session_id:
            self._run_errand(lambda: self._perform(action))
        elif self._session.state is SessionState.FAILED or len(self._actions) >= MAX_KEPT_ACTIONS:
            logger.debug(f"The action {action[:40]!r} is dropped: there is no session that could perform it")
        else:
            self._actions[action] = None

    def _run_errand(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something beside the pipeline, one thing after the other. A failure is reported, and harms nothing."""
        if len(self._errands) > MAX_ERRANDS:
            return
        if len(self._errands) == MAX_ERRANDS:  # one more request: it reports the refusal, once
            work = self._refuse
        errand = self._host.create_task(self._do(work))
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)

    async def _do(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            async with self._one_errand:
                await work()
        except LemonSliceError as error:
            await self._host.push_error(f"Control request failed: {error}", category=ErrorCategory.APPLICATION)
        except Exception as error:
            logger.error(f"Failed unexpectedly: {origin(error)}. Please report this.")
            failed = f"Control request failed: unexpected {type(error).__name__}"
            await self._host.push_error(failed, category=ErrorCategory.APPLICATION)

    async def _show(self, picture: LemonSliceVideoSettings) -> None:
        await self._host.change_settings(picture)
        await self._tell_settings()

    async def _tell_settings(self) -> None:
        if self._session.session_id is None:
            return
        settings = self._settings()
        events = control_events(settings, self._told)
        self._told = told_settings(settings)
        for event in events:
            await self._session.control(event)

    async def _perform(self, action: str) -> None:
        if self._session.session_id:
            await self._session.control(PoseTrigger(action))
        else:  # the session has been lost meanwhile
            self._act(action)

    async def _refuse(self) -> None:
        raise SessionError(f"{MAX_ERRANDS} requests wait for an answer, so further ones are dropped")

    async def finish(self) -> None:
        """Let the last words be heard, in bounded time."""
        patience = self._speech.unheard_seconds + self._timeouts.ready + DRAIN_MARGIN
        try:
            async with asyncio.timeout(patience):
                await self._speech.drain()
                await self._relay.wait_until_quiet(self._announcer.voice_lag)
                if self._relay.unanswered(self._speech.sounded_until):
                    self._speech.avatar_gone()
                await self._speech.drain()  # once more, for what an avatar left unsaid that is gone, or mute
        except TimeoutError:
            late = SessionError(f"the last words were not spoken within {patience:.1f} s")
            self._announcer.error(late, late.category)

    async def stop(self) -> None:
        """Move nothing any more, and begin to end the session; idempotent."""
        tasks, self._tasks = [*self._tasks, *self._errands], []
        self._speech.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._session.begin_close()

    async def end(self, within: float) -> None:
        """Move nothing any more, and give the session so many seconds to end."""
        await self.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._session.close()

    async def close(self) -> None:
        """End the session, and return when it has ended; idempotent."""
        await self.stop()
        await self._session.close()

    # What the speech reports.

    async def _forward(self, frame: Frame) -> None:
        match frame:
            case TTSAudioRawFrame() if self._fallback == "silent":
                return
            case AvatarImageFrame(image_url=str() as image_url):
                self._run_errand(lambda: self._show(LemonSliceVideoSettings(agent_image_url=image_url)))
            case AvatarImageFrame(image=image):
                self._run_errand(lambda: self._show(LemonSliceVideoSettings(agent_image=image)))
            case AvatarActionFrame(action=action):
                self._act(action)
            case _:
                pass
        await self._host.push_frame(frame)

    def _notice(self, notice: Notice) -> None:
        match notice:
            case ResponseStarted():
                heard_here = isinstance(self._relay, AvatarRelay) and self._speech.route is Route.AVATAR
                self._announcer.started(notice, heard_here=heard_here)
                self._relay.expect_voice(self._announcer.voice_lag)
                if self._speech.route is Route.VOICE:
                    self._fall_back()
            case ResponseDone():
                self._announcer.done(notice)
                self._relay.response_over()
            case WaitedInVain(seconds):
                self._missing = self._missing or self._delay or f"the avatar was not ready within {seconds:g} s"
                self._fall_back()
                if self._fallback == "fatal":
                    if self._missing != self._reported:
                        self.session_error(SessionError(f"no avatar after {seconds:g} s: {self._missing}"))
                    self._give_up(self._missing)

    def _fall_back(self) -> None:
        """Tell that speech is heard without the avatar, and why: once until the avatar is there."""
        if self._missing and not self._fallen_back:
            self._fallen_back = True
            self._announcer.status(AvatarStatus.VOICE_ONLY, self._missing)
            self._announcer.event("on_fallback", self._missing)
            if self._still:
                self._run_errand(self._show_still)

    async def _show_still(self) -> None:
        picture = await self._still.picture() if self._still else None
        if picture and self._pictures and not self._speech.has_avatar:
            self._pictures.feed(picture)

    def _sounds(self) -> bool:
        return self._relay.sounds()

    def _heard(self) -> Heard:
        return self._relay.heard()

    def _voice_wanted(self) -> bool:
        return self._speech.route is not Route.VOICE

    # What the session reports; see `SessionListener`.

    def session_state(self, state: SessionState, detail: str) -> None:
        """Tell people where the avatar is."""
        self._announcer.status(STATUS_OF_STATE[state], detail)
        if state is SessionState.DORMANT:
            self._fall_asleep(detail)
        if state is SessionState.FAILED:
            self._actions.clear()

    def _fall_asleep(self, reason: str) -> None:
        if self._speech.has_avatar:
            self._announcer.event("on_avatar_disconnected", reason)
        self._speech.avatar_gone()
        self._relay.avatar_gone()
        self._missing, self._fallen_back = "", False
        self._speech.avatar_coming()
        if self._speech.unheard_seconds:
            self.wake()

    def session_delayed(self, reason: str, again_in: float) -> None:
        """The creation is repeated, perhaps too late for speech that waits."""
        self._delay = reason
        if again_in >= self._timeouts.ready:
            self.avatar_gone(reason)

    def session_created(self, session_id: str) -> None:
        """A session exists."""
        self._delay = ""
        self._announcer.event("on_session_created", session_id)
        self.settings_changed()
        actions, self._actions = self._actions, {}
        for action in actions:
            self._act(action)

    def session_ended(self, session_id: str, cost: float | None) -> None:
        """A session is over."""
        self._announcer.event("on_session_ended", session_id, cost)

    def session_error(self, error: LemonSliceError) -> None:
        """Something failed."""
        self._reported = str(error)
        # In Pipecat a permanent category marks the service as useless for good, and may end the call.
        useless = self._fallback == "fatal" and self._session.state is SessionState.FAILED
        lasting = error.category.is_permanent and not useless
        self._announcer.error(error, ErrorCategory.APPLICATION if lasting else error.category)
        if useless:
            self._give_up(str(error))

    def avatar_joined(self) -> None:
        """The avatar is in the room."""
        self._relay.avatar_joined()
        self._announcer.event("on_avatar_connected")

    def avatar_ready(self, link: SessionLink) -> None:
        """The avatar speaks from the next response on."""
        self._missing, self._fallen_back = "", False
        self._speech.avatar_here(link)
        self._announcer.event("on_avatar_ready")

    def avatar_gone(self, reason: str) -> None:
        """The avatar cannot speak; what it was saying, and what waits for it, is heard as plain voice, unless fatal."""
        present = self._speech.has_avatar
        # Without the avatar the call would end, so speech waits for the next one as it did for the first.
        awaited = self._fallback == "fatal" and self._session.state is not SessionState.FAILED
        if awaited:
            self._delay = reason
        else:
            self._missing = reason
        if present:
            self._announcer.event("on_avatar_disconnected", reason)
        if present or not awaited:
            self._speech.avatar_gone()
            self._relay.avatar_gone()
        if present and awaited:
            self._speech.avatar_coming()

    def avatar_media(self, media: VoiceReceived | PictureReceived) -> None:
        """The avatar is heard or seen."""
        if not self._tasks:
            return
        if isinstance(media, VoiceReceived):
            self._relay.feed(media)
        elif self._pictures:
            self._pictures.feed(media)

    def _give_up(self, reason: str) -> None:
        """End the pipeline, and create no further session."""
        if self._given_up:
            return
        self._given_up = True
        logger.error(f"The pipeline ends, because there is no avatar and fallback='fatal': {reason}")
        self._missing = reason
        self._fall_back()
        self._announcer.end(f"no avatar: {reason}")
        self._session.begin_close()
