"""Bots over the stand-in: the service in a room of its own, or in one that it shares with people."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from pipecat.frames.frames import ErrorFrame, TTSStartedFrame, TTSStoppedFrame, UserAudioRawFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.daily.transport import DailyParams, DailyTransport

from pipecat_lemonslice import LemonSliceVideoService
from tests.fidelity.installed import URL, Native
from tests.fidelity.rooms import AvatarPerson, Person
from tests.fidelity.vendor import Vendor
from tests.support.stage import End, speech, tone
from tests.support.stage import Stage as Pipeline
from tests.support.waiting import until

ANSWER = ["response_started", "response_finished"]
LOUD = b"\x55\x55"
REFUSAL = "AppMessage(Signalling(ChannelNotOpen))"


class Bot(Pipeline):
    """A bot as people write it, in real time: the service between TTS and output, and their handlers.

    Args:
        vendor: Where its sessions are created.
        transport: Its transport, whose room it shares with the avatar; None: the avatar has a room of its own.
        processors: What is between source and sink in the place of the service and transport.
        **kwargs: Arguments of the service.
    """

    vendor: Vendor  # type: ignore[assignment]

    def __init__(
        self,
        vendor: Vendor,
        transport: DailyTransport | None = None,
        processors: Sequence[FrameProcessor] | None = None,
        **kwargs: Any,
    ) -> None:
        self.ears, self.ready = End(FrameDirection.DOWNSTREAM), asyncio.Event()
        self.greeted: list[str] = []

        def pipeline(service: LemonSliceVideoService) -> Sequence[FrameProcessor]:
            shared = (transport.input(), self.ears, service, transport.output()) if transport else (service,)
            return processors or shared

        if transport:
            self.transport = transport
            kwargs["transport"] = transport
            transport.add_event_handler("on_client_connected", self._greet)
        super().__init__(pipeline=pipeline, api_url=vendor.url, **kwargs)
        self.vendor = vendor
        self.service.add_event_handler("on_avatar_ready", self._on_ready)

    def seams(self) -> dict[str, Any]:
        """Nothing is replaced but daily-python."""
        return {}

    async def _on_ready(self, _service: LemonSliceVideoService) -> None:
        self.ready.set()

    async def _greet(self, _transport: DailyTransport, participant: dict[str, Any]) -> None:
        if not self.service.is_avatar(participant):
            self.greeted.append(participant["info"]["userName"])

    @property
    def errors(self) -> list[ErrorFrame]:
        """Those of the service."""
        return [frame for frame in self.up(ErrorFrame) if frame.processor is self.service]

    @property
    def avatar(self) -> AvatarPerson:
        return self.vendor.avatar

    def heard_from(self, person: Person) -> bytes:
        """What reaches STT of somebody."""
        heard = [frame for _, frame in self.ears.frames if isinstance(frame, UserAudioRawFrame)]
        return b"".join(frame.audio for frame in heard if frame.user_id == person.id)

    async def speak(self, seconds: float, context: str = "a") -> None:
        """Have the TTS say something."""
        await self.send(TTSStartedFrame(context), speech(seconds, context), TTSStoppedFrame(context))

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
