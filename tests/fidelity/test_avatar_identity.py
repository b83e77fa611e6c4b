"""Who the avatar is in a room where others bear its name, with Pipecat's own `DailyTransport` on the stand-in."""

import asyncio

import pytest

from tests.fidelity.bots import LOUD, Bot, Stage
from tests.fidelity.rooms import AvatarPerson, Person
from tests.support.waiting import until


async def follow(stage: Stage, events: str, token: str) -> tuple[Bot, list[Person], list[AvatarPerson]]:
    """Let things happen in a room, one after the other; returns the people and the avatars that are there then.

    Args:
        stage: Where.
        events: ``bot`` comes, and its session has been created; the ``avatar`` comes; it ``leaves``, or sends a
            ``fatal`` error, upon which there is another session; the last person is ``renamed`` to LemonSlice. Any
            other word is the name of somebody who comes.
        token: The avatar has none (``open``), does not use it (``unused``), or is known by it (``minted``).
    """
    vendor = await stage.vendor(avatar_after=None, uses_token=token != "unused")
    people: list[Person] = []
    avatars: list[AvatarPerson] = []
    before, _, after = events.partition("bot")
    for name in before.split():
        people.append(stage.person(name, camera=True))
    await asyncio.sleep(0.05)
    bot = await stage.bot(vendor, minted=token != "open", here=False)
    await until(lambda: bool(vendor.created))
    for event in after.split():
        match event:
            case "avatar":
                avatars.append(vendor.send_avatar())
                await until(lambda: avatars[-1].present != [])
                await until(lambda: bot.statuses[-1] == "here")
            case "leaves":
                avatars.pop().leave()
                await until(lambda: bot.statuses[-1] == "lost")
            case "fatal":
                avatars[-1].send({"type": "daily_error", "fatal": True})
                await until(lambda: len(vendor.created) == 2, 6.0)
            case "renamed":
                people[-1].rename("LemonSlice")
            case name:
                people.append(stage.person(name, camera=True))
        await asyncio.sleep(0.05)
    return bot, people, avatars


@pytest.mark.parametrize(
    ("events", "token"),
    [
        ("LemonSlice bot avatar", "minted"),
        ("LemonSlice bot avatar", "open"),
        ("LemonSlice bot avatar", "unused"),
        ("LemonSlice bot avatar leaves avatar", "minted"),
        ("LemonSlice bot avatar leaves avatar", "open"),
        ("bot LemonSlice avatar", "minted"),
        ("bot avatar LemonSlice", "minted"),
        ("bot avatar LemonSlice leaves", "minted"),
        ("bot avatar fatal avatar", "minted"),
        ("bot avatar fatal avatar", "open"),
        ("bot avatar Ann renamed", "open"),
        ("Ann Bob bot avatar", "open"),
        ("Ann bot avatar Bob", "open"),
        ("bot Ann avatar Bob", "open"),
    ],
)
async def test_the_avatar_is_the_avatar_and_people_are_people(stage: Stage, events: str, token: str) -> None:
    """Whatever they are called and whenever they come.

    People are heard by the bot and told nothing. The avatar is spoken to and not heard, and neither is that of an
    earlier session, which is told nothing.
    """
    bot, people, avatars = await follow(stage, events, token)
    await until(lambda: not any(bot.service.is_avatar(somebody.id) for somebody in people))
    await asyncio.sleep(0.1)
    for somebody in (*avatars, *people):
        somebody.say(LOUD * 240 * 10)
    await until(lambda: all(LOUD in bot.heard_from(somebody) for somebody in people))
    if avatars:
        await bot.answer(0.2, "last")
    entries = bot.transport.participants()
    for somebody in (*people, *avatars):
        is_avatar = somebody in avatars
        assert bot.service.is_avatar(somebody.id) is bot.service.is_avatar(entries[somebody.id]) is is_avatar
        assert (LOUD in bot.heard_from(somebody)) is not is_avatar
        assert bool(somebody.messages) is (somebody in avatars[-1:])
    assert len(bot.vendor.created) == 1 + events.count("fatal")
    if "bot LemonSlice" not in events:  # who has been taken for the avatar is not greeted
        assert len(bot.greeted) == len(people)


async def test_each_token_carries_an_id_of_its_own(stage: Stage) -> None:
    """A new session's avatar is known by an id that no other session's has."""
    bot, _, _ = await follow(stage, "bot avatar fatal", "minted")
    minted = bot.vendor.minted
    assert len({one["user_id"] for one in minted}) == 2
    assert {(one["user_name"], one["room_name"], one["is_owner"]) for one in minted} == {("LemonSlice", "room", False)}
    assert bot.vendor.headers[0]["authorization"] == "Bearer daily-key-0123"
    assert [one["properties"]["daily_token"] for one in bot.vendor.created] == ["minted-token-1", "minted-token-2"]
