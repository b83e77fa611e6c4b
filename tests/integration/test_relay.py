"""The service in a real pipeline, over real sockets, with the package's own emulator; in real time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    OutputImageRawFrame,
    SpeechOutputAudioRawFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from pipecat_lemonslice import LemonSliceVideoService
from pipecat_lemonslice.emulator import Avatar, Emulator, EmulatorOptions, Session
from pipecat_lemonslice.emulator.room import AppMessage, Member, RoomEvent

RATE = 24000


def tone(seconds: float, sample_rate: int, channels: int = 1) -> bytes:
    count = round(seconds * sample_rate)
    wave = 8000 * np.sin(2 * np.pi * 220 * np.arange(count) / sample_rate + 0.1)
    return np.repeat(wave.astype("<i2"), channels).tobytes()


def sounding(pcm: bytes) -> bytes:
    """All samples but zeros: a busy machine may put a gap between two writes, but loses nothing."""
    samples = np.frombuffer(pcm, dtype="<i2")
    return samples[samples != 0].tobytes()


class Sink(FrameProcessor):
    """Keeps what comes out, with the time; pictures are only counted."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[tuple[float, Frame]] = []
        self.pictures = 0
        self.changed = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, OutputImageRawFrame):
            self.pictures += 1
        else:
            self.frames.append((asyncio.get_running_loop().time(), frame))
        self.changed.set()
        await self.push_frame(frame, direction)

    @property
    def voice(self) -> bytes:
        return b"".join(frame.audio for _, frame in self.frames if isinstance(frame, SpeechOutputAudioRawFrame))

    def of(self, kind: type[Frame]) -> list[tuple[float, Frame]]:
        return [entry for entry in self.frames if isinstance(entry[1], kind)]


class Call:
    """A running pipeline: the service, a sink, and the worker that runs them."""

    def __init__(self, emulator: Emulator, **kwargs: Any) -> None:
        self.emulator = emulator
        self.sink = Sink()
        self.service = LemonSliceVideoService(
            api_key="test-key-0123", api_url=emulator.api_url, agent_id="agent", **kwargs
        )
        self.errors: list[str] = []
        self.ready = asyncio.Event()
        self.session_id = ""
        self.service.add_event_handler("on_session_created", self._on_created)
        self.service.add_event_handler("on_avatar_ready", self._on_ready)
        self.service.add_event_handler("on_error", self._on_error)
        params = PipelineParams(audio_out_sample_rate=RATE)
        self.worker = PipelineWorker(
            Pipeline([self.service, self.sink]), params=params, cancel_on_idle_timeout=False, enable_rtvi=False
        )

    async def send(self, *frames: Frame) -> None:
        for frame in frames:
            await self.worker.queue_frame(frame)

    async def session(self) -> Session:
        return await self.emulator.wait_for_session()

    async def avatar(self) -> Avatar:
        return (await self.session()).avatar

    async def _on_created(self, _service: object, session_id: str) -> None:
        self.session_id = session_id

    async def _on_ready(self, _service: object) -> None:
        self.ready.set()

    async def _on_error(self, _service: object, error: ErrorFrame) -> None:
        self.errors.append(error.error)


@asynccontextmanager
async def calling(emulator: Emulator, *, wait: bool = True, **kwargs: Any) -> AsyncIterator[Call]:
    call = Call(emulator, **kwargs)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(call.worker)
    running = asyncio.create_task(runner.run())
    try:
        if wait:
            await asyncio.wait_for(call.ready.wait(), 10)
        yield call
        await call.send(EndFrame())
        await asyncio.wait_for(running, 20)
    finally:
        if not running.done():
            await runner.cancel()
            await asyncio.wait({running}, timeout=10)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(EmulatorOptions(latency=0.1)) as running:
        yield running


async def speak(emulator: Emulator, frame: TTSAudioRawFrame, *, stop_event: bool) -> tuple[Avatar, bytes]:
    """Have one call say one thing; returns its avatar and the voice that came back."""
    async with calling(emulator) as call:
        await call.send(TTSStartedFrame("a"), frame)
        if stop_event:
            await call.send(TTSStoppedFrame("a"))
        avatar = next(session.avatar for session in emulator.sessions if session.id == call.session_id)
        await avatar.wait_for("response_finished")
        await avatar.wait_until(lambda: not avatar.speaking)
    assert call.errors == []
    assert call.sink.pictures > 2
    return avatar, call.sink.voice


async def test_speech_arrives_whole_at_its_own_rate(emulator: Emulator) -> None:
    """3.013 s at the avatar's own rate arrive sample by sample, tail included, and come back as its voice."""

    async def check(channels: int, *, stop_event: bool) -> None:
        frame = TTSAudioRawFrame(tone(3.013, RATE, channels), RATE, channels, context_id="a")
        avatar, voice = await speak(emulator, frame, stop_event=stop_event)
        sent = tone(3.013, RATE)
        assert avatar.heard[: len(sent)] == sent
        assert not any(avatar.heard[len(sent) :])
        assert sounding(voice) == sounding(sent)

    await asyncio.gather(check(1, stop_event=True), check(2, stop_event=False))
    assert emulator.created == emulator.terminated == 2


async def test_an_interruption_silences_the_avatar(emulator: Emulator) -> None:
    """`interrupt` is the first thing said, at most 40 ms follow, and the voice falls silent."""
    async with calling(emulator) as call:
        avatar = await call.avatar()
        await call.send(TTSAudioRawFrame(tone(10.0, RATE), RATE, 1, context_id="a"))
        await avatar.wait_until(lambda: len(avatar.heard) > RATE)
        await call.send(InterruptionFrame())
        interrupted = await avatar.wait_for("interrupt")
        await avatar.wait_for("response_finished")
        heard = len(avatar.heard)
        await call.send(TTSAudioRawFrame(tone(0.5, RATE), RATE, 1, context_id="a"))
        await asyncio.sleep(0.3)
        assert len(avatar.heard) - heard <= 0.04 * RATE * 2, "late audio of the interrupted context was spoken"
        assert avatar.last_audio_time is not None
        assert avatar.last_audio_time - interrupted.time <= 0.040 + 0.02


class Listener(Member):
    """Somebody in a room who keeps what the bot tells them."""

    def __init__(self, user_name: str) -> None:
        super().__init__(user_name)
        self.told: list[object] = []

    def on_event(self, sender: Member, event: RoomEvent) -> None:
        if sender.user_name == "Pipecat" and isinstance(event, AppMessage):
            self.told.append(event.message)


async def test_who_was_in_a_given_room_before_the_session_is_not_the_avatar(emulator: Emulator) -> None:
    """Somebody of its name waits in the room of `daily_room_url`: the avatar is who came after the creation."""
    lobby, somebody = emulator.open_room("lobby"), Listener("LemonSlice")
    lobby.enter(somebody)
    somebody.entered_at -= 60.0
    async with calling(emulator, daily_room_url=emulator.room_url(lobby)) as call:
        await call.send(TTSAudioRawFrame(tone(0.2, RATE), RATE, 1))
        await (await call.avatar()).wait_for("response_finished")
        assert somebody.told == []
