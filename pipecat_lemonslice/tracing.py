"""OpenTelemetry spans of sessions, responses and control requests, in the trace that Pipecat's worker keeps of a call.

Responses and control requests are children of the turn in which they begin; sessions outlive turns and are children of
the conversation. Import it only where tracing is on: it needs the packages of the extra ``tracing``.
"""

import asyncio
import re
import time
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context

from pipecat_lemonslice.call import Event
from pipecat_lemonslice.media.relay import VoiceReturned
from pipecat_lemonslice.session.events import (
    AvatarReady,
    ControlSent,
    SessionCreated,
    SessionEnded,
    SessionState,
    StateChanged,
)
from pipecat_lemonslice.speech.response import DoneReason, ResponseDone, ResponseStarted

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from pipecat.utils.tracing.tracing_context import TracingContext


class AvatarSpans:
    """Opens and ends spans as events come. The names begin with ``lemonslice.``."""

    def __init__(self, context: "TracingContext") -> None:
        """Create one without a span.

        Args:
            context: Where Pipecat keeps its present turn and the conversation.
        """
        self._context = context
        self._tracer = trace.get_tracer("pipecat_lemonslice")
        self._asked: Span | None = None
        """The session that has been asked for last."""
        self._created: dict[str, Span] = {}
        self._readiness: Span | None = None
        self._response: Span | None = None
        self._responding_since: float | None = None
        """When the response began, on the loop's clock, until it is heard."""

    def note(self, event: Event) -> None:
        """Take an event into account."""
        match event:
            case StateChanged(SessionState.CREATING):
                conversation = self._context.get_conversation_context()
                self._asked = self._tracer.start_span("lemonslice.session", conversation)
                self._readiness = self._tracer.start_span("lemonslice.readiness", set_span_in_context(self._asked))
            case SessionCreated(session_id) if self._asked:
                self._asked.set_attribute("lemonslice.session_id", session_id)
                self._created[session_id] = self._asked
            case AvatarReady():
                self._end_readiness()
            case StateChanged(SessionState.LOST | SessionState.FAILED | SessionState.DORMANT as state, detail):
                failure = "" if state is SessionState.DORMANT else detail
                self._end_readiness(failure)
                if self._asked and failure:
                    self._asked.set_status(Status(StatusCode.ERROR, failure))
                if self._asked and self._asked not in self._created.values():
                    self._asked.end()
            case SessionEnded(session_id, cost, seconds) if span := self._created.pop(session_id, None):
                span.set_attribute("lemonslice.seconds", seconds)
                if cost is not None:
                    span.set_attribute("lemonslice.cost_credits", cost)
                span.end()
            case ControlSent():
                self._add_control(event)
            case ResponseStarted() | VoiceReturned() | ResponseDone():
                self._note_response(event)
            case _:
                pass

    def close(self) -> None:
        """End what is open."""
        self._end_readiness()
        for span in (*self._created.values(), self._asked, self._response):
            if span and span.is_recording():
                span.end()

    @property
    def _turn(self) -> "Context | None":
        return self._context.get_turn_context() or self._context.get_conversation_context()

    def _end_readiness(self, failure: str = "") -> None:
        span, self._readiness = self._readiness, None
        if span:
            if failure:
                span.set_status(Status(StatusCode.ERROR, failure))
            span.end()

    def _add_control(self, sent: ControlSent) -> None:
        """Add a span for a request that has been answered."""
        ended = time.time_ns()
        span = self._tracer.start_span("lemonslice.control", self._turn, start_time=ended - round(sent.seconds * 1e9))
        span.set_attribute("lemonslice.event", re.sub("(?<!^)(?=[A-Z])", "-", type(sent.event).__name__).lower())
        if sent.failure:
            span.set_status(Status(StatusCode.ERROR, sent.failure))
        span.end(ended)

    def _note_response(self, event: ResponseStarted | VoiceReturned | ResponseDone) -> None:
        match event:
            case ResponseStarted(number, route):
                self._response = self._tracer.start_span("lemonslice.response", self._turn)
                self._response.set_attribute("lemonslice.response_id", number)
                self._response.set_attribute("lemonslice.route", route.name.lower())
                self._responding_since = asyncio.get_running_loop().time()
            case VoiceReturned(at) if self._response and self._responding_since is not None:
                self._response.set_attribute("metrics.ttfb", round(at - self._responding_since, 3))
                self._responding_since = None
            case ResponseDone(reason=reason, audio_seconds=seconds) if self._response:
                self._response.set_attribute("lemonslice.reason", str(reason))
                self._response.set_attribute("lemonslice.audio_seconds", round(seconds, 3))
                if reason is DoneReason.AVATAR_LOST:
                    self._response.set_status(Status(StatusCode.ERROR, "the avatar was lost"))
                self._response.end()
                self._response = None
            case _:
                pass
