"""The stream of events of a service, and what it tells the pipeline, the bot's event handlers and the page."""

import asyncio
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from loguru import logger
from pipecat.frames.frames import EndWorkerFrame, Frame, MetricsFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.processors.frameworks.rtvi.frames import RTVIServerMessageFrame
from pipecat.services.ai_service import AIService
from pipecat.services.settings import ServiceSettings
from pipecat.utils.errors import ErrorCategory

from pipecat_lemonslice.call import Call, Event, Run
from pipecat_lemonslice.errors import LemonSliceError, SessionError
from pipecat_lemonslice.frames import (
    AvatarResponseDoneFrame,
    AvatarResponseStartedFrame,
    AvatarStatus,
    AvatarStatusFrame,
    AvatarUsageMetricsData,
    response_message,
    status_message,
)
from pipecat_lemonslice.session.events import ErrorReported, SessionCreated, SessionEnded, SessionState
from pipecat_lemonslice.speech.response import DoneReason, ResponseDone, ResponseStarted, Route

if TYPE_CHECKING:
    from pipecat_lemonslice.tracing import AvatarSpans

MAX_EVENTS = 10_000
"""Events that wait to be handled. More wait only where a processor keeps the pipeline from moving."""

CLOSE_TIMEOUT = 2.0
"""Seconds that handling the rest of them may take at the end."""

FAILURE_PAUSE = 0.05
"""Seconds before a part of the call that failed unexpectedly goes on, so that it cannot keep the processor busy."""

EVENTS = (
    "on_session_created",
    "on_avatar_connected",
    "on_avatar_ready",
    "on_avatar_disconnected",
    "on_response_started",
    "on_response_done",
    "on_fallback",
    "on_session_ended",
)


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


class AvatarReports(AIService):
    """Base of the service: queues events, and reports them as frames, event handler calls and RTVI messages."""

    def __init__(self, settings: ServiceSettings, *, needs_avatar: bool, **kwargs: Any) -> None:
        """Create a service that has told nothing yet.

        Args:
            settings: Its settings.
            needs_avatar: Whether the pipeline ends when there is no avatar.
            **kwargs: For the base class.
        """
        super().__init__(settings=settings, **kwargs)  # pyright: ignore[reportUnknownMemberType]
        self.delay = ""
        """Why the avatar is late; empty if that is not known."""
        self._needs_avatar = needs_avatar
        self._missing = ""
        """Why speech is heard without the avatar; empty while it need not be."""
        self._reported = ""
        """What was reported last as an error."""
        self._fallen_back = self._given_up = False
        """Whether it has been told that there is no avatar, and whether the pipeline is being ended."""
        self._waiting: asyncio.Queue[Event] = asyncio.Queue(MAX_EVENTS)
        self._handling: asyncio.Task[None] | None = None
        self._status: tuple[AvatarStatus, str] | None = None
        self._response = 0
        self._started_at: float | None = None
        self._log_labels: dict[str, Any] = {}
        self._spans: AvatarSpans | None = None
        for event in EVENTS:
            self._register_event_handler(event)

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Keep spans, where Pipecat keeps a trace."""
        await super().setup(setup)
        if setup.enable_tracing and setup.tracing_context:
            from pipecat_lemonslice.tracing import AvatarSpans

            self._spans = AvatarSpans(setup.tracing_context)

    # The stream.

    def emit(self, event: Event) -> None:
        """Add an event to the stream; never blocks."""
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            logger.error("Event queue full, dropping avatar events. Is a processor blocking the pipeline?")

    @abstractmethod
    async def handle(self, event: Event) -> None:
        """Act on an event."""

    @abstractmethod
    def fail(self, what: str, error: Exception) -> None:
        """Handle an unexpected failure."""

    def begin_handling(self) -> None:
        """Begin to handle what has been added, and what will be."""
        self._handling = asyncio.create_task(self.supervise({"handling events": self._handle_all}))

    async def catch_up(self) -> None:
        """Wait until all events so far have been handled, in bounded time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._waiting.join()

    async def handle_the_rest(self) -> None:
        """Handle what is left, in bounded time, and stop."""
        handling, self._handling = self._handling, None
        if handling:
            await self.catch_up()
            handling.cancel()
            await asyncio.gather(handling, return_exceptions=True)
        if self._spans:
            self._spans.close()

    async def supervise(self, parts: Mapping[str, Run]) -> None:
        """Run parts of the call until cancelled. A failure in one costs the session and never the call.

        Args:
            parts: Each by what it does, in words for people.
        """
        tasks = {asyncio.create_task(run()): what for what, run in parts.items()}
        try:
            while True:
                failed, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in failed:
                    what = tasks.pop(task)
                    if error := cast("Exception | None", task.exception()):
                        self.fail(what, error)
                    tasks[asyncio.create_task(self._run_again(parts[what]))] = what
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run_again(self, run: Run) -> None:
        await asyncio.sleep(FAILURE_PAUSE)
        await run()

    async def _handle_all(self) -> None:
        while True:
            event = await self._waiting.get()
            # Log lines of the service, and of the bot's event handlers, carry the session and the response.
            match event:
                case SessionCreated(session_id):
                    self._log_labels["session_id"] = session_id
                case ResponseStarted(number):
                    self._log_labels["response_id"] = number
                case _:
                    pass
            if self._spans:
                self._spans.note(event)
            try:
                with logger.contextualize(**self._log_labels):
                    await self.handle(event)
            finally:
                self._waiting.task_done()
            match event:
                case ResponseDone():
                    self._log_labels.pop("response_id", None)
                case SessionEnded(session_id) if self._log_labels.get("session_id") == session_id:
                    del self._log_labels["session_id"]
                case _:
                    pass

    # What is told.

    def can_generate_metrics(self) -> bool:
        """Return True.

        TTFB is the time from the first speech sent to the avatar to the first sound that comes back; processing time is
        that from the first audio of a response to its end.
        """
        return True

    async def broadcast_frame(self, frame_cls: type[Frame], **kwargs: Any) -> None:
        """Push a frame of a class both ways."""
        await super().broadcast_frame(frame_cls, **kwargs)  # pyright: ignore[reportUnknownMemberType]

    async def tell_handlers(self, name: str, *args: Any) -> None:
        """Call the bot's handlers of an event."""
        await self._call_event_handler(name, *args)  # pyright: ignore[reportUnknownMemberType]

    async def tell_page(self, data: Mapping[str, Any]) -> None:
        """Send an RTVI server message."""
        await self.push_frame(RTVIServerMessageFrame(data=data), FrameDirection.DOWNSTREAM)

    async def tell_state(self, state: SessionState, detail: str, *, left: bool = False) -> None:
        """Tell the status that follows from the session's state, and whether the avatar has left."""
        if state in (SessionState.READY, SessionState.DORMANT):
            self._missing, self._fallen_back = "", False
        await self.tell_status(STATUS_OF_STATE[state], detail)
        if left:
            await self.tell_handlers("on_avatar_disconnected", detail)

    async def tell_status(self, status: AvatarStatus, detail: str) -> None:
        """Tell where the avatar is; nothing is told twice."""
        if self._status == (status, detail):
            return
        self._status = (status, detail)
        await self.broadcast_frame(AvatarStatusFrame, status=status, detail=detail)
        await self.tell_page(status_message(status, detail))

    async def tell_error(self, error: LemonSliceError, *, useless: bool = False) -> None:
        """Push one ErrorFrame. Its traceback stays here, as it leads through addresses and tokens.

        Args:
            error: What failed.
            useless: Whether the service can do nothing more. Only then may its category be a permanent one: in
                Pipecat that marks a service as unusable for good, and may end the call.
        """
        category = error.category
        if category.is_permanent and not useless:
            category = ErrorCategory.APPLICATION
        error.__traceback__ = error.__context__ = error.__cause__ = None
        await self.push_error(str(error), error, category=category)

    async def tell_end(self, reason: str) -> None:
        """End the pipeline."""
        await asyncio.sleep(0)  # handlers of events run as tasks, which begin now
        await self.push_frame(EndWorkerFrame(reason=reason), FrameDirection.UPSTREAM)

    async def tell_started(self, call: Call, started: ResponseStarted) -> None:
        """Tell that a response has begun. Its first sound is waited for where the bot hears the avatar speak it."""
        by_avatar = started.route is Route.AVATAR
        if by_avatar and call.speaking:
            call.speaking.started()
        self._response, self._started_at = started.id, None
        if by_avatar and not call.speaking:
            self._started_at = asyncio.get_running_loop().time()
            await self.start_ttfb_metrics()
        await self.start_processing_metrics()
        await self.broadcast_frame(AvatarResponseStartedFrame)
        await self.tell_page(response_message("started", started.id))
        await self.tell_handlers("on_response_started")
        if not by_avatar:
            await self.fall_back(call)

    async def tell_voice(self, at: float) -> None:
        """Tell that the avatar's voice begins after silence; the first time in a response ends its TTFB."""
        if self._started_at is None:
            return
        ttfb_ms, self._started_at = round((at - self._started_at) * 1000), None
        await self.stop_ttfb_metrics()
        await self.tell_page(response_message("voice", self._response, ttfb_ms=ttfb_ms))

    async def tell_done(self, call: Call, response: ResponseDone) -> None:
        """Tell that a response is over. After an interruption or a loss its voice is no longer waited for."""
        if call.speaking:
            call.speaking.stopped()
        if response.reason in (DoneReason.INTERRUPTED, DoneReason.AVATAR_LOST):
            self._started_at = None
        await self.stop_processing_metrics()
        reason, seconds = str(response.reason), round(response.audio_seconds, 3)
        await self.broadcast_frame(AvatarResponseDoneFrame, reason=reason, audio_seconds=seconds)
        await self.tell_page(response_message("done", response.id, reason=reason, audio_seconds=seconds))
        await self.tell_handlers("on_response_done", reason, seconds)

    async def tell_ended(self, ended: SessionEnded) -> None:
        """Tell that a session is over, and what it has cost."""
        if self.usage_metrics_enabled:
            usage = AvatarUsageMetricsData(
                processor=self.name, session_id=ended.session_id, seconds=round(ended.seconds, 3), cost=ended.cost
            )
            await self.push_frame(MetricsFrame(data=[usage]))
        await self.tell_handlers("on_session_ended", ended.session_id, ended.cost)

    # Outages.

    def note_absence(self, reason: str, *, final: bool = False) -> bool:
        """Keep in mind why there is no avatar, and whether that is for good.

        Returns:
            Whether speech waits for the next one: the call is to end without an avatar, and one may come.
        """
        if self._needs_avatar and not final:
            self.delay = reason
            return True
        self._missing = reason
        return False

    async def wait_no_longer(self, call: Call, seconds: float) -> None:
        """Tell that speech waited for the avatar as long as it may."""
        self._missing = self._missing or self.delay or f"the avatar was not ready within {seconds:g} s"
        await self.fall_back(call)
        if self._needs_avatar:
            if self._missing != self._reported:
                error = SessionError(f"no avatar after {seconds:g} s: {self._missing}")
                await self.report(call, ErrorReported(error))
            await self._give_up(call, self._missing)

    async def fall_back(self, call: Call) -> None:
        """Tell that speech is heard without the avatar, and why: once until the avatar is there."""
        if not self._missing or self._fallen_back:
            return
        self._fallen_back = True
        await self.tell_status(AvatarStatus.VOICE_ONLY, self._missing)
        await self.tell_handlers("on_fallback", self._missing)
        await call.show_fallback_image()

    async def report(self, call: Call, report: ErrorReported) -> None:
        """Push one ErrorFrame; one for good ends a call that needs the avatar."""
        self._reported = str(report.error)
        useless = self._needs_avatar and report.final
        await self.tell_error(report.error, useless=useless)
        if useless:
            await self._give_up(call, self._reported)

    async def _give_up(self, call: Call, reason: str) -> None:
        """End the pipeline, and create no further session."""
        if self._given_up:
            return
        self._given_up = True
        logger.error(f"The pipeline ends, because there is no avatar and fallback='fatal': {reason}")
        self._missing = reason
        await self.fall_back(call)
        call.session.begin_close()
        await self.tell_end(f"no avatar: {reason}")
