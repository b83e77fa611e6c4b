"""TTFB: from the start of a response that the avatar speaks to its first sound, and of no other response."""

from typing import Any

from pipecat.frames.frames import InterruptionFrame, MetricsFrame, TTSStoppedFrame
from pipecat.metrics.metrics import TTFBMetricsData
from pipecat.processors.metrics.frame_processor_metrics import FrameProcessorMetrics

from tests.support.memory import MemoryVendor
from tests.support.stage import Stage, avatar_here, speech


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


def reported(stage: Stage) -> int:
    data = [one for frame in stage.down(MetricsFrame) for one in frame.data]
    return sum(isinstance(one, TTFBMetricsData) and one.value > 0 for one in data)


async def test_each_response_of_the_avatar_is_measured_once() -> None:
    """Three responses, three figures."""
    metrics = Noted()
    async with avatar_here(metrics=metrics) as (stage, _):
        for context in "abc":
            await stage.send(speech(1.0, context), TTSStoppedFrame(context), 3.0)
        assert metrics.calls == ["start", "stop"] * 3
        assert reported(stage) == 3


async def test_speech_without_the_avatar_is_not_measured() -> None:
    """Nothing is started for what the avatar does not speak, so that nothing is left to be stopped by what it does."""
    metrics, vendor = Noted(), MemoryVendor()
    vendor.refuse(401)
    async with Stage(vendor, metrics=metrics) as stage:
        await stage.send(speech(1.0), TTSStoppedFrame("a"), 3.0)
        assert metrics.calls == []


async def test_a_response_that_is_interrupted_before_it_is_heard_leaves_nothing_started() -> None:
    """Pipecat stops what is measured at an interruption; the next response has a figure of its own."""
    metrics = Noted()
    async with avatar_here(room={"latency": 0.75}, metrics=metrics) as (stage, _):
        await stage.send(speech(1.0, "a"), 0.25, InterruptionFrame(), 4.0, speech(1.0, "b"), TTSStoppedFrame("b"), 4.0)
        assert metrics.calls == ["start", "stop"] * 2
