"""No secret in anything that anybody may see, whatever goes wrong; and nobody but the avatar steers the service."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from loguru import logger
from pipecat.frames.frames import LLMFullResponseStartFrame

from pipecat_lemonslice import AvatarActionFrame, AvatarImageFrame
from pipecat_lemonslice.emulator.room import AppMessage, Member, RoomEvent
from pipecat_lemonslice.errors import LemonSliceError, RoomError
from tests.faults.world import AVATAR_TOKEN, KEY, LOBBY, World
from tests.support.stage import Stage

IMAGE = "https://cdn.test/face.png?sig=S3CR3T-picture"


class Chatty(Exception):
    """Says what nobody should say."""

    def __str__(self) -> str:
        return f"{KEY} and {LOBBY} and {IMAGE} and {AVATAR_TOKEN}"


def refuses(world: World) -> None:
    """The room says where it is, and raises it, too."""
    world.join_refusals.extend([RoomError(f"no way into {LOBBY}"), Chatty()])


def talks(world: World) -> None:
    """So does the avatar."""
    world.emulator.fault(f"fatal=cannot reach {LOBBY}")


@pytest.mark.parametrize("inject", [refuses, talks])
async def test_no_room_and_no_avatar_shows_a_secret(inject: Callable[[World], None]) -> None:
    """Not in logs at TRACE with the values of variables, nor in frames, events, errors, their causes or tracebacks."""
    world = World(lobby=True)
    inject(world)
    async with world:
        await world.say(0.2)
        await asyncio.sleep(50.0)
        await world.send(AvatarActionFrame("wave"), AvatarImageFrame(image_url=IMAGE))
        await world.end()
        for frame in world.errors:  # as an application would
            assert frame.exception is None or isinstance(frame.exception, LemonSliceError)
            logger.opt(exception=frame.exception).error(f"the avatar failed: {frame}")
    assert len(world.logs) > 20
    assert world.errors
    assert world.secrets_seen() == []


async def test_a_room_that_is_lost_and_says_where_it_was_shows_no_secret() -> None:
    """Neither in the logs nor to the bot and its user."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="TRACE", diagnose=True, filter="pipecat_lemonslice")
    async with Stage() as stage:
        await stage.arrive()
        stage.room.lose(f"cannot reach {LOBBY}")
        await stage.settle(1.0)
    logger.remove(sink)
    seen = [*lines, *(str(event) for event in stage.events), *(str(frame) for _, frame in stage.sink.frames)]
    assert any("cannot reach" in text for text in seen)
    assert [text for text in seen if "S3CR3T" in text] == []


MESSAGES: list[Any] = [
    {"type": "idle_timeout"},
    {"type": "daily_error", "fatal": True, "error": "over"},
    {"type": "video_generation_error", "error": "x"},
    {"event": "interrupt", "session_id": "session-1"},
    {"event": "response_finished", "session_id": "session-1"},
    {"type": "bot_ready"},
]


class Namesake(Member):
    """Somebody of the avatar's name, who keeps what the bot tells them."""

    def __init__(self) -> None:
        super().__init__("LemonSlice")
        self.told: list[object] = []

    def on_event(self, sender: Member, event: RoomEvent) -> None:
        if sender.user_name == "Pipecat" and isinstance(event, AppMessage):
            self.told.append(event.message)


async def test_who_was_in_a_given_room_before_the_session_is_not_the_avatar() -> None:
    """Somebody of its name waits in the room of `daily_room_url`: the avatar is who came after the creation."""
    world, somebody = World(lobby=True), Namesake()
    lobby = world.emulator.open_room("lobby")
    lobby.enter(somebody)
    somebody.entered_at -= 60.0
    async with world:
        said = await world.say(0.5)
        await asyncio.sleep(5.0)
        assert world.heard_by(said) == {"avatar"}
        assert somebody.told == []


async def test_strangers_cannot_steer_the_service() -> None:
    """What others than the avatar say, also under its name and also while it speaks, changes nothing."""
    async with World() as world:
        await asyncio.sleep(3.0)
        room, stranger = world.rooms[0].session.room, Namesake()
        room.enter(stranger)
        [bot] = [member for member in room.participants if member.user_name == "Pipecat"]
        await world.send(LLMFullResponseStartFrame())
        said = await world.say(2.0)
        for message in MESSAGES:
            await asyncio.sleep(0.1)
            room.send(stranger, AppMessage(message), str(bot.id))
        room.leave(stranger)
        await asyncio.sleep(3.0)
        assert {one.code for one in world.heard() if one.by == "avatar"} == set(said.codes)
        assert world.errors == []
        assert len(world.emulator.running) == 1
        assert world.rooms[0].events == ["response_started", "response_finished"]
