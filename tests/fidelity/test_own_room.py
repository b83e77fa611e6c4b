"""The service with a room of the avatar's own, joined with daily-python's stand-in, from TTS to the user's output."""

import asyncio
import gc
import threading
import time
import weakref

import pytest
from pipecat.frames.frames import CancelFrame, ErrorFrame

from pipecat_lemonslice import AvatarStatus, LemonSliceVideoService
from pipecat_lemonslice.rooms import RoomOptions
from pipecat_lemonslice.rooms.daily import DailyRoom
from pipecat_lemonslice.rooms.daily_native import sources_kept
from tests.fidelity.bots import ANSWER, LOUD, REFUSAL, Bot, Stage
from tests.fidelity.installed import URL, Native
from tests.fidelity.rooms import MEDIA, AvatarPerson
from tests.support.stage import RATE, tone
from tests.support.waiting import until

Settings = LemonSliceVideoService.Settings


@pytest.fixture
async def bot(stage: Stage) -> Bot:
    """One whose avatar is there."""
    return await stage.bot(shared=False)


async def test_the_avatars_voice_and_picture_come_back_and_nothing_of_others(stage: Stage, bot: Bot) -> None:
    """The plain voice does not, nobody else is told anything, and a request that Daily fails harms nothing."""
    bot.sink.hoard = []
    ann = stage.person("Ann", camera=True)
    stage.native.world.later(lambda: stage.native.bot.emit("on_error", "Error handling sendAppMessage: Signalling"))
    await until(lambda: len(stage.native.room().members) == 3)
    ann.say(LOUD * RATE)
    ann.show(bytes(4 * 4 * 3), 4, 4)
    await bot.answer(0.52)
    await until(lambda: tone(0.52) in bot.voice)
    assert LOUD not in bot.voice
    assert {frame.size for frame in bot.sink.hoard} == {(2, 3)}
    assert bot.plain == b""
    assert ann.messages == []
    assert bot.up(ErrorFrame) == []


async def test_the_bot_joins_silent_and_subscribes_to_the_avatar_alone(stage: Stage) -> None:
    """Camera and microphone off, a bitrate for a sharp picture, the track `stream`; who comes back is followed.

    `bot_token` lets the bot into a private room, and stays out of the request, which carries the avatar's.
    """
    stage.native.room().tokens = frozenset({"bot-token"})
    bot = await stage.bot(shared=False, daily_room_url=URL, daily_token="avatar-token", bot_token="bot-token")
    assert "bot-token" not in str(bot.vendor.created)
    assert bot.vendor.created[0]["properties"]["daily_token"] == "avatar-token"
    client = stage.native.bot
    for inputs in (client.settings["inputs"], client.settings["publishing"]):
        assert inputs == {"camera": False, "microphone": False}
    assert client.settings["connection"]["initialReceiveBitrate"] > 1_000_000
    assert {client.profile[media] for media in MEDIA} == {"unsubscribed"}
    assert client.custom_tracks == {"stream": (RATE, 1, True)}
    bot.avatar.leave()
    again = bot.vendor.send_avatar()
    await until(lambda: bot.statuses.count(AvatarStatus.HERE) == 2)
    assert client.subscriptions[again.id] == {"camera": "subscribed", "microphone": "subscribed"}
    await bot.answer(0.2)
    await until(lambda: tone(0.2) in bot.voice)
    assert bot.vendor.log == ["create"]


async def test_a_picture_that_freezes_is_noticed(stage: Stage) -> None:
    """Not while pictures come, and `frozen_timeout` after the last one."""
    bot = await stage.bot(shared=False, settings=Settings(frozen_timeout=0.4))
    await asyncio.sleep(0.6)
    assert bot.vendor.log == ["create"]
    bot.avatar.show = lambda *_: None  # type: ignore[method-assign]
    await until(lambda: bot.vendor.log.count("create") == 2)
    assert ["no picture" in frame.error for frame in bot.up(ErrorFrame)] == [True]


async def test_a_call_that_ends_while_the_room_is_being_joined_leaves_it(stage: Stage) -> None:
    """Nobody is left in the room, and the client is released."""
    native = stage.native
    native.room().latency = 0.3
    bot = await stage.bot(shared=False, here=False)
    await until(lambda: any(client.settings for client in native.world.clients))
    await bot.cancel()
    await until(lambda: native.bot.released)
    assert "Pipecat" not in [one.name for one in native.room().members.values()]
    assert bot.vendor.log[:2] == ["create", "terminate"]


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
async def test_a_goodbye_is_heard_to_its_end_then_the_session_ends_then_the_bot_leaves(
    stage: Stage, shared: bool
) -> None:
    """EndFrame: all speech reaches the avatar, terminate is sent while the bot is in the room, then it leaves."""
    bot = await stage.bot(shared=shared)
    await bot.speak(0.6)
    await bot.end()
    await until(lambda: "terminate" in bot.vendor.log)
    assert bot.avatar.speech == tone(0.6)
    assert bot.avatar.events == ANSWER
    assert shared or tone(0.6) in bot.voice
    assert bot.vendor.log == ["create", "terminate", "bot in room"]
    await until(lambda: "Pipecat" not in bot.avatar.present)


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
async def test_a_cancel_is_over_within_a_second(stage: Stage, shared: bool) -> None:
    """Cancelled in mid-sentence, the session is terminated and the room left at once."""
    bot = await stage.bot(shared=shared)
    await bot.speak(5.0)
    await until(lambda: len(bot.avatar.speech) > 9600)
    started = time.monotonic()
    await bot.cancel()
    await until(lambda: bool(bot.down(CancelFrame)))
    assert time.monotonic() - started < 1.0
    assert bot.vendor.log[:2] == ["create", "terminate"]
    assert shared or bot.vendor.log[2:] == ["bot in room"]
    await until(lambda: "Pipecat" not in bot.avatar.present)


@pytest.mark.parametrize(
    ("said", "meaning", "category"),
    [
        ("RoomLookup(RoomInfoFetchFailed(Get(Error(Connect, dns error))))", "Daily cannot be reached", "CONNECTIVITY"),
        ("RoomLookup(RoomInfoError(Unauthorized))", "bot_token", None),
        ("RoomLookup(RoomInfoError(NoLongerAvailable))", "expired", None),
        ("RoomLookup(RoomInfoError(NotYetAvailable))", "not open yet", None),
        ("no-room", "no such room", None),
        ("something new bot-token-S3CR3T", "something new", "CONNECTIVITY"),
    ],
)
async def test_a_room_that_cannot_be_joined_costs_nothing_and_the_voice_goes_on(
    stage: Stage, said: str, meaning: str, category: str | None
) -> None:
    """One error says why, in Daily's words too and without a secret; the session ends, the plain voice is heard."""
    stage.native.room().refusal = said
    given = {"daily_room_url": URL, "bot_token": "bot-token-S3CR3T", "settings": Settings(ready_timeout=0.2)}
    bot = await stage.bot(shared=False, here=False, **given)
    await until(lambda: "terminate" in bot.vendor.log)
    await bot.speak(0.1)
    await until(lambda: bot.plain == tone(0.1))
    [error] = bot.up(ErrorFrame)
    assert meaning in error.error
    assert said.split("(")[0].split(" bot")[0] in error.error
    assert "S3CR3T" not in error.error
    assert error.category is not None
    assert not error.category.is_permanent
    assert category in (None, error.category.name)


async def test_a_bot_thrown_out_of_the_room_hands_over_and_comes_back(stage: Stage, bot: Bot) -> None:
    """Ejected in mid-sentence: the rest is heard as plain voice, and a new session is joined."""
    await bot.speak(1.0)
    await until(lambda: len(bot.avatar.speech) > 9600)
    client = stage.native.bot
    stage.native.world.later(lambda: client.ejected("Connection(Ejected)"))
    await until(lambda: bool(bot.plain), 0.5)
    assert tone(1.0).endswith(bot.plain)
    assert len(bot.voice.strip(b"\0")) + len(bot.plain) >= len(tone(1.0)) - 2
    await until(lambda: bot.vendor.log.count("create") == 2)


async def test_the_third_refused_message_in_a_row_replaces_the_avatar(stage: Stage, bot: Bot) -> None:
    """Messages that get lost now and then do no harm; when none gets through, the plain voice says the rest."""
    refusals = stage.native.room().message_refusals
    refusals.extend([REFUSAL] * 2)
    await bot.speak(0.2)
    await until(lambda: not refusals)
    await bot.answer(0.2, "b")
    refusals.extend([REFUSAL] * 3)
    await bot.speak(0.2, "c")
    await until(lambda: len(refusals) == 1)
    await bot.speak(1.0, "d")
    await until(lambda: bot.plain.endswith(tone(1.0)[24000:]))
    await until(lambda: bot.vendor.log.count("create") == 2)
    assert ["takes no more messages" in frame.error for frame in bot.up(ErrorFrame)] == [True]


@pytest.mark.parametrize("avatar_after", [0.01, 0.5], ids=["before the bot", "after it"])
async def test_who_was_in_a_given_room_before_the_session_is_not_the_avatar(stage: Stage, avatar_after: float) -> None:
    """Somebody of its name waits in the room of `daily_room_url`: the avatar is who came after the creation."""
    stage.native.room().latency = 0.2
    somebody = stage.person("LemonSlice", camera=True)
    somebody.joined_at = time.time() - 60.0
    vendor = await stage.vendor(avatar_after=avatar_after)
    bot = await stage.bot(vendor, shared=False, daily_room_url=URL)
    await bot.answer(0.2)
    assert somebody.messages == []


async def visit(native: Native, number: int) -> "weakref.ref[DailyRoom]":
    """Join a room with an avatar in it, say something, and leave in mid-write."""
    url = f"https://example.daily.co/{number}"
    avatar = AvatarPerson(native.world, url, echo_after=0.1)
    avatar.arrive()
    room = await DailyRoom.join(url, RoomOptions(RATE, RATE))
    room.watch((await room.next_event()).participant)  # type: ignore[union-attr]
    room.send({"event": "response_started"})
    room.append(bytes(480))
    await until(lambda: room.played == 240)
    room.append(bytes(9600))
    await room.close()
    avatar.leave()
    return weakref.ref(room)


async def test_twenty_rooms_leave_nothing_behind(native: Native) -> None:
    """After them there are as many threads as before, no room, and no source that is not playing."""
    kept = sources_kept()  # worlds of other tests have ended with audio unplayed
    await visit(native, 0)
    threads = threading.active_count()
    rooms = [await visit(native, number) for number in range(1, 21)]
    native.world.clients.clear()
    await until(lambda: sources_kept() <= kept and threading.active_count() <= threads, 10.0)
    await until(lambda: gc.collect() >= 0 and all(room() is None for room in rooms), 10.0)
