"""App messages: what is said to the avatar word for word, and what becomes of what it says. In virtual time."""

from typing import Any

import pytest
from pipecat.frames.frames import InterruptionFrame

from tests.support.logs import package_logs
from tests.support.stage import RESPONSE, avatar_here, said, speech

LONG = "x" * 10_000
FATAL: dict[str, Any] = {"type": "daily_error", "fatal": True}


async def test_speech_events_as_they_go_over_the_wire() -> None:
    """The names are the vendor's."""
    async with avatar_here() as (stage, room):
        await stage.send(*said(0.5), 1.0, speech(2.0, "b"), 0.5, InterruptionFrame(), 0.1)
        assert [set(message) for message in room.messages] == [{"event", "session_id"}] * 5
        assert [message["session_id"] for message in room.messages] == ["session-1"] * 5
        assert room.events == [*RESPONSE, "response_started", "interrupt", "response_finished"]


@pytest.mark.parametrize(
    ("message", "words", "lost"),
    [
        ({"type": "bot_ready"}, [], False),
        ({"type": "image_change_complete"}, [], False),
        ({**FATAL, "error": "in error"}, ["in error"], True),
        ({**FATAL, "fatal": "yes", "error": "in error"}, ["in error"], False),
        ({"type": "daily_error"}, [""], False),
        ({"type": "video_generation_error", "detail": "in detail"}, ["in detail"], False),
        ({"type": "image_change_error", "message": "in message"}, ["in message"], False),
        ({"type": "brand_new"}, [], False),
        ({"type": LONG}, [], False),
        ({**FATAL, "error": LONG}, ["x" * 300], True),
        ({**FATAL, "error": {"code": [1.5, None]}}, [""], True),
        *((nonsense, [], False) for nonsense in ({}, "bot_ready", None, 7, [], ["type"], {"type": None}, {"type": {}})),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_the_avatar_says_is_understood(message: object, words: list[str], lost: bool) -> None:
    """Each known type, fatal only where it says so; all else is passed over. No word fills a log."""
    async with avatar_here() as (stage, room):
        with package_logs("DEBUG") as lines:
            room.say(message)
            await stage.settle(2.0)
        assert all(len(line.text) < 500 for line in lines)
        assert len(stage.errors) == len(words)
        assert all(
            word in error.error and len(error.error) < 400 for word, error in zip(words, stage.errors, strict=True)
        )
        assert len(stage.vendor.created) == 1 + lost
        await stage.arrive()
        await stage.send(*said(0.5), 2.0)
        assert stage.room.events == RESPONSE
