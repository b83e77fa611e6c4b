import asyncio
import time
from collections.abc import Sequence
from typing import TypeVar

import pytest
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.tests.utils import run_test
from pipecat.workers.runner import WorkerRunner

from offline.voice import EspeakTTSService, EspeakTTSSettings, StopEvents

TEXT = "Hello there. How are you? Count to three."
F = TypeVar("F", bound=Frame)


def response(text: str = TEXT) -> list[Frame]:
    words = [LLMTextFrame(f"{word} ") for word in text.split()]
    return [LLMFullResponseStartFrame(), *words, LLMFullResponseEndFrame()]


def only(kind: type[F], frames: Sequence[Frame]) -> list[F]:
    return [frame for frame in frames if isinstance(frame, kind)]


async def spoken(frames: Sequence[Frame], rate: int = 24000, **options: object) -> list[Frame]:
    service = EspeakTTSService(**options)  # pyright: ignore[reportArgumentType]
    params = PipelineParams(audio_out_sample_rate=rate)
    down, _ = await run_test(service, frames_to_send=frames, pipeline_params=params, start_timeout=10)
    return list(down)


class Sink(FrameProcessor):
    """Keeps what comes, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[tuple[float, Frame]] = []
        self.sounding = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        self.frames.append((time.monotonic(), frame))
        if isinstance(frame, TTSAudioRawFrame):
            self.sounding.set()
        await self.push_frame(frame, direction)


@pytest.mark.parametrize("rate", [16000, 22050, 24000, 48000])
async def test_speech_comes_in_small_chunks_at_the_pipelines_rate(rate: int) -> None:
    """Chunks of 40 ms, none longer, as long in all as the engine's own speech, whatever the rate."""
    audio = only(TTSAudioRawFrame, await spoken(response(), rate))
    assert {frame.sample_rate for frame in audio} == {rate}
    assert max(len(frame.audio) for frame in audio) == 2 * round(0.04 * rate)
    native = only(TTSAudioRawFrame, await spoken(response(), 22050))
    seconds = sum(len(frame.audio) for frame in audio) / 2 / rate
    assert seconds == pytest.approx(sum(len(frame.audio) for frame in native) / 2 / 22050, abs=0.01)


async def test_speech_is_made_faster_than_it_is_heard() -> None:
    """Half a minute of speech takes a fraction of that."""
    started = time.monotonic()
    audio = only(TTSAudioRawFrame, await spoken(response(f"{TEXT} " * 8)))
    heard = sum(len(frame.audio) for frame in audio) / 48000
    assert heard > 20
    assert time.monotonic() - started < heard / 2


async def test_all_of_a_turn_has_one_context() -> None:
    """Audio, start and stop of a turn carry the same context id."""
    frames = await spoken(response())
    kinds = (TTSStartedFrame, TTSAudioRawFrame, TTSStoppedFrame, TTSTextFrame)
    contexts = {frame.context_id for frame in frames if isinstance(frame, kinds)}
    assert len(contexts) == 1
    assert None not in contexts


@pytest.mark.parametrize(("stop_events", "stops"), [("per_turn", 1), ("per_sentence", 3), ("never", 0)])
async def test_stop_events_come_as_told(stop_events: StopEvents, stops: int) -> None:
    """Once at the end of the turn, after each sentence, or never; the response ends behind them all the same."""
    frames = await spoken(response(), stop_events=stop_events)
    assert len(only(TTSStoppedFrame, frames)) == stops
    assert isinstance(frames[-1], LLMFullResponseEndFrame)
    if stop_events == "per_sentence":
        assert len({frame.context_id for frame in only(TTSStoppedFrame, frames)}) == 3


@pytest.mark.parametrize("stop_events", ["per_turn", "per_sentence", "never"])
async def test_words_come_one_by_one_and_in_step_with_the_sound(stop_events: StopEvents) -> None:
    """Each written word is one text frame, in order, with rising times, among the audio and not behind it."""
    frames = await spoken(response("I am 23 years old. Really, I am."), stop_events=stop_events)
    words = only(TTSTextFrame, frames)
    assert [word.text for word in words] == ["I", "am", "23", "years", "old.", "Really,", "I", "am."]
    times = [word.pts or 0 for word in words]
    assert times == sorted(times)
    after = frames.index(words[-2])
    assert any(isinstance(frame, TTSAudioRawFrame) for frame in frames[:after])
    assert any(isinstance(frame, TTSAudioRawFrame) for frame in frames[after:])


async def test_a_pause_separates_sentences_in_what_is_heard() -> None:
    """The next sentence comes so long after the one before has been heard; the first waits for nothing."""
    sink, pause = Sink(), 0.25
    service = EspeakTTSService(pause_between_sentences=pause, settings=EspeakTTSSettings(rate=400))
    worker = PipelineWorker(Pipeline([service, sink]), enable_rtvi=False)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await worker.queue_frames([*response("One. Two."), EndFrame()])
    await asyncio.wait_for(runner.run(), 20)
    audio = [(at, frame) for at, frame in sink.frames if isinstance(frame, TTSAudioRawFrame)]
    gap, index = max((later[0] - audio[i][0], i) for i, later in enumerate(audio[1:]))
    heard = sum(len(frame.audio) for _, frame in audio[: index + 1]) / 48000
    assert gap > heard + pause - 0.1
    assert len(only(TTSStoppedFrame, [frame for _, frame in sink.frames])) == 1
