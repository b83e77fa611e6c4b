"""What the service tells the pipeline, the bot's event handlers and the page, in the order in which it came about.

Whatever happens is noted at once and told by one task, so that nobody who decides has to wait for who listens.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from loguru import logger
from pipecat.frames.frames import EndWorkerFrame, Frame
from pipecat.processors.frame_processor import FrameDirection
from pipecat.processors.frameworks.rtvi.frames import RTVIServerMessageFrame
from pipecat.utils.errors import ErrorCategory

from pipecat_lemonslice.errors import LemonSliceError
from pipecat_lemonslice.frames import (
    AvatarResponseDoneFrame,
    AvatarResponseStartedFrame,
    AvatarStatus,
    AvatarStatusFrame,
    response_message,
    status_message,
)
from pipecat_lemonslice.speech.response import DoneReason, ResponseDone, ResponseStarted

MAX_WAITING = 1000
"""What has not been told yet. Beyond that nobody listens, and news are dropped."""

CLOSE_TIMEOUT = 2.0
"""Seconds that telling the rest may take at the end."""

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


class Mouthpiece(Protocol):
    """The parts of a frame processor that are needed to tell something."""

    async def push_frame(self, frame: Frame, direction: FrameDirection = ...) -> None:
        """Push a frame."""
        ...

    async def broadcast_frame(self, frame_cls: type[Frame], **kwargs: Any) -> None:
        """Push a frame of a class both ways."""
        ...

    async def push_error(
        self, error_msg: str, exception: Exception | None = ..., *, category: ErrorCategory | None = ...
    ) -> None:
        """Push an ErrorFrame."""
        ...

    async def start_ttfb_metrics(self) -> None:
        """Begin to measure."""
        ...

    async def stop_ttfb_metrics(self) -> None:
        """Report what was measured."""
        ...


class Announcer:
    """Tells on behalf of a service. Notes never block."""

    def __init__(self, service: Mouthpiece, call_handlers: Callable[..., Awaitable[None]]) -> None:
        """Create an announcer with nothing to tell.

        Args:
            service: On whose behalf frames are pushed.
            call_handlers: Calls the event handlers of a name, with further arguments.
        """
        self._service = service
        self._call_handlers = call_handlers
        self._news: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue(MAX_WAITING)
        self._dropped = 0
        self._teller: asyncio.Task[None] | None = None
        self._status: tuple[AvatarStatus, str] | None = None
        self._response = 0
        self._started_at: float | None = None
        self._voice_lag = 0.0

    @property
    def voice_lag(self) -> float:
        """Seconds from the start of the last response to its first sound that came back; 0 before the first."""
        return self._voice_lag

    def start(self) -> None:
        """Begin to tell what has been noted, and what will be."""
        self._teller = asyncio.create_task(self._run(), name="lemonslice-announcer")

    async def close(self) -> None:
        """Tell the rest, and stop."""
        teller, self._teller = self._teller, None
        if teller:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await self._news.join()
            teller.cancel()
            await asyncio.gather(teller, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            tell = await self._news.get()
            try:
                await tell()
            except Exception as error:
                logger.error(f"The avatar's news could not be told: {type(error).__name__}")
            finally:
                self._news.task_done()

    def event(self, name: str, *args: Any) -> None:
        """Note that the handlers of an event are to be called."""
        self._note(lambda: self._call_handlers(name, *args))

    def status(self, status: AvatarStatus, detail: str) -> None:
        """Note where the avatar is; nothing is told twice."""
        if self._status == (status, detail):
            return
        self._status = (status, detail)
        self._note(lambda: self._service.broadcast_frame(AvatarStatusFrame, status=status, detail=detail))
        self._message(status_message(status, detail))

    def error(self, error: LemonSliceError, category: ErrorCategory) -> None:
        """Note a failure: one ErrorFrame. Its traceback stays here, as it leads through addresses and tokens."""
        error.__traceback__ = error.__context__ = error.__cause__ = None
        self._note(lambda: self._service.push_error(str(error), error, category=category))

    def end(self, reason: str) -> None:
        """Note that the pipeline is to end; it does when everything noted before has been told."""
        self._note(lambda: self._end(reason))

    async def _end(self, reason: str) -> None:
        await asyncio.sleep(0)  # handlers of events run as tasks, which begin now
        await self._service.push_frame(EndWorkerFrame(reason=reason), FrameDirection.UPSTREAM)

    def started(self, response: ResponseStarted, *, heard_here: bool) -> None:
        """Note the start of a response.

        Args:
            response: The response.
            heard_here: Whether the avatar speaks it, in a room where the bot hears it: only then can its first sound
                be waited for.
        """
        self._response = response.id
        self._started_at = asyncio.get_running_loop().time() if heard_here else None
        if heard_here:
            self._note(self._service.start_ttfb_metrics)
        self._note(lambda: self._service.broadcast_frame(AvatarResponseStartedFrame))
        self._message(response_message("started", response.id))
        self.event("on_response_started")

    def voice(self) -> None:
        """Note the avatar's first sound after silence; that of a response answers its start."""
        if self._started_at is None:
            return
        self._voice_lag = asyncio.get_running_loop().time() - self._started_at
        self._started_at = None
        self._note(self._service.stop_ttfb_metrics)
        self._message(response_message("voice", self._response, ttfb_ms=round(self._voice_lag * 1000)))

    def done(self, response: ResponseDone) -> None:
        """Note the end of a response. One that was cut off may never be heard."""
        if response.reason in (DoneReason.INTERRUPTED, DoneReason.AVATAR_LOST):
            self._started_at = None
        reason, seconds = str(response.reason), round(response.audio_seconds, 3)
        facts = {"reason": reason, "audio_seconds": seconds}
        self._note(lambda: self._service.broadcast_frame(AvatarResponseDoneFrame, **facts))
        self._message(response_message("done", response.id, **facts))
        self.event("on_response_done", reason, seconds)

    def _message(self, data: Mapping[str, Any]) -> None:
        self._note(lambda: self._service.push_frame(RTVIServerMessageFrame(data=data), FrameDirection.DOWNSTREAM))

    def _note(self, news: Callable[[], Awaitable[None]]) -> None:
        try:
            self._news.put_nowait(news)
        except asyncio.QueueFull:
            if not self._dropped:
                logger.warning("The avatar's news are not being taken: what comes now is dropped until they are")
            self._dropped += 1
        else:
            self._dropped = 0
