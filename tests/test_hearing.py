"""How far speech has been heard back: times in, a time out."""

from math import inf

from pipecat_lemonslice.hearing import Hearing


def heard_once(lag: float = 1.0) -> Hearing:
    """An avatar of which one response has been heard to its end: given from 0 s to 2 s."""
    hearing = Hearing()
    hearing.began()
    hearing.answered(lag, 0.0)
    hearing.over(2.0, 0.0)
    return hearing


def test_nothing_is_heard_before_the_first_answer() -> None:
    """All of what was played counts as unheard."""
    hearing = Hearing()
    assert hearing.until(-inf) == -inf
    hearing.began()
    assert hearing.until(1.5) == -inf


def test_the_lag_of_a_response_is_that_of_its_first_sound() -> None:
    """Counted from when its first sound was played; later words are not its answer."""
    hearing = Hearing()
    hearing.began()
    hearing.answered(2.5, 2.0)
    hearing.answered(5.0, 2.0)
    assert hearing.until(4.0) == 3.5


def test_what_came_before_it_sounded_was_no_answer() -> None:
    """A breath in the silence before the first word says nothing of the lag."""
    hearing = Hearing()
    hearing.began()
    hearing.answered(1.25, 1.25)
    assert hearing.until(1.25) == -inf


def test_the_tail_of_the_response_before_is_no_answer() -> None:
    """While it may still sound, the lag is taken to be as it was."""
    hearing = heard_once()
    hearing.began()
    hearing.answered(2.5, 2.25)
    assert hearing.until(4.0) == 3.0
    hearing.answered(3.5, 2.25)
    assert hearing.until(4.0) == 2.75


def test_a_first_sound_that_comes_after_its_response_is_its_answer_and_not_the_next_ones() -> None:
    """A response may be over before anything of it is heard, and the next may have begun."""
    hearing = Hearing()
    hearing.began()
    hearing.over(0.5, 0.0)
    hearing.began()
    hearing.answered(1.0, 0.75)
    assert hearing.until(2.0) == 1.0
    hearing.over(3.75, 0.75)
    hearing.began()
    hearing.answered(8.5, 8.0)
    assert hearing.until(9.0) == 8.5


def test_what_was_interrupted_owes_no_answer() -> None:
    """The next response has its own."""
    hearing = Hearing()
    hearing.began()
    hearing.over(0.5, 0.0)
    hearing.interrupted()
    hearing.began()
    hearing.answered(3.5, 3.0)
    assert hearing.until(4.0) == 3.5


def test_a_response_without_a_sound_owes_none() -> None:
    """Silence is not answered."""
    hearing = Hearing()
    hearing.began()
    hearing.over(0.5, 0.5)
    hearing.began()
    hearing.answered(3.5, 3.0)
    assert hearing.until(4.0) == 3.5
