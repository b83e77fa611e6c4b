"""Speech of every habit reaches the avatar whole and in order, and its words come with it. In virtual time."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pipecat.frames.frames import (
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)

from pipecat_lemonslice import AvatarResponseDoneFrame
from tests.support.memory import MemoryRoom
from tests.support.stage import RATE, RESPONSE, Stage, avatar_here, said, speech, tone, word
from tests.support.virtual_time import run_virtual

SECONDS = 3.013
STOP = TTSStoppedFrame("a")


def audio(pcm: bytes, context_id: str | None = "a", sample_rate: int = RATE, channels: int = 1) -> TTSAudioRawFrame:
    return TTSAudioRawFrame(pcm, sample_rate, channels, context_id=context_id)


def without_format() -> TTSAudioRawFrame:
    frame = audio(tone(0.5))
    frame.num_channels = 0
    return frame


def unspoken() -> LLMFullResponseStartFrame:
    frame = LLMFullResponseStartFrame()
    frame.skip_tts = True
    return frame


def assert_whole(room: MemoryRoom, sent: bytes, *, most_silence: float = 0.02) -> None:
    """What was sent is what was spoken, and nothing but a little silence behind it."""
    assert room.speech[: len(sent)] == sent
    rest = room.speech[len(sent) :]
    assert set(rest) <= {0}
    assert len(rest) <= most_silence * 2 * room.sample_rate


# What is said, what is spoken of it, and why each response was over.
HABITS: dict[str, tuple[list[Any], bytes, list[str]]] = {
    "twenty seconds in one moment": ([*[speech(1.0)] * 20, STOP, 21.0], tone(1.0) * 20, ["stopped"]),
    "a pause with nobody who says that more comes": (
        [speech(0.5), 1.25, speech(0.5, "b"), 1.25],
        tone(0.5) * 2,
        ["response_done_timeout"] * 2,
    ),
    "no contexts": ([speech(1.0, None), 3.0], tone(1.0), ["response_done_timeout"]),
    "no contexts, announced": ([TTSStartedFrame(), speech(1.0, None), 3.0], tone(1.0), ["response_done_timeout"]),
    "a stop before the last audio": ([*said(0.5), *said(0.5), 3.0], tone(0.5) * 2, ["stopped"]),
    "a stop of a sentence alone": ([*said(1.0), speech(1.0, "b"), 3.0], tone(1.0) * 2, ["response_done_timeout"]),
    "a stop that is too early": (
        [*said(0.5), 1.0, speech(0.5), 2.0],
        tone(0.5) * 2,
        ["stopped", "response_done_timeout"],
    ),
    "less than a write that nothing follows": ([speech(0.005), 0.6], tone(0.005), ["response_done_timeout"]),
    "silence within and behind": (
        [audio(tone(0.5) + bytes(RATE) + tone(0.5)), audio(bytes(RATE)), STOP, 4.0],
        tone(0.5) + bytes(RATE) + tone(0.5) + bytes(RATE),
        ["stopped"],
    ),
    "silence alone": ([audio(bytes(RATE)), STOP, 2.0], bytes(RATE), ["stopped"]),
    "half a sample at the end": (
        [audio(tone(0.5) + b"\x01"), *said(0.5, "b"), 3.0],
        tone(0.5) + b"\x01\x00" + tone(0.5),
        ["stopped"],
    ),
    "nothing": ([audio(b""), 2.0], b"", []),
    "no rate, no channels": (
        [audio(tone(0.5), sample_rate=0), without_format(), STOP, 3.0],
        tone(0.5) * 2,
        ["stopped"],
    ),
    "a slow TTS while the LLM writes": (
        [LLMFullResponseStartFrame(), speech(0.5), 3.0, speech(0.5), 2.0, LLMFullResponseEndFrame(), 0.0],
        tone(0.5) * 2,
        ["response_done_timeout"],
    ),
    "the last audio together with the end of the LLM": (
        [LLMFullResponseStartFrame(), speech(0.5), 1.5, speech(0.5), LLMFullResponseEndFrame(), 2.0],
        tone(0.5) * 2,
        ["response_done_timeout"],
    ),
    "a stop per sentence while the LLM writes": (
        [LLMFullResponseStartFrame(), *said(0.5), 1.5, *said(0.5, "b"), 1.5, LLMFullResponseEndFrame(), 1.0],
        tone(0.5) * 2,
        ["stopped"],
    ),
    "an LLM whose text is not spoken": ([unspoken(), *said(0.5), 0.6], tone(0.5), ["stopped"]),
}


@pytest.mark.parametrize("habit", HABITS)
async def test_speech_of_any_habit_is_heard_whole_in_responses_that_end(habit: str) -> None:
    """Each start has its end, and everybody is told how long it was."""
    steps, spoken, reasons = HABITS[habit]
    async with avatar_here() as (stage, room):
        await stage.send(*steps)
        assert_whole(room, spoken)
        assert room.events == RESPONSE * len(reasons)
        assert stage.reasons == reasons
        lasted = sum(frame.audio_seconds for frame in stage.down(AvatarResponseDoneFrame))
        assert lasted == pytest.approx(len(spoken) / (2 * RATE), abs=0.001)
        assert stage.errors == []


@pytest.mark.parametrize("stop", [True, False], ids=["stop", "no stop"])
@pytest.mark.parametrize("channels", [1, 2], ids=["mono", "stereo"])
@pytest.mark.parametrize("rate", [16000, 24000, 44100, 48000])
async def test_every_sample_arrives_where_the_rates_match(rate: int, channels: int, stop: bool) -> None:
    """3.013 s at the room's own rate, cut in the middle of samples, arrive sample for sample, tail included."""
    async with avatar_here(audio_sample_rate=rate) as (stage, room):
        pcm = tone(SECONDS, rate, channels)
        await stage.send(*(audio(pcm[start : start + 4001], "a", rate, channels) for start in range(0, len(pcm), 4001)))
        await stage.send(*[STOP] * stop, 5.0)
        assert_whole(room, tone(SECONDS, rate), most_silence=0.01)
        ends = room.played_until + (0.0 if stop else 0.5)
        assert room.time_of("response_finished") == pytest.approx(ends, abs=1e-6)


@pytest.mark.parametrize("stop", [True, False], ids=["stop", "no stop"])
@pytest.mark.parametrize("channels", [1, 2], ids=["mono", "stereo"])
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
async def test_resampled_speech_arrives_whole(rate: int, channels: int, stop: bool) -> None:
    """3.013 s at another rate arrive with their whole length and the sound of their tail."""
    async with avatar_here() as (stage, room):
        pcm, sent_at = tone(SECONDS, rate, channels), stage.now
        await stage.send(*(audio(pcm[start : start + 4001], "a", rate, channels) for start in range(0, len(pcm), 4001)))
        await stage.send(*[STOP] * stop, 5.0)
        heard = np.frombuffer(room.speech, dtype="<i2").astype(float)
        wanted = np.frombuffer(tone(SECONDS), dtype="<i2").astype(float)
        assert -240 <= len(heard) - len(wanted) <= 480
        assert room.played_until - sent_at == pytest.approx(len(heard) / RATE, abs=1e-6), "a hole"
        heard = np.pad(heard, (0, max(0, len(wanted) - len(heard))))[: len(wanted)]
        for part in (slice(480, -480), slice(-1440, -240)):
            assert np.corrcoef(heard[part], wanted[part])[0, 1] > 0.99
            assert np.std(heard[part]) == pytest.approx(np.std(wanted[part]), rel=0.05)
        assert stage.reasons == ["stopped" if stop else "response_done_timeout"]


@pytest.mark.parametrize("pieces", [[24000, 8000, 24000, 44100, 48000], [24000, 48000] * 3], ids=str)
@pytest.mark.parametrize("contexts", ["aaaaaa", "ababab"])
async def test_a_rate_that_changes_is_followed(contexts: str, pieces: list[int]) -> None:
    """Within a context, or as two contexts alternate: in order, each piece at its own rate, all of it one response."""
    async with avatar_here() as (stage, room):
        await stage.send(*(speech(0.5, context, rate) for context, rate in zip(contexts, pieces, strict=False)))
        await stage.send(STOP, TTSStoppedFrame("b"), 5.0)
        assert len(room.speech) == pytest.approx(len(pieces) * RATE, abs=2 * 480)
        assert room.speech.startswith(tone(0.5))
        assert room.events == RESPONSE


async def test_a_resampled_voice_that_paces_itself_ends_without_a_hole() -> None:
    """Its frames come a few hundredths of a second before they are played, and no stop behind the last."""
    async with avatar_here() as (stage, room):
        pcm, frame = tone(1.0, 44100), 2 * 882
        for start in range(0, len(pcm), frame):
            await stage.send(audio(pcm[start : start + frame], "a", 44100), 0.02 if start >= 4 * frame else 0.0)
        await stage.settle(1.0)
        begun = next(entry.at for entry in room.log if isinstance(entry.what, bytes))
        assert room.played_until - begun == pytest.approx(len(room.speech) / (2 * RATE), abs=1e-6), "a hole"


async def test_drips_of_a_millisecond_arrive_whole() -> None:
    """A millisecond each millisecond is one response with no gap, begun when a write is complete."""
    async with avatar_here() as (stage, room):
        pcm = tone(1.0)
        for start in range(0, len(pcm), 48):
            await stage.send(audio(pcm[start : start + 48]))
            await asyncio.sleep(0.001)
        await stage.settle(2.0)
        assert_whole(room, pcm)
        assert room.events == RESPONSE
        assert room.played_until - room.time_of("response_started") == pytest.approx(1.019, abs=0.001)


async def test_speech_before_the_avatar_is_kept_in_order_and_heard_whole() -> None:
    """Sentences of the first seconds, more than the avatar is there for, are all spoken by it in order."""
    async with Stage() as stage:
        sentences = {context: 220.0 + 110.0 * number for number, context in enumerate("abcdef")}
        for context, frequency in sentences.items():
            await stage.send(TTSStartedFrame(context), *said(1.0, context, frequency=frequency), 1.0)
        await stage.arrive(10.0)
        assert stage.room.speech == b"".join(tone(1.0, frequency=frequency) for frequency in sentences.values())
        assert [frame.context_id for frame in stage.down(TTSStoppedFrame)] == list("abcdef")
        assert stage.plain == b""


@pytest.mark.parametrize("pieces", [93, 186])
async def test_everybody_is_told_the_same_three_decimals(pieces: int) -> None:
    """Speech in many small pieces adds up to no tail of digits."""
    async with avatar_here() as (stage, _):
        await stage.send(*[speech(0.02)] * pieces, STOP, pieces * 0.02 + 1.0)
        seconds = pieces * 2 / 100
        assert [frame.audio_seconds for frame in stage.down(AvatarResponseDoneFrame)] == [seconds]
        assert [frame.audio_seconds for frame in stage.up(AvatarResponseDoneFrame)] == [seconds]
        assert ("on_response_done", "stopped", seconds) in stage.events
        messages = stage.page
        assert [data["audio_seconds"] for data in messages if data.get("event") == "done"] == [seconds]


# Bounds.


def test_thirty_minutes_without_a_pause_are_one_response() -> None:
    """Half an hour of talk that never pauses is one response, whole, and needs no memory of what was said."""

    async def scenario() -> None:
        async with avatar_here(room={"echo_every": 50, "forgetful": True}) as (stage, room):
            second = speech(1.0)
            for _ in range(1800):
                await stage.send(second)
                room.hear(tone(0.02))
                await asyncio.sleep(0.99)
            for _ in range(30):
                room.hear(tone(0.02))
                await stage.settle(1.0)
            assert room.written_seconds == pytest.approx(1800.0)
            assert [round(frame.audio_seconds) for frame in stage.down(AvatarResponseDoneFrame)] == [1800]

    run_virtual(scenario, limit=3600.0)


async def test_half_an_hour_in_one_frame_holds_the_pipeline_back_instead_of_dropping() -> None:
    """Beyond the most that may wait, the pipeline waits; an interruption lets it go on at once."""
    async with avatar_here(room={"echo_every": 50, "forgetful": True}) as (stage, room):
        await stage.send(audio(bytes(2 * RATE * 1801)), *said(1.0), 1.0)
        assert room.written_seconds == pytest.approx(1.04)
        assert stage.down(TTSStoppedFrame) == []
        await stage.send(InterruptionFrame(), 0.0, speech(1.0, "b"), 3.0)
        assert room.written_seconds == pytest.approx(2.04)


def test_a_day_of_talk_needs_no_more_memory_than_five_hours() -> None:
    """An answer every minute for a day, each in its own context: the number of living objects does not grow."""

    async def talk(stage: Stage, first: int, count: int) -> int:
        for number in range(first, first + count):
            context = f"context-{number}"
            spoken = speech(0.4, context), word("word", context, stage.now)
            await stage.send(LLMFullResponseStartFrame(), TTSStartedFrame(context), *spoken, TTSStoppedFrame(context))
            await stage.send(LLMFullResponseEndFrame())
            await asyncio.sleep(60.0)
        for told in (stage.events, stage.vendor.controls, stage.vendor.control_times):
            told.clear()
        gc.collect()
        return len(gc.get_objects())

    async def scenario() -> None:
        async with avatar_here(room={"forgetful": True}) as (stage, _):
            stage.sink.forgetful = stage.source.forgetful = True
            after_five_hours = await talk(stage, 0, 300)
            assert await talk(stage, 300, 1140) - after_five_hours < 100

    run_virtual(scenario, limit=90_000.0)


# Words. A list says which have been told by then.

WORDS: dict[str, Callable[[float], list[Any]]] = {
    "a sentence comes behind its audio and before the next one's": lambda now: [
        *(speech(1.0), word("a"), STOP, speech(1.0, "b"), word("b", "b"), TTSStoppedFrame("b")),
        *(0.9, [], 0.2, ["a"], 1.0, ["a", "b"]),
    ],
    "words with times come as they are spoken": lambda now: [
        *(speech(2.0), *(word(str(n), at=now + n / 2) for n in range(3))),
        *(0.03, ["0"], 0.45, ["0"], 0.05, ["0", "1"], 0.5, ["0", "1", "2"]),
    ],
    "a TTS that is ahead stamps the next context from its last word on": lambda now: [
        *(speech(2.0), word("a0", at=now), word("a1", at=now + 1.75)),
        *(speech(2.0, "b"), word("b0", "b", now + 1.75), word("b1", "b", now + 2.75)),
        *(1.9, ["a0", "a1"], 0.2, ["a0", "a1", "b0"], 1.0, ["a0", "a1", "b0", "b1"]),
    ],
    "after an interruption only what was spoken has been told, and the next answer is timed afresh": lambda now: [
        *(speech(10.0), *(word(str(n), at=now + n) for n in range(10)), 2.5, InterruptionFrame(), 1.0),
        *(
            ["0", "1", "2"],
            speech(2.0, "b"),
            word("b", "b", now + 4.5),
            0.9,
            ["0", "1", "2"],
            0.2,
            ["0", "1", "2", "b"],
        ),
    ],
    "a word beyond the audio, without a stop, is told once the response is over": lambda now: [
        *(speech(1.0), word("late", at=now + 5.0), 1.4, [], 0.2, ["late"])
    ],
}


@pytest.mark.parametrize("case", WORDS)
async def test_words_come_with_their_audio(case: str) -> None:
    """They carry the times that the TTS gave them, relative to the audio that is spoken."""
    async with avatar_here() as (stage, _):
        for step in WORDS[case](stage.now):
            if isinstance(step, list):
                assert [frame.text for frame in stage.down(TTSTextFrame)] == step
                assert all(frame.pts is None for frame in stage.down(TTSTextFrame))
            else:
                await stage.send(step)


async def test_words_of_speech_that_waited_wait_with_it() -> None:
    """Speech that is heard three seconds late has its words three seconds late, also those that came first."""
    async with Stage() as stage:
        begun = stage.now
        await stage.send(word("0", at=begun), speech(2.0), word("1", at=begun + 1.0), 3.0)
        assert stage.down(TTSTextFrame) == []
        await stage.arrive(0.5)
        assert [frame.text for frame in stage.down(TTSTextFrame)] == ["0"]
        await stage.settle(0.6)
        assert [frame.text for frame in stage.down(TTSTextFrame)] == ["0", "1"]


async def test_words_of_the_plain_voice_keep_their_times() -> None:
    """They are stamped as late as their audio was, not more; also behind other speech, and when they come later."""
    async with Stage() as stage:
        begun = stage.now
        await stage.send(speech(1.0), word("0", at=begun + 0.5), 8.5, speech(1.0), word("1", at=begun + 1.5), 10.0)
        later = stage.now
        await stage.send(speech(3.0, "x"), speech(1.0, "y"), word("y", "y", later + 0.5), 0.0)
        expected = [begun + 8.5, begun + 9.5, later + 3.5]
        assert [frame.pts for frame in stage.down(TTSTextFrame)] == [round(at * 1e9) for at in expected]
