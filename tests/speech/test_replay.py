"""What is said again when the avatar is lost or told to stop: pure, in plain numbers."""

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipecat_lemonslice.speech.replay import Chunk, Origin, ReplayBuffer

RATE = 1000
ANY, LASTING = Origin("a", True, None), Origin("b", False, "stream")


def buffer(*chunks: tuple[float, Origin], sounds: bool = True) -> ReplayBuffer:
    """Chunks of so many seconds, one behind the other, none of them played."""
    speech = ReplayBuffer(RATE)
    for seconds, origin in chunks:
        append(speech, seconds, origin, sounds=sounds)
    return speech


def append(speech: ReplayBuffer, seconds: float, origin: Origin = ANY, *, sounds: bool = True) -> None:
    begin = speech.pending[-1].end if speech.pending else speech.position
    pcm = bytes(round(seconds * RATE) * 2)
    speech.pending.append(Chunk(begin, begin + len(pcm) // 2, pcm, origin, (sounds,) * 4))


def seconds(chunks: list[Chunk]) -> float:
    assert all(len(chunk.pcm) == 2 * (chunk.end - chunk.begin) for chunk in chunks)
    return sum(chunk.end - chunk.begin for chunk in chunks) / RATE


def test_what_is_reported_together_was_played_one_after_the_other() -> None:
    """The last of it at the time of the report, each piece before that in its place."""
    speech = buffer((1.0, ANY), (1.0, LASTING))
    played = speech.play(1500, 10.0)
    assert [(piece.begin, piece.end) for piece in played] == [(8.5, 9.5), (9.5, 10.0)]
    assert (speech.position, speech.pending_seconds) == (1500, 0.5)
    assert [(piece.begin, piece.end) for piece in speech.play(2000, 12.0)] == [(11.5, 12.0)]


@pytest.mark.parametrize(
    ("heard_until", "again"),
    [(-inf, 2.0), (8.0, 2.0), (8.5, 1.5), (8.75, 1.26), (9.99, 0.02), (10.0, 0.0)],
)
def test_what_was_heard_is_not_said_again(heard_until: float, again: float) -> None:
    """But for the 20 ms in which it was heard last; what nobody knows to be heard is said again."""
    speech = buffer((2.0, ANY), (1.0, ANY))
    speech.play(2000, 10.0)
    assert seconds(speech.unheard(heard_until, 10.0, sounding=True, more=True)) == pytest.approx(again)


def test_nothing_older_than_six_seconds_is_said_again() -> None:
    """Whoever is lost for longer is known to be mute."""
    speech = buffer((5.0, ANY), (5.0, ANY))
    speech.play(5000, 5.0)
    speech.play(10000, 10.0)
    assert seconds(speech.unheard(-inf, 10.0, sounding=True, more=True)) == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("heard_until", "sounding", "more", "again"),
    [
        (9.75, False, False, 0.0),
        (9.75, False, True, 0.26),
        (9.75, True, False, 0.26),
        (9.25, False, False, 0.76),
    ],
)
def test_an_avatar_that_fell_silent_at_the_end_has_said_all(
    heard_until: float, sounding: bool, more: bool, again: float
) -> None:
    """If nothing follows, it is not heard now, and was heard until 0.3 s before the end: its lag may have changed."""
    speech = buffer((2.0, ANY))
    speech.play(2000, 10.0)
    assert seconds(speech.unheard(heard_until, 10.0, sounding=sounding, more=more)) == pytest.approx(again)


def test_what_it_fell_silent_before_counts_up_to_the_last_sound() -> None:
    """Silence at the end of the speech need not be heard."""
    speech = buffer((2.0, ANY))
    append(speech, 0.5, sounds=False)
    speech.play(2500, 10.0)
    assert seconds(speech.unheard(9.25, 10.0, sounding=False, more=False)) == 0.0


@pytest.mark.parametrize(("pause", "again"), [(0.25, 0.5), (0.05, 0.5 + 0.26)])
def test_speech_behind_a_pause_begins_anew(pause: float, again: float) -> None:
    """An avatar that is silent has said what was played before the pause, and nothing of what came behind it."""
    speech = buffer((2.0, ANY))
    speech.play(2000, 10.0)
    append(speech, 0.5)
    append(speech, 1.0)
    speech.play(2500, 10.5 + pause)
    unheard = speech.unheard(9.75, 10.5 + pause, sounding=False, more=True)
    assert seconds(unheard) == pytest.approx(again)


def test_silence_alone_is_not_said_again() -> None:
    """Unless speech follows it."""
    speech = buffer((1.0, ANY), sounds=False)
    speech.play(1000, 10.0)
    assert speech.unheard(-inf, 10.0, sounding=True, more=False) == []
    assert seconds(speech.unheard(-inf, 10.0, sounding=True, more=True)) == 1.0


def test_pieces_of_one_origin_are_one() -> None:
    """However the room reports them; as a frame they are what the TTS said."""
    speech = buffer((1.0, LASTING), (1.0, LASTING), (1.0, ANY))
    for position in (250, 1250, 2500):
        speech.play(position, position / RATE)
    first, second = speech.unheard(-inf, 2.5, sounding=True, more=True)
    assert (first.end - first.begin, second.end - second.begin) == (2000, 500)
    frame = first.origin.frame(first.pcm, RATE)
    assert (frame.context_id, frame.interruptible, frame.transport_destination) == ("b", False, "stream")


@pytest.mark.parametrize(
    ("chunks", "in_flight", "unheard", "keeps_playing", "again"),
    [
        ([(1.0, LASTING), (1.0, ANY)], 40, [], True, 0.96),
        ([(0.04, ANY), (1.0, LASTING)], 80, [], True, 0.96),
        ([(0.06, ANY), (1.0, LASTING)], 80, [], False, 1.0),
        ([(1.0, ANY), (1.0, LASTING)], 40, [], False, 1.0),
        ([(1.0, ANY)], 40, [Chunk(0, 500, bytes(1000), LASTING)], True, 0.0),
        ([(1.0, ANY)], 80, [Chunk(0, 500, bytes(1000), LASTING)], False, 0.5),
        ([(1.0, ANY)], 40, [], False, 0.0),
    ],
)
def test_an_interruption_leaves_uninterruptible_speech(
    chunks: list[tuple[float, Origin]], in_flight: int, unheard: list[Chunk], keeps_playing: bool, again: float
) -> None:
    """Also what was handed over, if the avatar is told to stop: because much of it may be interrupted."""
    cut = buffer(*chunks).interrupt(in_flight, unheard, sounding=False)
    assert cut.keeps_playing is keeps_playing
    assert seconds([*cut.unheard, *cut.unplayed]) == pytest.approx(again)
    lasting = {origin.context_id for _, origin in chunks if origin is LASTING} | {c.origin.context_id for c in unheard}
    assert cut.contexts == lasting
    assert cut.dropped == pytest.approx(sum(length for length, _ in chunks) - in_flight / RATE)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(["append", "play", "cut"]), st.integers(1, 400)), max_size=30))
def test_nothing_is_lost(steps: list[tuple[str, int]]) -> None:
    """Whatever is appended is played, pending, or cut off at the end."""
    speech, now = ReplayBuffer(RATE), 0.0
    appended = played = dropped = 0.0
    for step, samples in steps:
        now += 0.5
        match step:
            case "append":
                append(speech, samples / RATE)
                appended += samples / RATE
            case "play":
                pieces = speech.play(speech.position + samples, now)
                played += seconds([piece.chunk for piece in pieces])
            case _:
                dropped += seconds(speech.cut(speech.position + samples))
        assert seconds(speech.unplayed()) == pytest.approx(speech.pending_seconds)
        assert played + dropped + speech.pending_seconds == pytest.approx(appended)
