"""The avatar's track and the bot's voice have a noise floor: it is no sound, and no word is lost in it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    InterruptionFrame,
    SpeechOutputAudioRawFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)

from tests.support.memory import MemoryRoom
from tests.support.noise import KINDS, noise
from tests.support.speech import spoken
from tests.support.stage import RATE, RESPONSE, Stage, tone
from tests.support.user import UserOutput, pipecat_in_virtual_time

DIGITAL: dict[str, Any] = {"track": True}
FLOORS: list[Any] = [
    pytest.param(DIGITAL, id="digital silence"),
    *(
        pytest.param({"noise_dbfs": dbfs, "noise_kind": kind}, id=f"{kind} {dbfs:g} dBFS")
        for kind, dbfs in (("white", -90.0), ("white", -50.0), ("brown", -61.0), ("hum", -50.0))
    ),
]
floors = pytest.mark.parametrize("floor", FLOORS)

LEARNING = 3.0
"""Seconds in which the floor of a track is known."""


@asynccontextmanager
async def heard(floor: dict[str, Any], **kwargs: Any) -> AsyncIterator[tuple[Stage, MemoryRoom]]:
    """A call whose avatar's track has been heard for a while."""
    async with Stage(room=floor, **kwargs) as stage:
        yield stage, await stage.arrive(LEARNING)


@cache
def sentence(text: str, dbfs: float = -25.0) -> bytes:
    """A sentence as a voice says it, of a mean level, in whole packets."""
    samples = spoken(text, rate=RATE).astype(np.float64)
    samples *= 32768 * 10 ** (dbfs / 20) / np.sqrt(np.mean(samples**2))
    whole = np.pad(samples, (0, -len(samples) % (RATE // 50)))
    return np.round(whole).clip(-32768, 32767).astype("<i2").tobytes()


def said(pcm: bytes, context_id: str = "a") -> tuple[TTSAudioRawFrame, TTSStoppedFrame]:
    return TTSAudioRawFrame(pcm, RATE, 1, context_id=context_id), TTSStoppedFrame(context_id)


def seconds(pcm: bytes) -> float:
    return len(pcm) / (2 * RATE)


def voice_times(stage: Stage) -> list[float]:
    return [at for at, frame in stage.sink.frames if isinstance(frame, SpeechOutputAudioRawFrame)]


HELLO, MONA, FISH = "Hello there, how are you today?", "My name is Mona.", "Seven small fish swim away."


# What is passed on.


@floors
async def test_frames_of_the_avatars_voice_stop_when_it_falls_silent(floor: dict[str, Any]) -> None:
    """Within a second of its last word, and none comes before the next answer."""
    async with heard(floor) as (stage, _):
        before = len(voice_times(stage))
        for context in "ab":
            begun = stage.now
            await stage.send(*said(sentence(HELLO), context), 15.0)
            times = voice_times(stage)[before:]
            before += len(times)
            ends = begun + 0.25 + seconds(sentence(HELLO))
            assert begun + 0.25 <= times[0] <= begun + 0.4
            assert ends - 0.1 <= times[-1] <= ends + 1.0


def fading_in() -> bytes:
    """A voice that fades in over a third of a second."""
    return (np.frombuffer(tone(1.0), "<i2") * np.minimum(1.0, np.arange(RATE) / (0.3 * RATE))).astype("<i2").tobytes()


def sentences() -> list[bytes]:
    """Loud ones and soft ones."""
    return [sentence(text, dbfs) for text in (FISH, MONA, "Have a whole half hour.") for dbfs in (-20.0, -32.0)]


@floors
@pytest.mark.parametrize("speak", [lambda: [fading_in()], sentences])
async def test_no_word_of_the_avatar_is_lost(floor: dict[str, Any], speak: Callable[[], list[bytes]]) -> None:
    """What it says comes out sample for sample, whole from the first syllable to the last; soft ones too."""
    async with heard(floor) as (stage, room):
        for number, clean in enumerate(speak()):
            room.said.clear()
            first = len(stage.down(SpeechOutputAudioRawFrame))
            await stage.send(*said(clean, f"{number}"), 8.0)
            came = b"".join(frame.audio for frame in stage.down(SpeechOutputAudioRawFrame)[first:])
            assert audible(room.said, clean, floor) in came


def audible(packets: list[bytes], clean: bytes, floor: dict[str, Any]) -> bytes:
    """What the avatar said over its noise, without what is drowned in that at the beginning and at the end."""
    size = RATE // 50 * 2
    level = 10 ** ((floor.get("noise_dbfs", -75.0) + 3.0) / 20) * 32768
    loud = [
        number
        for number in range(len(packets))
        if np.sqrt(np.mean(np.frombuffer(clean[number * size : (number + 1) * size], "<i2").astype(float) ** 2)) > level
    ]
    return b"".join(packets[loud[0] : loud[-1] + 1])


async def test_a_pause_between_words_keeps_its_noise_and_a_long_one_is_still() -> None:
    """A short pause sounds as the words do; in a long one nothing but digital silence is sent, and that ends too."""
    async with heard({"noise_dbfs": -50.0}) as (stage, room):
        await stage.send(*said(tone(0.5) + bytes(RATE // 50 * 2 * 10) + tone(0.5)), 5.0)
        words = b"".join(room.said)
        assert words in stage.voice
        rest = stage.voice.partition(words)[2]
        still = len(rest) - len(rest.rstrip(b"\0"))
        assert 0.4 <= still / (2 * RATE) <= 0.6


# What depends on silence.


@floors
async def test_pipecats_output_transport_says_that_the_bot_has_stopped_speaking(floor: dict[str, Any]) -> None:
    """Half a second after the last word of each answer, by Pipecat's own rule."""
    with pipecat_in_virtual_time():
        async with heard(floor, behind=[UserOutput(video_out_enabled=False)]) as (stage, _):
            for number in range(2):
                begun = stage.now
                await stage.send(*said(sentence(MONA), f"{number}"), 8.0)
                ends = begun + 0.25 + seconds(sentence(MONA))
                assert begun + 0.25 <= stage.time_of(BotStartedSpeakingFrame, number) <= begun + 0.45
                assert ends <= stage.time_of(BotStoppedSpeakingFrame, number) <= ends + 1.1
            assert len(stage.down(BotStartedSpeakingFrame)) == len(stage.down(BotStoppedSpeakingFrame)) == 2


@floors
@pytest.mark.parametrize("spoke", [True, False])
async def test_an_end_in_silence_does_not_wait(floor: dict[str, Any], spoke: bool) -> None:
    """EndFrame passes within half a second, noise or none."""
    async with heard(floor) as (stage, _):
        await stage.send(*said(sentence(MONA)) * spoke, 6.0)
        started = stage.now
        await stage.end()
        assert stage.now - started < 0.5
        assert stage.plain == b""


@floors
@pytest.mark.parametrize("latency", [0.06, 0.25])
async def test_the_end_waits_for_the_last_words_and_no_longer(floor: dict[str, Any], latency: float) -> None:
    """Of a voice that dies away in the noise too; none of it is said again, and nobody is told to stop."""
    async with heard({**floor, "latency": latency}) as (stage, room):
        pcm = np.frombuffer(tone(1.0), "<i2") * np.linspace(1.0, 0.0, RATE) ** 3
        await stage.send(said(pcm.astype("<i2").tobytes())[0])
        started = stage.now
        await stage.end()
        assert 1.0 <= stage.now - started - latency <= 1.0 + 0.7
        assert stage.plain == b""
        assert room.events == RESPONSE


@floors
async def test_what_follows_a_barge_in_is_kept_back_no_longer_than_the_avatar_speaks(floor: dict[str, Any]) -> None:
    """It falls silent at once, and what it says half a second later is heard."""
    async with heard({**floor, "obedient": True}) as (stage, room):
        await stage.send(*said(tone(5.0)), 2.0, InterruptionFrame(), 0.5)
        room.said.clear()
        room.utter(sentence(MONA))
        await stage.settle(6.0)
        assert audible(room.said, sentence(MONA), floor) in stage.voice


@floors
async def test_what_was_interrupted_is_not_heard(floor: dict[str, Any]) -> None:
    """An avatar that goes on for a while before it obeys is not heard saying what is not wanted any more."""
    async with heard(floor) as (stage, _):
        await stage.send(*said(sentence(FISH) * 3), 1.0, InterruptionFrame(), 0.0)
        before = len(voice_times(stage))
        await stage.settle(6.0)
        assert len(voice_times(stage)) == before


# Mute or not.


@floors
@pytest.mark.parametrize("clicks", [False, True])
async def test_an_avatar_of_which_only_noise_is_heard_is_mute(floor: dict[str, Any], clicks: bool) -> None:
    """It is given up as one whose track is silent, and the words are heard as plain voice. Clicks are no words."""
    async with heard({**floor, "echo": False}) as (stage, room):
        started = stage.now
        await stage.send(*said(tone(3.0)))
        if clicks:
            for number in range(30):
                asyncio.get_running_loop().call_later(0.37 * number, room.utter, click())
        await stage.until(lambda: "on_avatar_disconnected" in stage.event_names(), 20.0)
        assert stage.now - started == pytest.approx(5.0, abs=0.1)
        await stage.settle(5.0)
        assert stage.plain == tone(3.0)
        assert stage.voice == b""


def click() -> bytes:
    """Five loud milliseconds somewhere in a packet."""
    return bytes(2 * 200) + tone(0.005) + bytes(RATE // 50 * 2 - 2 * 200 - len(tone(0.005)))


@floors
async def test_an_avatar_that_speaks_over_noise_is_not_mute(floor: dict[str, Any]) -> None:
    """Through half a minute of talk."""
    async with heard(floor) as (stage, _):
        await stage.send(*said(sentence(FISH, -30.0) * 20), 40.0)
        assert "on_avatar_disconnected" not in stage.event_names()
        assert len(stage.vendor.created) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_noise_that_the_bots_voice_sends_asks_for_no_answer(kind: str) -> None:
    """A TTS service that sends comfort noise for ten seconds makes no avatar mute that is silent meanwhile."""
    async with heard({"track": True, "echo": False}) as (stage, _):
        await stage.send(*said(noise(kind, -55.0, RATE).tobytes()), 20.0)
        assert "on_avatar_disconnected" not in stage.event_names()


# What is measured and replayed.


@floors
async def test_the_first_sound_of_each_answer_is_measured(floor: dict[str, Any]) -> None:
    """Once for each, and when it sounds: a quarter of a second after it was given, though the last one hardly ended."""
    mona = sentence(MONA, -28.0)
    async with heard(floor) as (stage, _):
        for context, pause in (("a", 6.0), ("b", seconds(mona) + 0.3), ("c", 6.0)):
            await stage.send(*said(mona, context), pause)
        voices = [told for told in stage.page if told.get("event") == "voice"]
        assert [voice["id"] for voice in voices] == [1, 2, 3]
        assert all(250 <= voice["ttfb_ms"] <= 370 for voice in voices)


@floors
@pytest.mark.parametrize("at", [0.1, 0.9, 1.7, 2.4, 3.3])
async def test_the_handover_goes_on_where_the_avatar_was_heard_last(floor: dict[str, Any], at: float) -> None:
    """No word is lost, and at most three tenths of a second are heard twice."""
    async with heard({**floor, "latency": 0.5}) as (stage, room):
        await stage.send(*said(tone(1.0)), 4.0)
        room.said.clear()
        before = len(stage.down(SpeechOutputAudioRawFrame))
        whole = ramp(3.0)
        await stage.send(*said(whole, "b"), at, lambda: room.lose("gone"), 6.0)
        come = b"".join(frame.audio for frame in stage.down(SpeechOutputAudioRawFrame)[before:])
        passed = sum(packet in come for packet in room.said) * 0.02
        assert whole.endswith(stage.plain)
        assert -0.3 <= 3.0 - passed - seconds(stage.plain) <= 1e-6
        assert at == 0.1 or (passed > 0 and stage.plain)


def ramp(duration: float) -> bytes:
    """A tone that becomes louder all the time, so that no piece of it is like another."""
    count = round(duration * RATE)
    wave = np.linspace(3000, 12000, count) * np.sin(2 * np.pi * 231.7 * np.arange(count) / RATE)
    return wave.astype("<i2").tobytes()


async def test_a_floor_that_rises_in_the_middle_of_a_call_is_a_floor_soon() -> None:
    """Frames stop again within two seconds, and the next answer is heard and measured as ever."""
    async with heard({"noise_dbfs": -80.0}) as (stage, room):
        await stage.send(*said(sentence(MONA)), 6.0)
        room.noise_dbfs, risen = -55.0, stage.now
        await stage.settle(10.0)
        assert voice_times(stage)[-1] <= risen + 2.0
        begun = stage.now
        await stage.send(*said(sentence(MONA), "b"), 6.0)
        assert begun + 0.25 <= next(at for at in voice_times(stage) if at > begun) <= begun + 0.4
        assert voice_times(stage)[-1] <= begun + 0.25 + seconds(sentence(MONA)) + 1.0
