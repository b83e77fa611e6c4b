"""What is told: in order, by one task, never by whoever notes it; bounded, and once."""

import asyncio
from typing import Any

import pytest
from pipecat.frames.frames import Frame
from pipecat.processors.frame_processor import FrameDirection
from pipecat.processors.frameworks.rtvi.frames import RTVIServerMessageFrame
from pipecat.utils.errors import ErrorCategory

from pipecat_lemonslice.announcer import CLOSE_TIMEOUT, MAX_WAITING, Announcer
from pipecat_lemonslice.errors import RoomError
from pipecat_lemonslice.frames import AvatarStatus
from pipecat_lemonslice.speech.response import DoneReason, ResponseDone, ResponseStarted
from tests.support.virtual_time import virtual_time


class Service:
    """Keeps what it is told to push; may be slow, or fail once."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.delay = 0.0
        self.failure: Exception | None = None
        self.announcer = Announcer(self, self._handle)

    async def _handle(self, name: str, *args: Any) -> None:
        await self._tell((name, *args))

    async def _tell(self, news: Any) -> None:
        await asyncio.sleep(self.delay)
        if self.failure:
            failure, self.failure = self.failure, None
            raise failure
        self.told.append(news)

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        assert isinstance(frame, RTVIServerMessageFrame)
        await self._tell(frame.data)

    async def broadcast_frame(self, frame_cls: type[Frame], **kwargs: Any) -> None:
        await self._tell((frame_cls.__name__, kwargs))

    async def push_error(
        self, error_msg: str, exception: Exception | None = None, *, category: ErrorCategory | None = None
    ) -> None:
        await self._tell(("error", error_msg, category))

    async def start_ttfb_metrics(self) -> None:
        await self._tell("ttfb starts")

    async def stop_ttfb_metrics(self) -> None:
        await self._tell("ttfb stops")

    def messages(self) -> list[Any]:
        return [news for news in self.told if isinstance(news, dict)]


DONE = ResponseDone(1, DoneReason.STOPPED, 1.23456)


@virtual_time
async def test_a_response_is_told_to_everybody_in_order() -> None:
    """Metrics, frames both ways, the page and the handlers; from its start over the first voice to its end."""
    service = Service()
    service.announcer.start()
    service.announcer.started(ResponseStarted(1), heard_here=True)
    await asyncio.sleep(0.25)
    service.announcer.voice()
    service.announcer.done(DONE)
    await service.announcer.close()
    facts = {"reason": "stopped", "audio_seconds": 1.235}
    assert service.told == [
        "ttfb starts",
        ("AvatarResponseStartedFrame", {}),
        {"type": "lemonslice-response", "event": "started", "id": 1},
        ("on_response_started",),
        "ttfb stops",
        {"type": "lemonslice-response", "event": "voice", "id": 1, "ttfb_ms": 250},
        ("AvatarResponseDoneFrame", facts),
        {"type": "lemonslice-response", "event": "done", "id": 1, **facts},
        ("on_response_done", "stopped", 1.235),
    ]
    assert service.announcer.voice_lag == 0.25


@virtual_time
async def test_the_first_voice_is_told_once_for_each_response() -> None:
    """Sound without a response, and more of it, is no news."""
    service = Service()
    service.announcer.start()
    service.announcer.voice()
    service.announcer.started(ResponseStarted(1), heard_here=True)
    service.announcer.voice()
    service.announcer.voice()
    await service.announcer.close()
    assert [message["event"] for message in service.messages()] == ["started", "voice"]


@pytest.mark.parametrize(
    ("reason", "events"),
    [
        (DoneReason.STOPPED, ["started", "done", "voice"]),
        (DoneReason.INTERRUPTED, ["started", "done"]),
        (DoneReason.AVATAR_LOST, ["started", "done"]),
    ],
)
@virtual_time
async def test_the_voice_of_a_response_that_was_cut_off_is_not_waited_for(
    reason: DoneReason, events: list[str]
) -> None:
    """A short one may be heard after it is over; one that was cut off may never be."""
    service = Service()
    service.announcer.start()
    service.announcer.started(ResponseStarted(1), heard_here=True)
    service.announcer.done(ResponseDone(1, reason, 0.1))
    service.announcer.voice()
    await service.announcer.close()
    assert [message["event"] for message in service.messages()] == events


@virtual_time
async def test_a_status_is_told_once() -> None:
    """The same again is no news, another detail is."""
    service = Service()
    service.announcer.start()
    for detail in ("a", "a", "b"):
        service.announcer.status(AvatarStatus.LOST, detail)
    await service.announcer.close()
    assert [message["detail"] for message in service.messages()] == ["a", "b"]


@virtual_time
async def test_what_was_noted_before_the_start_is_told_then() -> None:
    """The session is asked for before the pipeline has started."""
    service = Service()
    service.announcer.event("on_session_created", "s")
    await asyncio.sleep(1.0)
    assert service.told == []
    service.announcer.start()
    await service.announcer.close()
    assert service.told == [("on_session_created", "s")]


@virtual_time
async def test_an_error_is_one_errorframe_with_its_category() -> None:
    """And the words of the error."""
    service = Service()
    service.announcer.start()
    service.announcer.error(RoomError("dark"), ErrorCategory.CONNECTIVITY)
    await service.announcer.close()
    assert service.told == [("error", "dark", ErrorCategory.CONNECTIVITY)]


@virtual_time
async def test_a_handler_that_fails_does_not_stop_the_news() -> None:
    """The next ones are told."""
    service = Service()
    service.failure = RuntimeError("the handler's own")
    service.announcer.start()
    service.announcer.event("first")
    service.announcer.event("second")
    await service.announcer.close()
    assert service.told == [("second",)]


@virtual_time
async def test_noting_never_blocks_and_is_bounded() -> None:
    """With nobody who takes the news, only so many wait."""
    service = Service()
    service.delay = 1000.0
    service.announcer.start()
    for number in range(3 * MAX_WAITING):
        service.announcer.event("news", number)
    assert service.announcer._news.qsize() == MAX_WAITING
    started = asyncio.get_running_loop().time()
    await service.announcer.close()
    assert asyncio.get_running_loop().time() - started == CLOSE_TIMEOUT


@virtual_time
async def test_closing_without_a_start_and_twice() -> None:
    """Nothing to tell, nothing to wait for."""
    service = Service()
    await service.announcer.close()
    service.announcer.start()
    await service.announcer.close()
    await service.announcer.close()
