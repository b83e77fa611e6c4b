"""No avatar for a while, as the pipeline, its worker and the user see it. Calls in virtual time."""

import re
from collections import deque
from typing import Any

import pytest
from pipecat.frames.frames import CancelFrame, EndFrame, EndWorkerFrame, ErrorFrame, TTSAudioRawFrame, TTSStoppedFrame
from pipecat.pipeline.worker import ProcessorUnusablePolicy
from pipecat.utils.errors import ErrorCategory

from pipecat_lemonslice import AvatarStatus, AvatarStatusFrame
from pipecat_lemonslice.errors import ApiConnectionError, ApiResponseError, ApiStatusError, RoomError
from pipecat_lemonslice.session.renewal import STEADY_SECONDS
from tests.faults.world import World
from tests.support.logs import package_logs
from tests.support.memory import MemoryVendor
from tests.support.stage import Stage, WorkerStage, avatar_here, said, speech, tone

END, CANCEL = ProcessorUnusablePolicy.END, ProcessorUnusablePolicy.CANCEL


def lasting(stage: Stage) -> list[ErrorFrame]:
    """ErrorFrames after which Pipecat takes the service for useless."""
    return [error for error in stage.errors if error.category and error.category.is_permanent]


def voice_only(stage: Stage) -> list[str]:
    """What the page was told of why there is only a voice."""
    return [one.detail for one in stage.down(AvatarStatusFrame) if one.status is AvatarStatus.VOICE_ONLY]


async def avatar_speaks(stage: Stage, context: str = "z") -> None:
    """The avatar comes, and says the next answer whole."""
    await stage.arrive(0.5)
    assert stage.statuses[-1] is AvatarStatus.HERE
    await stage.send(*said(1.0, context), 3.0)
    assert stage.room.speech == tone(1.0)


# What becomes of the service.


@pytest.mark.parametrize("policy", [END, CANCEL])
@pytest.mark.parametrize("where", ["creation", "room"])
async def test_a_failure_that_passes_does_not_end_the_call(where: str, policy: ProcessorUnusablePolicy) -> None:
    """Also where Pipecat ends the call as soon as a service can do no more."""
    stage = WorkerStage(policy=policy)
    if where == "creation":
        stage.vendor.refuse(409)
    else:
        not_open_yet = "the room could not be joined: it is not open yet (Daily says: nbf-room)"
        stage.join_refusals.append(RoomError(not_open_yet, ErrorCategory.INVALID_REQUEST))
    async with stage:
        await stage.settle(2.0)
        assert len(stage.errors) == 1
        assert lasting(stage) == []
        assert stage.service.is_usable
        assert not stage.over
        await avatar_speaks(stage)
        assert stage.down(EndFrame) == stage.down(CancelFrame) == []


@pytest.mark.parametrize("fallback", ["voice", "silent"])
@pytest.mark.parametrize("policy", [END, CANCEL])
async def test_a_refusal_for_good_does_not_end_the_call(policy: ProcessorUnusablePolicy, fallback: str) -> None:
    """The key is wrong: one ErrorFrame and one attempt; the call goes on with what is left, and ends as ever."""
    stage = WorkerStage(MemoryVendor().refuse(401, times=99), policy=policy, fallback=fallback)
    async with stage:
        await stage.send(*said(1.0), 90.0, *said(1.0, "b"), 3.0)
        assert ["401" in error.error for error in stage.errors] == [True]
        assert lasting(stage) == []
        assert stage.service.is_usable
        assert len(stage.vendor.requests) == 1
        assert stage.plain == (tone(1.0) * 2 if fallback == "voice" else b"")
        assert stage.reasons == ["stopped"] * 2
        assert len(stage.down(TTSStoppedFrame)) == 2
        assert not stage.over
        await stage.end()
    assert stage.down(CancelFrame) == []


@pytest.mark.parametrize("policy", ProcessorUnusablePolicy)
async def test_a_refusal_for_good_ends_a_call_that_is_nothing_without_the_avatar(
    policy: ProcessorUnusablePolicy,
) -> None:
    """The service is useless then. Why is told in the log and to the handlers, before the pipeline ends."""
    ended: list[int] = []
    with package_logs("ERROR") as lines:
        vendor = MemoryVendor(latency=1.0).refuse(401, times=99)
        stage = WorkerStage(vendor, policy=policy, fallback="fatal")

        async def on_fallback(_service: object, _reason: str) -> None:
            ended.append(len(stage.down(EndFrame)))

        stage.service.add_event_handler("on_fallback", on_fallback)
        async with stage:
            await stage.until(lambda: stage.over)
    assert [error.category for error in stage.errors] == [ErrorCategory.AUTHENTICATION]
    assert not stage.service.is_usable
    assert ended == [0], "a handler can still say so to the page"
    assert stage.fallbacks == [stage.errors[0].error]
    assert ["fallback='fatal'" in line.text and "401" in line.text for line in lines] == [True]
    assert len(stage.down(CancelFrame if policy is CANCEL else EndFrame)) == 1


@pytest.mark.parametrize(
    ("lost", "speaking", "cause"),
    [(True, True, "no GPU"), (True, False, "no GPU"), (False, False, "the avatar was not ready within 8 s")],
)
async def test_a_call_that_is_nothing_without_the_avatar_ends_when_none_comes_in_time(
    lost: bool, speaking: bool, cause: str
) -> None:
    """Speech waits for the first one, and for the next one likewise, then the call ends and the log says why."""
    with package_logs("ERROR") as lines:
        async with WorkerStage(policy=ProcessorUnusablePolicy.CONTINUE, fallback="fatal") as stage:
            if lost:
                await stage.arrive(1.0)
                stage.vendor.refuse(ApiStatusError(500, "no GPU"), times=99)
                await stage.send(*said(3.0) * speaking, 1.0, stage.room.leave, 0.5 if speaking else 5.0)
            waits_from = stage.now
            await stage.send(*said(3.0) * (not speaking))
            await stage.until(lambda: stage.over)
            assert stage.now - waits_from == pytest.approx(8.0, abs=0.5)
    assert ["fallback='fatal'" in line.text and cause in line.text for line in lines] == [True]
    assert [cause in told for told in stage.fallbacks] == [True]
    assert cause in stage.errors[-1].error
    assert len(stage.up(EndWorkerFrame)) == len(stage.down(EndFrame)) == 1


async def test_an_avatar_that_comes_back_in_time_goes_on_where_a_call_is_nothing_without_it() -> None:
    """What the lost one did not say waits for it; nothing is heard without an avatar, and the call goes on."""
    async with WorkerStage(policy=ProcessorUnusablePolicy.CONTINUE, fallback="fatal") as stage:
        await stage.arrive(1.0)
        await stage.send(*said(3.0), 1.0, stage.room.leave)
        await stage.until(lambda: len(stage.rooms) == 2)
        await stage.settle(2.0)
        await stage.arrive(5.0)
        assert stage.plain == b""
        assert stage.room.speech
        assert 0 <= len(stage.voice) - len(tone(3.0)) <= len(tone(0.1))
        assert not stage.over
        assert stage.fallbacks == []


async def test_a_call_that_is_nothing_without_the_avatar_outlasts_a_failure_that_passes() -> None:
    """Speech waits as long as it may, as it would not be heard otherwise; then the avatar says it."""
    async with Stage(MemoryVendor().refuse(409), fallback="fatal") as stage:
        await stage.send(*said(1.0), 4.0)
        await stage.arrive(3.0)
        assert stage.room.speech == tone(1.0)
        assert stage.plain == b""
        assert stage.up(EndWorkerFrame) == []


# What the user hears, and how often it is an error.


@pytest.mark.parametrize(("status", "category"), [(307, "APPLICATION"), (402, "QUOTA"), (500, "SERVER")])
async def test_the_cause_is_the_reason_of_the_fallback(status: int, category: str) -> None:
    """The bot and the page are told of it. Its category says nothing for good: the service stays usable."""
    async with Stage(MemoryVendor().refuse(ApiStatusError(status, "why not"), times=99)) as stage:
        await stage.send(*said(1.0), 9.0)
        [error], [told] = stage.errors, stage.fallbacks
        assert str(status) in error.error
        assert "why not" in told
        assert set(voice_only(stage)) == {told}
        assert error.category is ErrorCategory[category]
        assert stage.service.is_usable


async def test_a_cause_that_has_passed_is_not_the_reason() -> None:
    """The session was created in the end; its avatar is late."""
    world = World(latency=0.0)
    world.keep_away()
    world.network.refuse(0.3)
    async with world:
        await world.send(*said(1.0), 10.0)
        assert world.fallbacks == ["the avatar was not ready within 8 s"]


FAILURES = (409, 500, ApiConnectionError("reset", True), ApiStatusError(429, "too many", 60.0), ApiResponseError("?"))


async def test_an_outage_is_one_errorframe_and_the_next_one_another() -> None:
    """However often it is tried again until the avatar is there, and whatever the causes; the page sees them all."""
    vendor = MemoryVendor()
    async with Stage(vendor) as stage:
        for outage in (1, 2):
            await stage.arrive()
            before = len(vendor.requests)
            for failure in FAILURES:
                vendor.refuse(failure)
            stage.join_refusals.append(RoomError("no such meeting"))
            stage.room.leave()
            await stage.until(lambda rooms=outage + 1: len(stage.rooms) == rooms, limit=300.0)
            assert len(vendor.requests) - before == len(FAILURES) + 2
            assert [error.error for error in stage.errors] == ["the avatar has left and not come back"] * outage
        assert stage.statuses.count(AvatarStatus.LOST) >= 2 * len(FAILURES)


async def test_a_refusal_for_good_is_reported_after_another_cause() -> None:
    """It changes what a person must do; once, and last."""
    async with Stage(MemoryVendor().refuse(409, times=2).refuse(401, times=99)) as stage:
        await stage.settle(120.0)
        assert [re.findall(r"answered (\d+)", error.error) for error in stage.errors] == [["409"], ["401"]]


async def test_sessions_that_cannot_be_terminated_are_one_errorframe() -> None:
    """As long as none can be; the service stays usable, though the key is refused."""
    vendor = MemoryVendor(terminations_refused=deque([ApiStatusError(401, "wrong key")] * 9))
    async with Stage(vendor) as stage:
        stage.join_refusals.extend([RoomError("no such meeting")] * 3)
        stage.room.lose("gone")
        await stage.settle(20.0)
        assert ["could not be terminated" in error.error for error in stage.errors].count(True) == 1
        assert len(stage.errors) == 2
        assert lasting(stage) == []


# What the vendor is asked for.


@pytest.mark.parametrize("error", [ApiResponseError("no id"), RuntimeError("unforeseen")])
async def test_rooms_that_cannot_be_joined_are_tried_again_with_growing_pauses(error: Exception) -> None:
    """There is a session each time, which is terminated: no doubt about it holds the next one up. One ErrorFrame."""
    async with Stage() as stage:
        stage.join_refusals.extend([error] * 3)
        stage.room.lose("gone")
        await stage.settle(0.5 + 0.5 + 1.0 + 2.0 + 4.0)
        assert len(stage.errors) == 1
        assert stage.vendor.terminated == stage.vendor.created[:4]
        await avatar_speaks(stage)


async def test_an_avatar_that_comes_only_to_go_again_costs_ever_fewer_sessions() -> None:
    """The pauses grow from session to session, however often one was ready, until one has been so for 30 s."""

    async def pause_after(seconds: float) -> float:
        """From when the room of an avatar that was here for so long is lost until the next one is joined."""
        await stage.arrive(seconds)
        stage.room.lose("gone")
        lost_at, rooms = stage.now, len(stage.rooms)
        await stage.until(lambda: len(stage.rooms) > rooms)
        return stage.now - lost_at

    async with Stage() as stage:
        pauses = [await pause_after(seconds) for seconds in [1.0] * 9 + [STEADY_SECONDS, 1.0]]
        expected = [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0, 30.0, 0.5, 1.0]
        assert pauses == pytest.approx(expected, abs=0.01)
        assert stage.vendor.terminated == stage.vendor.created[:-1]
        assert len(stage.errors) == 11


async def test_the_end_of_a_lost_session_does_not_delay_the_next_one() -> None:
    """Its terminate takes 31 s; the next creation comes as soon as after one that takes none, and its avatar speaks."""
    gaps: list[float] = []
    for terminate_latency in (0.0, 31.0):
        vendor = MemoryVendor(terminate_latency=terminate_latency)
        async with Stage(vendor) as stage:
            await stage.arrive(8.0)
            lost_at = stage.now
            stage.room.leave()
            await stage.until(lambda rooms=stage.rooms: len(rooms) == 2)
            gaps.append(vendor.request_times[1] - lost_at)
            assert len(vendor.terminated) == (0 if terminate_latency else 1)
            await avatar_speaks(stage)
            await stage.settle(40.0)
            assert vendor.terminated == ["session-1"]
    assert gaps[1] == pytest.approx(gaps[0], abs=0.01)


async def test_the_old_room_is_left_before_the_next_one_is_joined() -> None:
    """The bot is in no room twice, as it may be the same."""
    async with avatar_here(room={"close_latency": 5.0}) as (stage, _):
        stage.room.leave()
        await stage.until(lambda: len(stage.rooms) == 2)
        assert stage.rooms[0].closed


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


async def test_keeping_alive_is_asked_for_one_at_a_time() -> None:
    """A vendor that is slow to answer is not asked again meanwhile."""
    async with avatar_here(MemoryVendor(control_latency=70.0)) as (stage, _):
        await stage.settle(240.0)
        assert stage.vendor.control_times == pytest.approx([stage.now - 150.0, stage.now - 70.0])


# A room that takes nothing any more.

WRITES: dict[str, tuple[str, float]] = {
    "refused": ("refuses what it is given", 0.5),
    "stuck": ("takes no more audio", 3.5),
}


@pytest.mark.parametrize("speaking", [False, True])
@pytest.mark.parametrize("fault", WRITES)
async def test_a_room_that_plays_nothing_more_is_left(fault: str, speaking: bool) -> None:
    """Soon the plain voice goes on, with no word lost and hardly any doubled; the next answer is a new avatar's."""
    says, soon = WRITES[fault]
    async with avatar_here() as (stage, room):
        if speaking:
            await stage.send(speech(1.5), 1.0)
        room.write_error, room.frozen = (ValueError("released") if fault == "refused" else None), fault == "stuck"
        struck_at = stage.now
        await stage.send(*[speech(1.5)] * (not speaking), *said(1.5), 8.0)
        assert [says in error.error for error in stage.errors] == [True]
        assert stage.time_of(TTSAudioRawFrame) - struck_at <= soon
        assert 0 <= len(stage.voice + stage.plain) - len(tone(3.0)) <= len(tone(0.3))
        await avatar_speaks(stage)
