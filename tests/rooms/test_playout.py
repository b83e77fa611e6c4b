"""Speech on a room's track that has not been handed over yet: how it is cut, and what is reported of it."""

import pytest

from pipecat_lemonslice.rooms.playout import PlayoutBuffer

RATE = 24000
WRITE = 480
SLICE = 240


def holding(samples: int) -> PlayoutBuffer:
    buffer = PlayoutBuffer(RATE)
    buffer.append(b"\x11\x11" * samples)
    return buffer


def test_a_write_is_20_ms_of_whole_slices() -> None:
    """What is left below a slice waits for more."""
    buffer = holding(WRITE + SLICE + 100)
    taken = [buffer.take(idle=False, pad=False) for _ in range(3)]
    assert taken == [(b"\x11\x11" * WRITE, WRITE), (b"\x11\x11" * SLICE, SLICE), None]
    assert len(buffer) == 100


def test_what_nothing_follows_is_padded_with_silence() -> None:
    """The padding is not counted as speech."""
    buffer = holding(100)
    assert buffer.take(idle=True, pad=True) == (b"\x11\x11" * 100 + bytes(2 * (SLICE - 100)), 100)


def test_after_a_pause_a_whole_write_is_waited_for() -> None:
    """Speech that comes in drips does not run dry at once."""
    buffer = holding(WRITE - 1)
    assert buffer.take(idle=True, pad=False) is None
    buffer.append(b"\x11\x11")
    assert buffer.take(idle=True, pad=False) == (b"\x11\x11" * WRITE, WRITE)


def test_what_waits_can_be_dropped() -> None:
    """Positions go on from the end of what was handed over."""
    buffer = holding(10 * WRITE)
    buffer.take(idle=False, pad=False)
    assert buffer.clear() == 9 * WRITE
    assert (buffer.appended, len(buffer)) == (WRITE, 0)


@pytest.mark.parametrize(("report_at", "reported"), [(0, [5, 10, 12]), (3 * WRITE + 1, [4, 9, 12])])
def test_reports_come_every_100_ms_at_the_end_and_where_they_are_asked_for(report_at: int, reported: list[int]) -> None:
    """Counted in writes of 20 ms; a position within a write is reported with it."""
    buffer = holding(12 * WRITE)
    buffer.report_at = report_at
    assert [number for number in range(1, 13) if buffer.has_played(WRITE)] == reported
