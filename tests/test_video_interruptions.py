"""Interruptions at every moment: told first, nothing old afterwards, nothing new lost. In virtual time."""

import asyncio
from typing import Any

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
from tests.support.stage import RATE, RESPONSE, Stage, avatar_here, said, speech, tone, word

CUT = ["response_started", "interrupt", "response_finished"]
"""What the avatar is told of a response that is interrupted."""

TRACK: dict[str, Any] = {"track": True, "obedient": True}
LAGGING = {**TRACK, "latency": 1.0}
STOP = TTSStoppedFrame("a")
INTERRUPT = InterruptionFrame()
LASTING = speech(1.0, interruptible=False)


async def test_interrupt_comes_before_everything_else() -> None:
    """The avatar is told to stop first, then that the response is over; at most 40 ms of it are played after that."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(5.0), word("heard too late"), 1.0)
        written = len(room.log)
        await stage.send(INTERRUPT, 6.0)
        assert [entry.what for entry in room.log[written:]] == CUT[1:]
        assert room.played_until - room.time_of("interrupt") <= 0.040 + 1e-9
        assert stage.down(TTSTextFrame) == []
        assert stage.reasons == ["interrupted"]


# The avatar's track, what happens, what the avatar is told, and what is heard of it.
CASES: dict[str, tuple[dict[str, Any], list[Any], list[str], bytes]] = {
    "silence is not interrupted": (TRACK, [INTERRUPT, 1.0, *said(0.5), 3.0, INTERRUPT, 0.0], RESPONSE, tone(0.5)),
    "a user who starts to speak interrupts nothing": (
        TRACK,
        [speech(1.0), 0.5, UserStartedSpeakingFrame(), 2.0],
        RESPONSE,
        tone(1.0),
    ),
    "a response that is over, and still heard, is cut off once": (
        {**TRACK, "latency": 0.5},
        [*said(1.0), 1.25, INTERRUPT, 0.1, INTERRUPT, 1.0],
        [*RESPONSE, "interrupt"],
        tone(1.0)[: 2 * round(0.74 * RATE)],
    ),
    "so is one of which nothing has been heard yet": (
        LAGGING,
        [*said(0.5), 0.7, INTERRUPT, 3.0],
        [*RESPONSE, "interrupt"],
        b"",
    ),
    "the late stop of an interrupted context does not end the next response": (
        LAGGING,
        [speech(5.0), 0.5, INTERRUPT, speech(0.5, "b"), 0.6, STOP, 0.2, speech(0.5, "b"), 3.0],
        [*CUT, *RESPONSE],
        tone(0.5) * 2,
    ),
    "what may not be interrupted goes on": (
        TRACK,
        [LASTING, speech(1.0, "b"), 0.5, INTERRUPT, 4.0],
        RESPONSE,
        tone(1.0),
    ),
    **{
        f"also if only its voice lags behind, {at} s": (
            {**TRACK, "latency": 0.5},
            [LASTING, STOP, at, INTERRUPT, 3.0],
            RESPONSE,
            tone(1.0),
        )
        for at in (1.013, 1.2, 1.4)
    },
    "what may be interrupted is not heard for the sake of what may not, which is said anew": (
        LAGGING,
        [speech(0.5, "b"), LASTING, 0.8, INTERRUPT, 4.0],
        [*CUT, *RESPONSE],
        tone(1.0),
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_an_interruption_cuts_what_it_may_and_nothing_else(case: str) -> None:
    """Told once, and only where there is something to be cut off."""
    room_options, steps, events, heard = CASES[case]
    async with avatar_here(room=room_options) as (stage, room):
        await stage.send(*steps)
        assert room.events == events
        assert stage.voice.replace(bytes(960), b"").strip(b"\0") == heard.strip(b"\0")
        assert stage.plain == b""


async def test_what_was_dropped_with_the_rest_is_said_again() -> None:
    """An avatar that must be told to stop for newer words says once more what may not be interrupted of the older."""
    async with avatar_here(room=LAGGING) as (stage, room):
        await stage.send(speech(0.5, interruptible=False), speech(2.0, "b"), 1.2, INTERRUPT, 4.0)
        assert room.events == [*CUT, *RESPONSE]
        heard, whole = stage.voice.strip(b"\0"), tone(0.5).strip(b"\0")
        begun = round(0.2 * RATE) * 2
        assert heard[: begun - 2] == whole[: begun - 2]
        doubled = len(heard.replace(b"\0\0", b"")) - len(whole.replace(b"\0\0", b""))
        assert 0 <= doubled <= 0.06 * RATE * 2
        assert heard.endswith(whole[begun:])


async def test_what_may_not_be_interrupted_survives_in_the_queue() -> None:
    """Uninterruptible speech behind interruptible speech is spoken next."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(5.0, "b"), LASTING, 1.0)
        before = len(room.speech)
        await stage.send(INTERRUPT, 3.0)
        assert room.speech[before:] == tone(1.0)
        assert stage.reasons == ["interrupted", "response_done_timeout"]


@pytest.mark.parametrize("at", [0.22, 0.24, 0.26, 0.27])
async def test_what_may_be_interrupted_does_not_take_what_may_not_with_it(at: float) -> None:
    """An interruption at the change from one to the other leaves the last samples of what must be heard."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(0.28, "a", interruptible=False), speech(1.0, "b"), at, INTERRUPT, 2.0)
        assert room.speech.startswith(tone(0.28))
        assert len(room.speech) <= len(tone(0.28 + 0.04))


# What comes late, or next.


async def test_late_audio_and_words_of_the_old_context_are_not_heard() -> None:
    """What comes late of an interrupted context opens no response and is not told."""
    async with avatar_here() as (stage, room):
        await stage.send(TTSStartedFrame("a"), speech(5.0), 1.0, INTERRUPT, 0.0)
        before = len(room.log)
        await stage.send(speech(1.0), word("never heard", at=stage.now), STOP, 2.0)
        assert len(room.log) == before
        assert stage.down(TTSTextFrame) == []
        assert stage.plain == b""


async def test_late_audio_without_a_context_waits_for_the_next_announcement() -> None:
    """A source that announces its utterances, but labels nothing, is not heard again before the next one."""
    async with avatar_here() as (stage, room):
        await stage.send(TTSStartedFrame(), speech(5.0, None), 1.0, INTERRUPT, 0.0)
        before = len(room.speech)
        await stage.send(speech(1.0, None), 2.0)
        assert len(room.speech) == before
        await stage.send(TTSStartedFrame(), speech(1.0, None), 2.0)
        assert room.speech[before:] == tone(1.0)


async def test_the_tail_inside_the_resampler_does_not_precede_the_next_answer() -> None:
    """After an interruption the next answer begins with its own first sample."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(5.0, "a", 44100), 1.0, INTERRUPT, 0.1)
        before = len(room.speech)
        await stage.send(*said(0.5, "b"), 2.0)
        assert room.speech[before:] == tone(0.5)


@pytest.mark.parametrize("obedient", [True, False])
@pytest.mark.parametrize("pause", [0.0, 0.05, 0.1, 0.2, 0.5])
async def test_an_answer_right_after_an_interruption_is_heard_from_its_start(pause: float, obedient: bool) -> None:
    """The avatar's old voice is kept back after an interruption, its answer is not, however soon it comes."""
    async with avatar_here(room={"track": True, "obedient": obedient}) as (stage, _):
        await stage.send(speech(3.0), 1.0, INTERRUPT, pause)
        heard = len(stage.down(SpeechOutputAudioRawFrame))
        await stage.send(*said(2.0, "b"), 4.0)
        new = b"".join(frame.audio for frame in stage.down(SpeechOutputAudioRawFrame)[heard:])
        seconds = len(new.strip(b"\0")) / (2 * RATE)
        assert 2.0 - 0.08 <= seconds <= 2.0 + 0.1 + 0.04


async def test_a_storm_of_interruptions() -> None:
    """One every 100 ms for a minute: starts and ends alternate, each answer is cut, the last one is heard whole."""
    async with avatar_here(room=TRACK) as (stage, room):
        for number in range(600):
            await stage.send(LLMFullResponseStartFrame(), speech(1.0, f"c{number}"))
            await asyncio.sleep(0.05)
            await stage.send(INTERRUPT)
            await asyncio.sleep(0.05)
        before = len(room.speech)
        await stage.send(*said(1.0, "last"), LLMFullResponseEndFrame(), 3.0)
        assert room.events == CUT * 600 + RESPONSE
        assert room.speech[before:] == tone(1.0)
        assert len(stage.down(AvatarResponseDoneFrame)) == 601
        assert stage.plain == b""


# Without the avatar, or when it goes.


async def test_an_interruption_while_speech_waits_for_the_avatar() -> None:
    """What waited is dropped; the next answer is spoken by the avatar, and nothing of the first is heard."""
    async with Stage() as stage:
        await stage.send(speech(2.0), 1.0, INTERRUPT, 1.0, stage.room.arrive, *said(1.0, "b"), 3.0)
        assert stage.room.speech == tone(1.0)
        assert stage.plain == b""
        assert stage.room.events == RESPONSE


async def test_an_interruption_of_the_plain_voice() -> None:
    """The plain voice's response ends; its late audio is not passed on; the next answer is."""
    async with Stage() as stage:
        await stage.send(speech(5.0), 14.0, speech(5.0, "b"), 1.0, INTERRUPT, speech(1.0, "b"), speech(1.0, "c"), 2.0)
        assert [frame.context_id for frame in stage.down(TTSAudioRawFrame)] == ["a", "b", "c"]
        assert stage.reasons == ["response_done_timeout", "interrupted", "response_done_timeout"]


async def test_a_room_that_plays_nothing_is_told_what_it_was_given() -> None:
    """An interrupted response has its end; what it did not play of the next is heard without it."""
    async with avatar_here() as (stage, room):
        room.frozen = True
        await stage.send(speech(0.04), 0.1, INTERRUPT, 0.0)
        assert room.events == CUT
        await stage.send(speech(0.04, "b"), 0.1, room.leave, 0.1)
        assert stage.plain == tone(0.04)


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.01, 0.02, 0.03, 0.05])
async def test_an_interruption_just_before_the_room_is_lost(delay: float) -> None:
    """What was in flight is not wanted back, and does not stop the next avatar from speaking."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(5.0), 1.0, INTERRUPT, delay)
        room.lose("the socket is gone")
        await stage.until(lambda: len(stage.rooms) == 2)
        assert stage.plain == b""
        room = await stage.arrive()
        await stage.send(*said(1.0, "b"), 2.0)
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
        await stage.send(INTERRUPT, 6.0)
        order = [type(frame) for _, frame in stage.sink.frames]
        assert TTSAudioRawFrame not in order[order.index(InterruptionFrame) :]
        assert len(stage.reasons) == (2 if stage.plain else 1)


@pytest.mark.parametrize("steps", [[speech(0.005), 0.0], [speech(0.01), 0.015]])
async def test_speech_of_which_nothing_was_played_yet_is_interrupted_at_no_cost(steps: list[Any]) -> None:
    """Nothing waits any more, so nobody waits for the room to play it."""
    async with avatar_here() as (stage, _):
        await stage.send(*steps, InterruptionFrame(), 6.0)
        assert stage.errors == []
        assert stage.vendor.created == ["session-1"]
