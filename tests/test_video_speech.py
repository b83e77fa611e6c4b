"""Speech of every habit reaches the avatar whole and in order, and its words come with it. In virtual time."""

import asyncio

import numpy as np
import pytest
from pipecat.frames.frames import (
    ErrorFrame,
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
from tests.support.stage import RATE, Stage, avatar_here, speech, tone
from tests.support.virtual_time import run_virtual

SECONDS = 3.013


def audio(pcm: bytes, context_id: str | None = "a", sample_rate: int = RATE, channels: int = 1) -> TTSAudioRawFrame:
    return TTSAudioRawFrame(pcm, sample_rate, channels, context_id=context_id)


def word(stage: Stage, text: str, at: float, begun: float, context_id: str = "a") -> TTSTextFrame:
    """A word as Pipecat's TTSService stamps it: `at` seconds after the time it counts from."""
    frame = TTSTextFrame(text, "word")
    frame.context_id = context_id
    frame.pts = round((begun + at) * 1e9)
    return frame


def words(stage: Stage) -> list[str]:
    return [frame.text for frame in stage.down(TTSTextFrame)]


def assert_whole(room: MemoryRoom, sent: bytes, *, most_silence: float = 0.02) -> None:
    """What was sent is what was spoken, and nothing but a little silence behind it."""
    assert room.speech[: len(sent)] == sent
    rest = room.speech[len(sent) :]
    assert set(rest) <= {0}
    assert len(rest) <= most_silence * 2 * room.sample_rate


@pytest.mark.parametrize("stop", [True, False], ids=["stop", "no stop"])
@pytest.mark.parametrize("channels", [1, 2], ids=["mono", "stereo"])
@pytest.mark.parametrize("rate", [16000, 24000, 44100, 48000])
async def test_every_sample_arrives_where_the_rates_match(rate: int, channels: int, stop: bool) -> None:
    """3.013 s at the room's own rate arrive sample for sample, tail included."""
    async with avatar_here(audio_sample_rate=rate) as (stage, room):
        pcm = tone(SECONDS, rate, channels)
        half = len(pcm) // 2 + 1
        await stage.send(audio(pcm[:half], "a", rate, channels), audio(pcm[half:], "a", rate, channels))
        if stop:
            await stage.send(TTSStoppedFrame("a"))
        await stage.settle(5.0)
        assert_whole(room, tone(SECONDS, rate), most_silence=0.01)
        done = stage.down(AvatarResponseDoneFrame)
        assert [frame.reason for frame in done] == ["stopped" if stop else "response_done_timeout"]
        ends = room.played_until + (0.0 if stop else 0.5)
        assert room.time_of("response_finished") == pytest.approx(ends, abs=1e-6)


@pytest.mark.parametrize("stop", [True, False], ids=["stop", "no stop"])
@pytest.mark.parametrize("channels", [1, 2], ids=["mono", "stereo"])
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
async def test_resampled_speech_arrives_whole(rate: int, channels: int, stop: bool) -> None:
    """3.013 s at another rate arrive with their whole length and the sound of their tail."""
    async with avatar_here() as (stage, room):
        pcm, sent_at = tone(SECONDS, rate, channels), stage.now
        for start in range(0, len(pcm), 4001):
            await stage.send(audio(pcm[start : start + 4001], "a", rate, channels))
        if stop:
            await stage.send(TTSStoppedFrame("a"))
        await stage.settle(5.0)
        heard = np.frombuffer(room.speech, dtype="<i2").astype(float)
        wanted = np.frombuffer(tone(SECONDS), dtype="<i2").astype(float)
        assert -240 <= len(heard) - len(wanted) <= 480
        assert room.played_until - sent_at == pytest.approx(len(heard) / RATE, abs=1e-6), "a hole"
        heard = np.pad(heard, (0, max(0, len(wanted) - len(heard))))[: len(wanted)]
        for part in (slice(480, -480), slice(-1440, -240)):
            assert np.corrcoef(heard[part], wanted[part])[0, 1] > 0.99
            assert np.std(heard[part]) == pytest.approx(np.std(wanted[part]), rel=0.05)
        assert stage.reasons == ["stopped" if stop else "response_done_timeout"]


async def test_a_resampled_voice_that_paces_itself_ends_without_a_hole() -> None:
    """Its frames come a few hundredths of a second before they are played, and no stop behind the last."""
    async with avatar_here() as (stage, room):
        pcm, frame = tone(1.0, 44100), 2 * 882
        for start in range(0, len(pcm), frame):
            await stage.send(audio(pcm[start : start + frame], "a", 44100), 0.02 if start >= 4 * frame else 0.0)
        await stage.settle(1.0)
        begun = next(entry.at for entry in room.log if isinstance(entry.what, bytes))
        assert room.played_until - begun == pytest.approx(len(room.speech) / (2 * RATE), abs=1e-6), "a hole"


async def test_a_burst_lasts_as_long_as_it_sounds() -> None:
    """Twenty seconds that arrive in one moment are written at the speed at which they are heard."""
    async with avatar_here() as (stage, room):
        started = stage.now
        await stage.send(*(speech(1.0) for _ in range(20)), TTSStoppedFrame("a"), 25.0)
        assert room.speech == tone(1.0) * 20
        assert room.events == ["response_started", "response_finished"]
        assert room.time_of("response_finished") - started == pytest.approx(20.0, abs=1e-6)


async def test_drips_of_a_millisecond_arrive_whole() -> None:
    """A millisecond each millisecond is one response with no gap, begun when a write is complete."""
    async with avatar_here() as (stage, room):
        pcm = tone(1.0)
        for start in range(0, len(pcm), 48):
            await stage.send(audio(pcm[start : start + 48]))
            await asyncio.sleep(0.001)
        await stage.settle(2.0)
        assert_whole(room, pcm)
        assert room.events == ["response_started", "response_finished"]
        assert room.played_until - room.time_of("response_started") == pytest.approx(1.019, abs=0.001)


async def test_rare_drips_are_not_held_back() -> None:
    """Less than a write that nothing follows is spoken after a grace, not with the next utterance."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(0.005), 0.2)
        assert_whole(room, tone(0.005), most_silence=0.01)


async def test_sentence_by_sentence_without_an_llm_each_is_a_response() -> None:
    """With nobody who says that more comes, a pause beyond the timeout ends a response."""
    async with avatar_here() as (stage, room):
        for sentence in "abc":
            await stage.send(speech(0.5, sentence), 1.25)
        assert room.events == ["response_started", "response_finished"] * 3
        assert room.speech == tone(0.5) * 3


@pytest.mark.parametrize("started", [True, False], ids=["announced", "unannounced"])
async def test_without_contexts_or_announcements_it_is_heard(started: bool) -> None:
    """A TTS that labels nothing and announces nothing is heard all the same."""
    async with avatar_here() as (stage, room):
        if started:
            await stage.send(TTSStartedFrame())
        await stage.send(speech(1.0, None), 3.0)
        assert room.speech == tone(1.0)
        assert stage.down(AvatarResponseDoneFrame)[0].reason == "response_done_timeout"


async def test_a_stop_before_the_last_audio_loses_nothing() -> None:
    """Audio behind a stop is heard, and the response that it belongs to has one end for each start."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(0.5), TTSStoppedFrame("a"), speech(0.5), TTSStoppedFrame("a"), 3.0)
        assert room.speech == tone(0.5) * 2
        assert room.events == ["response_started", "response_finished"]


async def test_a_stop_with_more_audio_behind_it_ends_nothing() -> None:
    """It is that of a sentence; the last sentence has none, and its response waits for more as usual."""
    async with avatar_here() as (stage, _):
        await stage.send(speech(1.0), TTSStoppedFrame("a"), speech(1.0, "b"), 3.0)
        assert stage.reasons == ["response_done_timeout"]


async def test_a_stop_that_is_too_early_makes_two_responses() -> None:
    """Audio long after its stop begins a new response, and is heard."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(0.5), TTSStoppedFrame("a"), 1.0, speech(0.5), 2.0)
        assert room.speech == tone(0.5) * 2
        assert room.events == ["response_started", "response_finished"] * 2


async def test_two_contexts_interleaved_are_heard_in_order_of_arrival() -> None:
    """Chunks of two contexts that alternate, at different rates, are all heard."""
    async with avatar_here() as (stage, room):
        for _ in range(5):
            await stage.send(speech(0.25, "a"), speech(0.25, "b", 48000))
        await stage.send(TTSStoppedFrame("a"), TTSStoppedFrame("b"), 5.0)
        assert len(room.speech) == pytest.approx(2 * 2 * 5 * 0.25 * RATE, abs=2 * 480)
        assert room.events == ["response_started", "response_finished"]


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
            done = stage.down(AvatarResponseDoneFrame)
            assert [round(frame.audio_seconds) for frame in done] == [1800]

    run_virtual(scenario, limit=3600.0)


async def test_half_an_hour_in_one_frame_holds_the_pipeline_back_instead_of_dropping() -> None:
    """Beyond the most that may wait, the pipeline waits; an interruption lets it go on at once."""
    async with avatar_here(room={"echo_every": 50, "forgetful": True}) as (stage, room):
        hour = audio(bytes(2 * RATE * 1801))
        await stage.send(hour, speech(1.0), TTSStoppedFrame("a"), 1.0)
        assert room.written_seconds == pytest.approx(1.04)
        assert stage.down(TTSStoppedFrame) == []
        await stage.send(InterruptionFrame(), 0.0, speech(1.0, "b"), 3.0)
        assert room.written_seconds == pytest.approx(2.04)


async def test_silence_is_speech() -> None:
    """Audio that is silent is written like any other: zero samples are not deleted."""
    async with avatar_here() as (stage, room):
        await stage.send(audio(tone(0.5) + bytes(RATE) + tone(0.5)), audio(bytes(RATE)), TTSStoppedFrame("a"), 4.0)
        assert room.speech == tone(0.5) + bytes(RATE) + tone(0.5) + bytes(RATE)
        assert room.events == ["response_started", "response_finished"]


async def test_silence_alone_is_a_response_that_ends() -> None:
    """A TTS that gives nothing but silence starts a response and ends it."""
    async with avatar_here() as (stage, room):
        await stage.send(audio(bytes(RATE)), TTSStoppedFrame("a"), 2.0)
        assert room.events == ["response_started", "response_finished"]
        assert stage.voice == b""


async def test_a_rate_that_changes_within_a_context_is_followed() -> None:
    """Each piece is read at its own rate: the length of the whole is the sum of the lengths."""
    async with avatar_here() as (stage, room):
        for rate in (24000, 8000, 24000, 44100, 48000):
            await stage.send(speech(0.5, "a", rate))
        await stage.send(TTSStoppedFrame("a"), 5.0)
        assert len(room.speech) == pytest.approx(2 * 2.5 * RATE, abs=2 * 480)
        assert room.speech.startswith(tone(0.5))


@pytest.mark.parametrize("channels", [1, 2])
async def test_odd_bytes_are_carried_over(channels: int) -> None:
    """Frames cut in the middle of a sample lose no sample and shift none."""
    async with avatar_here() as (stage, room):
        pcm = tone(1.0, RATE, channels)
        for start in range(0, len(pcm), 777):
            await stage.send(audio(pcm[start : start + 777], channels=channels))
        await stage.send(TTSStoppedFrame("a"), 3.0)
        assert room.speech == tone(1.0)


async def test_an_odd_last_byte_does_not_shift_the_next_utterance() -> None:
    """Half a sample at the end of a context is completed, and the next context begins on a sample."""
    async with avatar_here() as (stage, room):
        await stage.send(audio(tone(0.5) + b"\x01"), speech(0.5, "b"), TTSStoppedFrame("b"), 3.0)
        assert room.speech[: 2 * RATE + 2] == tone(0.5) + b"\x01\x00" + tone(0.5)


async def test_frames_without_audio_or_format_harm_nothing() -> None:
    """Empty audio starts nothing; an impossible rate or channel count is read as the room's own."""
    async with avatar_here() as (stage, room):
        await stage.send(audio(b""), 1.0)
        assert room.events == []
        shapeless = audio(tone(0.5))
        shapeless.num_channels = 0
        await stage.send(audio(tone(0.5), sample_rate=0), shapeless, TTSStoppedFrame("a"), 3.0)
        assert room.speech == tone(0.5) * 2
        assert stage.up(ErrorFrame) == []


async def test_an_open_llm_bridges_a_slow_tts() -> None:
    """Pauses beyond the timeout stay inside the response while the LLM writes; its end ends it."""
    async with avatar_here() as (stage, room):
        await stage.send(LLMFullResponseStartFrame(), speech(0.5), 3.0, speech(0.5), 2.0)
        assert room.events == ["response_started"]
        await stage.send(LLMFullResponseEndFrame(), 0.0)
        assert room.events == ["response_started", "response_finished"]


async def test_the_last_audio_may_come_together_with_the_end_of_the_llm() -> None:
    """After a pause that the open LLM response has bridged, it is still part of that response."""
    async with avatar_here() as (stage, room):
        await stage.send(LLMFullResponseStartFrame(), speech(0.5), 1.5, speech(0.5), LLMFullResponseEndFrame(), 2.0)
        assert room.events == ["response_started", "response_finished"]
        assert stage.reasons == ["response_done_timeout"]
        assert stage.down(AvatarResponseDoneFrame)[0].audio_seconds == 1.0


async def test_an_llm_response_that_is_not_spoken_holds_nothing_open() -> None:
    """Text that is not to be spoken does not delay the end of what is."""
    async with avatar_here() as (stage, _):
        silent = LLMFullResponseStartFrame()
        silent.skip_tts = True
        await stage.send(silent, speech(0.5), TTSStoppedFrame("a"), 0.6)
        assert stage.reasons == ["stopped"]


# Words.


async def test_text_leaves_when_the_audio_before_it_has_been_written() -> None:
    """A sentence's text, without times, comes behind its audio and before the next one's."""
    async with avatar_here() as (stage, _):
        for sentence in "ab":
            frame = TTSTextFrame(sentence, "sentence")
            frame.context_id = sentence
            await stage.send(speech(1.0, sentence), frame, TTSStoppedFrame(sentence))
        await stage.settle(0.9)
        assert words(stage) == []
        await stage.settle(0.2)
        assert words(stage) == ["a"]
        await stage.settle(1.0)
        assert words(stage) == ["a", "b"]


async def test_timed_words_come_as_they_are_spoken() -> None:
    """Words carry the times that the TTS gave them, relative to the audio that is spoken."""
    async with avatar_here() as (stage, _):
        begun = stage.now
        await stage.send(speech(2.0), *(word(stage, str(n), n / 2, begun) for n in range(4)))
        for count in range(1, 5):
            await stage.settle(0.03 if count == 1 else 0.5)
            assert words(stage) == [str(n) for n in range(count)]
        assert all(frame.pts is None for frame in stage.down(TTSTextFrame))


async def test_words_of_speech_that_waited_wait_with_it() -> None:
    """Speech that is heard three seconds late has its words three seconds late, also those that came first."""
    async with Stage() as stage:
        begun = stage.now
        await stage.send(word(stage, "0", 0.0, begun), speech(2.0), word(stage, "1", 1.0, begun), 3.0)
        assert words(stage) == []
        await stage.arrive(0.5)
        assert words(stage) == ["0"]
        await stage.settle(0.6)
        assert words(stage) == ["0", "1"]


async def test_words_of_the_next_sentence_are_counted_from_the_last_word_as_the_tts_does() -> None:
    """A TTS that is ahead stamps the next context from its last word on; its words still come with its audio."""
    async with avatar_here() as (stage, _):
        begun = stage.now
        await stage.send(speech(2.0, "a"), word(stage, "a0", 0.0, begun), word(stage, "a1", 1.75, begun))
        after = begun + 1.75
        await stage.send(speech(2.0, "b"), word(stage, "b0", 0.0, after, "b"), word(stage, "b1", 1.0, after, "b"), 1.9)
        assert words(stage) == ["a0", "a1"]
        await stage.settle(0.2)
        assert words(stage) == ["a0", "a1", "b0"]
        await stage.settle(1.0)
        assert words(stage) == ["a0", "a1", "b0", "b1"]


async def test_after_an_interruption_only_what_was_spoken_has_been_told() -> None:
    """Words beyond the moment of the interruption never come; the next answer's words are timed afresh."""
    async with avatar_here() as (stage, _):
        begun = stage.now
        await stage.send(speech(10.0), *(word(stage, str(n), float(n), begun) for n in range(10)), 3.5)
        await stage.send(InterruptionFrame(), 1.0)
        assert words(stage) == ["0", "1", "2", "3"]
        begun = stage.now
        await stage.send(speech(2.0, "b"), word(stage, "b", 1.0, begun, "b"), 0.9)
        assert words(stage)[4:] == []
        await stage.settle(0.2)
        assert words(stage)[4:] == ["b"]


async def test_words_that_no_audio_follows_are_told_once_the_response_is_over() -> None:
    """A word stamped beyond the audio, with no stop behind it, is not kept for ever."""
    async with avatar_here() as (stage, _):
        await stage.send(speech(1.0), word(stage, "late", 5.0, stage.now), 1.4)
        assert words(stage) == []
        await stage.settle(0.2)
        assert words(stage) == ["late"]


async def test_words_behind_other_speech_are_as_late_as_their_own() -> None:
    """Without an avatar, speech that comes at once is heard one after the other, and so are its words."""
    async with Stage() as stage:
        await stage.send(speech(0.5), 10.0)
        begun = stage.now
        await stage.send(speech(3.0, "x"), speech(1.0, "y"), word(stage, "y", 0.5, begun, "y"), 0.0)
        assert [frame.pts for frame in stage.down(TTSTextFrame)] == [round((begun + 3.5) * 1e9)]


async def test_words_of_the_plain_voice_keep_their_times() -> None:
    """While the avatar is away, words that come later are stamped as late as their audio was, not more."""
    async with Stage() as stage:
        begun = stage.now
        await stage.send(speech(1.0), word(stage, "0", 0.5, begun), 8.0)
        assert stage.plain == tone(1.0)
        assert [frame.pts for frame in stage.down(TTSTextFrame)] == [round((begun + 8.5) * 1e9)]
        await stage.send(0.5, speech(1.0), word(stage, "1", 1.5, begun), 0.0)
        assert stage.down(TTSTextFrame)[1].pts == round((begun + 9.5) * 1e9)
