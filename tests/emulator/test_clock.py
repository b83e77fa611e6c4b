from pipecat_lemonslice.emulator.clock import Countdown, IdleTimer, Response, ResponseWatch, Ticks


def test_beats_stay_on_the_clock():
    """Each beat is due at a multiple of the period, however late the caller was before."""
    ticks = Ticks(0.25, now=8.0)
    assert ticks.due(8.0) == [8.0]
    assert ticks.due(8.125) == []
    assert ticks.due(8.375) == [8.25]
    assert ticks.due(9.0) == [8.5, 8.75, 9.0]
    assert ticks.next == 9.25


def test_a_long_stall_starts_the_beat_anew():
    """More missed beats than the burst allows are not made up for."""
    ticks = Ticks(0.25, now=0.0, burst=4)
    ticks.due(0.0)
    assert ticks.due(1.0) == [0.25, 0.5, 0.75, 1.0]
    assert ticks.due(9.0) == [9.0]
    assert ticks.next == 9.25


def test_idle_timer_counts_from_the_last_speech():
    """The deadline is the timeout after the end of the last speech; an earlier one does not move it back."""
    idle = IdleTimer(60, now=10.0)
    assert idle.deadline == 70.0
    idle.reset(30.0)
    idle.reset(20.0)
    assert idle.deadline == 90.0


def test_negative_idle_timeout_never_ends():
    """A negative timeout has no deadline, also after speech."""
    idle = IdleTimer(-1, now=0.0)
    idle.reset(100.0)
    assert idle.deadline is None


def test_first_audio_opens_a_response():
    """With or without response_started, the first audio is the first byte, and only once per response."""
    watch = ResponseWatch(None)
    assert watch.hear(0.0, 0.5)
    assert not watch.hear(0.5, 0.5)
    watch.finish()
    watch.announce()
    assert watch.state is Response.ANNOUNCED
    assert watch.hear(2.0, 0.5)


def test_response_ends_itself_after_the_played_audio():
    """The timeout counts from the end of what was heard, played as it comes, not from its arrival."""
    watch = ResponseWatch(0.5)
    watch.hear(0.0, 4.0)
    watch.hear(0.0, 4.0)
    assert watch.audio_until == 8.0
    assert not watch.expired(8.25)
    assert watch.expired(8.5)
    assert not watch.expired(9.0)
    assert watch.state is Response.NONE


def test_no_timeout_waits_for_response_finished():
    """Without a timeout, or before any audio, nothing but response_finished ends a response."""
    patient, announced = ResponseWatch(None), ResponseWatch(0.5)
    patient.hear(0.0, 1.0)
    announced.announce()
    assert not patient.expired(1000.0)
    assert not announced.expired(1000.0)


def test_announcing_within_a_response_keeps_it():
    """response_started in the middle of speech does not make its next audio a first byte."""
    watch = ResponseWatch(None)
    watch.hear(0.0, 0.5)
    watch.announce()
    assert not watch.hear(0.5, 0.5)


def test_an_interruption_cuts_what_was_not_played():
    """Audio that was heard and cut off counts until the interruption; the next starts after it."""
    watch = ResponseWatch(0.5)
    watch.hear(0.0, 8.0)
    watch.cut(2.0)
    assert (watch.audio_until, watch.state) == (2.0, Response.NONE)
    watch.hear(4.0, 1.0)
    assert watch.audio_until == 5.0


def test_a_countdown_counts_speech():
    """Each thing happens once, when so much speech has been spent since it was started, whatever else happens."""
    countdown, happened = Countdown(), []
    countdown.start(0.5, lambda: happened.append("a"))
    countdown.spend(0.25)
    countdown.start(0.5, lambda: happened.append("b"))
    assert happened == []
    countdown.spend(0.25)
    assert happened == ["a"]
    countdown.spend(2.0)
    countdown.spend(2.0)
    assert happened == ["a", "b"]


def test_a_countdown_may_start_another():
    """What happens may start what happens later."""
    countdown, happened = Countdown(), []
    countdown.start(0.25, lambda: countdown.start(0.25, lambda: happened.append("later")))
    countdown.spend(0.25)
    assert happened == []
    countdown.spend(0.25)
    assert happened == ["later"]
