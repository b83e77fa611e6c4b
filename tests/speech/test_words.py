"""Which TTS contexts may still be heard, and when their words are due: plain numbers."""

import pytest
from pipecat.frames.frames import TTSAudioRawFrame, TTSStoppedFrame, TTSTextFrame

from pipecat_lemonslice.speech.words import MAX_CONTEXTS, MAX_WAITING_WORDS, InterruptedContexts, WordTimer

SECOND = 1_000_000_000


def audio(context_id: str | None = "a") -> TTSAudioRawFrame:
    return TTSAudioRawFrame(bytes(2), 24000, 1, context_id=context_id)


def word(text: str, at: float, context_id: str | None = "a", *, interruptible: bool = True) -> TTSTextFrame:
    frame = TTSTextFrame(text, "word")
    frame.context_id, frame.pts, frame.interruptible = context_id, round(at * SECOND), interruptible
    return frame


def texts(frames: list) -> list[str]:
    return [frame.text for frame in frames]


# The gate.


def test_an_interruption_closes_the_gate_for_what_was_alive() -> None:
    """Contexts seen or announced before are dead; new ones live; the spared live on."""
    gate = InterruptedContexts()
    gate.announce("announced")
    gate.admits("heard")
    gate.admits("kept")
    gate.interrupt({"kept"})
    assert [gate.admits(name) for name in ("announced", "heard", "kept", "new")] == [False, False, True, True]


def test_announcing_a_dead_context_does_not_revive_it() -> None:
    """A late TTSStartedFrame of an interrupted context changes nothing."""
    gate = InterruptedContexts()
    gate.admits("a")
    gate.interrupt(set())
    gate.announce("a")
    assert not gate.admits("a")


def test_unlabelled_audio_waits_for_an_announcement_only_where_there_are_any() -> None:
    """Without announcements nothing can be told apart, so all is heard; with them, the next one opens."""
    silent_source, announcing = InterruptedContexts(), InterruptedContexts()
    silent_source.announce(None, by_tts=False)
    silent_source.interrupt(set())
    assert silent_source.admits(None)
    announcing.announce(None)
    announcing.interrupt(set())
    assert not announcing.admits(None)
    announcing.announce(None, by_tts=False)
    assert announcing.admits(None)


def test_the_gate_remembers_a_bounded_number_of_contexts() -> None:
    """The oldest are forgotten first, dead or alive."""
    gate = InterruptedContexts()
    for number in range(3 * MAX_CONTEXTS):
        gate.admits(str(number))
        gate.interrupt(set())
    assert gate.admits("0")
    assert not gate.admits(str(3 * MAX_CONTEXTS - 1))
    living = InterruptedContexts()
    for number in range(3 * MAX_CONTEXTS):
        living.admits(str(number))
    living.interrupt(set())
    assert living.admits("0")
    assert not living.admits(str(3 * MAX_CONTEXTS - 1))


# The words.


def clock_with_audio(now: float = 100.0) -> WordTimer:
    clock = WordTimer()
    clock.arrived(audio(), round(now * SECOND))
    return clock


@pytest.mark.parametrize(
    "frame", [word("x", 0.0), word("x", 100.0, None), word("x", 100.0, "unknown"), TTSStoppedFrame("a")]
)
def test_what_cannot_be_timed_is_not_held(frame: TTSTextFrame) -> None:
    """Texts without time or context, contexts never heard of, and other frames keep their place in the queue."""
    frame.pts = frame.pts or (0 if isinstance(frame, TTSTextFrame) else SECOND)
    assert not clock_with_audio().hold(frame)


def test_after_an_interruption_words_are_counted_from_now_on() -> None:
    """The last word of what was interrupted does not count, that of what was kept does."""
    for interruptible, begun in ((True, 101.0), (False, 104.0)):
        clock = clock_with_audio()
        clock.arrived(word("x", 104.0, interruptible=interruptible), 100 * SECOND)
        clock.interrupt()
        clock.arrived(audio("b"), 101 * SECOND)
        clock.hold(word("y", begun + 0.5, "b"))
        clock.played("b", 0.49)
        assert clock.due() == []
        clock.played("b", 0.02)
        assert texts(clock.due()) == ["y"]


def test_an_interruption_drops_what_waits_and_may_be_dropped() -> None:
    """Uninterruptible words stay."""
    clock = clock_with_audio()
    clock.hold(word("x", 101.0))
    clock.hold(word("y", 101.0, interruptible=False))
    clock.interrupt()
    assert texts(clock.finish(None)) == ["y"]


def test_finishing_one_context_leaves_the_others() -> None:
    """A stop gives what waits of its own context."""
    clock = clock_with_audio()
    clock.arrived(audio("b"), 100 * SECOND)
    clock.hold(word("x", 101.0))
    clock.hold(word("y", 101.0, "b"))
    assert texts(clock.finish("a")) == ["x"]
    assert texts(clock.finish(None)) == ["y"]


def test_overdue_is_what_waits_of_contexts_that_were_begun() -> None:
    """Words of a context that nobody has heard anything of are not overdue."""
    clock = clock_with_audio()
    clock.arrived(audio("b"), 100 * SECOND)
    clock.hold(word("x", 109.0))
    clock.hold(word("y", 109.0, "b"))
    clock.played("a", 1.0)
    assert texts(clock.overdue()) == ["x"]


def test_words_of_speech_that_is_heard_once_more_come_with_it() -> None:
    """What is taken back counts as not spoken, also where some of it belongs to the context before."""
    clock = clock_with_audio()
    clock.hold(word("x", 101.5))
    clock.played("a", 1.0)
    clock.taken_back("a", 1.25)
    clock.taken_back("unheard of", 1.0)
    frames = clock.voiced("a", 2.0, 104 * SECOND)
    assert [frame.pts for frame in frames] == [round(105.75 * SECOND)]


def test_the_clock_remembers_a_bounded_number_of_contexts() -> None:
    """The oldest are forgotten; their words are due at once rather than never."""
    clock = clock_with_audio()
    clock.hold(word("x", 200.0))
    for number in range(MAX_CONTEXTS):
        clock.arrived(audio(str(number)), 100 * SECOND)
    assert texts(clock.due()) == ["x"]


def test_a_bounded_number_of_words_waits_for_audio() -> None:
    """Further ones are not kept: they travel in their place, as untimed ones do."""
    clock = clock_with_audio()
    assert all(clock.hold(word("x", 200.0)) for _ in range(MAX_WAITING_WORDS))
    assert not clock.hold(word("y", 200.0))
    assert len(clock.finish(None)) == MAX_WAITING_WORDS
    assert clock.hold(word("z", 200.0))
