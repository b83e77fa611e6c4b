"""A pipeline in virtual time: source, the service, what a test puts behind it, sink; with a LemonSlice in memory.

async with avatar_here() as (stage, room):
    await stage.send(speech(1.0), 2.0)
    assert room.events == ["response_started", "response_finished"]
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, Self, TypeVar, cast

import numpy as np
from pipecat.clocks.base_clock import BaseClock
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    OutputImageRawFrame,
    ServiceUpdateSettingsFrame,
    SpeechOutputAudioRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker, ProcessorUnusablePolicy
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor, FrameProcessorSetup
from pipecat.processors.frameworks.rtvi.frames import RTVIServerMessageFrame
from pipecat.utils.asyncio.task_manager import TaskManager
from pipecat.workers.runner import WorkerRunner

from pipecat_lemonslice import AvatarResponseDoneFrame, AvatarStatus, AvatarStatusFrame, LemonSliceVideoService
from pipecat_lemonslice.rooms import Room, RoomOptions
from tests.support.memory import MemoryRoom, MemoryVendor

F = TypeVar("F", bound=Frame)
EVENTS = [
    "on_session_created",
    "on_avatar_connected",
    "on_avatar_ready",
    "on_avatar_disconnected",
    "on_response_started",
    "on_response_done",
    "on_fallback",
    "on_session_ended",
]
Step = Frame | float | Callable[[], object]
RATE = 24000
RESPONSE = ["response_started", "response_finished"]
"""What an avatar is told of a response that nothing happens to."""


def tone(seconds: float, sample_rate: int = RATE, channels: int = 1, frequency: float = 220.0) -> bytes:
    """A tone with no silent stretch, as 16-bit PCM."""
    count = round(seconds * sample_rate)
    wave = 8000 * np.sin(2 * np.pi * frequency * (np.arange(count) + 0.5) / sample_rate)
    return np.repeat(wave.astype("<i2"), channels).tobytes()


def speech(
    seconds: float,
    context_id: str | None = "a",
    sample_rate: int = RATE,
    *,
    interruptible: bool = True,
    frequency: float = 220.0,
) -> TTSAudioRawFrame:
    """One frame of TTS audio."""
    pcm = tone(seconds, sample_rate, frequency=frequency)
    frame = TTSAudioRawFrame(pcm, sample_rate, 1, context_id=context_id)
    frame.interruptible = interruptible
    return frame


def said(
    seconds: float, context_id: str = "a", *, frequency: float = 220.0
) -> tuple[TTSAudioRawFrame, TTSStoppedFrame]:
    """An utterance: its audio, and that it is over."""
    return speech(seconds, context_id, frequency=frequency), TTSStoppedFrame(context_id)


def word(text: str, context_id: str = "a", at: float | None = None) -> TTSTextFrame:
    """A word, or a whole sentence, with the pipeline's time at which it is spoken, if the TTS knows that."""
    frame = TTSTextFrame(text, "sentence" if at is None else "word")
    frame.context_id = context_id
    if at is not None:
        frame.pts = round(at * 1e9)
    return frame


class LoopClock(BaseClock):
    """The pipeline clock, driven by the loop's time."""

    def get_time(self) -> int:
        return round(asyncio.get_running_loop().time() * 1e9)

    def start(self) -> None:
        pass


class End(FrameProcessor):
    """One end of the pipeline: keeps what arrives, but for pictures, which it only counts."""

    def __init__(self, direction: FrameDirection) -> None:
        super().__init__(enable_direct_mode=True)
        self._direction = direction
        self.frames: list[tuple[float, Frame]] = []
        self.pictures = 0
        self.forgetful = False
        self.hoard: list[OutputImageRawFrame] | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction is self._direction:
            if isinstance(frame, OutputImageRawFrame):
                self.pictures += 1
                if self.hoard is not None:
                    self.hoard.append(frame)
            elif not self.forgetful:
                self.frames.append((asyncio.get_running_loop().time(), frame))
        await self.push_frame(frame, direction)


class Stage:
    """See the module."""

    def __init__(
        self,
        vendor: MemoryVendor | None = None,
        *,
        room: Mapping[str, Any] | None = None,
        behind: Sequence[FrameProcessor] = (),
        pipeline: Callable[[LemonSliceVideoService], Sequence[FrameProcessor]] | None = None,
        usage_metrics: bool = False,
        **kwargs: Any,
    ) -> None:
        """Prepare a pipeline.

        Args:
            vendor: The API; one that does what it is asked if None.
            room: Arguments of its rooms.
            behind: Processors that follow the service, with an output transport at their end if there is one.
            pipeline: Makes all that is between source and sink out of the service, instead of them.
            usage_metrics: Whether usage is counted.
            **kwargs: Arguments of the service.
        """
        self.vendor = vendor or MemoryVendor()
        self.rooms: list[MemoryRoom] = []
        self.events: list[tuple[Any, ...]] = []
        self.join_refusals: deque[Exception] = deque()
        self._usage_metrics = usage_metrics
        self._room_options = dict(room or {})
        self._rate = kwargs.get("audio_sample_rate", RATE)
        self.service = LemonSliceVideoService(
            **{"api_key": "test-key-0123", "agent_id": "agent", **self.seams(), **kwargs}
        )
        self.source, self.sink = End(FrameDirection.UPSTREAM), End(FrameDirection.DOWNSTREAM)
        self._inner = pipeline(self.service) if pipeline else (self.service, *behind)
        self._listen()

    @property
    def room(self) -> MemoryRoom:
        return self.rooms[-1]

    async def __aenter__(self) -> Self:
        setup = FrameProcessorSetup(
            LoopClock(),
            TaskManager(),
            cast("Any", None),
            audio_out_sample_rate=RATE,
            enable_metrics=True,
            enable_usage_metrics=self._usage_metrics,
        )
        self.processors = (self.source, *self._inner, self.sink)
        for before, after in pairwise(self.processors):
            before.link(after)
        for processor in self.processors:
            await processor.setup(setup)
        await self.send(StartFrame())
        await self.settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        for processor in self.processors:
            await processor.cleanup()

    async def send(self, *steps: Step) -> None:
        """Push frames into the pipeline; a number lets so many seconds pass, a function is called."""
        for step in steps:
            if isinstance(step, Frame):
                await self._push(step)
            elif callable(step):
                step()
            else:
                await self.settle(step)

    async def _push(self, frame: Frame) -> None:
        await self.source.push_frame(frame)

    async def arrive(self, seconds: float = 0.0) -> MemoryRoom:
        """Have the avatar come, and let time pass; returns its room."""
        self.room.arrive()
        await self.settle(seconds)
        return self.room

    def change(self, **fields: Any) -> ServiceUpdateSettingsFrame:
        """Return the frame with which a bot changes settings of the service."""
        return ServiceUpdateSettingsFrame(delta=self.service.Settings(**fields), service=self.service)

    async def settle(self, seconds: float = 0.0) -> None:
        """Let time pass, and everything happen that is due."""
        await asyncio.sleep(seconds)
        for _ in range(50):
            await asyncio.sleep(0)

    async def end(self) -> None:
        """End the call and wait until the EndFrame has come through."""
        await self.send(EndFrame())
        await self.until(lambda: bool(self.down(EndFrame)))

    async def cancel(self) -> None:
        await self.send(CancelFrame())
        await self.settle()

    async def until(self, condition: Callable[[], bool], limit: float = 120.0) -> None:
        """Wait, in virtual time, until a condition holds."""
        give_up_at = self.now + limit
        while not condition():
            assert self.now < give_up_at, "the condition never came true"
            await asyncio.sleep(0.005)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def down(self, kind: type[F]) -> list[F]:
        """Frames of a kind that came out downstream."""
        return [frame for _, frame in self.sink.frames if isinstance(frame, kind)]

    def up(self, kind: type[F]) -> list[F]:
        """Frames of a kind that came out upstream."""
        return [frame for _, frame in self.source.frames if isinstance(frame, kind)]

    def time_of(self, kind: type[Frame], index: int = 0) -> float:
        """When a frame came out downstream."""
        return [at for at, frame in self.sink.frames if isinstance(frame, kind)][index]

    @property
    def voice(self) -> bytes:
        """The avatar's voice, as passed on."""
        return b"".join(frame.audio for frame in self.down(SpeechOutputAudioRawFrame))

    @property
    def plain(self) -> bytes:
        """Speech heard without the avatar."""
        return b"".join(frame.audio for frame in self.down(TTSAudioRawFrame))

    @property
    def errors(self) -> list[ErrorFrame]:
        return self.up(ErrorFrame)

    @property
    def reasons(self) -> list[str]:
        """Why each response was over."""
        return [frame.reason for frame in self.down(AvatarResponseDoneFrame)]

    @property
    def statuses(self) -> list[AvatarStatus]:
        """What the pipeline was told of the avatar."""
        return [frame.status for frame in self.down(AvatarStatusFrame)]

    @property
    def page(self) -> list[dict[str, Any]]:
        """What the page was told."""
        return [frame.data for frame in self.down(RTVIServerMessageFrame)]

    @property
    def fallbacks(self) -> list[str]:
        """Why speech was heard without the avatar."""
        return [event[1] for event in self.events if event[0] == "on_fallback"]

    def event_names(self) -> list[str]:
        return [event[0] for event in self.events]

    def seams(self) -> dict[str, Any]:
        """Arguments that put the vendor and the rooms of this stage in the place of the real ones."""
        return {"_api": self.vendor, "_open_room": self._open}

    async def _open(self, url: str, options: RoomOptions) -> Room:
        if self.join_refusals:
            raise self.join_refusals.popleft()
        room = MemoryRoom(self._rate, options, **self._room_options)
        self.rooms.append(room)
        return room

    def _listen(self) -> None:
        def handler(name: str) -> Callable[..., Any]:
            async def handle(_service: Any, *args: Any) -> None:
                self.events.append((name, *args))

            return handle

        for name in EVENTS:
            self.service.add_event_handler(name, handler(name))


@asynccontextmanager
async def avatar_here(vendor: MemoryVendor | None = None, **kwargs: Any) -> AsyncIterator[tuple[Stage, MemoryRoom]]:
    """A stage whose avatar is there, and its room."""
    async with Stage(vendor, **kwargs) as stage:
        yield stage, await stage.arrive()


class WorkerStage(Stage):
    """The same pipeline, run by Pipecat's own worker with a policy for services that can do no more."""

    def __init__(
        self,
        vendor: MemoryVendor | None = None,
        *,
        policy: ProcessorUnusablePolicy = ProcessorUnusablePolicy.CONTINUE,
        worker: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(vendor, **kwargs)
        self._policy = policy
        self._options = {"enable_turn_tracking": False, **(worker or {})}

    async def __aenter__(self) -> Self:
        self.worker = PipelineWorker(
            Pipeline([self.source, *self._inner, self.sink]),
            params=PipelineParams(audio_out_sample_rate=RATE),
            processor_unusable_policy=self._policy,
            clock=LoopClock(),
            enable_rtvi=False,
            idle_timeout_secs=None,
            **self._options,
        )
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self.worker)
        self._running = asyncio.create_task(runner.run())
        await self.until(lambda: self.over or bool(self.down(StartFrame)))
        await self.settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._running.done():
            await self.worker.cancel()
        await self._running

    async def _push(self, frame: Frame) -> None:
        await self.worker.queue_frame(frame)

    @property
    def over(self) -> bool:
        """Whether the call has ended."""
        return self._running.done()
