"""App messages that a shared room refuses, as Pipecat's own `DailyTransport` tells of it."""

import asyncio

from pipecat.frames.frames import ErrorFrame, OutputTransportMessageUrgentFrame

from tests.fidelity.shared_bots import Bot, Stage, person
from tests.support.stage import tone
from tests.support.waiting import until

REFUSAL = "AppMessage(Signalling(ChannelNotOpen))"


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
