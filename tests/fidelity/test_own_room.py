"""The service with a room of the avatar's own, joined with daily-python's stand-in, from TTS to the user's output."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from pipecat.frames.frames import (
    ErrorFrame,
    OutputImageRawFrame,
    SpeechOutputAudioRawFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)

from pipecat_lemonslice import AvatarStatusFrame, LemonSliceVideoService
from tests.fidelity.calls import Running
from tests.fidelity.installed import URL, Native
from tests.fidelity.rooms import Person
from tests.fidelity.vendor import Vendor
from tests.support.stage import RATE, speech, tone
from tests.support.waiting import until

MEDIA = ("camera", "microphone", "screenVideo", "screenAudio")


@dataclass
class Bot:
    vendor: Vendor
    running: Running
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    def voice(self) -> bytes:
        return b"".join(frame.audio for frame in self.running.last.of(SpeechOutputAudioRawFrame))

    async def speak(self, seconds: float, context: str = "a") -> None:
        await self.running.send(TTSStartedFrame(context), speech(seconds, context), TTSStoppedFrame(context))


@pytest.fixture
async def bot(native: Native) -> AsyncIterator[Bot]:
    async with AsyncExitStack() as stack:
        yield await start(native, stack)


async def start(native: Native, stack: AsyncExitStack, vendor: Vendor | None = None, **kwargs: Any) -> Bot:
    vendor = vendor or await stack.enter_async_context(Vendor(native))
    service = LemonSliceVideoService(api_key="test-key-0123", api_url=vendor.url, agent_id="agent", **kwargs)
    running = Running(service)
    bot = Bot(vendor, running)

    async def ready(_service: LemonSliceVideoService) -> None:
        bot.ready.set()

    service.add_event_handler("on_avatar_ready", ready)
    await stack.enter_async_context(running)
    return bot


async def test_the_avatars_voice_and_picture_come_back(bot: Bot) -> None:
    """Speech reaches the avatar whole; what it says and shows goes downstream, the plain voice does not."""
    await asyncio.wait_for(bot.ready.wait(), 5)
    await bot.speak(0.52)
    await until(lambda: tone(0.52) in bot.voice())
    assert bot.vendor.avatar.speech == tone(0.52)
    assert {frame.size for frame in bot.running.last.of(OutputImageRawFrame)} == {(2, 3)}
    assert bot.running.last.of(TTSAudioRawFrame) == []


async def test_the_bot_joins_silent_and_subscribes_to_the_avatar_alone(native: Native, bot: Bot) -> None:
    """Camera and microphone off, a bitrate for a sharp picture, the track `stream`; who comes back is followed."""
    await asyncio.wait_for(bot.ready.wait(), 5)
    [client] = [one for one in native.clients if one.name == "Pipecat"]
    settings = client.join_arguments[2]
    assert settings["inputs"] == settings["publishing"] == {"camera": False, "microphone": False}
    assert settings["connection"]["initialReceiveBitrate"] > 1_000_000
    assert {client.subscription_profiles()["base"][media] for media in MEDIA} == {"unsubscribed"}
    assert client.custom_tracks == {"stream": (RATE, 1, True)}
    first = bot.vendor.avatar
    first.leave()
    second = bot.vendor.send_avatar()
    await until(lambda: [str(frame.status) for frame in bot.running.last.of(AvatarStatusFrame)].count("here") == 2)
    assert client.subscriptions()[second.id] == {"camera": "subscribed", "microphone": "subscribed"}
    await bot.speak(0.2)
    await until(lambda: tone(0.2) in bot.voice())
    assert bot.vendor.log == ["create"]


async def test_others_in_the_room_are_neither_heard_nor_seen_nor_told(native: Native, bot: Bot) -> None:
    """Somebody speaks and shows themselves beside the avatar; and a request that Daily fails is no loss of the room."""
    await asyncio.wait_for(bot.ready.wait(), 5)
    ann = Person(native.world, URL, "Ann")
    ann.join(camera=True)
    client = next(one for one in native.clients if one.name == "Pipecat")
    native.world.later(lambda: client.emit("on_error", "Error handling sendAppMessage: Signalling"))
    await until(lambda: len(native.room().members) == 3)
    ann.say(b"\x55\x55" * RATE)
    ann.show(bytes(4 * 4 * 3), 4, 4)
    await bot.speak(0.3)
    await until(lambda: tone(0.3) in bot.voice())
    assert b"\x55\x55" not in bot.voice()
    assert {frame.size for frame in bot.running.last.of(OutputImageRawFrame)} == {(2, 3)}
    assert ann.messages == []
    assert bot.running.first.of(ErrorFrame) == []


async def test_a_picture_that_freezes_is_noticed(native: Native) -> None:
    """Not while pictures come, and `frozen_timeout` after the last one."""
    async with AsyncExitStack() as stack:
        bot = await start(native, stack, settings=LemonSliceVideoService.Settings(frozen_timeout=0.5))
        await asyncio.wait_for(bot.ready.wait(), 5)
        await asyncio.sleep(0.8)
        assert bot.vendor.log == ["create"]
        bot.vendor.avatar.show = lambda *_: None  # type: ignore[method-assign]
        await until(lambda: bot.vendor.log.count("create") == 2)
        assert ["no picture" in frame.error for frame in bot.running.first.of(ErrorFrame)] == [True]


async def test_a_call_that_ends_while_the_room_is_being_joined_leaves_it(native: Native) -> None:
    """Nobody is left in the room, and the client is released."""
    native.room().latency = 0.3
    async with AsyncExitStack() as stack:
        bot = await start(native, stack)
        await until(lambda: bool(native.clients) and bool(native.clients[0].join_arguments))
        await bot.running.cancel()
        await until(lambda: native.clients[0].released)
        await until(lambda: "Pipecat" not in [one.name for one in native.room().members.values()])
        assert bot.vendor.log[:2] == ["create", "terminate"]


async def test_a_private_room_is_joined_with_the_bots_own_token(native: Native) -> None:
    """`bot_token` lets the bot in, and stays out of the request, which carries the avatar's."""
    native.room().tokens = frozenset({"bot-token"})
    async with AsyncExitStack() as stack:
        url = native.room().url
        bot = await start(native, stack, daily_room_url=url, daily_token="avatar-token", bot_token="bot-token")
        await asyncio.wait_for(bot.ready.wait(), 5)
        assert "bot-token" not in str(bot.vendor.requests)
        assert bot.vendor.requests[0]["properties"]["daily_token"] == "avatar-token"


async def test_a_goodbye_is_heard_to_its_end_then_the_session_ends_then_the_bot_leaves(bot: Bot) -> None:
    """EndFrame: the last word comes back from the avatar, terminate is sent, then the room is left."""
    await asyncio.wait_for(bot.ready.wait(), 5)
    await bot.speak(0.6)
    await bot.running.end()
    assert bot.vendor.avatar.speech == tone(0.6)
    assert tone(0.6) in bot.voice()
    assert bot.vendor.log == ["create", "terminate", "bot in room"]
    await until(lambda: "Pipecat" in bot.vendor.avatar.gone)


async def test_a_cancel_is_over_within_a_second(bot: Bot) -> None:
    """Cancelled in mid-sentence, the session is terminated and the room left at once."""
    await asyncio.wait_for(bot.ready.wait(), 5)
    await bot.speak(5.0)
    await until(lambda: len(bot.vendor.avatar.speech) > 9600)
    assert await bot.running.cancel() < 1.0
    assert bot.vendor.log == ["create", "terminate", "bot in room"]
    await until(lambda: "Pipecat" in bot.vendor.avatar.gone)


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
    native: Native, said: str, meaning: str, category: str | None
) -> None:
    """One error says why, in Daily's words too and without a secret; the session ends, the plain voice is heard."""
    native.room().refusal = said
    async with AsyncExitStack() as stack:
        settings = LemonSliceVideoService.Settings(ready_timeout=0.2)
        bot = await start(native, stack, daily_room_url=URL, bot_token="bot-token-S3CR3T", settings=settings)
        await until(lambda: "terminate" in bot.vendor.log)
        await bot.speak(0.1)
        await until(lambda: bool(bot.running.last.of(TTSAudioRawFrame)))
        [error] = bot.running.first.of(ErrorFrame)
        assert meaning in error.error
        assert said.split("(")[0].split(" bot")[0] in error.error
        assert "S3CR3T" not in error.error
        assert error.category is not None
        assert not error.category.is_permanent
        assert category in (None, error.category.name)


async def test_a_bot_thrown_out_of_the_room_hands_over_and_comes_back(bot: Bot) -> None:
    """Ejected in mid-sentence: the rest is heard as plain voice, and a new session is joined."""
    await asyncio.wait_for(bot.ready.wait(), 5)
    await bot.speak(1.0)
    await until(lambda: len(bot.vendor.avatar.speech) > 9600)
    client = next(client for client in bot.vendor.native.clients if client.name == "Pipecat")
    bot.vendor.native.world.later(lambda: client.ejected("Connection(Ejected)"))
    started = time.monotonic()
    await until(lambda: bool(bot.running.last.of(TTSAudioRawFrame)))
    assert time.monotonic() - started < 0.5
    plain = b"".join(frame.audio for frame in bot.running.last.of(TTSAudioRawFrame))
    assert tone(1.0).endswith(plain)
    await until(lambda: bot.vendor.log.count("create") == 2)


@pytest.mark.parametrize("avatar_after", [0.01, 0.5], ids=["before the bot", "after it"])
async def test_who_was_in_a_given_room_before_the_session_is_not_the_avatar(
    native: Native, avatar_after: float
) -> None:
    """Somebody of its name waits in the room of `daily_room_url`: the avatar is who came after the creation."""
    native.room().latency = 0.2
    somebody = Person(native.world, URL, "LemonSlice")
    somebody.joined_at = time.time() - 60.0
    somebody.join(camera=True)
    async with AsyncExitStack() as stack:
        vendor = await stack.enter_async_context(Vendor(native, avatar_after=avatar_after))
        bot = await start(native, stack, vendor, daily_room_url=URL)
        await asyncio.wait_for(bot.ready.wait(), 5)
        await bot.speak(0.2)
        await until(lambda: vendor.avatar.events == ["response_started", "response_finished"])
        assert vendor.avatar.speech == tone(0.2)
        assert somebody.messages == []
