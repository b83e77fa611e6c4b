"""The service in the room of the bot's own `DailyTransport`, with people and the avatar, on the stand-in."""

import asyncio
import itertools
from typing import Any

import pytest
from pipecat.frames.frames import (
    BotSpeakingFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    ErrorFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.transports.daily.transport import DailyCustomAudioTrackParams, DailyTransport

from pipecat_lemonslice import LemonSliceVideoService
from pipecat_lemonslice.errors import ConfigurationError
from tests.fidelity.installed import URL, Native
from tests.fidelity.rooms import AvatarPerson
from tests.fidelity.shared_bots import LOUD, Stage, params, person
from tests.support.stage import tone
from tests.support.waiting import until

UP, DOWN = FrameDirection.UPSTREAM, FrameDirection.DOWNSTREAM


async def test_the_avatar_is_asked_into_the_room_and_speaks_what_the_tts_says(stage: Stage) -> None:
    """The session is for the transport's room; the speech reaches the avatar whole, people hear it from there alone."""
    ann = person(stage.native, "Ann", hears=("microphone",))
    ann.join()
    bot = await stage.bot(daily_token="avatar-token")
    await asyncio.wait_for(bot.ready.wait(), 5)
    await bot.speak(0.5, "a")
    await until(lambda: bot.avatar.events == ["response_started", "response_finished"])
    properties = bot.vendor.requests[0]["properties"]
    assert properties == {"daily_url": URL, "daily_room_url": URL, "daily_token": "avatar-token"}
    assert bot.avatar.speech == tone(0.5)
    assert ann.heard_of("Pipecat") == b""
    await until(lambda: ann.heard_of("LemonSlice") == tone(0.5))
    assert [message for _, _, message in ann.messages] == []
    assert bot.running.last.of(OutputAudioRawFrame) == []


async def test_the_bot_speaks_while_the_avatar_does(stage: Stage) -> None:
    """One start and one stop per response, with BotSpeakingFrame between, both ways; also when interrupted."""
    bot = await stage.bot()
    await asyncio.wait_for(bot.ready.wait(), 5)
    await bot.speak(0.5, "a")
    await until(lambda: len(bot.running.first.of(BotStoppedSpeakingFrame, UP)) == 1)
    await bot.speak(3.0, "b")
    await until(lambda: len(bot.running.first.of(BotStartedSpeakingFrame, UP)) == 2)
    await asyncio.sleep(0.25)
    await bot.running.send(InterruptionFrame())
    await until(lambda: len(bot.running.first.of(BotStoppedSpeakingFrame, UP)) == 2)
    kinds = (BotStartedSpeakingFrame, BotSpeakingFrame, BotStoppedSpeakingFrame)
    for tap, way in ((bot.running.first, UP), (bot.running.last, DOWN)):
        told = [type(frame) for _, frame, direction in tap.frames if isinstance(frame, kinds) and direction is way]
        assert [kind for kind, _ in itertools.groupby(told)] == [*kinds, *kinds]
        assert told.count(BotSpeakingFrame) >= 4
    await until(lambda: bot.avatar.events[-2:] == ["interrupt", "response_finished"])


async def test_without_an_avatar_the_plain_voice_is_on_the_transports_normal_track(stage: Stage) -> None:
    """Nobody comes: after ready_timeout people hear the plain voice, told of by the output transport alone."""
    ann = person(stage.native, "Ann", hears=("microphone",))
    ann.join()
    settings = LemonSliceVideoService.Settings(ready_timeout=0.2)
    bot = await stage.bot(await stage.vendor(avatar_after=None), settings=settings)
    await bot.speak(0.4, "a")
    await until(lambda: tone(0.4) in ann.heard_of("Pipecat"), 6.0)
    await until(lambda: len(bot.running.first.of(BotStoppedSpeakingFrame, UP)) == 1, 6.0)
    assert len(bot.running.first.of(BotStartedSpeakingFrame, UP)) == 1


async def test_an_avatar_that_leaves_in_mid_sentence_hands_over_to_the_plain_voice(stage: Stage) -> None:
    """What it has not played is heard on the normal track; the bot stops and starts speaking once each."""
    ann = person(stage.native, "Ann", hears=("microphone",))
    ann.join()
    bot = await stage.bot()
    await asyncio.wait_for(bot.ready.wait(), 5)
    await bot.speak(1.0, "a")
    await until(lambda: len(bot.avatar.speech) > 9600)
    bot.avatar.leave()
    await until(lambda: len(bot.running.first.of(BotStoppedSpeakingFrame, UP)) == 2, 6.0)
    played = bot.avatar.speech
    rest = tone(1.0)[len(played) :]
    assert rest[4800:] in ann.heard_of("Pipecat")
    assert len(bot.running.first.of(BotStartedSpeakingFrame, UP)) == 2


async def test_a_bot_thrown_out_of_its_room_asks_for_no_more_sessions(stage: Stage) -> None:
    """Without the transport another avatar is of no use: the session is terminated, and none takes its place."""
    bot = await stage.bot()
    await asyncio.wait_for(bot.ready.wait(), 5)
    client = next(client for client in stage.native.clients if client.name == "Pipecat")
    stage.native.world.later(lambda: client.ejected("Connection(Ejected)"))
    await until(lambda: bot.states[-1:] == ["voice_only"])
    assert bot.vendor.log.count("create") == bot.vendor.log.count("terminate") == 1


async def test_a_goodbye_is_heard_to_its_end_then_the_session_ends_then_the_bot_leaves(stage: Stage) -> None:
    """EndFrame: all speech reaches the avatar, terminate is sent while the bot is in the room, then it leaves."""
    bot = await stage.bot()
    await asyncio.wait_for(bot.ready.wait(), 5)
    await bot.speak(0.6, "bye")
    await bot.running.end()
    assert bot.avatar.speech == tone(0.6)
    assert bot.avatar.events == ["response_started", "response_finished"]
    assert bot.vendor.log == ["create", "terminate", "bot in room"]
    await until(lambda: "Pipecat" in bot.avatar.gone)


async def test_a_cancel_is_over_within_a_second(stage: Stage) -> None:
    """Cancelled in mid-sentence, the session is terminated and everything over at once."""
    bot = await stage.bot()
    await asyncio.wait_for(bot.ready.wait(), 5)
    await bot.speak(5.0, "a")
    await until(lambda: len(bot.avatar.speech) > 9600)
    assert await bot.running.cancel() < 1.0
    assert bot.vendor.log[:2] == ["create", "terminate"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("order", ["LemonSlice Ann Bob", "Ann LemonSlice Bob", "Bob Ann LemonSlice"])
async def test_nobody_is_taken_for_somebody_else(stage: Stage, order: str, when: str) -> None:
    """Two people before the bot or after it, and the avatar, in every order: people are heard, the avatar is not."""
    native = stage.native
    people = {name: person(native, name) for name in ("Ann", "Bob")}
    avatar = AvatarPerson(native.world, URL)

    async def enter(*names: str) -> None:
        for name in names:
            avatar.arrive() if name == "LemonSlice" else people[name].join()
            await asyncio.sleep(0.01)

    names = order.split()
    before = names[: names.index("LemonSlice")] if when == "before" else []
    await enter(*before)
    bot = await stage.bot(await stage.vendor(avatar_after=None))
    await until(lambda: bool(bot.vendor.created))
    await enter(*names[len(before) :])
    await asyncio.wait_for(bot.ready.wait(), 5)
    await until(lambda: len(bot.greeted) == 2)
    await asyncio.sleep(0.1)
    for somebody in (*people.values(), avatar):
        somebody.say(LOUD * 240 * 20)
    await until(lambda: all(LOUD in bot.heard_from(somebody) for somebody in people.values()))
    await asyncio.sleep(0.3)
    assert LOUD not in bot.heard_from(avatar)
    assert sorted(bot.greeted) == ["Ann", "Bob"]
    assert bot.service.is_avatar(avatar.id)
    assert not any(bot.service.is_avatar(somebody.id) for somebody in people.values())
    await bot.speak(0.1, "a")
    await until(lambda: avatar.speech == tone(0.1))


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"audio_out_enabled": False}, "DailyParams(audio_out_enabled=True)"),
        ({"microphone_out_enabled": False}, "DailyParams(microphone_out_enabled=True)"),
        ({"audio_out_destinations": ["stream"]}, "without 'stream'"),
        (
            {"custom_audio_track_params": {"stream": DailyCustomAudioTrackParams(channels=2)}},
            "DailyCustomAudioTrackParams(channels=1)",
        ),
    ],
)
async def test_what_must_be_set_in_daily_params_is_checked(native: Native, wrong: dict[str, Any], line: str) -> None:
    """A transport that cannot carry an avatar is refused at once, with the line to write."""
    transport = DailyTransport(URL, None, "Pipecat", params(**wrong))
    with pytest.raises(ConfigurationError) as caught:
        LemonSliceVideoService(api_key="key-0123", agent_id="agent", transport=transport)
    assert line in str(caught.value)


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [({"daily_room_url": "https://x.daily.co/y"}, "daily_room_url"), ({"bot_token": "t"}, "bot_token")],
)
async def test_keywords_that_contradict_the_transport_are_refused(
    native: Native, kwargs: dict[str, Any], name: str
) -> None:
    """The room and the bot's token are the transport's."""
    transport = DailyTransport(URL, None, "Pipecat", params())
    with pytest.raises(ConfigurationError, match=name):
        LemonSliceVideoService(api_key="key-0123", agent_id="agent", transport=transport, **kwargs)


async def test_a_track_at_another_rate_gets_its_speech_at_that_rate(stage: Stage) -> None:
    """The track follows the transport's parameters, and the speech follows the track: nothing in slow motion."""
    bot = await stage.bot(
        params={"custom_audio_track_params": {"stream": DailyCustomAudioTrackParams(sample_rate=48000)}}
    )
    await asyncio.wait_for(bot.ready.wait(), 5)
    await bot.speak(0.5, "a")
    await until(lambda: bot.avatar.events == ["response_started", "response_finished"])
    assert len(bot.avatar.speech) == pytest.approx(48000, abs=960)


async def test_an_error_of_the_transport_that_has_nothing_to_do_with_joining_is_not_taken_for_one(stage: Stage) -> None:
    """Transcription cannot be started, which the transport says before it says that it has joined: sessions go on."""
    bot = await stage.bot(params={"transcription_enabled": True})
    await until(lambda: any("transcription" in frame.error for frame in bot.running.first.of(ErrorFrame)))
    await asyncio.wait_for(bot.ready.wait(), 5)
    bot.avatar.send({"type": "daily_error", "fatal": True})
    await until(lambda: len(bot.vendor.avatars) == 2 and bot.states[-1] == "here", 6.0)
    await bot.speak(0.2, "a")
    await until(lambda: bot.avatar.events == ["response_started", "response_finished"])
