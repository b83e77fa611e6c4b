"""Whether the avatar has a voice, with plain numbers."""

import pytest

from pipecat_lemonslice.voice_watch import LEAST_WRITES, VoiceWatch


def spoken(watch: VoiceWatch, count: int, begin: float) -> VoiceWatch:
    for number in range(count):
        watch.wrote(begin + number * 0.02)
    return watch


def test_an_avatar_that_is_given_nothing_owes_nothing() -> None:
    """However long it is silent."""
    assert VoiceWatch(5.0).deadline is None
    assert not VoiceWatch(5.0).mute(1e9)


def test_speech_without_an_answer_is_found_out_after_the_patience() -> None:
    """Counted from the first write that got none."""
    watch = spoken(VoiceWatch(5.0), 500, 10.0)
    assert watch.deadline == 15.0
    assert not watch.mute(14.75)
    assert watch.mute(15.0)


def test_a_syllable_proves_nothing() -> None:
    """Less than a second may be swallowed; what follows adds to it."""
    watch = spoken(VoiceWatch(5.0), LEAST_WRITES - 1, 10.0)
    assert watch.deadline is None
    assert spoken(watch, 1, 12.0).deadline == 15.0


def test_any_sound_is_an_answer() -> None:
    """The count begins anew with the next write."""
    watch = spoken(VoiceWatch(5.0), 100, 10.0)
    watch.heard()
    assert watch.deadline is None
    assert spoken(watch, 100, 12.0).deadline == 17.0


@pytest.mark.parametrize("count", [0, 1, 10_000])
def test_where_the_avatar_cannot_be_heard_it_is_never_mute(count: int) -> None:
    """In a shared room its microphone is not subscribed."""
    assert spoken(VoiceWatch(None), count, 10.0).deadline is None
