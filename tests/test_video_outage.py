"""No avatar for a while, as the pipeline, its worker and the user see it. Calls in virtual time."""

import re
from collections import deque
from collections.abc import Callable

import pytest
from pipecat.frames.frames import CancelFrame, EndFrame, EndWorkerFrame, ErrorFrame, TTSAudioRawFrame, TTSStoppedFrame
from pipecat.pipeline.worker import ProcessorUnusablePolicy
from pipecat.utils.errors import ErrorCategory

from pipecat_lemonslice import AvatarStatus, AvatarStatusFrame
from pipecat_lemonslice.errors import ApiConnectionError, ApiResponseError, ApiStatusError, RoomError
from tests.faults.world import World
from tests.support.logs import package_logs
from tests.support.memory import MemoryVendor
from tests.support.stage import Stage, WorkerStage, avatar_here, speech, tone

END, CANCEL = ProcessorUnusablePolicy.END, ProcessorUnusablePolicy.CANCEL


def creation_in_conflict(stage: Stage) -> None:
    stage.vendor.refuse(409)


def room_not_open_yet(stage: Stage) -> None:
    said = "the room could not be joined: it is not open yet (Daily says: nbf-room)"
    stage.join_refusals.append(RoomError(said, ErrorCategory.INVALID_REQUEST))


def wrong_key(stage: Stage) -> None:
    stage.vendor.refuse(401, times=99)


Happen = Callable[[Stage], None]
PASSING = pytest.mark.parametrize("happen", [creation_in_conflict, room_not_open_yet])


def lasting(stage: Stage) -> list[ErrorFrame]:
    """ErrorFrames after which Pipecat takes the service for useless."""
    return [error for error in stage.up(ErrorFrame) if error.category and error.category.is_permanent]


async def answer(stage: Stage, seconds: float, context: str = "a") -> None:
    await stage.send(speech(seconds, context), TTSStoppedFrame(context))


async def avatar_speaks(stage: Stage, context: str = "z") -> None:
    """The avatar comes, and says the next answer whole."""
    await stage.arrive(0.5)
    assert stage.statuses[-1] is AvatarStatus.HERE
    await answer(stage, 1.0, context)
    await stage.settle(3.0)
    assert stage.room.speech == tone(1.0)


# What becomes of the service.


@pytest.mark.parametrize("policy", [END, CANCEL])
@PASSING
async def test_a_failure_that_passes_does_not_end_the_call(happen: Happen, policy: ProcessorUnusablePolicy) -> None:
    """Also where Pipecat ends the call as soon as a service can do no more."""
    stage = WorkerStage(policy=policy)
    happen(stage)
    async with stage:
        await stage.settle(2.0)
        assert len(stage.up(ErrorFrame)) == 1
        assert lasting(stage) == []
        assert stage.service.is_usable
        assert not stage.over
        await avatar_speaks(stage)
        assert stage.down(EndFrame) == []
        assert stage.down(CancelFrame) == []


@pytest.mark.parametrize("fallback", ["voice", "silent"])
@pytest.mark.parametrize("policy", [END, CANCEL])
async def test_a_refusal_for_good_does_not_end_the_call(policy: ProcessorUnusablePolicy, fallback: str) -> None:
    """The key is wrong: one ErrorFrame and one attempt; the call goes on with what is left, and ends as ever."""
    stage = WorkerStage(policy=policy, fallback=fallback)
    wrong_key(stage)
    async with stage:
        await answer(stage, 1.0)
        await stage.settle(90.0)
        await answer(stage, 1.0, "b")
        await stage.settle(3.0)
        assert ["401" in error.error for error in stage.up(ErrorFrame)] == [True]
        assert lasting(stage) == []
        assert stage.service.is_usable
        assert len(stage.vendor.requests) == 1
        assert stage.plain == (tone(1.0) * 2 if fallback == "voice" else b"")
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
        stage = WorkerStage(MemoryVendor(latency=1.0), policy=policy, fallback="fatal")

        async def on_fallback(_service: object, _reason: str) -> None:
            ended.append(len(stage.down(EndFrame)))

        stage.service.add_event_handler("on_fallback", on_fallback)
        wrong_key(stage)
        async with stage:
            await stage.until(lambda: stage.over)
    assert [error.category for error in stage.up(ErrorFrame)] == [ErrorCategory.AUTHENTICATION]
    assert not stage.service.is_usable
    assert ended == [0], "a handler can still say so to the page"
    assert stage.fallbacks == [stage.up(ErrorFrame)[0].error]
    assert ["fallback='fatal'" in line.text and "401" in line.text for line in lines] == [True]
    assert len(stage.down(CancelFrame if policy is CANCEL else EndFrame)) == 1


@pytest.mark.parametrize("speaking", [False, True])
async def test_an_avatar_that_is_lost_for_good_ends_a_call_that_is_nothing_without_it(speaking: bool) -> None:
    """The API fails again and again: speech waits for the next avatar as it did for the first, then the call ends."""
    with package_logs("ERROR") as lines:
        async with WorkerStage(policy=ProcessorUnusablePolicy.CONTINUE, fallback="fatal") as stage:
            await stage.arrive(1.0)
            stage.vendor.refuse(ApiStatusError(500, "no GPU"), times=99)
            if speaking:
                await answer(stage, 3.0)
                await stage.settle(1.0)
            stage.room.leave()
            await stage.settle(0.5 if speaking else 5.0)
            if not speaking:
                await answer(stage, 3.0)
            waits_from = stage.now
            await stage.until(lambda: stage.over)
            assert stage.now - waits_from == pytest.approx(8.0, abs=0.5)
    assert ["fallback='fatal'" in line.text and "no GPU" in line.text for line in lines] == [True]
    assert ["no GPU" in event[1] for event in stage.events if event[0] == "on_fallback"] == [True]
    assert "no GPU" in stage.up(ErrorFrame)[-1].error
    assert len(stage.down(EndFrame)) == 1


async def test_an_avatar_that_comes_back_in_time_goes_on_where_a_call_is_nothing_without_it() -> None:
    """What the lost one did not say waits for it; nothing is heard without an avatar, and the call goes on."""
    async with WorkerStage(policy=ProcessorUnusablePolicy.CONTINUE, fallback="fatal") as stage:
        await stage.arrive(1.0)
        await answer(stage, 3.0)
        await stage.settle(1.0)
        stage.room.leave()
        await stage.until(lambda: len(stage.rooms) == 2)
        await stage.settle(2.0)
        await stage.arrive(5.0)
        assert stage.plain == b""
        assert stage.room.speech
        assert tone(3.0).endswith(stage.room.speech[-24000:])
        assert not stage.over
        assert "on_fallback" not in stage.event_names()


async def test_a_call_that_is_nothing_without_the_avatar_outlasts_a_failure_that_passes() -> None:
    """Speech waits as long as it may, as it would not be heard otherwise; then the avatar says it."""
    vendor = MemoryVendor()
    vendor.refuse(409)
    async with Stage(vendor, fallback="fatal") as stage:
        await answer(stage, 1.0)
        await stage.settle(4.0)
        await stage.arrive()
        await stage.settle(3.0)
        assert stage.room.speech == tone(1.0)
        assert stage.plain == b""
        assert stage.up(EndWorkerFrame) == []


@pytest.mark.parametrize(("status", "category"), [(307, "APPLICATION"), (402, "QUOTA"), (500, "SERVER")])
async def test_the_category_of_a_failure_says_nothing_for_good(status: int, category: str) -> None:
    """The text says all: the service stays usable while the bot is heard."""
    vendor = MemoryVendor()
    vendor.refuse(status, times=99)
    async with Stage(vendor) as stage:
        await stage.settle(10.0)
        [error] = stage.up(ErrorFrame)
        assert str(status) in error.error
        assert error.category is ErrorCategory[category]
        assert stage.service.is_usable


# What the user hears, and how often it is an error.


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
            await stage.until(lambda: len(stage.rooms) == outage + 1, limit=300.0)  # noqa: B023
            assert len(vendor.requests) - before == len(FAILURES) + 2
            assert [error.error for error in stage.up(ErrorFrame)] == ["the avatar has left and not come back"] * outage
        assert stage.statuses.count(AvatarStatus.LOST) >= 2 * len(FAILURES)


async def test_a_refusal_for_good_is_reported_after_another_cause() -> None:
    """It changes what a person must do; once, and last."""
    vendor = MemoryVendor()
    vendor.refuse(409, times=2)
    vendor.refuse(401, times=99)
    async with Stage(vendor) as stage:
        await stage.settle(120.0)
        assert [re.findall(r"answered (\d+)", error.error) for error in stage.up(ErrorFrame)] == [["409"], ["401"]]


async def test_sessions_that_cannot_be_terminated_are_one_errorframe() -> None:
    """As long as none can be; the service stays usable, though the key is refused."""
    vendor = MemoryVendor(terminations_refused=deque([ApiStatusError(401, "wrong key")] * 9))
    async with Stage(vendor) as stage:
        stage.join_refusals.extend([RoomError("no such meeting")] * 3)
        stage.room.lose("gone")
        await stage.settle(20.0)
        assert ["could not be terminated" in error.error for error in stage.up(ErrorFrame)].count(True) == 1
        assert len(stage.up(ErrorFrame)) == 2
        assert lasting(stage) == []


@pytest.mark.parametrize("failure", [ApiStatusError(402, "no credit"), ApiStatusError(500, "no GPU")])
async def test_the_cause_is_the_reason_of_the_fallback(failure: ApiStatusError) -> None:
    """Where it is known, it is what the bot and the page are told."""
    vendor = MemoryVendor()
    vendor.refuse(failure, times=99)
    async with Stage(vendor) as stage:
        await answer(stage, 1.0)
        await stage.settle(9.0)
        [told] = stage.fallbacks
        assert failure.detail in told
        voice_only = [one for one in stage.down(AvatarStatusFrame) if one.status is AvatarStatus.VOICE_ONLY]
        assert {one.detail for one in voice_only} == {told}


async def test_a_cause_that_has_passed_is_not_the_reason() -> None:
    """The session was created in the end; its avatar is late."""
    world = World(latency=0.0)
    world.keep_away()
    world.network.refuse(0.3)
    async with world:
        await answer(world, 1.0)
        await world.settle(10.0)
        assert world.fallbacks == ["the avatar was not ready within 8 s"]


# What the vendor is asked for.


async def test_the_end_of_a_lost_session_does_not_delay_the_next_one() -> None:
    """Its terminate takes 31 s; the next creation comes as soon as after one that takes none, and its avatar speaks."""
    gaps: list[float] = []
    for terminate_latency in (0.0, 31.0):
        vendor = MemoryVendor(terminate_latency=terminate_latency)
        async with Stage(vendor) as stage:
            await stage.arrive(8.0)
            lost_at = stage.now
            stage.room.leave()
            await stage.until(lambda asked=vendor.requests: len(asked) == 2)
            gaps.append(vendor.request_times[1] - lost_at)
            assert gaps[-1] == pytest.approx(gaps[0], abs=0.01)
            await stage.until(lambda rooms=stage.rooms: len(rooms) == 2)
            assert len(vendor.terminated) == (0 if terminate_latency else 1)
            await avatar_speaks(stage)
            await stage.settle(40.0)
            assert vendor.terminated == ["session-1"]
            await stage.end()
            await stage.settle(40.0)
        assert len(vendor.terminated) + vendor.exit_hooks.count("run") == 2


WRITES = {"refused": ("refuses what it is given", 0.5), "stuck": ("takes no more audio", 3.5)}


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
        if not speaking:
            await stage.send(speech(1.5))
        await answer(stage, 1.5)
        await stage.settle(8.0)
        assert [says in error.error for error in stage.up(ErrorFrame)] == [True]
        assert stage.time_of(TTSAudioRawFrame) - struck_at <= soon
        assert 0 <= len(stage.voice + stage.plain) - len(tone(3.0)) <= len(tone(0.3))
        await avatar_speaks(stage)


async def test_the_old_room_is_left_before_the_next_one_is_joined() -> None:
    """The bot is in no room twice, as it may be the same."""
    async with avatar_here(room={"close_latency": 5.0}) as (stage, _):
        stage.room.leave()
        await stage.until(lambda: len(stage.rooms) == 2)
        assert stage.rooms[0].closed
