"""What an operator sees of a call: latencies, spans, usage, labelled log lines."""

import asyncio
from collections.abc import Iterator
from typing import Any

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
    TTSStoppedFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import ProcessingMetricsData

from pipecat_lemonslice import (
    AvatarActionFrame,
    AvatarLatency,
    AvatarLatencyObserver,
    AvatarUsageMetricsData,
)
from tests.support.memory import MemoryVendor
from tests.support.stage import Stage, WorkerStage, avatar_here, speech

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
    await stage.send(speech(1.0, context), TTSStoppedFrame(context), 0.5)
    stage.room.show()
    await stage.settle(2.0)


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
        stage.room.leave()
        await stage.settle(0.5)
        await turn(stage, "c")
    assert [one.first_sound is None for one in measured] == [False, True]


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]


def parent(spans: InMemorySpanExporter, child: ReadableSpan) -> str:
    ids = {span.context.span_id: span.name for span in spans.get_finished_spans() if span.context}
    return ids[child.parent.span_id] if child.parent else ""


async def test_spans_join_the_trace_of_the_call(spans: InMemorySpanExporter) -> None:
    """The session below the conversation, its readiness below it; responses and control requests below their turn."""
    async with WorkerStage(worker={"enable_tracing": True, "enable_turn_tracking": True}) as stage:
        await stage.arrive()
        await turn(stage)
        await stage.send(AvatarActionFrame("wave"), 0.5, EndFrame())
        await stage.until(lambda: stage.over)
    (session,), (ready,) = named(spans, "lemonslice.session"), named(spans, "lemonslice.readiness")
    (response,), (control,) = named(spans, "lemonslice.response"), named(spans, "lemonslice.control")
    assert parent(spans, session) == "conversation"
    assert parent(spans, ready) == "lemonslice.session"
    assert parent(spans, response) == parent(spans, control) == "turn"
    assert session.attributes
    assert session.attributes["lemonslice.session_id"] == "session-1"
    assert session.attributes["lemonslice.cost_credits"] == 1.5
    assert response.attributes
    assert response.attributes["lemonslice.route"] == "avatar"
    assert response.attributes["lemonslice.reason"] == "stopped"
    assert response.attributes["lemonslice.audio_seconds"] == 1.0
    assert "metrics.ttfb" in response.attributes
    assert control.attributes == {"lemonslice.event": "pose-trigger"}


async def test_the_ttfb_of_a_span_is_that_of_the_first_sound(spans: InMemorySpanExporter) -> None:
    """A pause within the response, after which the voice returns, does not change it."""
    async with WorkerStage(worker={"enable_tracing": True, "enable_turn_tracking": True}) as stage:
        await stage.arrive()
        await stage.send(LLMFullResponseStartFrame(), speech(0.5), 1.5)
        await stage.send(speech(0.5), LLMFullResponseEndFrame(), TTSStoppedFrame("a"), 3.0)
    (response,) = named(spans, "lemonslice.response")
    assert response.attributes
    assert response.attributes["metrics.ttfb"] == pytest.approx(0.3, abs=0.06)


async def test_without_tracing_there_is_no_span(spans: InMemorySpanExporter) -> None:
    """Though its packages are there."""
    async with WorkerStage() as stage:
        await stage.arrive()
        await turn(stage)
    assert spans.get_finished_spans() == ()


async def test_a_session_that_fails_ends_its_spans_as_errors(spans: InMemorySpanExporter) -> None:
    """With the server's words."""
    vendor = MemoryVendor()
    vendor.refuse(401)
    async with WorkerStage(vendor, worker={"enable_tracing": True, "enable_turn_tracking": True}) as stage:
        await stage.settle(1.0)
    for name in ("lemonslice.session", "lemonslice.readiness"):
        (span,) = named(spans, name)
        assert "401" in (span.status.description or "")


def usage(stage: Stage) -> list[AvatarUsageMetricsData]:
    data = [one for frame in stage.down(MetricsFrame) for one in frame.data]
    return [one for one in data if isinstance(one, AvatarUsageMetricsData)]


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
        assert len(usage(stage)) == counted
        for one in usage(stage):
            assert (one.session_id, one.cost) == ("session-1", 1.5)
            assert one.seconds == pytest.approx(lasted, abs=0.1)
        data = [one for frame in stage.down(MetricsFrame) for one in frame.data]
        assert sum(isinstance(one, ProcessingMetricsData) for one in data) == 1


async def test_log_lines_carry_the_session_and_the_response() -> None:
    """Those of the service, and those of the bot's own event handlers."""
    lines: list[tuple[str, dict[str, Any]]] = []
    sink = logger.add(lambda line: lines.append((line.record["message"], line.record["extra"])), level="DEBUG")
    try:
        async with Stage() as stage:

            @stage.service.event_handler("on_response_done")
            async def tell(*_: Any) -> None:
                logger.info("the bot has answered")

            @stage.service.event_handler("on_avatar_disconnected")
            async def tell_left(*_: Any) -> None:
                logger.info("the avatar has left")

            await stage.arrive()
            await turn(stage)
            await turn(stage, "b")
            await asyncio.sleep(0)
            stage.room.leave()
            await stage.settle(1.0)
    finally:
        logger.remove(sink)
    answered = [extra for message, extra in lines if message == "the bot has answered"]
    assert answered == [{"session_id": "session-1", "response_id": number} for number in (1, 2)]
    assert [extra["session_id"] for message, extra in lines if "is over" in message][:1] == ["session-1"]
    (left,) = [extra for message, extra in lines if message == "the avatar has left"]
    assert left == {"session_id": "session-1"}
