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

from pipecat_lemonslice import LemonSliceVideoService
from tests.fidelity.calls import Running
from tests.fidelity.installed import URL, Native
from tests.fidelity.rooms import Person
from tests.fidelity.vendor import Vendor
from tests.support.stage import speech, tone
from tests.support.waiting import until


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


async def test_a_room_that_cannot_be_joined_costs_nothing_and_the_voice_goes_on(native: Native) -> None:
    """The join fails: one error that says why, the session is terminated, the plain voice is heard."""
    native.room().refusal = "Connection(Api(RoomLookup(RoomInfoFetchFailed(Get(Error(Connect, dns error))))))"
    async with AsyncExitStack() as stack:
        bot = await start(native, stack, settings=LemonSliceVideoService.Settings(ready_timeout=0.2))
        await until(lambda: "terminate" in bot.vendor.log)
        await bot.speak(0.2)
        await until(lambda: bool(bot.running.last.of(TTSAudioRawFrame)))
        errors = [frame.error for frame in bot.running.first.of(ErrorFrame)]
        assert errors
        assert "Daily cannot be reached" in errors[0]


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
