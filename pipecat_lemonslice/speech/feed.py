"""Feeds the response tracker, and sends its decisions to the avatar, the playback and the surroundings.

The avatar is told of responses that it speaks, and of no others; an interruption comes before the end.
"""

from collections.abc import Iterable

from pipecat_lemonslice.messages import SpeechEvent
from pipecat_lemonslice.speech.ports import SpeechPorts
from pipecat_lemonslice.speech.response import (
    DoneReason,
    ResponseDone,
    ResponseStarted,
    ResponseTracker,
    TrackerInput,
    TrackerOutput,
)
from pipecat_lemonslice.speech.route import Route, RouteChooser
from pipecat_lemonslice.speech.track import AvatarLink

CUT = (DoneReason.INTERRUPTED, DoneReason.AVATAR_LOST)
"""Reasons for which the avatar must not go on speaking, if it can."""


class ResponseFeed:
    """Feeds the tracker with the time and the backlog; see the module for whom it tells."""

    def __init__(self, tracker: ResponseTracker, ports: SpeechPorts, routes: RouteChooser) -> None:
        """Create a feed.

        Args:
            tracker: Decides when responses start and end.
            ports: The surroundings.
            routes: Where the response under way is heard; when it is over, it has no route.
        """
        self.tracker = tracker
        self._ports = ports
        self._routes = routes

    def note(
        self, facts: Iterable[TrackerInput], now: float, *, waiting: bool, link: AvatarLink | None
    ) -> list[TrackerOutput]:
        """Take note of what happened.

        Args:
            facts: What happened.
            now: When.
            waiting: Whether audio waits; see :meth:`ResponseTracker.handle`.
            link: The way to the avatar that is there, or has just been lost.

        Returns:
            The decisions that followed, which have been sent.
        """
        decisions: list[TrackerOutput] = []
        for fact in facts:
            for decision in self.tracker.handle(fact, now, waiting=waiting):
                decisions.append(decision)
                self._send(decision, now, link if self._routes.current is Route.AVATAR else None)
        return decisions

    def _send(self, decision: TrackerOutput, now: float, link: AvatarLink | None) -> None:
        match decision:
            case ResponseStarted():
                if link:
                    self._ports.playback.response_began(now)
                    link.tell(SpeechEvent.RESPONSE_STARTED)
            case ResponseDone(reason=reason):
                if link and reason in CUT:
                    link.tell(SpeechEvent.INTERRUPT)
                if link:
                    link.tell(SpeechEvent.RESPONSE_FINISHED)
                self._ports.playback.response_over(now)
                self._routes.current = None
        self._ports.notify(decision)


def tells_interrupt(decisions: Iterable[TrackerOutput]) -> bool:
    """Whether the avatar has been told by these decisions to fall silent."""
    return any(isinstance(decision, ResponseDone) and decision.reason in CUT for decision in decisions)
