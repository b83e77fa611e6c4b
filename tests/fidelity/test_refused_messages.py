"""App messages that are refused: by a shared room, as Pipecat's `DailyTransport` tells of it, and by one of its own."""

import asyncio
from contextlib import AsyncExitStack

from pipecat.frames.frames import (
    ErrorFrame,
    OutputTransportMessageUrgentFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)

from pipecat_lemonslice import AvatarStatusFrame, LemonSliceVideoService
from tests.fidelity.calls import Running
from tests.fidelity.installed import Native
from tests.fidelity.shared_bots import Bot, Stage, person
from tests.fidelity.vendor import Vendor
from tests.support.stage import speech, tone
from tests.support.waiting import until

REFUSAL = "AppMessage(Signalling(ChannelNotOpen))"


def plain(running: Running) -> bytes:
    return b"".join(frame.audio for frame in running.last.of(TTSAudioRawFrame))


def errors(bot: Bot) -> list[str]:
    return [frame.error for frame in bot.running.first.of(ErrorFrame) if frame.processor is bot.service]


async def test_an_avatar_that_cannot_be_told_anything_is_replaced(stage: Stage) -> None:
    """The room refuses `response_started`: one error, the plain voice, and a new session."""
    ann = person(stage.native, "Ann", hears=("microphone",))
    ann.join()
    bot = await stage.bot()
    await asyncio.wait_for(bot.ready.wait(), 5)
    stage.native.room().message_refusals.append(REFUSAL)
    await bot.speak(0.4, "a")
    await until(lambda: tone(0.4)[9600:] in ann.heard_of("Pipecat"))
    await until(lambda: bot.vendor.log.count("create") == 2 and bot.states[-1] == "here", 6.0)
    assert bot.vendor.log.count("terminate") == 1
    assert len(errors(bot)) == 1
    assert "takes no messages" in errors(bot)[0]
    assert REFUSAL in errors(bot)[0]
    await bot.speak(0.2, "b")
    await until(lambda: bot.avatar.events == ["response_started", "response_finished"])


async def test_what_the_bot_itself_cannot_send_is_not_the_avatars_concern(stage: Stage) -> None:
    """A message of the bot's own is refused, such as one that is too large: the avatar stays."""
    bot = await stage.bot()
    await asyncio.wait_for(bot.ready.wait(), 5)
    stage.native.room().message_refusals.append("AppMessage(TooLarge)")
    await bot.running.send(OutputTransportMessageUrgentFrame(message={"much": "too much"}))
    await until(lambda: bool(bot.running.first.of(ErrorFrame)))
    await bot.speak(0.2, "a")
    await until(lambda: bot.avatar.events == ["response_started", "response_finished"])
    assert errors(bot) == []
    assert bot.vendor.log == ["create"]


async def test_in_a_room_of_its_own_the_third_in_a_row_replaces_the_avatar(native: Native) -> None:
    """Messages that get lost now and then do no harm; when none gets through, the plain voice says the rest."""
    async with AsyncExitStack() as stack:
        vendor = await stack.enter_async_context(Vendor(native))
        service = LemonSliceVideoService(api_key="test-key-0123", api_url=vendor.url, agent_id="agent")
        running = await stack.enter_async_context(Running(service))
        await until(lambda: "here" in [str(frame.status) for frame in running.last.of(AvatarStatusFrame)])
        native.room().message_refusals.extend([REFUSAL] * 2)
        await running.send(TTSStartedFrame("a"), speech(0.2, "a"), TTSStoppedFrame("a"))
        await until(lambda: not native.room().message_refusals)
        await running.send(TTSStartedFrame("b"), speech(0.2, "b"), TTSStoppedFrame("b"))
        await until(lambda: vendor.avatar.events == ["response_started", "response_finished"])
        native.room().message_refusals.extend([REFUSAL] * 3)
        await running.send(TTSStartedFrame("c"), speech(0.2, "c"), TTSStoppedFrame("c"))
        await until(lambda: len(native.room().message_refusals) == 1)
        await running.send(TTSStartedFrame("d"), speech(1.0, "d"), TTSStoppedFrame("d"))
        await until(lambda: plain(running).endswith(tone(1.0)[24000:]))
        await until(lambda: vendor.log.count("create") == 2)
        said = [frame.error for frame in running.first.of(ErrorFrame)]
        assert ["takes no more messages" in one for one in said] == [True]
