"""Pictures and actions, and all that comes before there is a session, between two, or while one is being created."""

from typing import Any

import pytest
from pipecat.frames.frames import UserStartedSpeakingFrame

from pipecat_lemonslice import AvatarActionFrame, AvatarImageFrame, AvatarKeepAliveFrame
from pipecat_lemonslice.api import PoseTrigger, ResetIdleTimeout, UpdateAgentPrompt, UpdateImage
from pipecat_lemonslice.errors import ApiStatusError
from pipecat_lemonslice.session.control import MAX_REQUESTS
from tests.support.memory import MemoryVendor
from tests.support.stage import Stage, avatar_here, said, speech, tone

FIRST, SECOND = "https://x.test/1.png", "https://x.test/2.png"


# While the avatar is there.


async def test_orders_are_given_when_the_speech_before_them_has_been_spoken_and_travel_on() -> None:
    """In their order, and each only once."""
    async with avatar_here() as (stage, _):
        await stage.send(speech(1.0), AvatarImageFrame(image_url=FIRST), AvatarActionFrame("wave"), 0.5)
        assert stage.vendor.controls == []
        await stage.settle(0.6)
        assert stage.vendor.controls == [PoseTrigger("wave")]
        await stage.settle(2.0)
        assert stage.vendor.controls == [PoseTrigger("wave"), UpdateImage(image_url=FIRST)]
        assert [frame.action for frame in stage.down(AvatarActionFrame)] == ["wave"]
        assert len(stage.down(AvatarImageFrame)) == 1


@pytest.mark.parametrize(
    "frame", [AvatarActionFrame(" "), AvatarImageFrame(image_url="ftp://x.test/a"), AvatarImageFrame(image=b"none")]
)
async def test_an_order_that_cannot_be_meant_is_told_and_harms_nothing(frame: Any) -> None:
    """One ErrorFrame; the speech behind it is spoken, and the next session has the picture of before."""
    async with avatar_here() as (stage, room):
        await stage.send(frame, *said(1.0), 2.0)
        assert room.speech == tone(1.0)
        assert len(stage.errors) == 1
        room.lose("gone")
        await stage.settle(2.0)
        assert stage.vendor.requests[1].agent_id == "agent"


async def test_an_order_that_is_refused_is_told_and_harms_nothing() -> None:
    """One ErrorFrame each; also for one that was kept until there was a session."""
    vendor = MemoryVendor(latency=1.0, control_refusal=ApiStatusError(404, "no such pose"))
    async with Stage(vendor) as stage:
        await stage.send(AvatarActionFrame("early"), 2.0)
        await stage.arrive()
        await stage.send(AvatarActionFrame("wave"), AvatarKeepAliveFrame(), 1.0)
        assert ["no such pose" in frame.error for frame in stage.errors] == [True] * 3


async def test_orders_that_pile_up_are_refused() -> None:
    """As many as may wait are carried out in their order; that the rest is not is told once."""
    async with avatar_here(MemoryVendor(control_latency=1.0), keep_alive=False) as (stage, _):
        await stage.send(*(AvatarActionFrame(str(number)) for number in range(2 * MAX_REQUESTS)), MAX_REQUESTS + 10.0)
        assert stage.vendor.controls == [PoseTrigger(str(number)) for number in range(MAX_REQUESTS)]
        [error] = stage.errors
        assert f"{MAX_REQUESTS} requests wait" in error.error
        await stage.send(AvatarActionFrame("later"), 2.0)
        assert stage.vendor.controls[-1] == PoseTrigger("later")


async def test_a_keep_alive_frame_resets_the_timeout_now() -> None:
    """For bots that keep keep_alive off."""
    async with avatar_here(keep_alive=False) as (stage, _):
        await stage.send(AvatarKeepAliveFrame(), 0.0)
        assert stage.vendor.controls == [ResetIdleTimeout()]


# While it is not.


async def test_settings_changed_while_the_session_is_being_created_are_told_once_it_is_there() -> None:
    """What the request did not say yet follows as control events: the newest value of each, and no error."""
    async with Stage(MemoryVendor(latency=2.0)) as stage:
        await stage.send(stage.change(agent_prompt="sad"), stage.change(agent_prompt="happy"), 3.0)
        assert stage.vendor.requests[0].agent_prompt is None
        assert stage.vendor.controls == [UpdateAgentPrompt("happy")]
        assert stage.errors == []


async def test_settings_changed_between_two_sessions_are_part_of_the_next_request() -> None:
    """Nothing is sent twice, and nothing is an error."""
    async with avatar_here() as (stage, room):
        room.lose("gone")
        await stage.send(0.1, stage.change(agent_prompt="happy", agent_image_url=FIRST), 2.0)
        assert (stage.vendor.requests[1].agent_prompt, stage.vendor.requests[1].agent_image_url) == ("happy", FIRST)
        assert stage.vendor.controls == []
        assert len(stage.errors) == 1, "only the loss itself"


async def test_what_is_changed_while_it_sleeps_is_part_of_the_next_session() -> None:
    """It does not wake for it."""
    async with Stage(keep_alive=False) as stage:
        await stage.arrive(60.0)
        stage.room.say({"type": "idle_timeout"})
        await stage.send(
            1.0, stage.change(agent_prompt="happy"), AvatarActionFrame("wave"), AvatarKeepAliveFrame(), 10.0
        )
        assert len(stage.vendor.requests) == 1
        assert stage.errors == []
        await stage.send(UserStartedSpeakingFrame(), 0.0)
        assert stage.vendor.requests[1].agent_prompt == "happy"
        await stage.arrive()
        assert stage.vendor.controls == [PoseTrigger("wave")]


async def test_orders_before_the_session_are_kept() -> None:
    """Of pictures the newest; each action once and in its order, for one avatar that can be seen. No errors."""
    pictures = AvatarImageFrame(image_url=FIRST), AvatarImageFrame(image_url=SECOND)
    waves, nod = (AvatarActionFrame("wave"), AvatarActionFrame("wave")), AvatarActionFrame("nod")
    async with Stage(MemoryVendor(latency=2.0)) as stage:
        await stage.send(pictures[0], waves[0], nod, waves[1], pictures[1], 3.0)
        assert stage.vendor.controls == [UpdateImage(image_url=SECOND)]
        await stage.arrive()
        assert stage.errors == []
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
        assert stage.errors == []


@pytest.mark.parametrize("late", [False, True])
async def test_orders_are_dropped_in_silence_when_there_will_be_no_session(late: bool) -> None:
    """The one error is the refusal; that an order could not be given is a consequence of it."""
    orders = AvatarImageFrame(image_url=FIRST), AvatarActionFrame("wave")
    async with Stage(MemoryVendor(latency=1.0).refuse(401)) as stage:
        await stage.send(2.0 if late else 0.0, *orders, stage.change(agent_prompt="x"), 5.0)
        [error] = stage.errors
        assert "401" in error.error
        assert stage.vendor.controls == []
