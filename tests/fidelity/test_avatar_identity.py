"""Who the avatar is in a room where others bear its name, with Pipecat's own `DailyTransport` on the stand-in."""

import asyncio

import pytest

from tests.fidelity.installed import Native
from tests.fidelity.rooms import AvatarPerson, Person
from tests.fidelity.shared_bots import LOUD, Bot, Stage, person
from tests.support.stage import tone
from tests.support.waiting import until

ANSWER = ["response_started", "response_finished"]


def namesake(native: Native) -> Person:
    """Somebody who calls themselves like the avatar, and can be seen."""
    somebody = person(native, "LemonSlice")
    somebody.join(camera=True)
    return somebody


async def begin(stage: Stage, *, minted: bool = True, carries_id: bool = True, come: bool = True) -> Bot:
    """Start a bot whose session has been created; the avatar comes at once, or when it is sent."""
    vendor = await stage.vendor(avatar_after=0.05 if come else None, carries_id=carries_id)
    if minted:
        stage.mint(vendor)
    bot = await stage.bot(vendor)
    await until(lambda: bool(vendor.created))
    return bot


async def check_nobody(bot: Bot, somebody: Person) -> None:
    """A person: heard by the bot, told nothing, and no avatar to anybody who asks."""
    await until(lambda: not bot.service.is_avatar(somebody.id))
    await asyncio.sleep(0.1)
    somebody.say(LOUD * 240 * 20)
    await until(lambda: LOUD in bot.heard_from(somebody))
    assert not bot.service.is_avatar(bot.transport.participants()[somebody.id])
    assert somebody.messages == []


async def check_avatar(bot: Bot, avatar: AvatarPerson) -> None:
    """The avatar: not heard by the bot, spoken to, and told of its response."""
    await until(lambda: bot.states[-1:] == ["here"], 6.0)
    await bot.speak(0.2, f"context-{len(avatar.events)}")
    await until(lambda: avatar.events[-2:] == ANSWER)
    assert avatar.speech.endswith(tone(0.2))
    assert bot.service.is_avatar(avatar.id)
    assert bot.service.is_avatar(bot.transport.participants()[avatar.id])
    avatar.say(LOUD * 240 * 20)
    await asyncio.sleep(0.4)
    assert LOUD not in bot.heard_from(avatar)


@pytest.mark.parametrize("minted", [True, False], ids=["minted", "open"])
async def test_a_person_of_its_name_who_was_there_before_is_not_the_avatar(stage: Stage, minted: bool) -> None:
    """Somebody called LemonSlice waits in the room when the bot comes: a person to the bot, before and after."""
    somebody = namesake(stage.native)
    await asyncio.sleep(0.05)
    bot = await begin(stage, minted=minted, come=False)
    await check_nobody(bot, somebody)
    await check_avatar(bot, bot.vendor.send_avatar())
    await check_nobody(bot, somebody)
    assert bot.greeted == ["LemonSlice"]


async def test_a_person_of_its_name_who_comes_before_the_avatar_is_a_person_again_once_it_is_there(
    stage: Stage,
) -> None:
    """Taken for the avatar while nobody carries its id, the person makes way for it, and is heard from then on."""
    bot = await begin(stage, come=False)
    somebody = namesake(stage.native)
    await until(lambda: bot.states[-1:] == ["here"])
    avatar = bot.vendor.send_avatar()
    await until(lambda: not bot.service.is_avatar(somebody.id))
    await check_avatar(bot, avatar)
    await check_nobody(bot, somebody)
    assert len(bot.vendor.created) == 1


async def test_a_person_of_its_name_who_comes_after_the_avatar_is_a_person(stage: Stage) -> None:
    """The avatar is known by its id: who else bears its name is heard, also when the avatar has gone."""
    bot = await begin(stage)
    await check_avatar(bot, bot.vendor.avatar)
    somebody = namesake(stage.native)
    await check_nobody(bot, somebody)
    await check_avatar(bot, bot.vendor.avatar)
    bot.vendor.avatar.leave()
    await until(lambda: bot.states[-1] == "lost")
    await check_nobody(bot, somebody)


async def test_each_token_carries_an_id_of_its_own(stage: Stage) -> None:
    """A new session's avatar is known by an id that no other session's has."""
    bot = await begin(stage)
    await asyncio.wait_for(bot.ready.wait(), 5)
    bot.avatar.send({"type": "daily_error", "fatal": True})
    await until(lambda: len(bot.vendor.created) == 2, 6.0)
    minted = [one["properties"] for one in bot.vendor.requests if "room_name" in one["properties"]]
    assert len({one["user_id"] for one in minted}) == 2
    assert {(one["user_name"], one["room_name"], one["is_owner"]) for one in minted} == {("LemonSlice", "room", False)}
    assert bot.vendor.headers[0]["authorization"] == "Bearer daily-key-0123"
    assert [one["properties"]["daily_token"] for one in bot.vendor.created] == ["minted-token-1", "minted-token-2"]


async def test_an_avatar_without_the_id_is_known_by_its_name(stage: Stage) -> None:
    """LemonSlice does not use the token: who bears the name and came after the creation is the avatar."""
    somebody = namesake(stage.native)
    await asyncio.sleep(0.05)
    bot = await begin(stage, carries_id=False)
    await check_avatar(bot, bot.vendor.avatar)
    await check_nobody(bot, somebody)


@pytest.mark.parametrize("minted", [True, False], ids=["minted", "open"])
async def test_an_avatar_that_comes_back_is_the_avatar(stage: Stage, minted: bool) -> None:
    """It leaves and returns within its grace: the session goes on with it, and not with a person of its name."""
    somebody = namesake(stage.native)
    await asyncio.sleep(0.05)
    bot = await begin(stage, minted=minted)
    await check_avatar(bot, bot.vendor.avatar)
    bot.vendor.avatar.leave()
    await until(lambda: bot.states[-1] == "lost")
    await check_avatar(bot, bot.vendor.send_avatar())
    assert len(bot.vendor.created) == 1
    await check_nobody(bot, somebody)


@pytest.mark.parametrize("minted", [True, False], ids=["minted", "open"])
async def test_the_last_sessions_avatar_that_lingers_is_not_this_ones(stage: Stage, minted: bool) -> None:
    """It is an avatar, so that the bot does not hear it; but the new one is spoken to."""
    bot = await begin(stage, minted=minted)
    await asyncio.wait_for(bot.ready.wait(), 5)
    first = bot.avatar
    first.send({"type": "daily_error", "fatal": True, "detail": "gone wrong"})
    await until(lambda: len(bot.vendor.avatars) == 2, 6.0)
    await check_avatar(bot, bot.avatar)
    assert first.events == []
    first.say(LOUD * 240 * 20)
    await asyncio.sleep(0.4)
    assert LOUD not in bot.heard_from(first)
    assert bot.service.is_avatar(first.id)


async def test_a_person_who_takes_its_name_later_is_a_person(stage: Stage) -> None:
    """Renaming oneself to LemonSlice in mid-call changes nothing."""
    bot = await begin(stage, minted=False)
    await check_avatar(bot, bot.vendor.avatar)
    ann = person(stage.native, "Ann")
    ann.join()
    await until(lambda: ann.id in bot.transport.participants())
    ann.name = "LemonSlice"
    ann.turn_camera_on()
    await asyncio.sleep(0.1)
    await check_nobody(bot, ann)


async def test_nobody_is_told_anything_while_there_is_no_avatar(stage: Stage) -> None:
    """A response without the avatar is told to nobody in the room, whatever their names."""
    people = [namesake(stage.native), person(stage.native, "Ann", hears=("microphone",))]
    people[1].join()
    await asyncio.sleep(0.05)
    bot = await begin(stage, minted=False, come=False)
    await bot.speak(0.2, "a")
    await until(lambda: tone(0.2) in people[1].heard_of("Pipecat"), 12.0)
    assert [somebody.messages for somebody in people] == [[], []]
