"""The service in a pipeline, in virtual time, with a LemonSlice in memory."""

import asyncio

import pytest
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.processors.frameworks.rtvi.frames import RTVIServerMessageFrame

from pipecat_lemonslice import (
    AvatarResponseDoneFrame,
    AvatarResponseStartedFrame,
    AvatarStatus,
    AvatarStatusFrame,
)
from tests.support.stage import Stage, avatar_here, speech, tone


def text(words: str, context_id: str = "a") -> TTSTextFrame:
    frame = TTSTextFrame(words, "sentence")
    frame.context_id = context_id
    return frame


async def test_speech_is_heard_without_an_avatar_that_does_not_come() -> None:
    """After ready_timeout the plain voice is heard; the avatar takes over at the next response."""
    async with Stage() as stage:
        await stage.send(speech(2.0), text("hello"), 7.9)
        assert stage.plain == b""
        await stage.settle(0.2)
        assert stage.plain == tone(2.0)
        stage.room.arrive()
        await stage.send(speech(1.0, "b"), 0.5)
        assert stage.room.speech == b""
        await stage.send(4.0, speech(1.0, "c"), 4.0)
        assert stage.room.speech == tone(1.0)
        assert ("on_fallback", "the avatar was not ready within 8 s") in stage.events


async def test_every_session_is_terminated_then_its_room_left() -> None:
    """An EndFrame ends the session; everything created is terminated."""
    async with avatar_here() as (stage, _):
        await stage.send(TTSStartedFrame("a"), speech(2.0), TTSStoppedFrame("a"))
        started = stage.now
        await stage.end()
        assert stage.now - started >= 2.25
        assert stage.room.speech == tone(2.0)
    assert stage.vendor.created == stage.vendor.terminated == ["session-1"]
    assert stage.room.closed
    assert ("on_session_ended", "session-1", 1.5) in stage.events
    assert stage.vendor.closed


async def test_statuses_reach_the_pipeline_and_the_page() -> None:
    """Status frames go both ways, and the page is told the same as RTVI messages."""
    async with avatar_here() as (stage, _):
        statuses = stage.statuses
        assert statuses == [AvatarStatus.CALLING, AvatarStatus.JOINING, AvatarStatus.JOINING, AvatarStatus.HERE]
        assert [frame.status for frame in stage.up(AvatarStatusFrame)] == statuses
        told = [frame.data["status"] for frame in stage.down(RTVIServerMessageFrame)]
        assert told == [str(status) for status in statuses]
        assert stage.down(AvatarResponseStartedFrame) == []
        assert stage.down(BotStartedSpeakingFrame) == []
        assert stage.down(TTSAudioRawFrame) == []
        assert asyncio.get_running_loop().time() > 0


async def test_one_answer_with_a_stop_per_sentence_is_one_response() -> None:
    """A TTS that stops after each sentence does not end the response while the LLM is writing."""
    async with avatar_here() as (stage, _):
        await stage.send(LLMFullResponseStartFrame())
        for sentence in "abc":
            await stage.send(TTSStartedFrame(sentence), speech(0.5, sentence), TTSStoppedFrame(sentence), 1.5)
        await stage.send(LLMFullResponseEndFrame(), 1.0)
        assert stage.room.events == ["response_started", "response_finished"]
        assert stage.down(AvatarResponseDoneFrame)[0].audio_seconds == pytest.approx(1.5)


@pytest.mark.parametrize("pieces", [93, 186])
async def test_everybody_is_told_the_same_three_decimals(pieces: int) -> None:
    """Speech in many small pieces adds up to no tail of digits."""
    async with avatar_here() as (stage, _):
        for _ in range(pieces):
            await stage.send(speech(0.02))
        await stage.send(TTSStoppedFrame("a"), pieces * 0.02 + 1.0)
        seconds = pieces * 2 / 100
        assert [frame.audio_seconds for frame in stage.down(AvatarResponseDoneFrame)] == [seconds]
        assert [frame.audio_seconds for frame in stage.up(AvatarResponseDoneFrame)] == [seconds]
        assert ("on_response_done", "stopped", seconds) in stage.events
        messages = [frame.data for frame in stage.down(RTVIServerMessageFrame)]
        assert [data["audio_seconds"] for data in messages if data.get("event") == "done"] == [seconds]
