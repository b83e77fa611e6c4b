"""Failures that nobody foresaw, anywhere inside the service: reported once, and the call goes on with the voice."""

import itertools
from typing import Any, cast

import pytest
from pipecat.frames.frames import EndFrame, InterruptionFrame, TTSAudioRawFrame, TTSStoppedFrame, TTSTextFrame

from pipecat_lemonslice.reports import EVENTS
from tests.support.stage import RATE, Stage, avatar_here, speech, tone

TOUCHES = 40
"""More often than a frame of speech is looked at on its way to the avatar."""


LOOKED_AT = ("audio", "context_id", "interruptible", "sample_rate", "num_channels", "transport_destination")


class Unreadable(TTSAudioRawFrame):
    """A frame of speech that cannot be read any more from some look at it on."""

    looks = itertools.count()
    last = 0
    failed = False

    def __getattribute__(self, name: str) -> Any:
        if name in LOOKED_AT and next(Unreadable.looks) >= Unreadable.last:
            Unreadable.failed = True
            raise RuntimeError("this frame cannot be read")
        return super().__getattribute__(name)


def unreadable(last: int) -> Unreadable:
    Unreadable.looks, Unreadable.last = itertools.count(), 1_000
    frame = Unreadable(tone(0.5), RATE, 1, context_id="b")
    Unreadable.looks, Unreadable.last, Unreadable.failed = itertools.count(), last, False
    return frame


@pytest.mark.parametrize("interrupted", [False, True])
@pytest.mark.parametrize("last", range(TOUCHES))
async def test_a_frame_that_cannot_be_read_costs_itself_and_no_more(last: int, interrupted: bool) -> None:
    """At whichever look it fails: one ErrorFrame, all other speech heard, the session ended with the call."""
    async with avatar_here() as (stage, _):
        before = tone(0.5, frequency=330.0)
        await stage.send(TTSAudioRawFrame(before, RATE, 1, context_id="a"))
        await stage.service.queue_frame(unreadable(last))  # the source would look at it, too
        if interrupted:
            await stage.send(InterruptionFrame())
        await stage.settle(3.0)
        await stage.arrive(1.0)
        await stage.send(speech(1.0, "c"), 4.0)
        await stage.end()
        errors = stage.errors
        assert len(errors) == Unreadable.failed, [error.error for error in errors]
        assert not any(error.category and error.category.is_permanent for error in errors)
        assert stage.service.is_usable
        heard = b"".join(room.speech for room in stage.rooms) + stage.plain
        assert tone(1.0) in heard, "the next answer was not heard"
        assert interrupted or before in heard, "the answer before was not heard"
        assert len(stage.down(EndFrame)) == 1
    assert stage.vendor.terminated == stage.vendor.created


@pytest.mark.parametrize("behind", [[], [speech(0.25, "c")]], ids=["nothing", "speech"])
async def test_a_frame_that_fails_in_its_turn_costs_nothing_behind_it(behind: list[TTSAudioRawFrame]) -> None:
    """Neither the words that follow it nor the EndFrame, which waits for them and no longer."""
    async with avatar_here() as (stage, room):
        await stage.send(speech(0.5), TTSStoppedFrame(cast("Any", [])), 0.2, *behind)
        sent = stage.now
        await stage.end()
        assert stage.now - sent < 4.0
        assert len(stage.errors) == 1
        assert len(room.speech + stage.plain) // 2 >= 24000 * (0.5 + 0.25 * len(behind))


class Stubborn(TTSTextFrame):
    """A word that refuses to be forwarded: its time cannot be taken off it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "pts" and value is None and "pts" in vars(self) and vars(self)["pts"]:
            raise RuntimeError("this frame cannot be changed")
        super().__setattr__(name, value)


async def test_a_word_that_fails_at_the_end_does_not_keep_the_end_waiting() -> None:
    """The EndFrame passes as if the word were not there."""
    async with avatar_here() as (stage, room):
        frame = Stubborn("last", "word")
        frame.context_id = "a"
        frame.pts = round((stage.now + 100.0) * 1e9)
        await stage.send(speech(0.5), frame, 0.1)
        sent = stage.now
        await stage.end()
        assert stage.now - sent < 4.0
        assert len(stage.errors) == 1
        assert room.speech == tone(0.5)


@pytest.mark.parametrize("nonsense", [(b"\x01", RATE), (b"\x01\x02", 1)])
async def test_a_track_that_delivers_no_sound_costs_the_session_and_no_more(nonsense: tuple[bytes, int]) -> None:
    """One ErrorFrame, a new session; the answer after it is spoken by the new avatar and heard."""
    async with avatar_here() as (stage, _):
        stage.room.hear(*nonsense)
        await stage.settle(2.0)
        assert len(stage.errors) == 1
        assert len(stage.vendor.created) == 2
        await stage.arrive()
        await stage.send(speech(1.0), 3.0)
        assert stage.room.speech == tone(1.0)
        assert stage.voice


async def test_a_handler_that_raises_harms_nothing() -> None:
    """Every event handler raises, and the answer is heard all the same."""

    async def handler(_service: object, *_args: object) -> None:
        raise RuntimeError("a bot's own fault")

    async with Stage() as stage:
        for event in EVENTS:
            stage.service.add_event_handler(event, handler)
        await stage.arrive()
        await stage.send(speech(1.0), 3.0)
        assert stage.room.speech == tone(1.0)
        assert stage.room.events == ["response_started", "response_finished"]
