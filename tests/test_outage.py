"""No avatar for a while: how soon the voice is heard, and what the bot is told. Calls in virtual time."""

import asyncio
import re
from collections.abc import Callable

import pytest
from pipecat.frames.frames import EndWorkerFrame, TTSAudioRawFrame
from pipecat.utils.errors import ErrorCategory

from pipecat_lemonslice import AvatarStatus, AvatarStatusFrame
from pipecat_lemonslice.errors import RoomError
from tests.faults.vendor import Break, Hang, Refuse, Spoil
from tests.faults.vendor import Fault as Wire
from tests.faults.world import JOIN_SECONDS, LAG, World
from tests.support.virtual_time import run_virtual

READY = 8.0
"""The default of `ready_timeout`."""

FAILURES: dict[str, Wire] = {
    "408": Refuse(408),
    "409": Refuse(409),
    "500": Refuse(500),
    "502": Refuse(502),
    "503": Refuse(503),
    "504": Refuse(504),
    "401": Refuse(401),
    "404": Refuse(404),
    "a redirect": Refuse(307, location="https://elsewhere.test/"),
    "a reset": Break("after"),
    "no JSON": Spoil(lambda _: "<html>"),
    "a long Retry-After": Refuse(429, retry_after=60.0),
    "Retry-After beyond ready_timeout": Refuse(503, retry_after=20.0),
}
"""Failures that are known after the first answer, which takes a second."""


def first_heard(world: World, index: int) -> float:
    """Seconds from when something was said until it was heard."""
    said = world.said[index]
    return next(one.begin for one in world.heard() if one.code in said.codes) - said.at


def categories(world: World) -> list[ErrorCategory | None]:
    return [error.category for error in world.errors]


def fallbacks(world: World) -> list[str]:
    return [event[1] for event in world.events if event[0] == "on_fallback"]


# The voice.


@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_creation_ends_the_waiting_of_speech(name: str) -> None:
    """What waits is heard within a second of the failure, and what comes later does not wait again."""
    world = World()
    world.lemonslice.arm("create", FAILURES[name], *[Refuse(500)] * 9)

    async def scenario() -> None:
        async with world:
            await world.say(1.0)
            await asyncio.sleep(4.0)
            await world.say(1.0)
            await asyncio.sleep(3.0)
            await world.end()

    run_virtual(scenario)
    assert first_heard(world, 0) <= world.lemonslice.latency + 1.0
    assert first_heard(world, 1) <= 0.1
    assert len(fallbacks(world)) == 1


@pytest.mark.parametrize("error", [RoomError("no such meeting"), TypeError("unforeseen")], ids=["refused", "broken"])
def test_a_failed_join_ends_the_waiting_of_speech(error: Exception) -> None:
    """Likewise, although there is a session."""
    world = World()
    world.join_refusals.extend([error] * 9)

    async def scenario() -> None:
        async with world:
            await world.say(1.0)
            await asyncio.sleep(4.0)
            await world.end()

    run_virtual(scenario)
    assert first_heard(world, 0) <= world.lemonslice.latency + JOIN_SECONDS + 1.0  # type: ignore[attr-defined]
    assert world.lemonslice.running == []


def test_the_avatar_takes_over_at_the_next_response_after_a_failed_creation() -> None:
    """Once it is there."""
    world = World()
    world.lemonslice.arm("create", Refuse(409))

    async def scenario() -> None:
        async with world:
            await world.say(1.0)
            await asyncio.sleep(8.0)
            await world.say(1.0)
            await asyncio.sleep(3.0)
            await world.end()

    run_virtual(scenario)
    by = [{one.by for one in world.heard() if one.code in said.codes} for said in world.said]
    assert by == [{"voice"}, {"avatar"}]


def test_speech_waits_while_a_request_is_repeated() -> None:
    """A connection that comes at the third attempt is not noticed but by a short silence."""
    world = World()
    world.lemonslice.arm("create", *[Break("connect")] * 2)

    async def scenario() -> None:
        async with world:
            await world.say(1.0)
            await asyncio.sleep(8.0)
            await world.end()

    run_virtual(scenario)
    assert {one.by for one in world.heard()} == {"avatar"}
    assert fallbacks(world) == []


# Why.


@pytest.mark.parametrize(
    ("wire", "cause"),
    [
        ([Break("connect")] * 9, "Cannot connect"),
        ([Refuse(429, '{"detail": "too many sessions"}', retry_after=3.0)] * 9, "too many sessions"),
        ([Refuse(500, '{"detail": "no GPU"}')], "no GPU"),
        ([Refuse(402, '{"detail": "no credit"}')], "no credit"),
    ],
)
def test_the_cause_is_the_reason_of_the_fallback(wire: list[Wire], cause: str) -> None:
    """Where it is known, it is what the bot and the page are told."""
    world = World()
    world.lemonslice.arm("create", *wire)

    async def scenario() -> None:
        async with world:
            await world.say(1.0)
            await asyncio.sleep(READY + 0.5)
            statuses = world.down(AvatarStatusFrame)
            assert AvatarStatus.VOICE_ONLY in [frame.status for frame in statuses]
            assert all(cause in frame.detail for frame in statuses if frame.status is AvatarStatus.VOICE_ONLY)
            await world.end()

    run_virtual(scenario)
    assert len(fallbacks(world)) == 1
    assert cause in fallbacks(world)[0]


def test_a_cause_that_has_passed_is_not_the_reason() -> None:
    """The session was created in the end; its avatar is late."""
    world = World()
    world.lemonslice.arm("create", Break("connect"))
    world.keep_away(20.0)

    async def scenario() -> None:
        async with world:
            await world.say(1.0)
            await asyncio.sleep(READY + 2.0)
            await world.end()

    run_virtual(scenario)
    assert fallbacks(world) == ["the avatar was not ready within 8 s"]


# What is reported.


@pytest.mark.parametrize(
    "failures",
    [
        [Refuse(409)] * 6,
        [Refuse(500)] * 3,
        [Refuse(409), Break("connect"), Refuse(500), Refuse(429, retry_after=60.0)],
        [Hang()] * 2,
    ],
)
def test_an_outage_is_one_errorframe(failures: list[Wire]) -> None:
    """However often it is tried again, and whatever the causes; the page sees each of them as a status."""
    world = World()
    world.lemonslice.arm("create", *failures)

    async def scenario() -> None:
        async with world:
            await asyncio.sleep(200.0)
            assert len(world.errors) == 1
            assert "on_avatar_ready" in world.event_names()
            lost = [frame for frame in world.down(AvatarStatusFrame) if frame.status is AvatarStatus.LOST]
            assert len(lost) >= len({(type(failure), getattr(failure, "status", 0)) for failure in failures}) - 1
            await world.end()

    run_virtual(scenario)
    assert len(world.errors) == 1


def test_an_outage_goes_on_through_sessions_without_an_avatar() -> None:
    """An avatar that is lost, a creation that fails, a room that cannot be joined: one outage until it is back."""
    world = World()

    async def scenario() -> None:
        async with world:
            await asyncio.sleep(5.0)
            world.lemonslice.arm("create", Refuse(409))
            world.join_refusals.append(RoomError("no such meeting"))
            world.rooms[-1].leave()
            await asyncio.sleep(20.0)
            assert [error.error for error in world.errors] == ["the avatar has left and not come back"]
            assert world.event_names().count("on_avatar_ready") == 2
            world.rooms[-1].leave()
            await asyncio.sleep(20.0)
            assert len(world.errors) == 2
            await world.end()

    run_virtual(scenario)


@pytest.mark.parametrize("status", [401, 402, 404])
def test_a_refusal_for_good_is_reported_after_another_cause(status: int) -> None:
    """It changes what a person must do; once, and last."""
    world = World()
    world.lemonslice.arm("create", Refuse(409), Refuse(409), Refuse(status), Refuse(status))

    async def scenario() -> None:
        async with world:
            await asyncio.sleep(120.0)
            await world.say(1.0)
            await world.end()

    run_virtual(scenario)
    assert [re.findall(r"answered (\d+)", error.error) for error in world.errors] == [["409"], [str(status)]]


@pytest.mark.parametrize("fallback", ["voice", "silent"])
@pytest.mark.parametrize("status", [307, 400, 401, 402, 403, 404, 405, 408, 409, 413, 422, 425, 429, 500, 503])
def test_the_service_stays_usable_while_the_call_goes_on(status: int, fallback: str) -> None:
    """No category says that it is of no use for good; the text says all."""
    world = World(fallback=fallback)
    world.lemonslice.arm("create", *[Refuse(status, retry_after=60.0 if status == 429 else None)] * 3)

    async def scenario() -> None:
        async with world:
            await asyncio.sleep(10.0)
            assert world.service.is_usable
            await world.end()

    run_virtual(scenario)
    assert [category.is_permanent for category in categories(world) if category] == [False]
    assert str(status) in world.errors[0].error
    assert status != 402 or categories(world) == [ErrorCategory.QUOTA]


def test_a_session_that_cannot_be_terminated_leaves_the_service_usable() -> None:
    """Also when the key is refused for it."""
    world = World()
    world.lemonslice.arm("terminate", *[Refuse(401)] * 9)

    async def scenario() -> None:
        async with world:
            await asyncio.sleep(5.0)
            world.rooms[-1].leave()
            await asyncio.sleep(10.0)
            assert world.service.is_usable
            await world.end()

    run_virtual(scenario)
    assert not any(category.is_permanent for category in categories(world) if category)


def test_sessions_that_cannot_be_terminated_are_one_errorframe() -> None:
    """As long as none can be."""
    world = World()
    world.lemonslice.arm("terminate", *[Refuse(401)] * 9)
    world.join_refusals.extend([RoomError("no such meeting")] * 3)

    async def scenario() -> None:
        async with world:
            await asyncio.sleep(20.0)
            await world.end()

    run_virtual(scenario)
    assert sum("could not be terminated" in error.error for error in world.errors) == 1
    assert sum("no such meeting" in error.error for error in world.errors) == 1
    assert len(world.errors) == 2


# Without an avatar no call.


def refused(world: World) -> None:
    world.lemonslice.arm("create", Refuse(401, '{"detail": "wrong key"}'))


def unreachable(world: World) -> None:
    world.lemonslice.arm("create", *[Break("connect")] * 99)


def late(world: World) -> None:
    world.keep_away(20.0)


@pytest.mark.parametrize(
    ("happen", "reason"), [(refused, "wrong key"), (unreachable, "Cannot connect"), (late, "was not ready within 8 s")]
)
def test_a_fatal_fallback_is_told_before_the_pipeline_ends(happen: Callable[[World], None], reason: str) -> None:
    """To the handlers, in an ErrorFrame, in the log and in the frame that ends the pipeline; each once."""
    world = World(fallback="fatal")
    happen(world)
    ends_at_fallback: list[int] = []

    async def on_fallback(_service: object, _reason: str) -> None:
        ends_at_fallback.append(len(world.up(EndWorkerFrame)))

    async def scenario() -> None:
        world.service.add_event_handler("on_fallback", on_fallback)
        async with world:
            await world.say(1.0)
            await asyncio.sleep(30.0)
            await world.end()

    run_virtual(scenario)
    assert ends_at_fallback == [0]
    assert [reason in told for told in fallbacks(world)] == [True]
    assert [reason in error.error for error in world.errors] == [True]
    assert [reason in str(frame.reason) for frame in world.up(EndWorkerFrame)] == [True]
    assert any("fallback='fatal'" in line and reason in line for line in world.journal.logs)


def test_a_fatal_fallback_may_be_permanent() -> None:
    """The key is wrong, and the service does nothing without an avatar."""
    world = World(fallback="fatal")
    refused(world)

    async def scenario() -> None:
        async with world:
            await asyncio.sleep(3.0)
            assert not world.service.is_usable
            await world.end()

    run_virtual(scenario)
    assert categories(world) == [ErrorCategory.AUTHENTICATION]


def test_a_fatal_fallback_outlasts_a_failure_that_passes() -> None:
    """Speech waits as long as it may, as it would not be heard otherwise."""
    world = World(fallback="fatal")
    world.lemonslice.arm("create", Refuse(409))

    async def scenario() -> None:
        async with world:
            await world.say(1.0)
            await asyncio.sleep(8.0)
            await world.end()

    run_virtual(scenario)
    assert {one.by for one in world.heard()} == {"avatar"}
    assert world.up(EndWorkerFrame) == []
    assert world.down(TTSAudioRawFrame) == []
    assert first_heard(world, 0) < READY + LAG
