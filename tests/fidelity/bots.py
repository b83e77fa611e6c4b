"""Bots over the stand-in: a pipeline run as bots run theirs, and the service in a room of its own or a shared one."""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import pytest
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    SpeechOutputAudioRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    UserAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.daily.transport import DailyParams, DailyTransport
from pipecat.workers.runner import WorkerRunner

from pipecat_lemonslice import AvatarStatusFrame, LemonSliceVideoService
from tests.fidelity.installed import URL, Native
from tests.fidelity.rooms import AvatarPerson, Person
from tests.fidelity.vendor import Vendor
from tests.support.stage import RATE, speech, tone
from tests.support.waiting import until

F = TypeVar("F", bound=Frame)
UP, DOWN = FrameDirection.UPSTREAM, FrameDirection.DOWNSTREAM
ANSWER = ["response_started", "response_finished"]
LOUD = b"\x55\x55"
REFUSAL = "AppMessage(Signalling(ChannelNotOpen))"


class Tap(FrameProcessor):
    """Keeps what passes."""

    def __init__(self) -> None:
        super().__init__(enable_direct_mode=True)
        self.frames: list[tuple[Frame, FrameDirection]] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        self.frames.append((frame, direction))
        await self.push_frame(frame, direction)

    def of(self, kind: type[F], direction: FrameDirection | None = None) -> list[F]:
        return [frame for frame, way in self.frames if isinstance(frame, kind) and direction in (None, way)]


class Running:
    """A pipeline that runs: taps first and last, the given processors between."""

    def __init__(self, *processors: FrameProcessor) -> None:
        self.first, self.last = Tap(), Tap()
        self.worker = PipelineWorker(
            Pipeline([self.first, *processors, self.last]),
            params=PipelineParams(audio_out_sample_rate=RATE, audio_in_sample_rate=16000),
            enable_rtvi=False,
            cancel_on_idle_timeout=False,
        )

    async def __aenter__(self) -> Self:
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self.worker)
        self._task = asyncio.create_task(runner.run())
        await until(lambda: bool(self.last.of(StartFrame)), 10.0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._task.done():
            await self.cancel()

    async def send(self, *frames: Frame) -> None:
        await self.worker.queue_frames(frames)

    async def speak(self, seconds: float, context: str = "a") -> None:
        """Have the TTS say something."""
        await self.send(TTSStartedFrame(context), speech(seconds, context), TTSStoppedFrame(context))

    async def end(self) -> None:
        """End the call gracefully and wait until all is over."""
        await self.send(EndFrame())
        await asyncio.wait_for(asyncio.shield(self._task), 15.0)

    async def cancel(self) -> float:
        """Cancel the call; returns how many seconds that took."""
        started = time.monotonic()
        await self.worker.cancel()
        await asyncio.wait_for(asyncio.shield(self._task), 15.0)
        return time.monotonic() - started

    @property
    def voice(self) -> bytes:
        """The avatar's voice, as passed on."""
        return b"".join(frame.audio for frame in self.last.of(SpeechOutputAudioRawFrame))

    @property
    def plain(self) -> bytes:
        """Speech that is heard without the avatar."""
        return b"".join(frame.audio for frame in self.last.of(TTSAudioRawFrame))


class Bot(Running):
    """A bot as people write it: the service between TTS and output, and their handlers.

    Args:
        vendor: Where its sessions are created.
        transport: Its transport, whose room it shares with the avatar; None: the avatar has a room of its own.
        **kwargs: Arguments of the service.
    """

    def __init__(self, vendor: Vendor, transport: DailyTransport | None, **kwargs: Any) -> None:
        self.vendor = vendor
        self.service = LemonSliceVideoService(
            api_key="test-key-0123", api_url=vendor.url, agent_id="agent", transport=transport, **kwargs
        )
        self.ears, self.ready = Tap(), asyncio.Event()
        self.greeted: list[str] = []
        self.service.add_event_handler("on_avatar_ready", self._on_ready)
        if transport is None:
            super().__init__(self.service)
        else:
            self.transport = transport
            transport.add_event_handler("on_client_connected", self._greet)
            super().__init__(transport.input(), self.ears, self.service, transport.output())

    async def _on_ready(self, _service: LemonSliceVideoService) -> None:
        self.ready.set()

    async def _greet(self, _transport: DailyTransport, participant: dict[str, Any]) -> None:
        if not self.service.is_avatar(participant):
            self.greeted.append(participant["info"]["userName"])

    @property
    def states(self) -> list[str]:
        return [str(frame.status) for frame in self.last.of(AvatarStatusFrame)]

    @property
    def errors(self) -> list[ErrorFrame]:
        return [frame for frame in self.first.of(ErrorFrame) if frame.processor is self.service]

    @property
    def avatar(self) -> AvatarPerson:
        return self.vendor.avatar

    def heard_from(self, person: Person) -> bytes:
        """What reaches STT of somebody."""
        return b"".join(frame.audio for frame in self.ears.of(UserAudioRawFrame) if frame.user_id == person.id)

    async def answer(self, seconds: float, context: str = "a") -> None:
        """Say something to its end: all of it is played to the avatar, which is told of one whole response."""
        told, spoken = len(self.avatar.events), len(self.avatar.speech)
        await self.speak(seconds, context)
        await until(lambda: self.avatar.events[told:] == ANSWER, seconds + 6.0)
        assert self.avatar.speech[spoken:] == tone(seconds)


@dataclass
class Stage:
    """Makes bots, and ends them."""

    native: Native
    stack: AsyncExitStack
    monkeypatch: pytest.MonkeyPatch

    async def vendor(self, **kwargs: Any) -> Vendor:
        return await self.stack.enter_async_context(Vendor(self.native, **kwargs))

    async def bot(
        self,
        vendor: Vendor | None = None,
        *,
        shared: bool = True,
        minted: bool = False,
        here: bool = True,
        **kwargs: Any,
    ) -> Bot:
        """Start a bot.

        Args:
            vendor: One that does what it is asked if None.
            shared: Whether bot and avatar meet in the room of a `DailyTransport`.
            minted: Whether the bot has a Daily key, with which tokens for avatars are minted.
            here: Whether the avatar is waited for.
            **kwargs: Arguments of the service; ``params`` are those of the transport.
        """
        vendor = vendor or await self.vendor()
        if minted:
            self.monkeypatch.setenv("DAILY_API_KEY", "daily-key-0123")
            self.monkeypatch.setenv("DAILY_API_URL", f"{vendor.root}/v1")
        params = transport_params(**kwargs.pop("params", {}))
        transport = DailyTransport(URL, "bot-token", "Pipecat", params) if shared else None
        bot = await self.stack.enter_async_context(Bot(vendor, transport, **kwargs))
        if here:
            await asyncio.wait_for(bot.ready.wait(), 5.0)
        return bot

    def person(self, name: str, *, camera: bool = False) -> Person:
        """Somebody who joins, and hears what others say."""
        person = Person(self.native.world, URL, name, hears=("microphone",))
        person.join(camera=camera)
        return person


def transport_params(**kwargs: Any) -> DailyParams:
    return DailyParams(
        **{"audio_in_enabled": True, "audio_out_enabled": True, "audio_out_end_silence_secs": 0, **kwargs}
    )
