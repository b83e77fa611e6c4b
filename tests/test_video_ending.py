"""Every way out: the last words are heard, every session that was created is terminated, nothing hangs."""

import asyncio
from typing import Any

import pytest
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    CancelFrame,
    EndFrame,
    Frame,
    SpeechOutputAudioRawFrame,
    TTSAudioRawFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor, FrameProcessorSetup

from pipecat_lemonslice import AvatarResponseDoneFrame
from pipecat_lemonslice.api import CreatedSession
from tests.support.memory import MemoryVendor
from tests.support.stage import Stage, WorkerStage, avatar_here, said, speech, tone


async def test_the_goodbye_is_heard_to_its_end() -> None:
    """EndFrame passes when the last words have come back; then the session is terminated, and its room left."""
    async with avatar_here(room={"track": True}) as (stage, room):
        await stage.send(speech(1.0), 3.0)
        started = stage.now
        await stage.send(speech(2.005))
        await stage.end()
        assert room.speech.startswith(tone(1.0) + tone(2.005))
        assert 2.25 <= stage.now - started <= 2.25 + 1.0
        assert len(stage.voice.strip(b"\0")) >= 2 * 24000 * 3 - 2 * 1920
        assert stage.reasons[-1] == "stopped"
    assert stage.vendor.created == stage.vendor.terminated == ["session-1"]
    assert ("on_session_ended", "session-1", 1.5) in stage.events
    assert room.closed
    assert stage.vendor.closed


async def test_a_response_that_the_end_cuts_off_counts_what_was_written() -> None:
    """Also what was handed over and plays on."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(2.0), 0.5)
        await stage.cancel()
        [done] = stage.down(AvatarResponseDoneFrame)
        assert (done.reason, done.audio_seconds) == ("ended", len(room.speech) / (2 * 24000))


class LateOutput(FrameProcessor):
    """An output transport that notices so many seconds after the last sound that the bot has stopped."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds, self._sounded_at, self.speaking = seconds, 0.0, False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        now = asyncio.get_running_loop().time()
        if isinstance(frame, SpeechOutputAudioRawFrame):
            if any(frame.audio):
                self._sounded_at = now
            if any(frame.audio) and not self.speaking:
                self.speaking = True
                await self.push_frame(BotStartedSpeakingFrame(), FrameDirection.UPSTREAM)
            elif self.speaking and now - self._sounded_at >= self._seconds:
                self.speaking = False
                await self.push_frame(BotStoppedSpeakingFrame(), FrameDirection.UPSTREAM)
        await self.push_frame(frame, direction)


@pytest.mark.parametrize(("seconds", "noticed"), [(0.35, True), (0.6, True), (5.0, False)])
async def test_an_output_that_is_late_notices_the_end_of_the_goodbye(seconds: float, noticed: bool) -> None:
    """Behind the EndFrame it would say nothing; the EndFrame waits no longer than there is silence to notice."""
    output = LateOutput(seconds)
    async with avatar_here(behind=[output], room={"track": True}) as (stage, _):
        await stage.send(*said(1.0))
        started = stage.now
        await stage.end()
        assert len(stage.up(BotStoppedSpeakingFrame)) == noticed
        assert stage.now - started <= 1.25 + 0.9


async def test_a_short_goodbye_that_comes_first_is_heard() -> None:
    """Also words shorter than the avatar's latency, which is not known yet, come back before the EndFrame passes."""
    async with avatar_here(room={"latency": 1.0}) as (stage, _):
        await stage.send(*said(0.4))
        await stage.end()
        assert len(stage.voice.strip(b"\0")) >= 2 * 24000 * 0.4 - 1920


async def test_the_goodbye_of_an_avatar_that_lags_far_behind_is_bounded() -> None:
    """Its voice is waited for three seconds; then the TTS voice says what was not heard, and the EndFrame passes."""
    async with avatar_here(room={"latency": 5.0}) as (stage, _):
        await stage.send(*said(0.5), 10.0)
        started = stage.now
        await stage.send(*said(0.5, "b"))
        await stage.end()
        assert stage.now - started == pytest.approx(0.5 + 3.0, abs=0.5)
        assert stage.plain == tone(0.5)


@pytest.mark.parametrize(("comes_after", "lasts"), [(3.0, 5.25), (1000.0, 8.0)])
async def test_an_end_while_speech_waits_for_the_avatar(comes_after: float, lasts: float) -> None:
    """The avatar that comes while the EndFrame waits speaks the last words; else they are heard after ready_timeout."""
    async with Stage() as stage:
        started = stage.now
        await stage.send(speech(2.0))
        asyncio.get_running_loop().call_later(comes_after, stage.room.arrive)
        await stage.end()
        assert (stage.room.speech, stage.plain) == ((tone(2.0), b"") if comes_after < 8.0 else (b"", tone(2.0)))
        assert stage.now - started == pytest.approx(lasts, abs=0.5)


@pytest.mark.parametrize("latency", [5.0, 10_000.0])
@pytest.mark.parametrize("frame", [EndFrame, CancelFrame])
@pytest.mark.parametrize("lost", [True, False], ids=["after a loss", ""])
async def test_an_end_with_an_api_that_hangs_is_bounded(frame: type[Frame], latency: float, lost: bool) -> None:
    """Cleanup gives the API twelve seconds for all sessions; what is not terminated is left to a plain request."""
    vendor = MemoryVendor(terminate_latency=latency)
    async with avatar_here(vendor) as (stage, _):
        if lost:
            stage.room.leave()
            await stage.until(lambda: len(vendor.created) == 2)
        started = stage.now
        await stage.send(frame())
        await stage.until(lambda: bool(stage.down(frame)))
        assert stage.now - started < 1.0
    assert stage.now - started <= 12.5
    assert len(stage.errors) == lost + (latency > 12.0)
    assert len(vendor.terminated) + vendor.exit_hooks.count("run") == len(vendor.created) == 1 + lost
    assert all(room.closed for room in stage.rooms)
    assert vendor.closed


async def test_a_cancel_falls_silent_at_once() -> None:
    """CancelFrame passes at once; nothing more is written or shown; the session ends."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(10.0), 1.0)
        before, started = len(room.speech), stage.now
        await stage.cancel()
        assert stage.down(CancelFrame)
        assert stage.now == started
        shown = stage.sink.pictures
        await stage.send(*[room.show, 0.04] * 50)
        assert stage.sink.pictures == shown
        assert len(room.speech) == before
        assert stage.vendor.terminated == ["session-1"]
        assert stage.reasons == ["ended"]


async def test_a_cancel_while_the_end_waits() -> None:
    """A CancelFrame does not wait for an EndFrame that lets the last words be spoken."""
    async with avatar_here() as (stage, _):
        await stage.send(speech(30.0), EndFrame(), 1.0)
        started = stage.now
        await stage.cancel()
        assert stage.down(CancelFrame)
        assert stage.now == started
    assert stage.now - started < 2.0
    assert stage.vendor.terminated == ["session-1"]


@pytest.mark.parametrize("latency", [0.5, 5.0, 11.0, 10_000.0])
async def test_a_creation_under_way_when_the_call_ends_is_awaited_and_terminated(latency: float) -> None:
    """An API that hangs in it keeps the end no longer than twelve seconds, and that is said."""
    vendor = MemoryVendor(latency=latency)
    async with Stage(vendor) as stage:
        await stage.settle(0.25)
        await stage.cancel()
        started = stage.now
    assert stage.now - started <= 13.0
    assert vendor.created == vendor.terminated == ["session-1"] * (latency < 12.0)
    assert len(stage.errors) == (latency > 12.0)
    assert vendor.closed


async def test_cleanup_twice_and_at_once() -> None:
    """Two cleanups at once and one after: the session is terminated once, before the API is closed."""
    vendor = MemoryVendor(terminate_latency=1.0)
    async with avatar_here(vendor) as (stage, _):
        await asyncio.gather(stage.service.cleanup(), stage.service.cleanup())
        assert vendor.terminated == ["session-1"]
        await stage.service.cleanup()
    assert vendor.terminated == ["session-1"]
    assert stage.event_names().count("on_session_ended") == 1


async def test_a_cleanup_that_is_cancelled_ends_the_session_all_the_same() -> None:
    """Whoever waits for the cleanup may be cancelled; the API is not closed under the terminate."""
    vendor = MemoryVendor(terminate_latency=1.0)
    async with avatar_here(vendor) as (stage, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await stage.service.cleanup()
        await stage.settle(2.0)
        assert vendor.terminated == ["session-1"]
        assert vendor.closed


async def test_cleanup_without_a_setup() -> None:
    """A service whose pipeline never began closes its API."""
    stage = Stage()
    await stage.service.cleanup()
    assert stage.vendor.closed
    assert stage.vendor.created == []


async def test_a_terminate_that_breaks_does_not_keep_the_room_open() -> None:
    """Also an error that nobody foresaw does not stop the teardown."""
    vendor = MemoryVendor()
    vendor.terminations_refused.append(RuntimeError("unforeseen"))  # type: ignore[arg-type]
    async with avatar_here(vendor) as (_, room):
        pass
    assert room.closed
    assert vendor.closed


async def test_a_session_without_a_room_is_terminated() -> None:
    """An answer without room_url does not leak the session that it created."""

    class Roomless(MemoryVendor):
        async def create_session(self, request: object, **options: Any) -> CreatedSession:
            created = await super().create_session(request, **options)
            return created.model_copy(update={"room_url": None})

    async with Stage(Roomless()) as stage:
        await stage.settle(0.1)
        assert stage.vendor.terminated == ["session-1"]
        assert len(stage.errors) == 1


# With a neighbour that fails.


class Neighbour(FrameProcessor):
    """A processor behind the service that fails in its own way."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    async def setup(self, setup: FrameProcessorSetup) -> None:
        await super().setup(setup)
        if self.fault == "setup hangs":
            await asyncio.Event().wait()
        if self.fault == "setup fails":
            raise RuntimeError("no setup")

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if self.fault == "frames fail" and isinstance(frame, TTSAudioRawFrame):
            raise RuntimeError("no frames")
        await self.push_frame(frame, direction)


@pytest.mark.parametrize("fault", ["setup hangs", "setup fails", "frames fail"])
async def test_a_neighbour_that_fails_leaves_no_session(fault: str) -> None:
    """A setup that times out, one that raises, and an exception for each frame."""
    async with WorkerStage(behind=[Neighbour(fault)], worker={"setup_timeout_secs": 0.5}) as stage:
        if fault != "setup hangs":
            await stage.arrive()
            await stage.send(speech(0.1), EndFrame())
        await stage.until(lambda: stage.over)
    assert stage.vendor.created == stage.vendor.terminated == ["session-1"]


async def test_a_setup_that_is_cancelled_leaves_no_session() -> None:
    """While the session is being created; so does a neighbour's fatal error, upon which the worker cancels."""
    stage = WorkerStage(MemoryVendor(latency=0.5), behind=[Neighbour("setup hangs")])
    entering = asyncio.create_task(stage.__aenter__())
    await asyncio.sleep(0.25)
    await stage.worker.cancel(reason="a neighbour is broken")
    await entering
    assert stage.over
    assert stage.vendor.created == stage.vendor.terminated == ["session-1"]
