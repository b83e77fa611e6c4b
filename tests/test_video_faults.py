"""Every moment of failure: the voice goes on, one ErrorFrame says why, a new session takes over. In virtual time."""

import asyncio
import gc
from typing import Any

import pytest
from pipecat.frames.frames import (
    ErrorFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)

from pipecat_lemonslice.api import CreatedSession
from pipecat_lemonslice.errors import (
    ApiConnectionError,
    ApiResponseError,
    RoomError,
)
from pipecat_lemonslice.session.renewal import STEADY_SECONDS
from tests.support.memory import MemoryVendor
from tests.support.stage import Stage, avatar_here, speech, tone
from tests.support.virtual_time import run_virtual

# Starting.


async def test_speech_before_the_avatar_is_kept_in_order_and_heard_whole() -> None:
    """Sentences of the first seconds, more than the avatar is there for, are all spoken by it in order."""
    async with Stage() as stage:
        for sentence in "abcdef":
            await stage.send(TTSStartedFrame(sentence), speech(1.0, sentence), TTSStoppedFrame(sentence), 1.0)
        await stage.arrive(10.0)
        assert stage.room.speech == tone(1.0) * 6
        assert [frame.context_id for frame in stage.down(TTSStoppedFrame)] == list("abcdef")
        assert stage.plain == b""


@pytest.mark.parametrize(
    "error", [ApiConnectionError("no", False), ApiResponseError("no id"), RoomError("dark"), RuntimeError("unforeseen")]
)
async def test_failed_starts_are_tried_again_with_growing_pauses(error: Exception) -> None:
    """Failures that may pass: after half a second, one, two, …; the first success ends it. They are told as one."""
    vendor = MemoryVendor()
    async with Stage(vendor) as stage:
        stage.join_refusals.extend([error] * 3)
        stage.room.lose("gone")
        await stage.settle(0.5 + 0.5 + 1.0 + 2.0 + 4.0)
        assert len(stage.up(ErrorFrame)) == 1
        assert len(vendor.created) == 5
        assert vendor.terminated == vendor.created[:4]
        await stage.arrive()
        await stage.send(speech(0.5), 1.0)
        assert stage.room.speech == tone(0.5)


async def test_an_avatar_that_comes_only_to_go_again_costs_ever_fewer_sessions() -> None:
    """The pauses grow from session to session, however often one was ready, until one has been so for 30 s."""
    async with Stage() as stage:
        pauses = [await pause_after(stage, 1.0) for _ in range(9)]
        assert pauses == pytest.approx([0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0, 30.0], abs=0.01)
        assert await pause_after(stage, STEADY_SECONDS) == pytest.approx(0.5, abs=0.01)
        assert await pause_after(stage, 1.0) == pytest.approx(1.0, abs=0.01)
        assert stage.vendor.terminated == stage.vendor.created[:-1]
        assert len(stage.up(ErrorFrame)) == 11


async def pause_after(stage: Stage, seconds: float) -> float:
    """From when the room of an avatar that was here for so long is lost until the next one is joined."""
    room = await stage.arrive()
    await stage.settle(seconds)
    room.lose("gone")
    lost_at, rooms = stage.now, len(stage.rooms)
    await stage.until(lambda: len(stage.rooms) > rooms)
    return stage.now - lost_at


async def test_a_session_without_a_room_is_terminated() -> None:
    """An answer without room_url does not leak the session that it created."""

    class Roomless(MemoryVendor):
        async def create_session(self, request: object, **options: Any) -> CreatedSession:
            created = await super().create_session(request, **options)
            return created.model_copy(update={"room_url": None})

    vendor = Roomless()
    async with Stage(vendor) as stage:
        await stage.settle(0.1)
        assert vendor.terminated == ["session-1"]
        assert len(stage.up(ErrorFrame)) == 1


async def test_fallback_silent_says_nothing_without_the_avatar() -> None:
    """With fallback='silent' the response runs its course, but nothing is heard."""
    async with Stage(fallback="silent") as stage:
        await stage.send(speech(1.0), TTSStoppedFrame("a"), 10.0)
        assert stage.plain == b""
        assert len(stage.down(TTSStoppedFrame)) == 1
        assert stage.reasons == ["stopped"]


# Keeping it alive.


async def test_keeping_alive_is_asked_for_one_at_a_time() -> None:
    """A vendor that is slow to answer is not asked again meanwhile."""
    async with avatar_here(MemoryVendor(control_latency=70.0)) as (stage, _):
        await stage.settle(240.0)
        assert stage.vendor.control_times == pytest.approx([stage.now - 150.0, stage.now - 70.0])


@pytest.mark.parametrize(
    ("kwargs", "pause"), [({}, 5.0), ({"keep_alive": False}, 200.0), ({"idle_timeout": -1}, 200.0)]
)
async def test_speech_needs_no_keeping_alive(kwargs: dict[str, Any], pause: float) -> None:
    """While something is said, nothing is sent; nor with keep_alive off or without a timeout."""
    async with avatar_here(**kwargs) as (stage, _):
        await stage.send(speech(60.0), 60.0)
        for _ in range(10):
            await stage.send(speech(0.5), pause)
        assert stage.vendor.control_times == []


# Bounds.


def test_a_day_of_talk_needs_no_more_memory_than_five_hours() -> None:
    """An answer every minute for a day, each in its own context: the number of living objects does not grow."""

    async def talk(stage: Stage, first: int, count: int) -> int:
        for number in range(first, first + count):
            context = f"context-{number}"
            word = TTSTextFrame("word", "word")
            word.context_id, word.pts = context, round(stage.now * 1e9)
            await stage.send(LLMFullResponseStartFrame(), TTSStartedFrame(context), speech(0.4, context), word)
            await stage.send(TTSStoppedFrame(context), LLMFullResponseEndFrame())
            await asyncio.sleep(60.0)
        for told in (stage.events, stage.vendor.controls, stage.vendor.control_times):
            told.clear()
        gc.collect()
        return len(gc.get_objects())

    async def scenario() -> None:
        async with avatar_here(room={"forgetful": True}) as (stage, _):
            stage.sink.forgetful = stage.source.forgetful = True
            after_five_hours = await talk(stage, 0, 300)
            assert await talk(stage, 300, 1140) - after_five_hours < 100

    run_virtual(scenario, limit=90_000.0)


# Bad input.
