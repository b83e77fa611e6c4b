"""Every way out of a call, counted at the emulator: as many sessions terminated as created. In real time."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pipecat.frames.frames import CancelFrame, EndFrame, Frame, TTSAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor, FrameProcessorSetup
from pipecat.workers.runner import WorkerRunner

from pipecat_lemonslice import LemonSliceVideoService
from pipecat_lemonslice.emulator import Emulator, EmulatorOptions
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).parent / "scripts" / "call.py"
PATIENCE = 40.0


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(EmulatorOptions(latency=0.05)) as running:
        yield running


@pytest.fixture(autouse=True)
async def no_call_left(emulator: Emulator) -> AsyncIterator[None]:
    """A test that fails leaves its call running, and a loop does not close before that is over."""
    Call.started.clear()
    yield
    for call, running in Call.started:
        if not running.done():
            await call.runner.cancel()
            await asyncio.wait({running}, timeout=PATIENCE)


class Neighbour(FrameProcessor):
    """A processor behind the service that fails in its own way."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.ended = asyncio.Event()

    async def setup(self, setup: FrameProcessorSetup) -> None:
        await super().setup(setup)
        if self.fault == "setup hangs":
            await asyncio.Event().wait()
        if self.fault == "setup fails":
            raise RuntimeError("no setup")

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if self.fault == "frames fail" and isinstance(frame, TTSAudioRawFrame):
            raise RuntimeError("no frames")
        if isinstance(frame, EndFrame):
            self.ended.set()
        await self.push_frame(frame, direction)


class Call:
    """A running pipeline: the service and a neighbour."""

    started: ClassVar[list[tuple["Call", "asyncio.Task[None]"]]] = []

    def __init__(self, emulator: Emulator, fault: str = "", **kwargs: Any) -> None:
        self.emulator = emulator
        self.ready = asyncio.Event()
        self.errors: list[str] = []
        self.service = LemonSliceVideoService(
            api_key="key-of-a-test", api_url=emulator.api_url, agent_id="agent", **kwargs
        )
        self.service.add_event_handler("on_avatar_ready", self._on_ready)
        self.service.add_event_handler("on_error", self._on_error)
        self.neighbour = Neighbour(fault)
        self.worker = PipelineWorker(
            Pipeline([self.service, self.neighbour]),
            params=PipelineParams(audio_out_sample_rate=24000),
            cancel_on_idle_timeout=False,
            enable_rtvi=False,
            setup_timeout_secs=0.5,
        )
        self.runner = WorkerRunner(handle_sigint=False)

    async def start(self) -> "asyncio.Task[None]":
        await self.runner.add_workers(self.worker)
        running = asyncio.create_task(self.runner.run())
        self.started.append((self, running))
        return running

    async def until_ready(self) -> None:
        await asyncio.wait_for(self.ready.wait(), PATIENCE)

    async def _on_ready(self, _service: object) -> None:
        self.ready.set()

    async def _on_error(self, _service: object, frame: Frame) -> None:
        self.errors.append(str(frame))


async def over(call: Call, running: "asyncio.Task[None]") -> None:
    """The call has come to its end by itself, with nothing left at the vendor's."""
    await asyncio.wait_for(running, PATIENCE)
    assert call.emulator.created == call.emulator.terminated == 1
    assert call.emulator.running == []


@pytest.mark.parametrize("frame", [EndFrame, CancelFrame])
async def test_a_frame_that_ends_the_call_ends_the_session(emulator: Emulator, frame: type[Frame]) -> None:
    """EndFrame and CancelFrame, with something being said."""
    call = Call(emulator)
    running = await call.start()
    await call.until_ready()
    await call.worker.queue_frames([TTSAudioRawFrame(b"\x01\x02" * 12000, 24000, 1, context_id="a"), frame()])
    await over(call, running)
    assert call.errors == []


@pytest.mark.parametrize("fault", ["setup hangs", "setup fails", "frames fail"])
async def test_a_neighbour_that_fails_leaves_no_session(emulator: Emulator, fault: str) -> None:
    """A setup that times out, one that raises, and an exception for each frame."""
    call = Call(emulator, fault)
    running = await call.start()
    await emulator.wait_for_session()
    if fault != "setup hangs":
        await call.until_ready()
        await call.worker.queue_frames([TTSAudioRawFrame(b"\x01\x02" * 2400, 24000, 1, context_id="a"), EndFrame()])
    await over(call, running)


async def test_a_setup_that_is_cancelled_leaves_no_session(emulator: Emulator) -> None:
    """The runner is cancelled while the pipeline is being set up and the session is being created."""
    emulator.fault("delay=0.3")
    call = Call(emulator, "setup hangs")
    running = await call.start()
    await until(lambda: bool(emulator.requests))
    await call.runner.cancel()
    await over(call, running)


async def test_a_fatal_error_of_a_neighbour_leaves_no_session(emulator: Emulator) -> None:
    """The worker cancels the pipeline."""
    call = Call(emulator)
    running = await call.start()
    await call.until_ready()
    await call.worker.cancel(reason="a neighbour is broken")
    await over(call, running)


# Processes.


async def spawn(emulator: Emulator, mode: str) -> tuple[asyncio.subprocess.Process, str]:
    """A bot in a process of its own whose avatar is there; returns it and its session's id."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), emulator.api_url, mode, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
    return process, line.decode().strip()


async def status_after(emulator: Emulator, mode: str, sign: signal.Signals | None) -> str:
    """How the session of a process stands when it is over."""
    process, session_id = await spawn(emulator, mode)
    session = next(session for session in emulator.sessions if session.id == session_id)
    try:
        if sign is not None:
            process.send_signal(sign)
            await asyncio.wait_for(process.wait(), PATIENCE)
        # A bug in the bot's own code may leave Pipecat's runner hanging; the session ends all the same.
        await session.avatar.wait_until(lambda: session.ended, timeout=PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    return str(session.status)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_a_process_that_ends_leaves_no_session(emulator: Emulator) -> None:
    """Signals, a crash, an exit and an abandoned loop end the session; what kill -9 leaves ends by its timeout."""
    ways = {
        "SIGINT": status_after(emulator, "wait", signal.SIGINT),
        "SIGTERM": status_after(emulator, "wait", signal.SIGTERM),
        "crash": status_after(emulator, "crash", None),
        "exit": status_after(emulator, "exit", None),
        "abandoned loop": status_after(emulator, "abandon", None),
        "SIGKILL": status_after(emulator, "wait", signal.SIGKILL),
    }
    statuses = dict(zip(ways, await asyncio.gather(*ways.values()), strict=True))
    assert statuses == {**dict.fromkeys(ways, "COMPLETED"), "SIGKILL": "TIMED_OUT"}
    assert emulator.created == emulator.terminated + 1
