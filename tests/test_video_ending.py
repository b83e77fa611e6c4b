"""Every way out: the last words are heard, every session that was created is terminated, nothing hangs."""

import asyncio

import pytest
from pipecat.frames.frames import CancelFrame, EndFrame, ErrorFrame, Frame, TTSStoppedFrame

from tests.support.memory import MemoryVendor
from tests.support.stage import Stage, avatar_here, speech, tone


async def test_the_goodbye_is_heard_to_its_end() -> None:
    """EndFrame passes when the last words have been spoken and the avatar's voice has come back."""
    async with avatar_here(room={"track": True}) as (stage, room):
        await stage.send(speech(1.0), 3.0)
        started = stage.now
        await stage.send(speech(2.005))
        await stage.end()
        assert room.speech.startswith(tone(1.0) + tone(2.005))
        assert 2.25 <= stage.now - started <= 2.25 + 1.0
        assert len(stage.voice.strip(b"\0")) >= 2 * 24000 * 3 - 2 * 1920
        assert stage.reasons[-1] == "stopped"


async def test_the_goodbye_of_an_avatar_that_lags_far_behind_is_bounded() -> None:
    """Its voice is waited for three seconds; then the TTS voice says what was not heard, and the EndFrame passes."""
    async with avatar_here(room={"latency": 5.0}) as (stage, _):
        await stage.send(speech(0.5), TTSStoppedFrame("a"), 10.0)
        started = stage.now
        await stage.send(speech(0.5, "b"), TTSStoppedFrame("b"))
        await stage.end()
        assert stage.now - started == pytest.approx(0.5 + 3.0, abs=0.5)
        assert stage.plain == tone(0.5)


async def test_an_end_while_speech_waits_for_the_avatar() -> None:
    """What waits is heard without the avatar, after ready_timeout, then the EndFrame passes."""
    async with Stage() as stage:
        started = stage.now
        await stage.send(speech(2.0))
        await stage.end()
        assert stage.plain == tone(2.0)
        assert stage.now - started == pytest.approx(8.0, abs=0.5)
    assert stage.vendor.terminated == stage.vendor.created


async def test_an_end_while_the_avatar_is_about_to_come() -> None:
    """The avatar that comes while the EndFrame waits speaks the last words."""
    async with Stage() as stage:
        await stage.send(speech(2.0))
        ending = asyncio.create_task(stage.end())
        await stage.settle(3.0)
        stage.room.arrive()
        await ending
        assert stage.room.speech == tone(2.0)
        assert stage.plain == b""


async def test_an_end_with_an_api_that_hangs_is_bounded() -> None:
    """EndFrame passes at once; cleanup gives the API twelve seconds, then says what may go on."""
    vendor = MemoryVendor(terminate_latency=10_000.0)
    async with avatar_here(vendor) as (stage, _):
        started = stage.now
        await stage.end()
        assert stage.now - started < 1.0
    assert stage.now - started < 20.0
    assert len(stage.up(ErrorFrame)) == 1
    assert vendor.closed
    assert stage.room.closed
    assert vendor.exit_hooks == ["run"]


@pytest.mark.parametrize("latency", [5.0, 10_000.0])
@pytest.mark.parametrize("frame", [EndFrame, CancelFrame])
async def test_an_end_soon_after_a_loss_ends_both_sessions(frame: type[Frame], latency: float) -> None:
    """In twelve seconds; what is not terminated by then is left to a plain request."""
    vendor = MemoryVendor(terminate_latency=latency)
    async with avatar_here(vendor) as (stage, _):
        stage.room.leave()
        await stage.until(lambda: len(vendor.created) == 2)
        await stage.send(frame())
        await stage.until(lambda: bool(stage.down(frame)))
        ended_at = stage.now
    assert stage.now - ended_at <= 12.5
    assert len(vendor.terminated) + vendor.exit_hooks.count("run") == 2
    assert all(room.closed for room in stage.rooms)


async def test_a_cancel_falls_silent_at_once() -> None:
    """CancelFrame passes at once; nothing more is written; the session ends."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(10.0), 1.0)
        before, started = len(room.speech), stage.now
        await stage.cancel()
        assert stage.down(CancelFrame)
        assert stage.now == started
        await stage.settle(2.0)
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


@pytest.mark.parametrize("latency", [0.5, 5.0, 11.0])
async def test_a_session_that_is_created_after_the_end_is_terminated(latency: float) -> None:
    """A creation under way when the call ends is awaited, and what comes of it terminated."""
    vendor = MemoryVendor(latency=latency)
    async with Stage(vendor) as stage:
        await stage.settle(0.25)
        await stage.cancel()
    assert vendor.created == vendor.terminated == ["session-1"]
    assert vendor.closed


async def test_a_creation_that_never_answers_is_abandoned_in_bounded_time() -> None:
    """An API that hangs in the creation keeps the end no longer than twelve seconds, and it is said."""
    vendor = MemoryVendor(latency=10_000.0)
    async with Stage(vendor) as stage:
        await stage.settle(1.0)
        started = stage.now
    assert stage.now - started <= 13.0
    assert len(stage.up(ErrorFrame)) == 1
    assert vendor.created == []


async def test_cleanup_twice_and_at_once() -> None:
    """Two cleanups at once and one after: the session is terminated once, before the API is closed."""
    vendor = MemoryVendor(terminate_latency=1.0)
    async with avatar_here(vendor) as (stage, _):
        await asyncio.gather(stage.service.cleanup(), stage.service.cleanup())
        assert vendor.terminated == ["session-1"]
        await stage.service.cleanup()
    assert vendor.terminated == ["session-1"]
    assert [event[0] for event in stage.events].count("on_session_ended") == 1


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


async def test_cleanup_without_a_start_or_a_setup() -> None:
    """A service whose pipeline never started ends its session; one that was never set up closes its API."""
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


async def test_a_short_goodbye_that_comes_first_is_heard() -> None:
    """Also words shorter than the avatar's latency, which is not known yet, come back before the EndFrame passes."""
    async with avatar_here(room={"latency": 1.0}) as (stage, _):
        await stage.send(speech(0.4), TTSStoppedFrame("a"))
        await stage.end()
        assert len(stage.voice.strip(b"\0")) >= 2 * 24000 * 0.4 - 1920
