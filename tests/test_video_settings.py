"""Settings that change while a call runs: prompts, pictures and timeouts, what refuses them, and what then is."""

from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from pipecat.frames.frames import InterruptionFrame, ServiceUpdateSettingsFrame, TTSStoppedFrame

from pipecat_lemonslice import AvatarImageFrame, AvatarStatus, LemonSliceVideoService
from pipecat_lemonslice.api import ControlEvent, UpdateAgentPrompt, UpdateIdlePrompt, UpdateImage
from tests.support.memory import MemoryVendor
from tests.support.stage import Stage, avatar_here, said, speech, tone

Settings: Any = LemonSliceVideoService.Settings
FIRST, SECOND, THIRD = (f"https://x.test/{number}.png" for number in (1, 2, 3))


def png(colour: str) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (368, 560), colour).save(buffer, "PNG")
    return buffer.getvalue()


async def next_request(stage: Stage) -> Any:
    """Lose the session; returns what the next one is asked for."""
    stage.room.lose("gone")
    sessions = len(stage.vendor.requests)
    await stage.until(lambda: len(stage.vendor.requests) > sessions)
    return stage.vendor.requests[-1]


# What LemonSlice refuses.


@pytest.mark.parametrize("status", [400, 503])
@pytest.mark.parametrize(
    "fields", [{"agent_prompt": "new", "agent_idle_prompt": "new", "agent_image_url": SECOND}, {"agent_prompt": "new"}]
)
async def test_a_change_that_lemonslice_refuses_is_one_error_and_the_old_value_stays(
    fields: dict[str, Any], status: int
) -> None:
    """Also in the request for the next session, which it would refuse for good; and it can be asked for again."""
    settings = Settings(agent_prompt="old", agent_image_url=FIRST)
    async with avatar_here(agent_id=None, settings=settings) as (stage, _):
        stage.vendor.refuse_controls(status)
        await stage.send(stage.change(**fields), 1.0)
        [error] = stage.errors
        assert "refused by the test" in error.error
        stage.vendor.control_refusal = None
        await stage.send(stage.change(agent_prompt="new"), 1.0)
        assert stage.vendor.controls == [UpdateAgentPrompt("new")]
        request = await next_request(stage)
        assert (request.agent_prompt, request.agent_idle_prompt) == ("new", None)
        assert request.agent_image_url == FIRST


async def test_what_is_refused_takes_nothing_else_with_it() -> None:
    """The picture is refused and the prompts are not; a newer prompt outlives the refusal of the one before."""
    vendor = MemoryVendor(control_latency=1.0)
    async with avatar_here(vendor) as (stage, _):
        vendor.refused_controls = (UpdateImage(image_url=FIRST), UpdateAgentPrompt("bad"))
        await stage.send(stage.change(agent_image_url=FIRST, agent_prompt="bad", agent_idle_prompt="calm"), 0.5)
        await stage.send(stage.change(agent_prompt="good"), 10.0)
        assert vendor.controls == [UpdateIdlePrompt("calm"), UpdateAgentPrompt("good")]
        assert len(stage.errors) == 1
        request = await next_request(stage)
        assert (request.agent_prompt, request.agent_idle_prompt, request.agent_id) == ("good", "calm", "agent")


async def test_a_picture_that_lemonslice_takes_and_cannot_show_is_an_error_and_the_old_one_stays() -> None:
    """Its 200 is no more than an acknowledgement: the avatar may report the failure later."""
    async with avatar_here() as (stage, room):
        for url in (FIRST, SECOND):
            await stage.send(stage.change(agent_image_url=url), 1.0)
            assert stage.vendor.controls[-1] == UpdateImage(image_url=url)
        room.say({"type": "image_change_error", "error": "no face in it"})
        await stage.settle(1.0)
        [error] = stage.errors
        assert "no face in it" in error.error
        assert (await next_request(stage)).agent_image_url == FIRST


async def test_a_change_that_the_end_of_its_session_overtakes_is_part_of_the_next_request() -> None:
    """It is no error of its own."""
    vendor = MemoryVendor(control_latency=1.0)
    async with avatar_here(vendor) as (stage, _):
        vendor.refuse_controls(404)
        await stage.send(stage.change(agent_prompt="happy", agent_idle_prompt="calm"), 0.25)
        request = await next_request(stage)
        await stage.settle(5.0)
        assert (request.agent_prompt, request.agent_idle_prompt) == ("happy", "calm")
        assert len(stage.errors) == 1, "only the loss itself"
        assert vendor.controls == []


# What we refuse.


@pytest.mark.parametrize(
    "fields",
    [
        {"ready_timeout": -1.0},
        {"ready_timeout": None},
        {"response_hold_timeout": float("nan")},
        {"response_done_timeout": 0},
        {"agent_prompt": " "},
        {"agent_image_url": "ftp://x.test/a"},
        {"agent_image": b"no picture"},
        {"agent_image": "/no/such/picture.png"},
        {"agent_image": Image.new("RGB", (36, 56)), "agent_image_url": "https://x.test/a.png"},
        {"agent_prompt": 5},
        {"frozen_timeout": 0},
        {"model": "flash"},
    ],
)
async def test_settings_that_cannot_be_meant_change_nothing(fields: dict[str, Any]) -> None:
    """One ErrorFrame; neither this session nor the next is spoilt; what was right beside them is not taken either."""
    async with avatar_here() as (stage, _):
        await stage.send(stage.change(agent_idle_prompt="calm", **fields), 0.1)
        assert len(stage.errors) == 1
        assert stage.vendor.controls == []
        assert await next_request(stage) == stage.vendor.requests[0]


async def test_a_mapping_with_a_name_that_no_setting_has_is_one_error() -> None:
    """It lists the settings that there are. A mapping for another service passes by."""
    async with avatar_here() as (stage, _):
        wrong, other = {"agent_promt": "x", "ready_timeout": 1.0}, Stage().service
        await stage.send(ServiceUpdateSettingsFrame(settings=wrong, service=other), 1.0)
        assert stage.errors == []
        assert len(stage.down(ServiceUpdateSettingsFrame)) == 1
        await stage.send(ServiceUpdateSettingsFrame(settings=wrong, service=stage.service), 1.0)
        [error] = stage.errors
        assert "agent_promt: no such setting" in error.error
        assert stage.service.settings.given_fields()["ready_timeout"] == 8.0
        await other.cleanup()


# Pictures.


def images(controls: list[ControlEvent]) -> list[str | None]:
    return [event.image_url for event in controls if isinstance(event, UpdateImage)]


@pytest.mark.parametrize("by_frame", [True, False])
async def test_pictures_wait_for_the_end_of_the_response_and_the_last_one_is_sent(by_frame: bool) -> None:
    """A new picture would cut the voice, so it waits until the avatar has said its last word; prompts do not wait."""
    async with avatar_here(room={"latency": 0.75}) as (stage, room):
        for url in (FIRST, SECOND, THIRD):
            change = AvatarImageFrame(image_url=url) if by_frame else stage.change(agent_image_url=url)
            await stage.send(speech(1.0), change, 0.5)
        await stage.send(stage.change(agent_prompt="happy"), TTSStoppedFrame("a"), 0.1)
        assert stage.vendor.controls == [UpdateAgentPrompt("happy")]
        await stage.until(lambda: len(stage.vendor.controls) == 2)
        heard_until = room.played_until + 0.75
        assert heard_until <= stage.now <= heard_until + 0.5
        await stage.settle(5.0)
        assert images(stage.vendor.controls) == [THIRD]
        request = await next_request(stage)
        assert (request.agent_image_url, request.agent_id) == (THIRD, None), "in the place of the avatar's own"


async def test_a_picture_waits_for_the_response_that_follows_before_the_voice_has_ended() -> None:
    """One that begins while the last words of the one before are still heard; an interruption ends the waiting."""
    async with avatar_here(room={"latency": 0.75, "obedient": True}) as (stage, _):
        await stage.send(*said(1.0), stage.change(agent_image_url=FIRST), 1.25)
        assert stage.reasons == ["stopped"]
        await stage.send(speech(5.0, "b"), 3.0)
        assert stage.vendor.controls == []
        await stage.send(InterruptionFrame(), 1.0)
        assert images(stage.vendor.controls) == [FIRST]


async def test_changes_that_overlap_collapse_to_the_last() -> None:
    """While LemonSlice has not answered the first, of all others the newest is sent."""
    async with avatar_here(MemoryVendor(control_latency=1.0)) as (stage, _):
        for number in range(10):
            picture = AvatarImageFrame(image_url=f"https://x.test/{number}.png")
            await stage.send(stage.change(agent_prompt=f"mood {number}"), picture, 0.05)
        await stage.settle(10.0)
        prompts = [event.agent_prompt for event in stage.vendor.controls if isinstance(event, UpdateAgentPrompt)]
        assert prompts == ["mood 0", "mood 9"]
        assert images(stage.vendor.controls)[-1] == "https://x.test/9.png"
        assert len(images(stage.vendor.controls)) <= 2


async def test_the_old_picture_stays_until_the_new_one_is_seen() -> None:
    """LemonSlice may send no picture while it resets the model: no fallback image, no new session, no other status."""
    async with Stage(agent_id=None, agent_image=png("red")) as stage:
        stage.sink.hoard = []
        room = await stage.arrive()
        change = stage.change(agent_image=png("blue"))
        await stage.send(change, room.freeze_video, 12.0, speech(1.0), 2.0, room.keep_showing, 10.0)
        assert {frame.size for frame in stage.sink.hoard} == {(2, 3)}
        assert stage.statuses[-1] is AvatarStatus.HERE
        assert len(stage.vendor.requests) == 1


async def test_back_to_the_avatars_own_picture() -> None:
    """A picture that was given at construction is sent again; an agent's own is that of the next session."""
    owns: list[dict[str, Any]] = [{"agent_id": None, "agent_image_url": THIRD}, {"agent_id": "agent"}]
    for own in owns:
        async with avatar_here(**own) as (stage, _):
            back = stage.change(agent_image_url=None, agent_image=None)
            await stage.send(stage.change(agent_image_url=FIRST), 0.5, back, 0.5)
            assert images(stage.vendor.controls) == [FIRST, *([THIRD] if "agent_image_url" in own else [])]
            request = await next_request(stage)
            assert (request.agent_id, request.agent_image_url) == (own["agent_id"], own.get("agent_image_url"))
            assert stage.fallbacks == []


# Timeouts.


async def test_timeouts_apply_to_what_is_under_way() -> None:
    """To a response, and to speech that waits; the vendor is not told."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(1.0), 0.99, stage.change(response_done_timeout=2.0), 3.0)
        assert room.time_of("response_finished") == pytest.approx(room.played_until + 2.0)
        assert stage.vendor.controls == []
    async with Stage() as stage:
        await stage.send(speech(1.0), 1.0, stage.change(ready_timeout=1.25), 0.3)
        assert stage.plain == tone(1.0)


CHECKS = ("join_timeout", "first_frame_timeout", "frozen_timeout", "mute_timeout")


async def appear(stage: Stage, check: str) -> None:
    """Do what the avatar does before the check has to catch it."""
    if check == "mute_timeout":
        await stage.arrive(0.1)
        await stage.send(speech(2.0))
    elif check != "join_timeout":
        stage.room.join()
    if check == "frozen_timeout":
        stage.room.show()
    await stage.settle(0.1)


@pytest.mark.parametrize("check", CHECKS)
async def test_an_avatar_that_is_not_in_time_is_replaced(check: str) -> None:
    """After the seconds that the setting says, and not before."""
    async with Stage(room={"echo": False}, settings=Settings(**{check: 7.0})) as stage:
        await appear(stage, check)
        await stage.settle(6.5)
        assert stage.errors == []
        await stage.settle(3.0)
        assert len(stage.errors) == 1
        await stage.until(lambda: len(stage.vendor.created) == 2)


@pytest.mark.parametrize("check", CHECKS)
async def test_a_check_can_be_switched_off(check: str) -> None:
    """None waits for ever."""
    off = Settings(**{"join_timeout": 3600.0, check: None})
    async with Stage(room={"echo": False}, idle_timeout=-1, settings=off) as stage:
        await appear(stage, check)
        for _ in range(100):
            await stage.settle(5.0)
            if check == "mute_timeout":
                stage.room.show()
        assert stage.errors == []
        assert len(stage.vendor.created) == 1


async def test_a_changed_timeout_is_followed_at_once() -> None:
    """By the session that exists and by all further ones, whether it is for the avatar to come or for its pictures."""
    async with Stage(settings=Settings(join_timeout=50.0)) as stage:
        await stage.send(10.0, stage.change(join_timeout=15.0), 4.75)
        assert len(stage.vendor.created) == 1
        await stage.until(lambda: len(stage.vendor.created) == 2, limit=2.0)
        await stage.until(lambda: len(stage.vendor.created) == 3, limit=20.0)
        room = await stage.arrive()
        await stage.send(stage.change(frozen_timeout=None), room.freeze_video, 20.0, room.show)
        await stage.send(stage.change(frozen_timeout=2.0), 1.75)
        assert stage.statuses[-1] is AvatarStatus.HERE
        await stage.settle(0.5)
        assert AvatarStatus.HERE is not stage.statuses[-1]


@pytest.mark.parametrize(
    ("kwargs", "most"),
    [
        ({"settings": Settings(response_hold_timeout=4.0)}, 4.0),
        ({"settings": Settings(response_done_timeout=9.0)}, 9.0),
        ({"session_response_done_timeout": 1.0}, 1.0),
    ],
)
async def test_lemonslice_is_told_the_longest_that_our_own_detection_may_take(
    kwargs: dict[str, Any], most: float
) -> None:
    """Its detection is the net below ours; unless told otherwise."""
    async with Stage(**kwargs) as stage:
        assert stage.vendor.requests[0].response_done_timeout == most
