"""The service in the room of the bot's own `DailyTransport`, with people and the avatar, on the stand-in."""

import asyncio
import itertools
import time
from typing import Any

import pytest
from pipecat.frames.frames import (
    BotSpeakingFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    ErrorFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputTransportMessageUrgentFrame,
)
from pipecat.transports.daily.transport import DailyCustomAudioTrackParams, DailyTransport

from pipecat_lemonslice import LemonSliceVideoService
from pipecat_lemonslice.errors import ConfigurationError
from tests.fidelity.bots import ANSWER, REFUSAL, Stage, transport_params
from tests.fidelity.installed import URL, Native
from tests.support.stage import tone
from tests.support.waiting import until


async def test_the_avatar_is_asked_into_the_room_and_speaks_what_the_tts_says(stage: Stage) -> None:
    """The session is for the transport's room; people hear the speech whole, and from the avatar alone.

    The bot speaks while the avatar does: one start and one stop per response, with BotSpeakingFrame between, both ways;
    also when it is interrupted.
    """
    ann = stage.person("Ann")
    bot = await stage.bot(daily_token="avatar-token")
    await bot.answer(0.5)
    properties = bot.vendor.created[0]["properties"]
    assert properties == {"daily_url": URL, "daily_room_url": URL, "daily_token": "avatar-token"}
    await until(lambda: ann.heard_of("LemonSlice") == tone(0.5))
    assert ann.heard_of("Pipecat") == b""
    assert bot.down(OutputAudioRawFrame) == []
    await bot.speak(3.0, "b")
    await until(lambda: len(bot.up(BotStartedSpeakingFrame)) == 2)
    await asyncio.sleep(0.25)
    await bot.send(InterruptionFrame())
    await until(lambda: len(bot.up(BotStoppedSpeakingFrame)) == 2)
    kinds = (BotStartedSpeakingFrame, BotSpeakingFrame, BotStoppedSpeakingFrame)
    for end in (bot.source, bot.sink):
        told = [type(frame) for _, frame in end.frames if isinstance(frame, kinds)]
        assert [kind for kind, _ in itertools.groupby(told)] == [*kinds, *kinds]
        assert told.count(BotSpeakingFrame) >= 4
    await until(lambda: bot.avatar.events[-2:] == ["interrupt", "response_finished"])


async def test_without_an_avatar_the_plain_voice_is_on_the_transports_normal_track(stage: Stage) -> None:
    """After ready_timeout people hear it, the output transport alone tells of it, and nobody is sent a message."""
    people = [stage.person("LemonSlice", camera=True), stage.person("Ann")]
    await asyncio.sleep(0.05)
    settings = LemonSliceVideoService.Settings(ready_timeout=0.2)
    bot = await stage.bot(await stage.vendor(avatar_after=None), here=False, settings=settings)
    await bot.speak(0.4)
    await until(lambda: all(tone(0.4) in somebody.heard_of("Pipecat") for somebody in people), 6.0)
    await until(lambda: len(bot.up(BotStoppedSpeakingFrame)) == 1, 6.0)
    assert len(bot.up(BotStartedSpeakingFrame)) == 1
    assert [somebody.messages for somebody in people] == [[], []]


async def test_an_avatar_that_leaves_in_mid_sentence_hands_over_to_the_plain_voice(stage: Stage) -> None:
    """What it has not played is heard on the normal track; the bot stops and starts speaking once each."""
    ann = stage.person("Ann")
    bot = await stage.bot()
    await bot.speak(1.0)
    await until(lambda: len(bot.avatar.speech) > 9600)
    bot.avatar.leave()
    await until(lambda: len(bot.up(BotStoppedSpeakingFrame)) == 2, 6.0)
    rest = tone(1.0)[len(bot.avatar.speech) :]
    assert rest[4800:] in ann.heard_of("Pipecat")
    assert len(bot.up(BotStartedSpeakingFrame)) == 2


async def test_a_bot_thrown_out_of_its_room_asks_for_no_more_sessions(stage: Stage) -> None:
    """Without the transport another avatar is of no use: the session is terminated, and none takes its place."""
    bot = await stage.bot()
    stage.native.world.later(lambda: stage.native.bot.ejected("Connection(Ejected)"))
    await until(lambda: bot.statuses[-1:] == ["voice_only"])
    assert bot.vendor.log.count("create") == bot.vendor.log.count("terminate") == 1


async def test_an_avatar_that_cannot_be_told_anything_is_replaced(stage: Stage) -> None:
    """The room refuses `response_started`: one error, the plain voice, and a new session."""
    ann = stage.person("Ann")
    bot = await stage.bot()
    stage.native.room().message_refusals.append(REFUSAL)
    await bot.speak(0.4)
    await until(lambda: tone(0.4)[9600:] in ann.heard_of("Pipecat"))
    await until(lambda: bot.vendor.log.count("create") == 2 and bot.statuses[-1] == "here", 6.0)
    assert bot.vendor.log.count("terminate") == 1
    [error] = bot.errors
    assert "takes no messages" in error.error
    assert REFUSAL in error.error
    await bot.answer(0.2, "b")


async def test_errors_of_the_transport_that_are_not_the_avatars_concern_harm_nothing(stage: Stage) -> None:
    """A message of the bot's own is refused, such as one that is too large: the avatar stays.

    Transcription cannot be started, which the transport says before it says that it has joined: sessions go on.
    """
    bot = await stage.bot(params={"transcription_enabled": True})
    stage.native.room().message_refusals.append("AppMessage(TooLarge)")
    await bot.send(OutputTransportMessageUrgentFrame(message={"much": "too much"}))
    await until(lambda: len(bot.up(ErrorFrame)) == 2)
    assert "transcription" in bot.up(ErrorFrame)[0].error
    await bot.answer(0.2)
    assert bot.errors == []
    assert bot.vendor.log == ["create"]
    bot.avatar.send({"type": "daily_error", "fatal": True})
    await until(lambda: len(bot.vendor.avatars) == 2 and bot.statuses[-1] == "here", 6.0)
    await bot.answer(0.2, "b")


@pytest.mark.parametrize(
    ("params", "kwargs", "said"),
    [
        ({"audio_out_enabled": False}, {}, "DailyParams(audio_out_enabled=True)"),
        ({"microphone_out_enabled": False}, {}, "DailyParams(microphone_out_enabled=True)"),
        ({"audio_out_destinations": ["stream"]}, {}, "without 'stream'"),
        (
            {"custom_audio_track_params": {"stream": DailyCustomAudioTrackParams(channels=2)}},
            {},
            "DailyCustomAudioTrackParams(channels=1)",
        ),
        ({}, {"daily_room_url": "https://x.daily.co/y"}, "daily_room_url"),
        ({}, {"bot_token": "t"}, "bot_token"),
    ],
)
async def test_what_cannot_carry_an_avatar_is_refused_at_once(
    native: Native, params: dict[str, Any], kwargs: dict[str, Any], said: str
) -> None:
    """Parameters of the transport, with the line to write; keywords for a room and a token that are the transport's."""
    transport = DailyTransport(URL, None, "Pipecat", transport_params(**params))
    with pytest.raises(ConfigurationError) as caught:
        LemonSliceVideoService(api_key="key-0123", agent_id="agent", transport=transport, **kwargs)
    assert said in str(caught.value)


async def test_a_track_at_another_rate_gets_its_speech_at_that_rate(stage: Stage) -> None:
    """The track follows the transport's parameters, and the speech follows the track: nothing in slow motion."""
    bot = await stage.bot(
        params={"custom_audio_track_params": {"stream": DailyCustomAudioTrackParams(sample_rate=48000)}}
    )
    await bot.speak(0.5)
    await until(lambda: bot.avatar.events == ANSWER)
    assert len(bot.avatar.speech) == pytest.approx(48000, abs=960)


async def block_the_loop() -> None:
    """Five times a second for 150 ms, as tools and image libraries do."""
    while True:
        time.sleep(0.15)  # noqa: ASYNC251
        await asyncio.sleep(0.05)


async def test_as_much_is_played_ahead_as_the_loop_is_late(stage: Stage) -> None:
    """The first second teaches how late the loop is; the rest has no pause above 50 ms, and nothing is lost."""
    bot = await stage.bot()
    blocking = asyncio.create_task(block_the_loop())
    await bot.answer(3.0)
    blocking.cancel()
    begun = next(piece.at for piece in bot.avatar.heard if piece.written)
    written = [piece.written for piece in bot.avatar.heard if piece.at >= begun + 1.0]
    end = len(written) - written[::-1].index(True)
    pauses = [len(list(run)) / 100 for spoken, run in itertools.groupby(written[:end]) if not spoken]
    assert max(pauses, default=0.0) <= 0.05
