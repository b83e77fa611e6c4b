"""Quiet calls: a session that ended because nobody spoke is replaced when somebody does, and not before."""

import pytest
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    TTSStartedFrame,
    UserStartedSpeakingFrame,
)

from pipecat_lemonslice import AvatarStatus
from tests.support.memory import MemoryVendor
from tests.support.stage import Stage, said, speech, tone

IDLE = {"type": "idle_timeout"}


async def fall_asleep(stage: Stage, *, by: str = "message", after: float = 60.0) -> None:
    """Let the avatar be there, and the vendor end the session after so many quiet seconds."""
    await stage.arrive(after)
    if by == "message":
        stage.room.say(IDLE)
    stage.room.leave()
    await stage.settle(3.0)


@pytest.mark.parametrize("by", ["message", "leaving"])
async def test_five_quiet_minutes_are_one_session(by: str) -> None:
    """Nothing is created, also by an interruption, nothing is an error, and everybody learns that the avatar sleeps."""
    async with Stage(keep_alive=False) as stage:
        await fall_asleep(stage, by=by)
        await stage.send(100.0, InterruptionFrame(), 200.0)
        assert stage.vendor.created == ["session-1"] == stage.vendor.terminated
        assert stage.errors == []
        assert stage.statuses[-1] is AvatarStatus.DORMANT
        assert stage.fallbacks == []
        told = [told for told in stage.page if told.get("status") == "dormant"]
        assert [message["detail"] for message in told] == ["sleeping; it wakes when somebody speaks"]


@pytest.mark.parametrize("waker", [UserStartedSpeakingFrame(), TTSStartedFrame("a"), speech(0.1)])
async def test_it_wakes_when_somebody_speaks(waker: Frame) -> None:
    """The first words, the user's or the bot's, create the next session, whose avatar says the next answer whole."""
    async with Stage(keep_alive=False) as stage:
        await fall_asleep(stage)
        await stage.send(waker, 0.0)
        assert len(stage.vendor.created) == 2
        await stage.arrive(1.0)
        await stage.send(*said(1.0, "b", frequency=330.0), 3.0)
        assert stage.room.speech.endswith(tone(1.0, frequency=330.0))
        assert stage.plain == b""
        assert stage.errors == []
        assert stage.statuses[-1] is AvatarStatus.HERE


async def test_the_answer_that_wakes_it_waits_and_is_heard_whole() -> None:
    """As at the start of a call: within `ready_timeout` by the avatar, else by voice."""
    async with Stage(keep_alive=False) as stage:
        await fall_asleep(stage)
        await stage.send(*said(1.0), 5.0)
        assert stage.plain == b""
        await stage.arrive(3.0)
        assert stage.room.speech == tone(1.0)
        await fall_asleep(stage)
        await stage.send(*said(1.0), 7.5)
        assert stage.plain == b""
        await stage.settle(1.0)
        assert stage.plain == tone(1.0)


async def test_it_sleeps_and_wakes_again_and_again() -> None:
    """Ten sleeps are eleven sessions, each created when somebody spoke and without a pause that grows."""
    async with Stage(keep_alive=False) as stage:
        for count in range(1, 11):
            await fall_asleep(stage)
            assert len(stage.vendor.created) == count
            await stage.send(UserStartedSpeakingFrame(), 0.0)
            assert len(stage.vendor.created) == count + 1
        assert stage.errors == []
    assert stage.vendor.terminated == stage.vendor.created


async def test_after_a_sleep_the_pauses_after_failures_begin_anew() -> None:
    """Failures before it do not count any more: a session that is lost then is replaced after half a second."""

    async def pause_after_a_loss() -> float:
        await stage.arrive()
        stage.room.lose("gone")
        lost_at, rooms = stage.now, len(stage.rooms)
        await stage.until(lambda: len(stage.rooms) > rooms)
        return stage.now - lost_at

    async with Stage(keep_alive=False) as stage:
        assert [await pause_after_a_loss() for _ in range(3)] == pytest.approx([0.5, 1.0, 2.0], abs=0.01)
        await fall_asleep(stage)
        assert stage.statuses[-1] is AvatarStatus.DORMANT
        await stage.send(UserStartedSpeakingFrame(), 0.0)
        assert await pause_after_a_loss() == pytest.approx(0.5, abs=0.01)


async def test_an_avatar_that_leaves_while_it_is_kept_alive_is_a_loss() -> None:
    """Ten quiet minutes in which each reset was accepted, then it leaves: an error, and a new session at once."""
    async with Stage() as stage:
        await fall_asleep(stage, by="leaving", after=600.0)
        assert len(stage.vendor.created) == 2
        assert len(stage.errors) == 1


@pytest.mark.parametrize("waiting", [False, True])
async def test_a_session_whose_avatar_has_not_come_sleeps_too(waiting: bool) -> None:
    """Unless an answer waits for it: then there is a new one at once, and the answer is heard."""
    async with Stage(keep_alive=False) as stage:
        await stage.send(1.0, stage.room.join, 9.0, *said(1.0) * waiting, 1.0)
        stage.room.say(IDLE)
        await stage.settle(1.0)
        assert len(stage.vendor.created) == 1 + waiting
        assert stage.errors == []
        if waiting:
            await stage.arrive(3.0)
            assert stage.room.speech + stage.plain == tone(1.0)


async def test_it_wakes_while_the_old_session_is_still_being_terminated() -> None:
    """A slow API does not hold the next session up."""
    async with Stage(MemoryVendor(terminate_latency=20.0), keep_alive=False) as stage:
        await fall_asleep(stage)
        await stage.send(UserStartedSpeakingFrame(), 0.5)
        assert len(stage.vendor.created) == 2
        await stage.settle(20.0)
        assert stage.vendor.terminated == ["session-1"]


@pytest.mark.parametrize("frame", [EndFrame, CancelFrame])
async def test_a_call_that_ends_asleep_creates_nothing(frame: type[Frame]) -> None:
    """EndFrame and CancelFrame pass at once."""
    async with Stage(keep_alive=False) as stage:
        await fall_asleep(stage)
        started = stage.now
        await stage.send(frame())
        await stage.until(lambda: bool(stage.down(frame)))
        assert stage.now - started < 1.0
    assert stage.vendor.created == ["session-1"] == stage.vendor.terminated
