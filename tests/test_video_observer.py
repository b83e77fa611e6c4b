"""What an operator sees of a call: latencies, TTFB, spans, usage, labelled log lines."""

from collections.abc import Iterator
from typing import Any, TypeVar

import pytest
from loguru import logger
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pipecat.frames.frames import (
    EndFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    MetricsFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import MetricsData, ProcessingMetricsData, TTFBMetricsData
from pipecat.processors.metrics.frame_processor_metrics import FrameProcessorMetrics

from pipecat_lemonslice import AvatarActionFrame, AvatarLatency, AvatarLatencyObserver, AvatarUsageMetricsData
from tests.support.memory import MemoryVendor
from tests.support.stage import Stage, WorkerStage, avatar_here, said, speech

M = TypeVar("M", bound=MetricsData)
TRACED: dict[str, Any] = {"enable_tracing": True, "enable_turn_tracking": True}
exporter = InMemorySpanExporter()


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Every span that ends during a test."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
    exporter.clear()
    yield exporter
    exporter.clear()


async def turn(stage: Stage, context: str = "a") -> None:
    """The user asks; the LLM answers after 0.25 s, the TTS speaks 0.25 s later."""
    await stage.send(UserStartedSpeakingFrame(), UserStoppedSpeakingFrame(), 0.25, LLMTextFrame("Hello"), 0.25)
    await stage.send(*said(1.0, context), 0.5, stage.room.show, 2.0)


async def test_each_turn_is_measured_from_the_users_last_word_to_the_avatars_lips() -> None:
    """Once, in seconds of the pipeline clock; an interrupted turn is not, and one without the avatar has no sound."""
    observer, measured = AvatarLatencyObserver(), list[AvatarLatency]()

    @observer.event_handler("on_latency_measured")
    async def keep(_observer: AvatarLatencyObserver, latency: AvatarLatency) -> None:
        measured.append(latency)

    async with WorkerStage(worker={"observers": [observer]}, room={"latency": 0.25}) as stage:
        await stage.arrive()
        await turn(stage)
        (latency,) = measured
        assert latency.first_token == pytest.approx(0.25, abs=0.02)
        assert latency.first_tts_audio == pytest.approx(0.5, abs=0.02)
        assert latency.first_sound == pytest.approx(0.5 + 0.25 + 0.04, abs=0.05)
        assert latency.first_picture == pytest.approx(1.0, abs=0.05)
        await stage.send(UserStoppedSpeakingFrame(), 0.25, speech(1.0, "b"), InterruptionFrame(), 2.0)
        await stage.send(stage.room.leave, 0.5)
        await turn(stage, "c")
    assert [one.first_sound is None for one in measured] == [False, True]


# Spans.


def named(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    [span] = [span for span in spans.get_finished_spans() if span.name == f"lemonslice.{name}"]
    return span


def parent(spans: InMemorySpanExporter, child: ReadableSpan) -> str:
    ids = {span.context.span_id: span.name for span in spans.get_finished_spans() if span.context}
    return ids[child.parent.span_id] if child.parent else ""


async def test_spans_join_the_trace_of_the_call(spans: InMemorySpanExporter) -> None:
    """The session below the conversation, its readiness below it; responses and control requests below their turn."""
    async with WorkerStage(worker=TRACED) as stage:
        await stage.arrive()
        await turn(stage)
        await stage.send(AvatarActionFrame("wave"), 0.5, EndFrame())
        await stage.until(lambda: stage.over)
    session, ready, response, control = (named(spans, n) for n in ("session", "readiness", "response", "control"))
    assert parent(spans, session) == "conversation"
    assert parent(spans, ready) == "lemonslice.session"
    assert parent(spans, response) == parent(spans, control) == "turn"
    expected = {"lemonslice.session_id": "session-1", "lemonslice.cost_credits": 1.5}
    assert expected.items() <= dict(session.attributes or {}).items()
    expected = {"lemonslice.route": "avatar", "lemonslice.reason": "stopped", "lemonslice.audio_seconds": 1.0}
    assert expected.items() <= dict(response.attributes or {}).items()
    assert control.attributes == {"lemonslice.event": "pose-trigger"}


async def test_the_ttfb_of_a_span_is_that_of_the_first_sound(spans: InMemorySpanExporter) -> None:
    """A pause within the response, after which the voice returns, does not change it."""
    async with WorkerStage(worker=TRACED) as stage:
        await stage.arrive()
        await stage.send(LLMFullResponseStartFrame(), speech(0.5), 1.5, speech(0.5), LLMFullResponseEndFrame(), 3.0)
    assert (named(spans, "response").attributes or {})["metrics.ttfb"] == pytest.approx(0.3, abs=0.06)


async def test_without_tracing_there_is_no_span(spans: InMemorySpanExporter) -> None:
    """Though its packages are there."""
    async with WorkerStage() as stage:
        await stage.arrive()
        await turn(stage)
    assert spans.get_finished_spans() == ()


async def test_a_session_that_fails_ends_its_spans_as_errors(spans: InMemorySpanExporter) -> None:
    """With the server's words."""
    async with WorkerStage(MemoryVendor().refuse(401), worker=TRACED) as stage:
        await stage.settle(1.0)
    for name in ("session", "readiness"):
        assert "401" in (named(spans, name).status.description or "")


# Metrics.


def metrics(stage: Stage, kind: type[M]) -> list[M]:
    return [one for frame in stage.down(MetricsFrame) for one in frame.data if isinstance(one, kind)]


@pytest.mark.parametrize("counted", [True, False])
async def test_each_session_reports_what_it_has_used(counted: bool) -> None:
    """Seconds and cost, before the EndFrame, where usage is counted at all; each response its processing time."""
    async with avatar_here(usage_metrics=counted) as (stage, _):
        began = stage.now
        await turn(stage)
        await stage.end()
        lasted = stage.now - began
        ends = [frame for _, frame in stage.sink.frames if isinstance(frame, EndFrame | MetricsFrame)]
        assert isinstance(ends[-1], EndFrame)
        used = [(one.session_id, one.cost) for one in metrics(stage, AvatarUsageMetricsData)]
        assert used == [("session-1", 1.5)] * counted
        assert all(abs(one.seconds - lasted) <= 0.1 for one in metrics(stage, AvatarUsageMetricsData))
        assert len(metrics(stage, ProcessingMetricsData)) == 1


class Noted(FrameProcessorMetrics):
    """Pipecat's own, which notes what it is asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    async def start_ttfb_metrics(self, **kwargs: Any) -> None:
        self.calls.append("start")
        await super().start_ttfb_metrics(**kwargs)

    async def stop_ttfb_metrics(self, **kwargs: Any) -> MetricsFrame | None:
        self.calls.append("stop")
        return await super().stop_ttfb_metrics(**kwargs)


async def test_each_response_of_the_avatar_has_one_ttfb() -> None:
    """Also behind one that was interrupted before it was heard, of which nothing is left started."""
    noted = Noted()
    async with avatar_here(room={"latency": 0.75}, metrics=noted) as (stage, _):
        await stage.send(speech(1.0, "a"), 0.25, InterruptionFrame(), 4.0, *said(1.0, "b"), 3.0, *said(1.0, "c"), 3.0)
        assert noted.calls == ["start", "stop"] * 3
        assert sum(one.value > 0 for one in metrics(stage, TTFBMetricsData)) == 3


async def test_speech_without_the_avatar_has_no_ttfb() -> None:
    """Nothing is started for what the avatar does not speak, so that nothing is left to be stopped by what it does."""
    noted = Noted()
    async with Stage(MemoryVendor().refuse(401), metrics=noted) as stage:
        await stage.send(*said(1.0), 3.0)
        assert noted.calls == []


# Logs.


async def test_log_lines_carry_the_session_and_the_response() -> None:
    """Those of the service, and those of the bot's own event handlers."""
    lines: list[tuple[str, dict[str, Any]]] = []
    sink = logger.add(lambda line: lines.append((line.record["message"], line.record["extra"])), level="DEBUG")
    try:
        async with Stage() as stage:
            for event in ("on_response_done", "on_avatar_disconnected"):

                async def tell(*_: Any, event: str = event) -> None:
                    logger.info(event)

                stage.service.add_event_handler(event, tell)
            await stage.arrive()
            await turn(stage)
            await turn(stage, "b")
            await stage.send(stage.room.leave, 1.0)
    finally:
        logger.remove(sink)
    answered = [extra for message, extra in lines if message == "on_response_done"]
    assert answered == [{"session_id": "session-1", "response_id": number} for number in (1, 2)]
    assert [extra["session_id"] for message, extra in lines if "is over" in message][:1] == ["session-1"]
    assert [extra for message, extra in lines if message == "on_avatar_disconnected"] == [{"session_id": "session-1"}]
