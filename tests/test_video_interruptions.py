"""Interruptions at every moment: told first, nothing old afterwards, nothing new lost. In virtual time."""

import asyncio

import pytest
from pipecat.frames.frames import (
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    SpeechOutputAudioRawFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
)

from pipecat_lemonslice import AvatarResponseDoneFrame
from tests.support.stage import RATE, Stage, avatar_here, speech, tone


async def test_interrupt_comes_before_everything_else() -> None:
    """The avatar is told to stop first, then that the response is over; at most 40 ms of it are played after that."""
    async with avatar_here() as (stage, room):
        unheard = TTSTextFrame("heard too late", "sentence")
        unheard.context_id = "a"
        await stage.send(speech(5.0), unheard, 1.0)
        written = len(room.log)
        await stage.send(InterruptionFrame(), 6.0)
        assert [entry.what for entry in room.log[written:]] == ["interrupt", "response_finished"]
        assert room.played_until - room.time_of("interrupt") <= 0.040 + 1e-9
        assert stage.down(TTSTextFrame) == []
        assert stage.reasons == ["interrupted"]


async def test_a_room_that_plays_nothing_is_told_what_it_was_given() -> None:
    """An interrupted response has its end; what it did not play of the next is heard without it."""
    async with avatar_here() as (stage, room):
        room.frozen = True
        await stage.send(speech(0.04), 0.1, InterruptionFrame(), 0.0)
        assert room.events == ["response_started", "interrupt", "response_finished"]
        await stage.send(speech(0.04, "b"), 0.1)
        room.leave()
        await stage.settle(0.1)
        assert stage.plain == tone(0.04)


async def test_nothing_is_told_when_nothing_plays() -> None:
    """An interruption of silence sends nothing."""
    async with avatar_here() as (stage, room):
        await stage.send(InterruptionFrame(), 1.0, speech(0.5), TTSStoppedFrame("a"), 3.0, InterruptionFrame(), 0.0)
        assert room.events == ["response_started", "response_finished"]


async def test_an_avatar_that_is_still_heard_is_interrupted_once() -> None:
    """A response that is over here, but not yet where the user listens, is cut off; twice is not needed."""
    async with avatar_here(room={"latency": 0.5}) as (stage, room):
        await stage.send(speech(1.0), TTSStoppedFrame("a"), 1.25)
        assert room.events == ["response_started", "response_finished"]
        await stage.send(InterruptionFrame(), 0.1, InterruptionFrame(), 0.1)
        assert room.events == ["response_started", "response_finished", "interrupt"]


async def test_late_audio_and_words_of_the_old_context_are_not_heard() -> None:
    """What comes late of an interrupted context opens no response and is not told."""
    async with avatar_here() as (stage, room):
        await stage.send(TTSStartedFrame("a"), speech(5.0), 1.0, InterruptionFrame(), 0.0)
        before = len(room.log)
        late = TTSTextFrame("never heard", "word")
        late.context_id = "a"
        await stage.send(speech(1.0), late, TTSStoppedFrame("a"), 2.0)
        assert len(room.log) == before
        assert stage.down(TTSTextFrame) == []
        assert stage.plain == b""


async def test_a_late_stop_of_the_old_context_does_not_end_the_new_response() -> None:
    """The stop of an interrupted context says nothing of the answer that has begun since."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(5.0), 1.0, InterruptionFrame(), speech(0.5, "b"), 0.6, TTSStoppedFrame("a"), 0.2)
        await stage.send(speech(0.5, "b"), 2.0)
        assert room.events == [
            "response_started",
            "interrupt",
            "response_finished",
            "response_started",
            "response_finished",
        ]


async def test_late_audio_without_a_context_waits_for_the_next_announcement() -> None:
    """A source that announces its utterances, but labels nothing, is not heard again before the next one."""
    async with avatar_here() as (stage, room):
        await stage.send(TTSStartedFrame(), speech(5.0, None), 1.0, InterruptionFrame(), 0.0)
        before = len(room.speech)
        await stage.send(speech(1.0, None), 2.0)
        assert len(room.speech) == before
        await stage.send(TTSStartedFrame(), speech(1.0, None), 2.0)
        assert room.speech[before:] == tone(1.0)


async def test_the_tail_inside_the_resampler_does_not_precede_the_next_answer() -> None:
    """After an interruption the next answer begins with its own first sample."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(5.0, "a", 44100), 1.0, InterruptionFrame(), 0.1)
        before = len(room.speech)
        await stage.send(speech(0.5, "b"), TTSStoppedFrame("b"), 2.0)
        assert room.speech[before:] == tone(0.5)


async def test_a_user_who_starts_to_speak_is_no_interruption() -> None:
    """Only InterruptionFrame interrupts; whether speech counts as one is decided elsewhere."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(1.0), 0.5, UserStartedSpeakingFrame(), 2.0)
        assert room.speech == tone(1.0)
        assert room.events == ["response_started", "response_finished"]


async def test_what_may_not_be_interrupted_is_played_and_heard_to_its_end() -> None:
    """Uninterruptible speech goes on: written, not told to stop, and its voice is not kept back."""
    async with avatar_here(room={"track": True}) as (stage, room):
        await stage.send(speech(2.0, interruptible=False), speech(1.0, "b"), 1.0, InterruptionFrame(), 4.0)
        assert room.speech == tone(2.0)
        assert room.events == ["response_started", "response_finished"]
        heard = stage.voice.strip(b"\0")
        assert len(heard) == pytest.approx(2 * 2 * RATE, abs=4 * 960)


@pytest.mark.parametrize("at", [1.013, 1.2, 1.4])
async def test_the_voice_of_what_may_not_be_interrupted_is_heard_to_its_end(at: float) -> None:
    """Also while only the avatar's voice still lags behind: it is left alone."""
    async with avatar_here(room={"track": True, "latency": 0.5, "obedient": True}) as (stage, room):
        await stage.send(speech(1.0, interruptible=False), TTSStoppedFrame("a"), at, InterruptionFrame(), 3.0)
        assert room.events == ["response_started", "response_finished"]
        assert stage.voice.strip(b"\0") == tone(1.0).strip(b"\0")


async def test_what_was_dropped_with_the_rest_is_said_again() -> None:
    """An avatar that must be told to stop for newer words says once more what may not be interrupted of the older."""
    async with avatar_here(room={"track": True, "latency": 1.0, "obedient": True}) as (stage, room):
        await stage.send(speech(0.5, "a", interruptible=False), speech(2.0, "b"), 1.2, InterruptionFrame(), 4.0)
        first, again = ["response_started", "interrupt", "response_finished"], ["response_started", "response_finished"]
        assert room.events == [*first, *again]
        heard, whole = stage.voice.strip(b"\0"), tone(0.5).strip(b"\0")
        begun = round(0.2 * RATE) * 2
        assert heard[: begun - 2] == whole[: begun - 2]
        doubled = len(heard.replace(b"\0\0", b"")) - len(whole.replace(b"\0\0", b""))
        assert 0 <= doubled <= 0.06 * RATE * 2
        assert heard.endswith(whole[begun:])


async def test_older_words_do_not_outlive_an_interruption_for_newer_ones() -> None:
    """What may be interrupted is not heard for the sake of what may not, which is said anew."""
    async with avatar_here(room={"track": True, "latency": 1.0, "obedient": True}) as (stage, room):
        await stage.send(speech(0.5, "a"), speech(1.0, "b", interruptible=False), 0.8, InterruptionFrame(), 4.0)
        assert room.events.count("interrupt") == 1
        assert stage.voice.strip(b"\0") == tone(1.0).strip(b"\0")


async def test_an_avatar_that_has_yet_to_be_heard_is_interrupted() -> None:
    """A response that is over here before its first sound has come back is not heard any more."""
    async with avatar_here(room={"track": True, "latency": 1.0, "obedient": True}) as (stage, room):
        await stage.send(speech(0.5), TTSStoppedFrame("a"), 0.7, InterruptionFrame(), 3.0)
        assert room.events == ["response_started", "response_finished", "interrupt"]
        assert stage.voice.strip(b"\0") == b""


async def test_what_may_not_be_interrupted_survives_in_the_queue() -> None:
    """Uninterruptible speech behind interruptible speech is spoken next."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(5.0), speech(1.0, "b", interruptible=False), 1.0)
        before = len(room.speech)
        await stage.send(InterruptionFrame(), 3.0)
        assert room.speech[before:] == tone(1.0)
        assert stage.reasons == ["interrupted", "response_done_timeout"]


async def test_an_interruption_while_the_line_waits_for_the_avatar() -> None:
    """What waited is dropped; the next answer is spoken by the avatar, and nothing of the first is heard."""
    async with Stage() as stage:
        await stage.send(speech(2.0), 1.0, InterruptionFrame(), 1.0)
        stage.room.arrive()
        await stage.send(speech(1.0, "b"), TTSStoppedFrame("b"), 3.0)
        assert stage.room.speech == tone(1.0)
        assert stage.plain == b""
        assert stage.room.events == ["response_started", "response_finished"]


async def test_an_interruption_of_the_plain_voice() -> None:
    """The plain voice's response ends; its late audio is not passed on; the next answer is."""
    async with Stage() as stage:
        await stage.send(speech(5.0), 14.0, speech(5.0, "b"), 1.0, InterruptionFrame())
        await stage.send(speech(1.0, "b"), speech(1.0, "c"), 2.0)
        assert [frame.context_id for frame in stage.down(TTSAudioRawFrame)] == ["a", "b", "c"]
        assert stage.reasons == ["response_done_timeout", "interrupted", "response_done_timeout"]


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.01, 0.02, 0.03, 0.05])
async def test_an_interruption_just_before_the_room_is_lost(delay: float) -> None:
    """What was in flight is not wanted back, and does not stop the next avatar from speaking."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(5.0), 1.0, InterruptionFrame(), delay)
        room.lose("the socket is gone")
        await stage.until(lambda: len(stage.rooms) == 2)
        assert stage.plain == b""
        room = await stage.arrive()
        await stage.send(speech(1.0, "b"), TTSStoppedFrame("b"), 2.0)
        assert room.speech == tone(1.0)
        assert stage.reasons == ["interrupted", "stopped"]


@pytest.mark.parametrize("ticks", range(12))
async def test_an_interruption_in_the_moment_of_the_handover(ticks: int) -> None:
    """Speech that was to be taken back from a lost avatar is dropped by an interruption in the same moment."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(5.0), 1.0)
        room.lose("the socket is gone")
        for _ in range(ticks):
            await asyncio.sleep(0)
        await stage.send(InterruptionFrame(), 6.0)
        order = [type(frame) for _, frame in stage.sink.frames]
        assert TTSAudioRawFrame not in order[order.index(InterruptionFrame) :]
        assert len(stage.reasons) == (2 if stage.plain else 1)


async def test_a_storm_of_interruptions() -> None:
    """One every 100 ms for a minute: starts and ends alternate, each answer is cut, the last one is heard whole."""
    async with avatar_here(room={"track": True, "obedient": True}) as (stage, room):
        for number in range(600):
            await stage.send(LLMFullResponseStartFrame(), speech(1.0, f"c{number}"))
            await asyncio.sleep(0.05)
            await stage.send(InterruptionFrame())
            await asyncio.sleep(0.05)
        before = len(room.speech)
        await stage.send(speech(1.0, "last"), TTSStoppedFrame("last"), LLMFullResponseEndFrame(), 3.0)
        assert room.events == ["response_started", "interrupt", "response_finished"] * 600 + [
            "response_started",
            "response_finished",
        ]
        assert room.speech[before:] == tone(1.0)
        assert len(stage.down(AvatarResponseDoneFrame)) == 601
        assert stage.plain == b""


@pytest.mark.parametrize("obedient", [True, False])
@pytest.mark.parametrize("pause", [0.0, 0.05, 0.1, 0.2, 0.5])
async def test_an_answer_right_after_an_interruption_is_heard_from_its_start(pause: float, obedient: bool) -> None:
    """The avatar's old voice is kept back after an interruption, its answer is not, however soon it comes."""
    async with avatar_here(room={"track": True, "obedient": obedient}) as (stage, _):
        await stage.send(speech(3.0), 1.0, InterruptionFrame(), pause)
        heard = len(stage.down(SpeechOutputAudioRawFrame))
        await stage.send(speech(2.0, "b"), TTSStoppedFrame("b"), 4.0)
        new = b"".join(frame.audio for frame in stage.down(SpeechOutputAudioRawFrame)[heard:])
        seconds = len(new.strip(b"\0")) / (2 * RATE)
        assert 2.0 - 0.08 <= seconds <= 2.0 + 0.1 + 0.04


async def test_what_may_be_interrupted_does_not_take_what_may_not_with_it() -> None:
    """An interruption at the change from one to the other leaves the last samples of what must be heard."""
    for at in (0.22, 0.24, 0.26, 0.27):
        async with avatar_here() as (stage, room):
            await stage.send(speech(0.28, "a", interruptible=False), speech(1.0, "b"), at, InterruptionFrame(), 2.0)
            assert room.speech.startswith(tone(0.28))
            assert len(room.speech) <= len(tone(0.28 + 0.04))
