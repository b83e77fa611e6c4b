"""No secret in anything that anybody may see, whatever goes wrong; and nobody but the avatar steers the service."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from loguru import logger
from pipecat.frames.frames import LLMFullResponseStartFrame

from pipecat_lemonslice import AvatarActionFrame, AvatarImageFrame
from pipecat_lemonslice.errors import LemonSliceError, RoomError
from tests.faults.catalogue import FATAL
from tests.faults.vendor import CONTROL, FOREIGN, IMAGE, KEY, ROOM
from tests.faults.visible import secrets_seen
from tests.faults.world import World
from tests.support.stage import speech
from tests.support.virtual_time import run_virtual

STRANGER = "55555555-5555-4555-8555-555555555555"
WORDS = f"{KEY} and {ROOM} and {IMAGE} and {CONTROL} and {FOREIGN}"


def breaks(world: World) -> None:
    """The room says what nobody should say, and raises it, too."""

    class Chatty(Exception):
        def __str__(self) -> str:
            return WORDS

    world.join_refusals.extend([RoomError(f"no way into {ROOM}"), Chatty(WORDS)])


def talks(world: World) -> None:
    """The avatar says what it should not."""
    world.on_room.append(lambda room: room.put_later({**FATAL, "error": f"cannot reach {ROOM}"}))


def closes(world: World) -> None:
    """The room is lost, and says where it was."""
    world.on_room.append(lambda room: room.lose(f"cannot reach {ROOM}"))


@pytest.mark.parametrize("inject", [breaks, talks, closes])
def test_no_room_and_no_avatar_shows_a_secret(inject: Callable[[World], None]) -> None:
    """Not in logs at TRACE with the values of variables, nor in frames, events, errors, their causes or tracebacks."""
    run_virtual(lambda: _call(inject))


async def _call(inject: Callable[[World], None]) -> None:
    world = World()
    inject(world)
    async with world:
        await world.say(0.2)
        await asyncio.sleep(50.0)
        await world.send(AvatarActionFrame("wave"), AvatarImageFrame(image_url=IMAGE))
        await world.end()
        as_an_application_would(world)
    assert len(world.journal.logs) > 20
    assert secrets_seen(world) == []


def as_an_application_would(world: World) -> None:
    """Log what an ErrorFrame brings, with everything that loguru can show of it."""
    for frame in world.errors:
        assert frame.exception is None or isinstance(frame.exception, LemonSliceError)
        logger.opt(exception=frame.exception).error(f"the avatar failed: {frame}")


MESSAGES: list[Any] = [
    {"type": "idle_timeout"},
    {"type": "daily_error", "fatal": True, "error": "over"},
    {"type": "video_generation_error", "error": "x"},
    {"event": "interrupt", "session_id": "session-1"},
    {"event": "response_finished", "session_id": "session-1"},
    {"type": "bot_ready"},
]
NONSENSE: list[Any] = [
    None,
    "text",
    7,
    [],
    ["type", "idle_timeout"],
    {"type": None},
    {"type": {"type": "idle_timeout"}},
]


def test_strangers_cannot_steer_the_service() -> None:
    """What others than the avatar say, also under its name and also while it speaks, changes nothing."""

    async def scenario() -> None:
        async with World() as world:
            await asyncio.sleep(3.0)
            room = world.room
            room.join("LemonSlice", STRANGER)
            await world.send(LLMFullResponseStartFrame())
            said = await world.say(2.0)
            for message in (*MESSAGES, *NONSENSE):
                await asyncio.sleep(0.1)
                room.say(message, STRANGER)
            room.put_left(STRANGER)  # type: ignore[attr-defined]
            await asyncio.sleep(3.0)
            assert {one.code for one in world.heard() if one.by == "avatar"} == set(said.codes)
            assert world.errors == []
            assert world.lemonslice.terminated == []
            assert room.events == ["response_started", "response_finished"]

    run_virtual(scenario)


def test_no_message_of_the_avatar_breaks_the_call() -> None:
    """Whatever it says that is not understood is passed over."""

    async def scenario() -> None:
        async with World() as world:
            await asyncio.sleep(3.0)
            for message in (*NONSENSE, {"type": "x" * 10_000}):
                world.room.say(message)
            await world.send(speech(0.5))
            await asyncio.sleep(3.0)
            assert world.errors == []
            assert world.room.events == ["response_started", "response_finished"]

    run_virtual(scenario)
