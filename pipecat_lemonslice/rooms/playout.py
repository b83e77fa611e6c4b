"""Speech on a room's track that has not been handed over yet, cut as rooms want it. Pure: no thread, no clock.

Rooms pace whole slices of 10 ms only, so what remains below one is padded with silence where nothing follows in time.
"""

from dataclasses import dataclass, field

SAMPLE_BYTES = 2

REPORT_SECONDS = 0.1
"""How far speech is played at the most before the loop is told."""

SLICE_SECONDS = 0.01
WRITE_SECONDS = 0.02
"""Duration of one write, if there is so much."""

WRITES_IN_FLIGHT = 2
"""Writes handed over and not played: one plays, one bridges the way to the next, and an interruption leaves no more."""


@dataclass
class PlayoutBuffer:
    """The buffer of one track.

    Attributes:
        sample_rate: In Hz; a multiple of 100.
        appended: Samples that have been appended so far, less those that were cleared: the position of the end.
        played: Samples that have been played so far.
        report_at: Position that is to be reported as soon as it has been played.
    """

    sample_rate: int
    appended: int = 0
    played: int = 0
    report_at: int = 0
    _reported: int = 0
    _pcm: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self._slice_bytes = round(self.sample_rate * SLICE_SECONDS) * SAMPLE_BYTES
        self._write_bytes = round(self.sample_rate * WRITE_SECONDS) * SAMPLE_BYTES

    def __len__(self) -> int:
        """Samples that wait."""
        return len(self._pcm) // SAMPLE_BYTES

    def append(self, pcm: bytes) -> None:
        """Add whole 16-bit mono samples."""
        self._pcm += pcm
        self.appended += len(pcm) // SAMPLE_BYTES

    def clear(self) -> None:
        """Drop everything that waits."""
        self.appended -= len(self)
        self._pcm.clear()

    def has_played(self, samples: int) -> bool:
        """Take note that so much more has been played; returns whether that is to be reported."""
        self.played += samples
        due = self.played >= self._reported + round(self.sample_rate * REPORT_SECONDS)
        wanted = self._reported < self.report_at <= self.played
        if not (due or wanted or self.played == self.appended):
            return False
        self._reported = self.played
        return True

    def take(self, *, idle: bool, pad: bool) -> tuple[bytes, int] | None:
        """Take the next write off.

        Args:
            idle: Whether nothing is being played: then less than a write waits for more, so that speech that comes
                in drips does not run dry at once.
            pad: Whether nothing is waited for: less than a slice is filled up with silence.

        Returns:
            Whole slices, and how many samples of them are speech; None if there is nothing to hand over.
        """
        size = min(len(self._pcm), self._write_bytes)
        size -= size % self._slice_bytes
        if size == 0 and pad:
            size = len(self._pcm)
        if size == 0 or (idle and not pad and size < self._write_bytes):
            return None
        pcm = bytes(self._pcm[:size])
        del self._pcm[:size]
        return pcm + bytes(-size % self._slice_bytes), size // SAMPLE_BYTES
