"""How far the avatar is heard, when it is mute, which of its voice is wanted: facts and binary-exact times."""

from math import inf

import pytest

from pipecat_lemonslice.media.playback import EXCUSED_SECONDS, MUTE_SECONDS, Playback, SharedPlayback, Sound
from tests.support.stage import RATE, tone

PIECE = 0.04
SLICE = 1 / 64
MUTE_SLICES = round(MUTE_SECONDS / SLICE)
SOUND, SILENCE = tone(PIECE), bytes(len(tone(PIECE)))


def hear(playback: Playback, at: float, pcm: bytes = SOUND) -> Sound:
    return playback.heard(pcm, RATE, at)


def hear_on(playback: Playback, begin: float, end: float, pcm: bytes = SOUND) -> list[Sound]:
    """Voice without a gap."""
    return [hear(playback, begin + number * PIECE, pcm) for number in range(round((end - begin) / PIECE))]


def play(playback: Playback, count: int, begin: float) -> None:
    for number in range(count):
        playback.played(begin + number / 64, SLICE, [True])


def responding(at: float = 0.0) -> Playback:
    playback = Playback()
    playback.response_began(at)
    return playback


def heard_once() -> Playback:
    """An avatar with a lag of one second, of which one response has been heard to its end: played from 0 s to 2 s."""
    playback = responding()
    playback.played(0.0, SLICE, [True])
    hear(playback, 1.0)
    playback.response_over(2.0)
    return playback


def test_the_lag_is_from_the_first_sound_played_to_the_first_heard() -> None:
    """Silence before it does not count, and later words are not the first. The avatar is heard as far as it sounds."""
    playback = responding()
    playback.played(0.0, SLICE, [False])
    playback.played(2.0, SLICE, [True])
    assert hear(playback, 2.5) is Sound.FIRST
    assert hear(playback, 5.0) is Sound.FIRST
    assert playback.lag == 0.5
    assert playback.heard_until(5.0) == playback.heard_until(7.0) == 4.5


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize(("played_at", "lag"), [(0.25, 0.5), (0.75, None), (1.0, None)])
def test_sound_before_anything_was_played_gives_no_lag(played_at: float, lag: float | None, late: bool) -> None:
    """A breath before the first word. Rooms report late what was played, which changes nothing."""
    playback = responding()
    if not late:
        playback.played(played_at, SLICE, [True])
    hear(playback, 0.75)
    assert playback.quiet_for(1.0) == 0.25
    if late:
        assert playback.heard_until(0.75) == -inf
        playback.played(played_at, SLICE, [True])
    assert playback.lag == lag
    assert playback.heard_until(1.0) == (-inf if lag is None else 0.25)


def test_the_end_of_the_response_before_gives_no_lag() -> None:
    """While it may still be heard, the lag stays as it was."""
    playback = heard_once()
    playback.response_began(2.0)
    playback.played(2.25, SLICE, [True])
    hear(playback, 2.5)
    assert playback.lag == 1.0
    hear(playback, 3.5)
    assert playback.lag == 1.25


def test_a_response_may_be_over_before_it_is_heard() -> None:
    """Its first sound gives its lag, not that of the next response."""
    playback = responding()
    playback.played(0.0, SLICE, [True])
    playback.response_over(0.5)
    playback.response_began(0.5)
    playback.played(0.75, SLICE, [True])
    hear(playback, 1.0)
    assert playback.lag == 1.0
    playback.response_over(3.75)
    playback.response_began(7.0)
    playback.played(8.0, SLICE, [True])
    hear(playback, 8.5)
    assert playback.lag == 0.5


@pytest.mark.parametrize("interrupted", [True, False])
def test_what_is_not_to_be_heard_gives_no_lag(interrupted: bool) -> None:
    """Neither an interrupted response nor a silent one; the next one gives its own."""
    playback = responding()
    playback.played(0.0, SLICE, [interrupted])
    playback.response_over(0.5)
    if interrupted:
        playback.interrupted(0.5)
        hear_on(playback, 0.75, 1.0, SILENCE)
    playback.response_began(1.0)
    playback.played(3.0, SLICE, [True])
    hear(playback, 3.5)
    assert playback.lag == 0.5


def test_of_another_avatar_nothing_is_known() -> None:
    """Neither its lag nor what was heard or left unheard."""
    playback = heard_once()
    playback.mute_timeout = 5.0
    play(playback, MUTE_SLICES, 2.0)
    playback.avatar_changed()
    assert (playback.lag, playback.quiet_for(3.0), playback.mute_deadline) == (None, inf, None)
    assert not playback.unheard


def test_whether_it_sounds_and_when_it_has_finished() -> None:
    """A pause between words is short, one after the last is longer. A first response is waited for."""
    playback = Playback()
    assert not playback.sounds(0.0)
    assert playback.silent(0.0)
    playback.response_began(0.0)
    assert not playback.silent(0.5)
    playback.response_over(0.5)
    assert 0.0 < playback.speaks_for(0.5) < 0.1
    playback.played(0.0, SLICE, [True])
    assert hear(playback, 0.75) is Sound.FIRST
    assert hear(playback, 0.875) is Sound.ONGOING
    assert hear(playback, 0.9375, SILENCE) is Sound.SILENT
    assert playback.sounds(1.0)
    assert not playback.sounds(1.125)
    assert hear(playback, 1.125) is Sound.FIRST
    assert not playback.sounds(1.375)
    assert playback.speaks_for(1.375) == pytest.approx(0.15)
    assert playback.silent(1.625)


def test_whether_something_was_left_unheard() -> None:
    """Sound that was played after the last that was heard; not what was interrupted."""
    playback = heard_once()
    assert not playback.unheard
    playback.played(2.0, SLICE, [False])
    assert not playback.unheard
    playback.played(2.0, SLICE, [True])
    assert playback.unheard
    playback.interrupted(2.5)
    assert not playback.unheard


# Which of its voice is wanted.


@pytest.mark.parametrize("interrupted", [True, False])
def test_an_avatar_is_not_wanted_before_its_first_response(interrupted: bool) -> None:
    """What it says before is not for this user; nothing of its first answer is held back."""
    playback = heard_once()
    playback.avatar_changed()
    if interrupted:
        playback.interrupted(2.0)
    assert set(hear_on(playback, 2.0, 3.0) + hear_on(playback, 3.0, 4.0, SILENCE)) == {Sound.UNWANTED}
    playback.response_began(4.0)
    assert Sound.UNWANTED not in hear_on(playback, 4.0, 5.0)


def test_after_an_interruption_it_is_unwanted_until_it_is_silent() -> None:
    """For a tenth of a second, and not in the first quarter."""
    playback = heard_once()
    playback.interrupted(2.0)
    assert not playback.sounds(2.0)
    for begin, end, pcm in ((2.0, 2.2, SILENCE), (2.2, 2.52, SOUND), (2.52, 2.6, SILENCE)):
        assert set(hear_on(playback, begin, end, pcm)) == {Sound.UNWANTED}
    assert hear(playback, 2.6, SILENCE) is Sound.SILENT
    assert hear(playback, 2.64) is Sound.FIRST


def test_a_voice_that_never_pauses_is_wanted_again() -> None:
    """After two seconds."""
    playback = heard_once()
    playback.interrupted(2.0)
    assert hear_on(playback, 2.0, 5.0).count(Sound.UNWANTED) == 2.0 / PIECE


def test_the_voice_of_the_next_response_is_wanted() -> None:
    """From a tenth of a second before its lag on."""
    playback = heard_once()
    playback.interrupted(2.0)
    playback.response_began(2.0)
    assert hear_on(playback, 2.0, 4.0).count(Sound.UNWANTED) == pytest.approx(0.9 / PIECE, abs=1)


# When it is mute.


def speaking(count: int, begin: float, timeout: float | None = 5.0) -> Playback:
    playback = responding(begin)
    playback.mute_timeout = timeout
    play(playback, count, begin)
    return playback


def test_speech_that_is_not_heard_in_time_means_mute() -> None:
    """Counted from the first that is unheard."""
    playback = speaking(500, 10.0)
    assert playback.mute_deadline == 15.0
    assert not playback.mute(14.75)
    assert playback.mute(15.0)


def test_silence_and_a_syllable_prove_nothing() -> None:
    """Less than a second of sound may be lost; what follows adds to it. Nothing does without a timeout."""
    assert speaking(10_000, 10.0, timeout=None).mute_deadline is None
    playback = speaking(MUTE_SLICES - 1, 10.0)
    for number in range(500):
        playback.played(11.0 + number / 64, SLICE, [False])
    assert playback.mute_deadline is None
    assert not playback.mute(1e9)
    play(playback, 1, 12.0)
    assert playback.mute_deadline == 15.0


@pytest.mark.parametrize("wanted", [True, False])
def test_an_avatar_that_is_heard_is_not_mute(wanted: bool) -> None:
    """By any sound; the count begins anew with what is played next."""
    playback = speaking(100, 10.0)
    if not wanted:
        playback.interrupted(11.0)
        play(playback, 100, 11.0)
    hear(playback, 11.125)
    assert playback.mute_deadline is None
    play(playback, 100, 12.0)
    assert playback.mute_deadline == 17.0


@pytest.mark.parametrize(("later", "deadline"), [(0.5, None), (EXCUSED_SECONDS + 1.0, 20.0)])
def test_what_was_interrupted_need_not_be_heard(later: float, deadline: float | None) -> None:
    """But what was played long before should have been."""
    playback = speaking(MUTE_SLICES, 10.0, timeout=10.0)
    playback.interrupted(10.0 + MUTE_SLICES / 64 + later)
    assert playback.mute_deadline == deadline


# In a shared room.


def test_in_a_shared_room_all_that_was_played_counts_as_heard() -> None:
    """Nobody knows there what the avatar was heard saying, so nothing is repeated, and it is never mute."""
    playback = SharedPlayback()
    playback.mute_timeout = 5.0
    playback.response_began(0.0)
    play(playback, 500, 0.0)
    assert playback.heard_until(1.0) == inf
    assert not playback.unheard
    assert playback.mute_deadline is None
    assert hear(playback, 1.0) is Sound.UNWANTED


def test_in_a_shared_room_the_last_words_take_a_second() -> None:
    """Also when everything has been played and more may come; none after an interruption, or without the avatar."""
    playback = SharedPlayback()
    assert not playback.sounds(0.0)
    playback.response_began(0.0)
    assert playback.sounds(5.0)
    playback.response_over(5.0)
    assert playback.sounds(5.75)
    assert playback.speaks_for(5.75) == 0.25
    assert not playback.sounds(6.0)
    for fact in (lambda: playback.interrupted(7.0), playback.avatar_changed):
        playback.response_began(7.0)
        playback.response_over(7.0)
        fact()
        assert not playback.sounds(7.0)
