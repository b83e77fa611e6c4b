"""When a response is over: DESIGN's rules in plain numbers, then by property over any interleaving."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipecat_lemonslice.speech.response import (
    Aborted,
    AllPlayed,
    AudioAppended,
    DoneReason,
    Interrupted,
    LLMClosed,
    LLMOpened,
    ResponseDone,
    ResponseStarted,
    ResponseTracker,
    StopReached,
    TimePassed,
    TrackerInput,
    TrackerOutput,
)


@dataclass(frozen=True)
class BacklogChanged:
    """Whether audio waits, which the tracker is told with each fact."""

    waiting: bool


class Run:
    """A tracker that is given facts at times, and woken at its deadlines as the real shell does."""

    def __init__(self, done: float = 0.5, hold: float = 3.0) -> None:
        self.tracker = ResponseTracker(done_timeout=done, hold_timeout=hold)
        self.decided: list[tuple[float, TrackerOutput]] = []
        self.waiting = False

    def at(self, now: float, *facts: TrackerInput | BacklogChanged) -> "Run":
        while (deadline := self.tracker.deadline) is not None and deadline <= now:
            self._take(deadline, self.tracker.handle(TimePassed(), deadline, waiting=self.waiting))
        for fact in facts:
            match fact:
                case BacklogChanged(waiting):
                    self.waiting, fact = waiting, TimePassed()
                case AllPlayed():
                    self.waiting = False
                case _:
                    pass
            self._take(now, self.tracker.handle(fact, now, waiting=self.waiting))
        return self

    def _take(self, now: float, decisions: Iterable[TrackerOutput]) -> None:
        self.decided.extend((now, decision) for decision in decisions)

    @property
    def starts(self) -> list[float]:
        return [at for at, decision in self.decided if isinstance(decision, ResponseStarted)]

    @property
    def ends(self) -> list[tuple[float, str]]:
        return [(at, decision.reason.value) for at, decision in self.decided if isinstance(decision, ResponseDone)]


def test_starts_with_the_first_audio_once() -> None:
    """The first audio after silence starts a response; more audio does not."""
    run = Run().at(1.0, AudioAppended(0.25)).at(1.25, AudioAppended(0.25))
    assert run.starts == [1.0]
    assert run.ends == []


def test_nothing_but_audio_starts_a_response() -> None:
    """Hints, LLM frames and interruptions mean nothing while nothing is said."""
    run = Run().at(0.0, LLMOpened(), StopReached(), LLMClosed(), Interrupted(), Aborted(DoneReason.ENDED))
    assert run.decided == []
    assert run.tracker.deadline is None


def test_ends_after_silence_counted_from_the_last_byte_played() -> None:
    """Ten seconds that arrive in one moment last ten seconds, then the timeout."""
    run = Run().at(1.0, AudioAppended(10.0)).at(100.0)
    assert run.ends == [(11.5, "response_done_timeout")]


def test_arrival_time_does_not_count() -> None:
    """Audio that is written while earlier audio still plays is played behind it."""
    run = Run().at(0.0, AudioAppended(1.0)).at(0.25, AudioAppended(1.0)).at(9.0)
    assert run.ends == [(2.5, "response_done_timeout")]


def test_a_pause_shorter_than_the_timeout_is_bridged() -> None:
    """Audio that comes within the timeout goes on with the same response."""
    run = Run().at(0.0, AudioAppended(1.0)).at(1.25, AudioAppended(1.0)).at(9.0)
    assert run.starts == [0.0]
    assert run.ends == [(2.75, "response_done_timeout")]


def test_audio_after_the_end_is_a_new_response() -> None:
    """A response that ended too early and goes on is a new one."""
    run = Run().at(0.0, AudioAppended(1.0)).at(2.0, AudioAppended(1.0)).at(9.0)
    assert run.starts == [0.0, 2.0]
    assert [decision.id for _, decision in run.decided] == [1, 1, 2, 2]


def test_a_stop_ends_it_when_the_last_byte_has_been_played() -> None:
    """An explicit end behind the last byte ends the response with that byte, not before."""
    run = Run().at(0.0, AudioAppended(1.0), StopReached()).at(9.0)
    assert run.ends == [(1.0, "stopped")]


def test_a_late_stop_ends_it_there_and_then() -> None:
    """A stop that comes after the last byte was played ends the response at once."""
    run = Run().at(0.0, AudioAppended(1.0)).at(1.25, StopReached())
    assert run.ends == [(1.25, "stopped")]


@pytest.mark.parametrize("order", ["stop first", "llm first"])
def test_stop_and_llm_end_count_in_either_order(order: str) -> None:
    """The end of the LLM's response and of the speech end it together, whichever comes last."""
    facts: list[TrackerInput] = [StopReached(), LLMClosed()]
    first, last = facts if order == "stop first" else reversed(facts)
    run = Run().at(0.0, LLMOpened(), AudioAppended(1.0)).at(0.5, first).at(1.25, last)
    assert run.ends == [(1.25, "stopped")]


def test_a_stop_per_sentence_does_not_end_an_answer() -> None:
    """While the LLM is writing, stops after each sentence end nothing."""
    run = Run().at(0.0, LLMOpened())
    for start in (0.0, 2.0, 4.0):
        run.at(start, AudioAppended(1.0)).at(start + 0.5, StopReached())
    run.at(5.25, LLMClosed())
    assert run.starts == [0.0]
    assert run.ends == [(5.25, "stopped")]


def test_an_open_llm_holds_it_at_most_so_long() -> None:
    """An LLM response that never ends holds a response open for the hold timeout, no longer."""
    run = Run().at(0.0, LLMOpened(), AudioAppended(1.0)).at(9.0)
    assert run.ends == [(4.0, "response_hold_timeout")]


def test_a_hold_shorter_than_the_timeout_counts_as_the_timeout() -> None:
    """Holding never ends a response earlier than not holding would."""
    run = Run(done=0.5, hold=0.25).at(0.0, LLMOpened(), AudioAppended(1.0)).at(9.0)
    assert run.ends == [(1.5, "response_hold_timeout")]


def test_an_llm_that_ends_late_ends_it_at_once_if_it_is_due() -> None:
    """If the timeout has passed when the LLM closes, the response ends then."""
    run = Run().at(0.0, LLMOpened(), AudioAppended(1.0)).at(2.0, LLMClosed())
    assert run.ends == [(2.0, "response_done_timeout")]


def test_a_stop_with_audio_behind_it_is_no_end() -> None:
    """A stop between two utterances does not end the response that goes on."""
    run = Run().at(0.0, AudioAppended(1.0), StopReached(), BacklogChanged(True)).at(1.0, AudioAppended(1.0))
    run.at(1.0, BacklogChanged(False)).at(9.0)
    assert run.ends == [(2.5, "response_done_timeout")]


def test_audio_that_waits_keeps_it_open() -> None:
    """A response does not end while audio waits to be written, however late the writer is."""
    run = Run().at(0.0, AudioAppended(1.0), BacklogChanged(True)).at(9.0)
    assert run.ends == []
    assert run.at(9.25, BacklogChanged(False)).ends == [(9.25, "response_done_timeout")]


def test_a_room_that_plays_late_moves_the_end() -> None:
    """When the room says that all has been played, the timeout counts from there."""
    run = Run().at(0.0, AudioAppended(1.0), BacklogChanged(True)).at(1.25, AllPlayed()).at(9.0)
    assert run.ends == [(1.75, "response_done_timeout")]


def test_an_interruption_ends_it_there_and_then() -> None:
    """What was written does not play on for the tracker, and does not delay the next response."""
    run = Run().at(0.0, AudioAppended(10.0)).at(1.0, Interrupted(plays_on=0.25))
    assert run.ends == [(1.0, "interrupted")]
    run.at(2.0, AudioAppended(1.0)).at(9.0)
    assert run.ends[-1] == (3.5, "response_done_timeout")


def test_an_interruption_closes_the_llm() -> None:
    """An interrupted LLM response holds nothing open any more."""
    run = Run().at(0.0, LLMOpened(), Interrupted(), AudioAppended(1.0)).at(9.0)
    assert run.ends == [(1.5, "response_done_timeout")]


def test_what_may_not_be_interrupted_goes_on() -> None:
    """An interruption that spares what plays does not end the response."""
    run = Run().at(0.0, AudioAppended(1.0)).at(0.5, Interrupted(keeps_playing=True)).at(9.0)
    assert run.ends == [(1.5, "response_done_timeout")]


def test_losing_the_avatar_ends_it() -> None:
    """The response ends at once when the way to the listener is gone."""
    run = Run().at(0.0, AudioAppended(5.0)).at(1.0, Aborted(DoneReason.AVATAR_LOST)).at(9.0)
    assert run.ends == [(1.0, "avatar_lost")]


def test_a_late_timer_changes_nothing() -> None:
    """A deadline that has passed is settled before the next fact, which then begins something new."""
    tracker = ResponseTracker(done_timeout=0.5, hold_timeout=3.0)
    tracker.handle(AudioAppended(1.0), 0.0)
    late = tracker.handle(AudioAppended(1.0), 4.0)
    assert [type(decision) for decision in late] == [ResponseDone, ResponseStarted]


def test_new_timeouts_apply_to_the_response_under_way() -> None:
    """Changing the timeouts moves the deadline that is pending."""
    run = Run().at(0.0, AudioAppended(1.0))
    run.tracker.configure(done_timeout=2.0, hold_timeout=3.0)
    assert run.at(9.0).ends == [(3.0, "response_done_timeout")]


def test_audio_seconds_add_up() -> None:
    """The end tells how much audio the response had."""
    run = Run().at(0.0, AudioAppended(1.25)).at(1.0, AudioAppended(0.5)).at(9.0)
    done = run.decided[-1][1]
    assert isinstance(done, ResponseDone)
    assert done.audio_seconds == 1.75


# By property.

EIGHTHS = st.integers(min_value=0, max_value=24).map(lambda n: n / 8)
FACTS = st.one_of(
    st.integers(min_value=1, max_value=40).map(lambda n: AudioAppended(n / 8)),
    st.sampled_from([LLMOpened(), LLMClosed(), StopReached(), TimePassed()]),
    st.booleans().map(BacklogChanged),
    st.builds(Interrupted, st.booleans(), EIGHTHS),
    st.just(Aborted(DoneReason.AVATAR_LOST)),
)
TIMEOUTS = st.integers(min_value=1, max_value=32).map(lambda n: n / 8)


class Model:
    """What the law says of the deadline, kept apart from the tracker and as simply as can be."""

    def __init__(self, done: float, hold: float) -> None:
        self.done, self.hold = done, hold
        self.played_until = 0.0
        self.speaking = self.llm = self.stop = self.waiting = False

    def due(self) -> float:
        if not self.speaking or self.waiting:
            return math.inf
        if self.llm:
            return self.played_until + max(self.done, self.hold)
        return self.played_until + (0.0 if self.stop else self.done)

    def note(self, fact: TrackerInput, now: float) -> None:
        match fact:
            case AudioAppended(seconds):
                self.played_until = max(self.played_until, now) + seconds
                self.speaking, self.stop = True, False
            case LLMOpened():
                self.llm = True
            case LLMClosed():
                self.llm = False
            case StopReached():
                self.stop = True
            case Interrupted(keeps, plays_on):
                self.llm = False
                if not keeps:
                    self.cut(now + plays_on)
            case Aborted():
                self.cut(now)
            case _:
                pass

    def cut(self, audible_until: float) -> None:
        self.played_until = min(self.played_until, audible_until)
        self.silence()

    def silence(self) -> None:
        if self.speaking:
            self.speaking = self.stop = False


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(EIGHTHS, FACTS), max_size=60), TIMEOUTS, TIMEOUTS)
def test_every_start_has_one_finish_and_none_is_early_or_late(
    steps: list[tuple[float, TrackerInput | BacklogChanged]], done: float, hold: float
) -> None:
    """Whatever happens: starts and finishes alternate; no finish is inside audio, before its threshold or late."""
    tracker, model, now, open_id = ResponseTracker(done_timeout=done, hold_timeout=hold), Model(done, hold), 0.0, 0
    for pause, fact in [*steps, (1.0, BacklogChanged(False)), (1000.0, TimePassed())]:
        now += pause
        deadline = tracker.deadline
        assert (math.inf if deadline is None else deadline) == model.due()
        if isinstance(fact, BacklogChanged):
            model.waiting, fact = fact.waiting, TimePassed()
        due = model.due()
        expected_settled = model.speaking and due <= now
        decisions = tracker.handle(fact, now, waiting=model.waiting)
        if expected_settled:
            first = decisions[0]
            assert isinstance(first, ResponseDone)
            assert first.id == open_id
            assert first.reason not in (DoneReason.INTERRUPTED, DoneReason.AVATAR_LOST)
            model.silence()
            open_id, decisions = 0, decisions[1:]
        model.note(fact, now)
        for decision in decisions:
            match decision:
                case ResponseStarted(id=started):
                    assert not open_id, "started inside a response"
                    assert isinstance(fact, AudioAppended)
                    open_id = started
                case ResponseDone(id=ended, reason=reason):
                    assert ended == open_id, "finished what had not started"
                    cut = reason in (DoneReason.INTERRUPTED, DoneReason.AVATAR_LOST)
                    assert cut or now >= model.due(), "finished before its threshold"
                    model.silence()
                    open_id = 0
        assert model.speaking == tracker.speaking == bool(open_id)
    assert not open_id, "started and never finished"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(EIGHTHS, FACTS), max_size=40))
def test_the_same_facts_give_the_same_decisions(steps: list[tuple[float, TrackerInput]]) -> None:
    """The tracker depends on nothing but its facts and their times."""

    def decide() -> list[tuple[float, TrackerOutput]]:
        run, now = Run(), 0.0
        for pause, fact in steps:
            now += pause
            run.at(now, fact)
        return run.decided

    assert decide() == decide()
