"""When a response is over: DESIGN's rules in plain numbers, then by property over any interleaving."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

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
    Route,
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


def said(seconds: float) -> AudioAppended:
    """Audio for the avatar."""
    return AudioAppended(seconds, Route.AVATAR)


SAID, LATER = said(1.0), said(0.25)
OPEN, CLOSE, STOP, WAITS, WRITTEN = LLMOpened(), LLMClosed(), StopReached(), BacklogChanged(True), BacklogChanged(False)
TIMEOUT, HOLD = "response_done_timeout", "response_hold_timeout"

EXAMPLES: list[Any] = [
    # name, facts with their times, starts, ends
    ("audio goes on with a response", [(1, LATER), (1.25, LATER)], [1], [(2, TIMEOUT)]),
    ("nothing but audio starts one", [(0, OPEN, STOP, CLOSE, Interrupted(), Aborted(DoneReason.ENDED))], [], []),
    ("silence counts from the last byte played", [(1, said(10.0))], [1], [(11.5, TIMEOUT)]),
    ("what comes while audio plays is behind it", [(0, SAID), (0.25, SAID)], [0], [(2.5, TIMEOUT)]),
    ("a short pause is bridged", [(0, SAID), (1.25, SAID)], [0], [(2.75, TIMEOUT)]),
    ("audio after the end is a new one", [(0, SAID), (2, SAID)], [0, 2], [(1.5, TIMEOUT), (3.5, TIMEOUT)]),
    ("a stop ends it with its last byte", [(0, SAID, STOP)], [0], [(1, "stopped")]),
    ("a late stop ends it there and then", [(0, SAID), (1.25, STOP)], [0], [(1.25, "stopped")]),
    ("stop, then the LLM", [(0, OPEN, SAID), (0.5, STOP), (1.25, CLOSE)], [0], [(1.25, "stopped")]),
    ("the LLM, then the stop", [(0, OPEN, SAID), (0.5, CLOSE), (1.25, STOP)], [0], [(1.25, "stopped")]),
    (
        "a stop per sentence is no end while the LLM writes",
        [(0, OPEN, SAID), (0.5, STOP), (2, SAID), (2.5, STOP), (4, SAID), (4.5, STOP), (5.25, CLOSE)],
        [0],
        [(5.25, "stopped")],
    ),
    ("an open LLM holds it for so long", [(0, OPEN, SAID)], [0], [(4, HOLD)]),
    ("an LLM that closes late ends it if it is due", [(0, OPEN, SAID), (2, CLOSE)], [0], [(2, TIMEOUT)]),
    ("a stop with audio behind it is none", [(0, SAID, STOP, WAITS), (1, SAID), (1, WRITTEN)], [0], [(2.5, TIMEOUT)]),
    ("audio that waits keeps it open", [(0, SAID, WAITS), (9.25, WRITTEN)], [0], [(9.25, TIMEOUT)]),
    ("a room that plays late moves the end", [(0, SAID, WAITS), (1.25, AllPlayed())], [0], [(1.75, TIMEOUT)]),
    (
        "an interruption ends it, and delays no other",
        [(0, said(10.0)), (1, Interrupted(plays_on=0.25)), (2, SAID)],
        [0, 2],
        [(1, "interrupted"), (3.5, TIMEOUT)],
    ),
    ("an interruption closes the LLM", [(0, OPEN, Interrupted(), SAID)], [0], [(1.5, TIMEOUT)]),
    ("what may not be interrupted goes on", [(0, SAID), (0.5, Interrupted(keeps_playing=True))], [0], [(1.5, TIMEOUT)]),
    ("a lost avatar ends it", [(0, SAID), (0.5, Aborted(DoneReason.AVATAR_LOST))], [0], [(0.5, "avatar_lost")]),
]


@pytest.mark.parametrize(("facts", "starts", "ends"), [pytest.param(*rest, id=name) for name, *rest in EXAMPLES])
def test_when_a_response_starts_and_ends(
    facts: list[tuple[Any, ...]], starts: list[float], ends: list[tuple[float, str]]
) -> None:
    """One line for each rule: when it starts, when it is over, and why."""
    run = Run()
    for now, *what in facts:
        run.at(now, *what)
    run.at(99.0)
    assert (run.starts, run.ends) == (starts, ends)


def test_a_hold_shorter_than_the_timeout_counts_as_the_timeout() -> None:
    """Holding never ends a response earlier than not holding would."""
    assert Run(done=0.5, hold=0.25).at(0.0, OPEN, SAID).at(9.0).ends == [(1.5, HOLD)]


def test_a_late_timer_changes_nothing() -> None:
    """A deadline that has passed is settled before the next fact, which begins something new, on a route of its own."""
    tracker = ResponseTracker(done_timeout=0.5, hold_timeout=3.0)
    tracker.handle(SAID, 0.0)
    late = tracker.handle(AudioAppended(1.0, Route.VOICE), 4.0)
    assert [(type(decision), decision.id, decision.route) for decision in late] == [
        (ResponseDone, 1, Route.AVATAR),
        (ResponseStarted, 2, Route.VOICE),
    ]
    assert tracker.route is Route.VOICE


def test_a_response_stays_on_the_route_on_which_it_began() -> None:
    """Audio that would go another way does not change it."""
    run = Run().at(0.0, SAID).at(0.5, AudioAppended(1.0, Route.VOICE))
    assert run.tracker.route is Route.AVATAR
    assert [decision.route for _, decision in run.at(9.0).decided] == [Route.AVATAR, Route.AVATAR]


def test_new_timeouts_apply_to_the_response_under_way() -> None:
    """Changing the timeouts moves the deadline that is pending."""
    run = Run().at(0.0, said(1.0))
    run.tracker.done_timeout = 2.0
    assert run.at(9.0).ends == [(3.0, "response_done_timeout")]


def test_audio_seconds_add_up() -> None:
    """The end tells how much audio the response had."""
    run = Run().at(0.0, said(1.25)).at(1.0, said(0.5)).at(9.0)
    done = run.decided[-1][1]
    assert isinstance(done, ResponseDone)
    assert done.audio_seconds == 1.75


# By property.

EIGHTHS = st.integers(min_value=0, max_value=24).map(lambda n: n / 8)
FACTS = st.one_of(
    st.integers(min_value=1, max_value=40).map(lambda n: said(n / 8)),
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


@settings(max_examples=400)
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
        assert model.speaking == (tracker.route is Route.AVATAR) == bool(open_id)
    assert not open_id, "started and never finished"
