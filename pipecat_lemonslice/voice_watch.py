"""Whether the avatar has a voice: speech goes to it, so sound must come back. Pure; the time is an argument.

Its law. Speech that sounds is answered by any sound of the avatar's. Once enough of it is unanswered, and the
first of that was written longer ago than the avatar may take, the avatar is mute. Silence asks for no answer, and
neither does what was interrupted.
"""

LEAST_WRITES = 50
"""Writes without an answer that prove anything, a second of them; a vendor may swallow a syllable."""


class VoiceWatch:
    """See the module. Times are seconds on one monotonic clock."""

    def __init__(self, patience: float | None) -> None:
        """Begin to watch an avatar that owes nothing.

        Args:
            patience: Seconds in which an answer must come; None where the avatar cannot be heard.
        """
        self._patience = patience
        self._asked_at: float | None = None
        self._unanswered = 0

    @property
    def deadline(self) -> float | None:
        """When the avatar is mute, unless it is heard before; None while it owes nothing."""
        if self._patience is None or self._asked_at is None or self._unanswered < LEAST_WRITES:
            return None
        return self._asked_at + self._patience

    def mute(self, now: float) -> bool:
        """Whether the avatar has failed to answer."""
        return self.deadline is not None and now >= self.deadline

    def wrote(self, now: float) -> None:
        """Take note of a write of speech that sounds."""
        if self._asked_at is None:
            self._asked_at = now
        self._unanswered += 1

    def heard(self) -> None:
        """The avatar sounds, or what was written need not be answered any more."""
        self._asked_at, self._unanswered = None, 0
