"""Whom a response concerns: keeps the tracker informed of what the line holds, and tells the avatar what was decided.

Its law. The avatar is told of responses that it speaks, and of no others; an interruption comes before the end.
"""

from collections.abc import Callable

from pipecat_lemonslice.messages import SpeechEvent
from pipecat_lemonslice.response import (
    Aborted,
    AllPlayed,
    BacklogChanged,
    Decision,
    DoneReason,
    Fact,
    Interrupted,
    LLMClosed,
    ResponseDone,
    ResponseStarted,
    ResponseTracker,
    StopReached,
)
from pipecat_lemonslice.response_clock import ResponseClock
from pipecat_lemonslice.routes import Route, RouteChooser
from pipecat_lemonslice.speech_ports import SpeechPorts
from pipecat_lemonslice.speech_queue import SpeechQueue
from pipecat_lemonslice.stream import AvatarStream

CUT = (DoneReason.INTERRUPTED, DoneReason.AVATAR_LOST)
"""Reasons for which the avatar must not go on speaking, if it can."""


class ResponseTeller:
    """See the module. Reads what the line holds; moves none of it."""

    def __init__(
        self,
        tracker: ResponseTracker,
        ports: SpeechPorts,
        *,
        queue: SpeechQueue,
        stream: AvatarStream,
        routes: RouteChooser,
        wake: Callable[[], None],
    ) -> None:
        """Create a teller with nothing to tell.

        Args:
            tracker: Decides when responses start and end.
            ports: Told of every decision.
            queue: What waits.
            stream: What is on its way to the avatar.
            routes: Where the response is heard; over, it has no route.
            wake: Called when the line may go on.
        """
        self._clock = ResponseClock(tracker, self._decide)
        self._ports = ports
        self._queue = queue
        self._stream = stream
        self._routes = routes
        self._wake = wake

    @property
    def ahead(self) -> float:
        """Seconds until everything written so far has been played."""
        return self._clock.ahead

    def configure(self, *, done_timeout: float, hold_timeout: float) -> None:
        """Change the timeouts, in seconds."""
        self._clock.configure(done_timeout=done_timeout, hold_timeout=hold_timeout)

    def apply(self, fact: Fact) -> None:
        """Report a fact."""
        self._clock.apply(fact)

    def interrupt(self, plays_on: float, *, keeps_playing: bool, sounding: bool) -> None:
        """Report an interruption.

        Args:
            plays_on: Seconds of audio that cannot be taken back any more.
            keeps_playing: Whether what plays now may not be interrupted.
            sounding: Whether the avatar is being heard, or will be.
        """
        cut = self._clock.apply(Interrupted(keeps_playing, plays_on))
        if not keeps_playing:
            self._routes.current = None
            if sounding:
                self._quieten(cut)
        self.settle_backlog()

    def settle_backlog(self) -> None:
        """Report whether audio waits."""
        self._clock.apply(BacklogChanged(self._audio_waits()))

    def played(self, *, wanted: bool) -> None:
        """A write has been played; one that was not wanted any more only made room."""
        if wanted and not self._audio_waits():
            self._clock.apply(AllPlayed())
        self._wake()

    def drained(self) -> None:
        """Everything has been heard, and nothing more is wanted: the response under way ends with it."""
        self._clock.apply(LLMClosed())
        self._clock.apply(StopReached())

    def avatar_lost(self, *, sounding: bool) -> None:
        """The avatar is of no use any more. If it is still there, it must not be heard beside the voice that goes on.

        Args:
            sounding: Whether it is being heard, or will be.
        """
        cut = self._clock.apply(Aborted(DoneReason.AVATAR_LOST)) if self._routes.current is Route.AVATAR else ()
        if sounding:
            self._quieten(cut)
        self._routes.avatar_gone()

    def close(self) -> None:
        """End the response under way; nothing is decided after that."""
        self._clock.apply(Aborted(DoneReason.ENDED))
        self._clock.close()

    def _audio_waits(self) -> bool:
        stream = self._stream
        return self._queue.holds_audio or stream.has_tail or stream.in_flight_seconds > 0

    def _decide(self, decision: Decision) -> None:
        match decision:
            case ResponseStarted():
                self._stream.begin()
                self._tell(SpeechEvent.RESPONSE_STARTED)
            case ResponseDone(reason=reason):
                if reason in CUT:
                    self._tell(SpeechEvent.INTERRUPT)
                self._tell(SpeechEvent.RESPONSE_FINISHED)
                self._routes.current = None
                self._wake()
        self._ports.notify(decision)

    def _tell(self, event: SpeechEvent) -> None:
        if self._routes.link and self._routes.current is Route.AVATAR:
            self._routes.link.tell(event)

    def _quieten(self, cut: tuple[Decision, ...]) -> None:
        """Interrupt an avatar that is still to be heard although its response is over here."""
        told = any(isinstance(made, ResponseDone) and made.reason in CUT for made in cut)
        if not told and self._routes.link:
            self._routes.link.tell(SpeechEvent.INTERRUPT)
