"""Speech on a room's track that has not been handed over yet: how it is cut, and what is reported of it."""

import pytest

from pipecat_lemonslice.rooms.playout import PlayoutBuffer

RATE = 24000
WRITE = 480


def holding(samples: int) -> PlayoutBuffer:
    buffer = PlayoutBuffer(RATE)
    buffer.append(b"\x11\x11" * samples)
    return buffer


@pytest.mark.parametrize(("report_at", "reported"), [(0, [5, 10, 12]), (3 * WRITE + 1, [4, 9, 12])])
def test_reports_come_every_100_ms_at_the_end_and_where_they_are_asked_for(report_at: int, reported: list[int]) -> None:
    """Counted in writes of 20 ms; a position within a write is reported with it."""
    buffer = holding(12 * WRITE)
    buffer.report_at = report_at
    assert [number for number in range(1, 13) if buffer.has_played(WRITE)] == reported
