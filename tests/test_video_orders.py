"""Prompts, pictures and actions that come before there is a session, between two, or while one is being created."""

import pytest
from pipecat.frames.frames import ErrorFrame, UserStartedSpeakingFrame

from pipecat_lemonslice import AvatarActionFrame, AvatarImageFrame, AvatarKeepAliveFrame, LemonSliceVideoService
from pipecat_lemonslice.api import PoseTrigger, UpdateAgentPrompt, UpdateImage
from tests.support.memory import MemoryVendor
from tests.support.stage import Stage, avatar_here

Settings = LemonSliceVideoService.Settings
FIRST, SECOND = "https://x.test/1.png", "https://x.test/2.png"


async def test_settings_changed_while_the_session_is_being_created_are_told_once_it_is_there() -> None:
    """What the request did not say yet follows as control events: the newest value of each, and no error."""
    async with Stage(MemoryVendor(latency=2.0)) as stage:
        await stage.send(stage.change(agent_prompt="sad"), stage.change(agent_prompt="happy"), 1.0)
        assert stage.vendor.requests[0].agent_prompt is None
        await stage.settle(2.0)
        assert stage.vendor.controls == [UpdateAgentPrompt("happy")]
        assert stage.up(ErrorFrame) == []


async def test_settings_changed_between_two_sessions_are_part_of_the_next_request() -> None:
    """Nothing is sent twice, and nothing is an error."""
    async with avatar_here() as (stage, _):
        stage.room.lose("gone")
        await stage.send(0.1, stage.change(agent_prompt="happy", agent_image_url=FIRST), 2.0)
        assert stage.vendor.requests[1].agent_prompt == "happy"
        assert stage.vendor.requests[1].agent_image_url == FIRST
        assert stage.vendor.controls == []
        assert len(stage.up(ErrorFrame)) == 1, "only the loss itself"


async def test_a_prompt_changed_while_it_sleeps_is_part_of_the_next_request() -> None:
    """It does not wake for it."""
    async with Stage(keep_alive=False) as stage:
        await stage.arrive(60.0)
        stage.room.say({"type": "idle_timeout"})
        await stage.settle(1.0)
        await stage.send(stage.change(agent_prompt="happy"), AvatarActionFrame("wave"), AvatarKeepAliveFrame(), 10.0)
        assert len(stage.vendor.requests) == 1
        assert stage.up(ErrorFrame) == []
        await stage.send(UserStartedSpeakingFrame(), 0.0)
        assert stage.vendor.requests[1].agent_prompt == "happy"
        await stage.arrive()
        assert stage.vendor.controls == [PoseTrigger("wave")]


async def test_a_picture_is_that_of_this_session_and_of_all_further_ones() -> None:
    """A frame's picture is sent now, and takes the place of the avatar's own in later requests."""
    async with avatar_here() as (stage, _):
        await stage.send(AvatarImageFrame(image_url=FIRST), 0.0)
        assert stage.vendor.controls == [UpdateImage(image_url=FIRST)]
        await stage.send(stage.change(agent_prompt="happy"), 0.0)
        assert stage.vendor.controls[1:] == [UpdateAgentPrompt("happy")]
        stage.room.lose("gone")
        await stage.settle(2.0)
        assert (stage.vendor.requests[1].agent_image_url, stage.vendor.requests[1].agent_id) == (FIRST, None)


async def test_orders_before_the_session_are_kept() -> None:
    """Of pictures the newest; each action once and in its order, for one avatar that can be seen. No errors."""
    async with Stage(MemoryVendor(latency=2.0)) as stage:
        await stage.send(AvatarImageFrame(image_url=FIRST), AvatarActionFrame("wave"), AvatarActionFrame("nod"))
        await stage.send(AvatarActionFrame("wave"), AvatarImageFrame(image_url=SECOND), 3.0)
        assert stage.vendor.controls == [UpdateImage(image_url=SECOND)]
        await stage.arrive()
        assert stage.up(ErrorFrame) == []
        stage.room.lose("gone")
        await stage.until(lambda: len(stage.rooms) == 2)
        await stage.settle(1.0)
        assert stage.vendor.controls == [UpdateImage(image_url=SECOND), PoseTrigger("wave"), PoseTrigger("nod")]


async def test_no_more_actions_are_kept_than_make_sense() -> None:
    """Twenty different ones."""
    async with Stage(MemoryVendor(latency=2.0)) as stage:
        await stage.send(*(AvatarActionFrame(f"pose {number}") for number in range(100)), 3.0)
        await stage.arrive()
        assert stage.vendor.controls == [PoseTrigger(f"pose {number}") for number in range(20)]
        assert stage.up(ErrorFrame) == []


@pytest.mark.parametrize("late", [False, True])
async def test_orders_are_dropped_in_silence_when_there_will_be_no_session(late: bool) -> None:
    """The one error is the refusal; that an order could not be given is a consequence of it."""
    vendor = MemoryVendor(latency=1.0)
    vendor.refuse(401)
    async with Stage(vendor) as stage:
        await stage.settle(2.0 if late else 0.0)
        await stage.send(AvatarImageFrame(image_url=FIRST), AvatarActionFrame("wave"), stage.change(agent_prompt="x"))
        await stage.settle(5.0)
        [error] = stage.up(ErrorFrame)
        assert "401" in error.error
        assert vendor.controls == []


async def test_a_picture_that_is_none_is_one_error_and_not_remembered() -> None:
    """The next session has the picture of before."""
    async with avatar_here() as (stage, _):
        await stage.send(AvatarImageFrame(image=b"no picture"), 0.5)
        assert len(stage.up(ErrorFrame)) == 1
        stage.room.lose("gone")
        await stage.settle(2.0)
        assert stage.vendor.requests[1].agent_id == "agent"
