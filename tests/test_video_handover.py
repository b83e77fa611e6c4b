"""What becomes of speech when the avatar goes, and of the avatar that comes after. In virtual time."""

import asyncio
from itertools import groupby

import pytest
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.processors.frameworks.rtvi.frames import RTVIServerMessageFrame

from pipecat_lemonslice import AvatarResponseDoneFrame, AvatarStatus
from tests.support.memory import MemoryRoom
from tests.support.stage import RATE, Stage, avatar_here, speech, tone

DOUBLED_BYTES = round(0.06 * RATE) * 2
"""The most that may be heard twice: a piece of the avatar's voice and a write."""


def lose(room: MemoryRoom, how: str) -> None:
    match how:
        case "leave":
            room.leave()
        case "lose":
            room.lose("the socket is gone")
        case "fatal":
            room.say({"type": "daily_error", "fatal": True, "error": "broken"})
        case _:
            room.say({"type": "idle_timeout"})


def check_covered(stage: Stage, whole: bytes) -> None:
    """What the avatar was heard saying and the plain voice make the whole: no gap, and hardly anything twice."""
    assert whole.startswith(stage.voice)
    assert whole.endswith(stage.plain)
    assert 0 <= len(stage.voice) + len(stage.plain) - len(whole) <= DOUBLED_BYTES


@pytest.mark.parametrize("how", ["leave", "lose", "fatal", "idle"])
@pytest.mark.parametrize("at", [0.0, 0.013, 0.02, 0.26, 0.3, 0.5, 1.0, 1.107, 1.99])
async def test_the_handover_loses_nothing_and_doubles_hardly_anything(how: str, at: float) -> None:
    """What the avatar has not been heard saying goes on as plain voice, at once; its lag is not lost."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(1.0), speech(1.0, "b", 24000), TTSStoppedFrame("b"), at)
        lost_at = stage.now
        lose(room, how)
        await stage.settle(0.05)
        written = room.speech
        check_covered(stage, tone(1.0) * 2)
        assert stage.time_of(TTSAudioRawFrame) == pytest.approx(lost_at, abs=1e-6)
        await stage.settle(5.0)
        assert room.speech == written
        check_covered(stage, tone(1.0) * 2)
        assert stage.reasons == (["avatar_lost", "stopped"] if written else ["stopped"])
        ends = lost_at + len(stage.plain) / (2 * RATE)
        assert stage.time_of(AvatarResponseDoneFrame, -1) == pytest.approx(ends, abs=1e-6)
        assert stage.event_names().count("on_fallback") == 1
        assert stage.event_names().count("on_avatar_disconnected") == 1
        assert len(stage.up(ErrorFrame)) == 1


@pytest.mark.parametrize("pause", [0.05, 0.3, 3.0])
@pytest.mark.parametrize("latency", [0.06, 0.25, 1.0])
async def test_each_response_is_taken_back_by_itself(latency: float, pause: float) -> None:
    """Also soon after another one whose last words are still heard, nothing is missing, and nothing of that comes."""
    async with avatar_here(room={"latency": latency}) as (stage, room):
        await stage.send(speech(1.0, "a"), TTSStoppedFrame("a"), 1.0 + pause, speech(2.0, "b"), latency + 1.013)
        room.lose("gone")
        await stage.settle(3.0)
        check_covered(stage, tone(1.0) + tone(2.0))


@pytest.mark.parametrize("how", ["leave", "lose", "fatal", "idle"])
@pytest.mark.parametrize("at", [1.013, 1.26, 1.4, 1.49])
async def test_the_last_words_of_a_response_that_is_over_are_not_lost(how: str, at: float) -> None:
    """What the avatar was given to the end, and takes along before its voice has come back, is heard as plain voice."""
    async with avatar_here(room={"latency": 0.5}) as (stage, room):
        await stage.send(speech(1.0), TTSStoppedFrame("a"), at)
        assert stage.reasons == ["stopped"]
        lose(room, how)
        await stage.settle(3.0)
        check_covered(stage, tone(1.0))
        assert stage.plain
        assert stage.reasons == ["stopped", "response_done_timeout"]
        # One that is still there must not be heard beside the TTS voice.
        assert room.events[2:] == (["interrupt"] if how in ("fatal", "idle") else [])


async def test_a_word_that_was_not_heard_at_all_is_said_by_one_voice() -> None:
    """An avatar that is given up before it has said it, though it is still there, is told not to."""
    async with avatar_here(room={"latency": 0.5}) as (stage, room):
        await stage.send(speech(0.2), TTSStoppedFrame("a"), 0.3)
        lose(room, "fatal")
        await stage.settle(3.0)
        assert stage.plain == tone(0.2)
        assert room.events[2:] == ["interrupt"]


@pytest.mark.parametrize("after", [0.3, 2.0, 30.0])
async def test_what_was_heard_to_its_end_is_not_repeated(after: float) -> None:
    """An avatar that goes in a pause leaves no syllable behind, neither soon nor late."""
    async with avatar_here(room={"track": True}) as (stage, room):
        await stage.send(speech(1.0), TTSStoppedFrame("a"), 1.25 + after)
        room.lose("gone")
        await stage.settle(3.0)
        assert stage.plain == b""
        assert stage.reasons == ["stopped"]


async def test_a_short_answer_that_a_mute_avatar_took_along_is_heard() -> None:
    """Also when its response was over long before the avatar was found out, and in order with what came since."""
    async with avatar_here(room={"echo": False}) as (stage, _):
        await stage.send(speech(1.5, "a"), TTSStoppedFrame("a"), 4.9)
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


@pytest.mark.parametrize("at", [0.1, 0.225, 0.35, 0.475])
async def test_an_avatar_that_goes_while_the_pipeline_is_busy(at: float) -> None:
    """Nothing is lost and hardly anything doubled, whatever the speech is waiting for; texts keep their order."""
    async with avatar_here(behind=[SlowText()], room={"latency": 0.0}) as (stage, room):
        frames = [frame for n in range(4) for frame in (LLMTextFrame(str(n)), speech(0.25, str(n)))]
        await stage.send(*frames, LLMTextFrame("end"), at)
        room.leave()
        await stage.settle(5.0)
        check_covered(stage, tone(0.25) * 4)
        assert [frame.text for frame in stage.down(LLMTextFrame)] == ["0", "1", "2", "3", "end"]


async def test_the_goodbye_of_a_mute_avatar_is_heard() -> None:
    """At the end there is no time to find out; what it was not heard saying is said all the same, before the end."""
    async with avatar_here(room={"echo": False}) as (stage, _):
        await stage.send(speech(1.0), TTSStoppedFrame("a"))
        await stage.end()
        assert stage.plain == tone(1.0)
        kinds = [type(frame) for _, frame in stage.sink.frames]
        assert kinds.index(TTSAudioRawFrame) < kinds.index(EndFrame)


async def test_the_goodbye_of_an_avatar_that_goes_is_heard() -> None:
    """It leaves between the end of its speech and that of its voice, and the EndFrame waits for the rest."""
    async with avatar_here(room={"latency": 1.0}) as (stage, room):
        await stage.send(speech(1.0), TTSStoppedFrame("a"), EndFrame(), 1.5)
        room.leave()
        await stage.until(lambda: bool(stage.down(EndFrame)))
        check_covered(stage, tone(1.0))
        kinds = [type(frame) for _, frame in stage.sink.frames]
        assert kinds.index(TTSAudioRawFrame) < kinds.index(EndFrame)


async def test_silence_before_the_first_word_is_no_lag() -> None:
    """The lag is taken from sound to sound."""
    async with avatar_here() as (stage, room):
        silent = speech(0.5)
        silent.audio = bytes(len(silent.audio))
        await stage.send(silent, speech(2.0), 2.013)
        room.lose("gone")
        await stage.settle(3.0)
        check_covered(stage, stage.voice[: stage.voice.index(tone(0.02))] + tone(2.0))


@pytest.mark.parametrize(("latency", "first", "pause"), [(1.0, 0.5, 0.2), (0.6, 0.3, 0.1), (0.25, 0.1, 0.05)])
async def test_a_first_answer_that_comes_late_is_not_taken_for_that_of_the_next(
    latency: float, first: float, pause: float
) -> None:
    """Nothing of the second response is lost where the first was over before anything of it was heard."""
    async with avatar_here(room={"latency": latency, "track": True}) as (stage, room):
        await stage.send(speech(first, "a"), TTSStoppedFrame("a"), first + pause, speech(3.0, "b"), 2.0)
        heard = len(stage.voice.replace(b"\0\0", b""))
        room.lose("gone")
        await stage.settle(4.0)
        whole = len((tone(first) + tone(3.0)).replace(b"\0\0", b""))
        assert 0 <= heard + len(stage.plain.replace(b"\0\0", b"")) - whole <= DOUBLED_BYTES
        assert tone(3.0).endswith(stage.plain)


@pytest.mark.parametrize("silent", [0.2, 0.4, 0.6])
async def test_silence_at_its_beginning_is_no_part_of_the_lag_of_the_next(silent: float) -> None:
    """What was heard to its end is not repeated when the avatar goes early in the next response."""
    async with avatar_here(room={"track": True}) as (stage, room):
        quiet = speech(silent)
        quiet.audio = bytes(len(quiet.audio))
        await stage.send(quiet, speech(1.0), TTSStoppedFrame("a"), silent + 2.0, speech(1.0, "b"), 0.1)
        room.lose("gone")
        await stage.settle(3.0)
        assert stage.plain == tone(1.0)


async def test_the_handover_of_resampled_speech_keeps_its_length() -> None:
    """Also what the resampler holds goes on."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(2.0, "a", 44100), 1.0)
        room.lose("gone")
        await stage.settle(2.0)
        total = len(stage.voice) + len(stage.plain)
        assert 2 * 2 * RATE <= total <= 2 * 2 * RATE + DOUBLED_BYTES


async def test_what_was_in_flight_when_an_avatar_came_back_is_not_heard_twice() -> None:
    """It says two writes more that the plain voice has said by then; its next answer is heard whole."""
    async with avatar_here(room={"track": True}) as (stage, room):
        await stage.send(speech(0.2), TTSStoppedFrame("a"), 0.1)
        room.leave()
        await stage.settle(0.05)
        await stage.arrive(3.0)
        check_covered(stage, tone(0.2))
        before = len(stage.voice)
        await stage.send(speech(1.0, "b"), TTSStoppedFrame("b"), 3.0)
        assert stage.voice[before:].strip(b"\0") == tone(1.0).strip(b"\0")


@pytest.mark.parametrize("how", ["leave", "fatal"])
async def test_what_an_avatar_says_after_it_was_given_up_is_not_heard(how: str) -> None:
    """Nor when the plain voice has ended by then."""
    async with avatar_here(room={"latency": 1.0}) as (stage, room):
        await stage.send(speech(0.2), TTSStoppedFrame("a"), 0.1)
        lose(room, how)
        await stage.settle(3.0)
        assert stage.plain == tone(0.2)
        assert stage.voice == b""


async def test_a_room_that_is_being_left_is_not_heard() -> None:
    """An avatar that was given up may speak until the bot has gone; the plain voice says the same by then."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(3.0), 1.0)
        lose(room, "fatal")
        await stage.settle(0.0)
        heard = stage.voice
        room.utter(tone(0.5))
        await stage.settle(1.0)
        assert stage.voice == heard


async def test_the_next_avatar_does_not_speak_in_the_middle_of_a_response() -> None:
    """After a loss the plain voice keeps the response to its end; the avatar takes the next."""
    async with avatar_here() as (stage, room):
        await stage.send(LLMFullResponseStartFrame(), speech(10.0), 1.0)
        room.leave()
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
        await stage.send(speech(2.0), TTSStoppedFrame("a"), 0.5)
        room.join(participant_id=twin)
        await stage.settle(0.5)
        room.leave()
        await stage.settle()
        assert room.watched is not None
        assert room.watched.id == twin
        room.show()
        await stage.settle(3.0)
        check_covered(stage, tone(2.0))
        await stage.send(speech(1.0, "b"))
        before = len(room.speech)
        await stage.settle(2.0)
        assert room.speech[before:] == tone(1.0)
        assert stage.vendor.created == ["session-1"]
        assert stage.event_names().count("on_avatar_connected") == 2
        assert stage.up(ErrorFrame) == []


async def test_the_page_is_told_of_a_loss_and_of_a_return() -> None:
    """Lost, voice only, calling, joining, here: in this order, and each RTVI message as its frame."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(3.0), 1.0)
        before = len(stage.statuses)
        room.lose("gone")
        await stage.until(lambda: len(stage.rooms) == 2)
        await stage.arrive()
        assert [status for status, _ in groupby(stage.statuses[before:])] == [
            AvatarStatus.LOST,
            AvatarStatus.VOICE_ONLY,
            AvatarStatus.CALLING,
            AvatarStatus.JOINING,
            AvatarStatus.HERE,
        ]
        told = [frame.data["status"] for frame in stage.down(RTVIServerMessageFrame) if "status" in frame.data]
        assert told == [str(status) for status in stage.statuses]
