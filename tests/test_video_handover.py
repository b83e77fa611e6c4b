"""What becomes of speech when the avatar goes, and of the avatar that comes after. In virtual time."""

import asyncio
from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from pipecat_lemonslice import AvatarResponseDoneFrame, AvatarStatus, AvatarStatusFrame
from tests.support.memory import MemoryRoom
from tests.support.stage import RATE, Stage, avatar_here, said, speech, tone

DOUBLED = round(0.06 * RATE)
"""Samples that may be heard twice at the most: a piece of the avatar's voice and a write."""

WAYS: dict[str, Callable[[MemoryRoom], None]] = {
    "leave": lambda room: room.leave(),
    "lose": lambda room: room.lose("the socket is gone"),
    "fatal": lambda room: room.say({"type": "daily_error", "fatal": True, "error": "broken"}),
    "idle": lambda room: room.say({"type": "idle_timeout"}),
}


def check_covered(stage: Stage, whole: bytes) -> None:
    """What the avatar was heard saying and the plain voice make the whole: no gap, and hardly anything twice."""
    voice, plain, words = (samples[samples != 0] for samples in map(_samples, (stage.voice, stage.plain, whole)))
    assert np.array_equal(voice, words[: len(voice)])
    assert np.array_equal(plain, words[len(words) - len(plain) :])
    assert 0 <= len(voice) + len(plain) - len(words) <= DOUBLED


def _samples(pcm: bytes) -> Any:
    return np.frombuffer(pcm, "<i2")


def silence(seconds: float) -> TTSAudioRawFrame:
    return TTSAudioRawFrame(bytes(2 * round(seconds * RATE)), RATE, 1, context_id="a")


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("at", [0.0, 0.013, 0.02, 0.26, 0.3, 0.5, 1.0, 1.107, 1.99])
async def test_the_handover_loses_nothing_and_doubles_hardly_anything(how: str, at: float) -> None:
    """What the avatar has not been heard saying goes on as plain voice, at once; its lag is not lost."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(1.0), *said(1.0, "b", frequency=330.0), at)
        lost_at = stage.now
        WAYS[how](room)
        await stage.settle(0.05)
        written = room.speech
        check_covered(stage, tone(1.0) + tone(1.0, frequency=330.0))
        assert stage.time_of(TTSAudioRawFrame) == pytest.approx(lost_at, abs=1e-6)
        await stage.settle(5.0)
        assert room.speech == written
        check_covered(stage, tone(1.0) + tone(1.0, frequency=330.0))
        assert stage.reasons == (["avatar_lost", "stopped"] if written else ["stopped"])
        ends = lost_at + len(stage.plain) / (2 * RATE)
        assert stage.time_of(AvatarResponseDoneFrame, -1) == pytest.approx(ends, abs=1e-6)
        assert stage.event_names().count("on_fallback") == 1
        assert stage.event_names().count("on_avatar_disconnected") == 1
        assert len(stage.errors) == 1


# The avatar's latency, what is said until it goes, and the whole of it.
RESPONSES: list[tuple[float, list[Any], bytes]] = [
    *(
        (
            latency,
            [*said(1.0), 1.0 + pause, speech(2.0, "b", frequency=330.0), latency + 1.013],
            tone(1.0) + tone(2.0, frequency=330.0),
        )
        for latency in (0.06, 0.25, 1.0)
        for pause in (0.05, 0.3, 3.0)
    ),
    # The first is over before anything of it has been heard.
    *(
        (
            latency,
            [*said(first), first + pause, speech(3.0, "b", frequency=330.0), 2.0],
            tone(first) + tone(3.0, frequency=330.0),
        )
        for latency, first, pause in ((1.0, 0.5, 0.2), (0.6, 0.3, 0.1), (0.25, 0.1, 0.05))
    ),
    # The lag is taken from sound to sound: silence is none.
    (0.25, [silence(0.5), speech(2.0), 2.013], tone(2.0)),
    *(
        (
            0.25,
            [silence(silent), *said(1.0), silent + 2.0, speech(1.0, "b", frequency=330.0), 0.1],
            tone(1.0) + tone(1.0, frequency=330.0),
        )
        for silent in (0.2, 0.4, 0.6)
    ),
]


@pytest.mark.parametrize("track", [True, False], ids=["track", ""])
@pytest.mark.parametrize("number", range(len(RESPONSES)))
async def test_each_response_is_taken_back_by_itself(number: int, track: bool) -> None:
    """Also soon after another one whose last words are still heard, nothing is missing, and nothing of that comes."""
    latency, steps, whole = RESPONSES[number]
    async with avatar_here(room={"latency": latency, "track": track}) as (stage, room):
        await stage.send(*steps)
        room.lose("gone")
        await stage.settle(4.0)
        check_covered(stage, whole)


async def test_the_handover_of_resampled_speech_keeps_its_length() -> None:
    """Also what the resampler holds goes on."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(2.0, "a", 44100), 1.0)
        room.lose("gone")
        await stage.settle(2.0)
        assert 0 <= (len(stage.voice) + len(stage.plain)) / 2 - 2 * RATE <= DOUBLED
        lengths = [len(frame.audio) for frame in stage.down(TTSAudioRawFrame)]
        assert lengths[-1] < min(lengths[:-1]), "what the resampler held comes last"


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("at", [1.013, 1.26, 1.4, 1.49])
async def test_the_last_words_of_a_response_that_is_over_are_not_lost(how: str, at: float) -> None:
    """What the avatar was given to the end, and takes along before its voice has come back, is heard as plain voice."""
    async with avatar_here(room={"latency": 0.5}) as (stage, room):
        await stage.send(*said(1.0), at)
        assert stage.reasons == ["stopped"]
        WAYS[how](room)
        await stage.settle(3.0)
        check_covered(stage, tone(1.0))
        assert stage.plain
        assert stage.reasons == ["stopped", "response_done_timeout"]
        # One that is still there must not be heard beside the TTS voice.
        assert room.events[2:] == (["interrupt"] if how in ("fatal", "idle") else [])


@pytest.mark.parametrize("how", ["leave", "fatal"])
@pytest.mark.parametrize(("latency", "at"), [(0.5, 0.3), (1.0, 0.1)])
async def test_what_an_avatar_says_after_it_was_given_up_is_not_heard(how: str, latency: float, at: float) -> None:
    """One voice says what was not heard at all; an avatar that is still there is told not to."""
    async with avatar_here(room={"latency": latency}) as (stage, room):
        await stage.send(*said(0.2), at)
        WAYS[how](room)
        await stage.settle(3.0)
        assert stage.plain == tone(0.2)
        assert stage.voice == b""
        assert ("interrupt" in room.events) == (how == "fatal")


@pytest.mark.parametrize("after", [0.3, 2.0, 30.0])
async def test_what_was_heard_to_its_end_is_not_repeated(after: float) -> None:
    """An avatar that goes in a pause leaves no syllable behind, neither soon nor late."""
    async with avatar_here(room={"track": True}) as (stage, room):
        await stage.send(*said(1.0), 1.25 + after)
        room.lose("gone")
        await stage.settle(3.0)
        assert stage.plain == b""
        assert stage.reasons == ["stopped"]


async def test_a_short_answer_that_a_mute_avatar_took_along_is_heard() -> None:
    """Also when its response was over long before the avatar was found out."""
    async with avatar_here(room={"echo": False}) as (stage, _):
        await stage.send(*said(1.5), 4.9)
        assert stage.reasons == ["stopped"]
        await stage.settle(0.2)
        assert stage.plain == tone(1.5)


class SlowText(FrameProcessor):
    """Takes a quarter of a second for each text."""

    def __init__(self) -> None:
        super().__init__(enable_direct_mode=True)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMTextFrame):
            await asyncio.sleep(0.25)
        await self.push_frame(frame, direction)


@pytest.mark.parametrize("at", [0.1, 0.225, 0.35, 0.475, 0.55, 0.65])
async def test_an_avatar_that_goes_while_the_pipeline_is_busy(at: float) -> None:
    """Nothing is lost and hardly anything doubled, whatever the speech is waiting for; all keeps its order."""
    async with avatar_here(behind=[SlowText()], room={"latency": 0.0}) as (stage, room):
        *pieces, last = (speech(0.25, str(n), frequency=220.0 + 110.0 * n) for n in range(5))
        frames = [frame for n, piece in enumerate(pieces) for frame in (LLMTextFrame(str(n)), piece)]
        await stage.send(*frames, LLMTextFrame("4"), at, last, room.leave, 5.0)
        check_covered(stage, b"".join(piece.audio for piece in (*pieces, last)))
        assert [frame.text for frame in stage.down(LLMTextFrame)] == list("01234")
        passed = [frame for _, frame in stage.sink.frames if isinstance(frame, LLMTextFrame | TTSAudioRawFrame)]
        order = [each.text if isinstance(each, LLMTextFrame) else f"audio {each.context_id}" for each in passed]
        assert all(order.index(n) < order.index(f"audio {n}") for n in "01234" if f"audio {n}" in order)
        assert order[-1] == "audio 4"


@pytest.mark.parametrize("room", [{"echo": False}, {"latency": 1.0}], ids=["mute", "goes"])
async def test_the_goodbye_of_an_avatar_that_does_not_say_it_is_heard(room: dict[str, Any]) -> None:
    """It is mute, which cannot be found out in time, or leaves before its voice has come back: the EndFrame waits."""
    async with avatar_here(room=room) as (stage, avatar):
        await stage.send(*said(1.0), EndFrame(), 1.5)
        if "latency" in room:
            avatar.leave()
        await stage.until(lambda: bool(stage.down(EndFrame)))
        check_covered(stage, tone(1.0))
        kinds = [type(frame) for _, frame in stage.sink.frames]
        assert kinds.index(TTSAudioRawFrame) < kinds.index(EndFrame)


async def test_what_was_in_flight_when_an_avatar_came_back_is_not_heard_twice() -> None:
    """It says two writes more that the plain voice has said by then; its next answer is heard whole."""
    async with avatar_here(room={"track": True}) as (stage, room):
        await stage.send(*said(0.2), 0.1, room.leave, 0.05, room.arrive, 3.0)
        check_covered(stage, tone(0.2))
        before = len(stage.voice)
        await stage.send(*said(1.0, "b"), 3.0)
        assert stage.voice[before:].strip(b"\0") == tone(1.0).strip(b"\0")


async def test_a_room_that_is_being_left_is_not_heard() -> None:
    """An avatar that was given up may speak until the bot has gone; the plain voice says the same by then."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(3.0), 1.0)
        WAYS["fatal"](room)
        await stage.settle()
        heard = stage.voice
        room.utter(tone(0.5))
        await stage.settle(1.0)
        assert stage.voice == heard


async def test_the_next_avatar_does_not_speak_in_the_middle_of_a_response() -> None:
    """After a loss the plain voice keeps the response to its end; the avatar takes the next."""
    async with avatar_here() as (stage, room):
        await stage.send(LLMFullResponseStartFrame(), speech(10.0), 1.0, room.leave)
        await stage.until(lambda: len(stage.rooms) == 2)
        room = await stage.arrive()
        await stage.send(speech(1.0), 1.0)
        assert room.speech == b""
        await stage.send(LLMFullResponseEndFrame(), 10.0, speech(1.0, "b"), 3.0)
        assert room.speech == tone(1.0)


async def test_an_avatar_that_comes_back_before_it_leaves_costs_no_session() -> None:
    """The new one is watched once the old one has gone, and nothing of the speech is lost."""
    twin = "22222222-2222-4222-8222-222222222222"
    async with avatar_here() as (stage, room):
        await stage.send(*said(2.0), 0.5, lambda: room.join(participant_id=twin), 0.5, room.leave, 0.0, room.show, 3.0)
        check_covered(stage, tone(2.0))
        before = len(room.speech)
        await stage.send(speech(1.0, "b"), 2.0)
        assert room.speech[before:] == tone(1.0)
        assert stage.vendor.created == ["session-1"]
        assert stage.event_names().count("on_avatar_connected") == 2
        assert stage.errors == []


async def test_the_page_is_told_of_a_loss_and_of_a_return() -> None:
    """Each status goes both ways, and to the page as an RTVI message: here; lost, voice only; then here again."""
    coming = [AvatarStatus.CALLING, AvatarStatus.JOINING, AvatarStatus.HERE]
    async with avatar_here() as (stage, room):
        assert stage.statuses == [AvatarStatus.CALLING, AvatarStatus.JOINING, AvatarStatus.JOINING, AvatarStatus.HERE]
        await stage.send(speech(3.0), 1.0)
        room.lose("gone")
        await stage.until(lambda: len(stage.rooms) == 2)
        await stage.arrive()
        told = [status for status, _ in groupby(stage.statuses)]
        assert told == [*coming, AvatarStatus.LOST, AvatarStatus.VOICE_ONLY, *coming]
        assert [frame.status for frame in stage.up(AvatarStatusFrame)] == stage.statuses
        told = [told["status"] for told in stage.page if "status" in told]
        assert told == [str(status) for status in stage.statuses]
