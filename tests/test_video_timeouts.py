"""How long the service waits for the avatar to join, to be seen and to be heard: as the settings say."""

from typing import Any

import pytest
from pipecat.frames.frames import ErrorFrame

from pipecat_lemonslice import LemonSliceVideoService
from tests.support.stage import Stage, speech, tone


def settings(**given: Any) -> dict[str, Any]:
    return {"settings": LemonSliceVideoService.Settings(**given)}


async def appear(stage: Stage, check: str) -> None:
    """Do what the avatar does before the check has to catch it."""
    if check == "first_frame_timeout":
        stage.room.join()
    elif check == "frozen_timeout":
        stage.room.join()
        stage.room.show()
    elif check == "mute_timeout":
        await stage.arrive(0.1)
        await stage.send(speech(2.0))
    await stage.settle(0.1)


async def test_a_shorter_patience_counts_at_once() -> None:
    """Also for speech that waits already."""
    async with Stage() as stage:
        await stage.send(speech(1.0), 1.0, stage.change(ready_timeout=1.25), 0.3)
        assert stage.plain == tone(1.0)


CHECKS = ("join_timeout", "first_frame_timeout", "frozen_timeout", "mute_timeout")


@pytest.mark.parametrize("check", CHECKS)
async def test_an_avatar_that_is_not_in_time_is_replaced(check: str) -> None:
    """After the seconds that the setting says, and not before."""
    async with Stage(room={"echo": False}, **settings(**{check: 7.0})) as stage:
        await appear(stage, check)
        await stage.settle(6.5)
        assert stage.up(ErrorFrame) == []
        await stage.settle(3.0)
        assert len(stage.up(ErrorFrame)) == 1
        await stage.until(lambda: len(stage.vendor.created) == 2)


@pytest.mark.parametrize("check", CHECKS)
async def test_a_check_can_be_switched_off(check: str) -> None:
    """None waits for ever."""
    off: dict[str, Any] = {"join_timeout": 3600.0, check: None}
    async with Stage(room={"echo": False}, idle_timeout=-1, **settings(**off)) as stage:
        await appear(stage, check)
        if check == "mute_timeout":
            for _ in range(100):
                await stage.settle(5.0)
                stage.room.show()
        else:
            await stage.settle(500.0)
        assert stage.up(ErrorFrame) == []
        assert len(stage.vendor.created) == 1


async def test_a_changed_timeout_is_followed_at_once() -> None:
    """By the session that exists and by all further ones."""
    async with Stage(**settings(join_timeout=50.0)) as stage:
        await stage.send(10.0, stage.change(join_timeout=15.0), 4.75)
        assert len(stage.vendor.created) == 1
        await stage.until(lambda: len(stage.vendor.created) == 2, limit=2.0)
        await stage.until(lambda: len(stage.vendor.created) == 3, limit=20.0)
