"""Bots in a Daily room that they share with people and the avatar, over Pipecat's own transport on the stand-in."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from pipecat.frames.frames import TTSStartedFrame, TTSStoppedFrame, UserAudioRawFrame
from pipecat.transports.daily.transport import DailyParams, DailyTransport

from pipecat_lemonslice import AvatarStatusFrame, LemonSliceVideoService
from tests.fidelity.calls import Running, Tap
from tests.fidelity.installed import URL, Native
from tests.fidelity.rooms import AvatarPerson, Person
from tests.fidelity.vendor import Vendor
from tests.support.stage import speech

LOUD = b"\x55\x55"


def params(**kwargs: Any) -> DailyParams:
    return DailyParams(**{"audio_in_enabled": True, "audio_out_enabled": True, **kwargs})


@dataclass
class Bot:
    """A bot as people write it: their transport, their handlers, the service between TTS and output."""

    native: Native
    vendor: Vendor
    transport: DailyTransport
    service: LemonSliceVideoService
    running: Running
    ears: Tap
    greeted: list[str] = field(default_factory=list)
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def states(self) -> list[str]:
        return [str(frame.status) for frame in self.running.last.of(AvatarStatusFrame)]

    @property
    def avatar(self) -> AvatarPerson:
        return self.vendor.avatar

    def heard_from(self, person: Person) -> bytes:
        """What reaches STT of somebody."""
        return b"".join(frame.audio for frame in self.ears.of(UserAudioRawFrame) if frame.user_id == person.id)

    async def speak(self, seconds: float, context: str) -> None:
        await self.running.send(TTSStartedFrame(context), speech(seconds, context), TTSStoppedFrame(context))


@dataclass
class Stage:
    """Makes bots, and ends them."""

    native: Native
    stack: AsyncExitStack
    monkeypatch: pytest.MonkeyPatch

    async def vendor(self, **kwargs: Any) -> Vendor:
        return await self.stack.enter_async_context(Vendor(self.native, **kwargs))

    def mint(self, vendor: Vendor) -> None:
        """Give the bot a Daily key, with which tokens for avatars are minted."""
        self.monkeypatch.setenv("DAILY_API_KEY", "daily-key-0123")
        self.monkeypatch.setenv("DAILY_API_URL", f"{vendor.root}/v1")

    async def bot(self, vendor: Vendor | None = None, **kwargs: Any) -> Bot:
        vendor = vendor or await self.vendor()
        transport = DailyTransport(URL, "bot-token", "Pipecat", params(**kwargs.pop("params", {})))
        service = LemonSliceVideoService(
            api_key="test-key-0123", api_url=vendor.url, agent_id="agent", transport=transport, **kwargs
        )
        ears = Tap()
        running = Running(transport.input(), ears, service, transport.output())
        bot = Bot(self.native, vendor, transport, service, running, ears)

        async def greet(_transport: DailyTransport, participant: dict[str, Any]) -> None:
            if not service.is_avatar(participant):
                bot.greeted.append(participant["info"]["userName"])

        async def ready(_service: LemonSliceVideoService) -> None:
            bot.ready.set()

        transport.add_event_handler("on_client_connected", greet)
        service.add_event_handler("on_avatar_ready", ready)
        await self.stack.enter_async_context(running)
        return bot


def person(native: Native, name: str, **kwargs: Any) -> Person:
    return Person(native.world, URL, name, **kwargs)
