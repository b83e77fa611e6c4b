"""How far speech has been heard back: times in, a time out."""

from math import inf

from pipecat_lemonslice.hearing import Hearing


def test_nothing_is_heard_before_the_first_answer() -> None:
    """All of what was played counts as unheard."""
    hearing = Hearing()
    assert hearing.until(0.0, -inf) == -inf
    hearing.began(1.0)
    assert hearing.until(1.0, 1.5) == -inf


def test_the_lag_of_a_response_is_that_of_its_first_sound() -> None:
    """Counted from when its first sound was played; later words are not its answer."""
    hearing = Hearing()
    hearing.began(1.0)
    hearing.answered(2.5)
    hearing.answered(5.0)
    assert hearing.until(2.0, 4.0) == 3.5
    assert hearing.until(1.0, 4.0) == 2.5


def test_what_came_before_it_sounded_was_no_answer() -> None:
    """A breath in the silence before the first word says nothing of the lag."""
    hearing = Hearing()
    hearing.began(1.0)
    hearing.answered(1.25)
    assert hearing.until(2.0, 1.25) <= 1.25


def test_the_tail_of_the_response_before_is_no_answer() -> None:
    """While it may still sound, the lag is taken to be as it was."""
    hearing = Hearing()
    hearing.began(0.0)
    hearing.answered(1.0)
    hearing.over(2.0)
    hearing.began(2.25)
    hearing.answered(2.5)
    assert hearing.until(2.25, 4.0) == 3.0
    hearing.answered(3.5)
    assert hearing.until(2.25, 4.0) == 2.75
