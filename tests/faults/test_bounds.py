"""Nothing grows: not with the number of calls in one process; for the length of one call see `test_video_speech`."""

from tests.bench.soak import soak


def test_five_hundred_calls_leave_nothing_behind() -> None:
    """No session, no unhandled failure, and no more objects than after the first fifty."""
    figures = soak(500)
    assert figures.calls == 500
    assert figures.sessions == figures.terminated >= 500
    assert figures.unhandled == 0
    assert figures.faults.total() > 100
    after_fifty, at_the_end = figures.objects
    assert at_the_end - after_fifty < 450, "less than one object for each call"
