"""What may have to be said again: played passages and times in, passages out."""

from math import inf

import pytest

from pipecat_lemonslice.spoken import (
    ALL_HEARD,
    JITTER_SECONDS,
    REMEMBERED_SECONDS,
    Heard,
    Origin,
    Passage,
    Spoken,
    joined,
)

PIECE = 0.0625
A, B = Origin("a", True, None), Origin("b", False, None)
SOUND, SILENCE = b"\x00\x10" * 8, bytes(16)


def played(*pieces: tuple[float, bytes, Origin]) -> Spoken:
    """Pieces, each with the time at which it had been played."""
    spoken = Spoken()
    for at, pcm, origin in pieces:
        spoken.add(Passage(pcm, origin), PIECE, at, sounds=pcm == SOUND)
    return spoken


def stretch(begin: float, count: int, pcm: bytes = SOUND, origin: Origin = A) -> list[tuple[float, bytes, Origin]]:
    return [(begin + PIECE * (number + 1), pcm, origin) for number in range(count)]


def test_what_was_played_later_than_what_was_heard_is_unheard() -> None:
    """In whole passages, and nothing once all has been heard."""
    spoken = played(*stretch(10.0, 4))
    assert len(spoken.unheard(Heard(10.125, paused=False), 10.25, followed=True)) == 2
    assert len(spoken.unheard(Heard(-inf, paused=False), 10.25, followed=False)) == 4
    assert spoken.unheard(ALL_HEARD, 10.25, followed=True) == []


def test_silence_counts_only_where_something_follows() -> None:
    """A pause is kept within speech, and no silence is said at its end."""
    spoken = played(*stretch(10.0, 2), *stretch(10.125, 2, SILENCE))
    heard = Heard(10.125, paused=False)
    assert len(spoken.unheard(heard, 10.25, followed=True)) == 2
    assert spoken.unheard(heard, 10.25, followed=False) == []


@pytest.mark.parametrize("followed", [True, False])
def test_an_avatar_that_fell_silent_at_the_end_has_said_all(followed: bool) -> None:
    """The last syllable is not repeated because the lag is not known to the millisecond."""
    spoken = played(*stretch(10.0, 6), *stretch(10.375, 2, SILENCE))
    rest = spoken.unheard(Heard(10.25, paused=True), 11.0, followed=followed)
    assert rest == ([Passage(SILENCE, A)] * 2 if followed else [])


def test_an_avatar_that_still_sounds_has_said_no_more_than_was_heard() -> None:
    """There, every sample counts."""
    spoken = played(*stretch(10.0, 6))
    assert len(spoken.unheard(Heard(10.25, paused=False), 10.5, followed=False)) == 2


def test_an_avatar_that_fell_silent_long_before_the_end_has_not_said_the_rest() -> None:
    """More than its lag can have changed by."""
    spoken = played(*stretch(10.0, 16))
    rest = spoken.unheard(Heard(10.25, paused=True), 12.0, followed=False)
    assert len(rest) == 12
    assert 12 * PIECE > JITTER_SECONDS


def test_an_avatar_that_fell_silent_in_the_middle_has_not_said_what_goes_on() -> None:
    """A stretch that has not ended yet cannot have been said to its end."""
    spoken = played(*stretch(10.0, 6))
    assert len(spoken.unheard(Heard(10.25, paused=True), 10.4375, followed=True)) == 2


def test_a_short_answer_of_which_nothing_was_heard_is_unheard() -> None:
    """Also where the one before was heard to its end: it is no rest of that."""
    spoken = played(*stretch(10.0, 4), *stretch(11.0, 2, origin=B))
    assert spoken.unheard(Heard(10.1875, paused=True), 12.0, followed=False) == [Passage(SOUND, B)] * 2
    assert spoken.unheard(Heard(10.25, paused=True), 12.0, followed=False) == [Passage(SOUND, B)] * 2


def test_what_was_played_too_long_ago_is_forgotten() -> None:
    """Whether or not anything was played since."""
    spoken = played(*stretch(10.0, 4))
    heard = Heard(-inf, paused=False)
    assert spoken.unheard(heard, 10.25 + REMEMBERED_SECONDS, followed=False) == []
    spoken.add(Passage(SOUND, A), PIECE, 20.0, sounds=True)
    assert len(spoken.unheard(heard, 20.0, followed=False)) == 1
    spoken.forget()
    assert spoken.unheard(heard, 20.0, followed=False) == []


def test_the_first_sound_of_a_response_is_known() -> None:
    """Silence before it does not count, and a new response begins anew."""
    spoken = Spoken()
    assert spoken.sounding_since is None
    spoken.add(Passage(SILENCE, A), PIECE, 1.0, sounds=False)
    assert spoken.sounding_since is None
    spoken.add(Passage(SOUND, A), PIECE, 2.0, sounds=True)
    spoken.add(Passage(SOUND, A), PIECE, 3.0, sounds=True)
    assert spoken.sounding_since == 2.0 - PIECE
    spoken.begin()
    assert spoken.sounding_since is None


def test_neighbours_of_one_origin_are_joined() -> None:
    """What differs stays apart, and what is empty is left out."""
    parts = [Passage(b"1", A), Passage(b"2", A), Passage(b"", B), Passage(b"3", B), Passage(b"4", A)]
    assert joined(parts) == [Passage(b"12", A), Passage(b"3", B), Passage(b"4", A)]
    assert joined([]) == []
