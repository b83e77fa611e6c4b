"""The asyncio shell of the response tracker: gives facts the time, and wakes it at its deadlines."""

import asyncio
from collections.abc import Callable

from pipecat_lemonslice.response import Decision, Fact, ResponseTracker, TimePassed


class ResponseClock:
    """Feeds a :class:`~pipecat_lemonslice.response.ResponseTracker` on the running loop."""

    def __init__(self, tracker: ResponseTracker, decide: Callable[[Decision], None]) -> None:
        """Create the shell.

        Args:
            tracker: The tracker to feed; nobody else may.
            decide: Called with every decision, in order; must not block.
        """
        self._tracker = tracker
        self._decide = decide
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def ahead(self) -> float:
        """Seconds until everything written so far has been played."""
        return max(0.0, self._tracker.played_until - self._loop.time())

    def apply(self, fact: Fact) -> tuple[Decision, ...]:
        """Report a fact; returns the decisions that followed, after they have been passed on."""
        decisions = self._tracker.handle(fact, self._loop.time())
        for decision in decisions:
            self._decide(decision)
        self._arm()
        return decisions

    def configure(self, *, done_timeout: float, hold_timeout: float) -> None:
        """Change the tracker's timeouts, in seconds."""
        self._tracker.configure(done_timeout=done_timeout, hold_timeout=hold_timeout)
        self.apply(TimePassed())

    def close(self) -> None:
        """Stop waking up."""
        if self._timer:
            self._timer.cancel()

    def _arm(self) -> None:
        self.close()
        deadline = self._tracker.deadline
        if deadline is not None:
            # A timer may fire a hair early, and a deadline may have passed: both settle at the next turn.
            self._timer = self._loop.call_at(max(deadline, self._loop.time()), self.apply, TimePassed())
