"""Rooms of every kind with people in them, behind one interface, for tests that hold for all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Protocol
from uuid import uuid4

from pipecat.transports.daily.transport import DailyParams, DailyTransport

from pipecat_lemonslice.emulator import Emulator
from pipecat_lemonslice.emulator import Room as EmulatorRoom
from pipecat_lemonslice.emulator.room import AppMessage, Member, Picture, Sound, picture_header
from pipecat_lemonslice.rooms import Picture as RoomPicture
from pipecat_lemonslice.rooms import Room, RoomEvent, RoomLost, RoomOptions, open_room
from pipecat_lemonslice.rooms.shared_daily import SharedDaily
from tests.fidelity.calls import Running
from tests.fidelity.installed import Native
from tests.fidelity.rooms import Person
from tests.support.waiting import until

RATE = 24000
SECRET = "token-0123456789"


class Media:
    """Keeps the voice and the pictures that a room delivers."""

    def __init__(self) -> None:
        self.voice = b""
        self.rates: set[int] = set()
        self.pictures: list[RoomPicture] = []

    def on_voice(self, pcm: bytes, sample_rate: int) -> None:
        self.voice += pcm
        self.rates.add(sample_rate)


def options(token: str | None, media: Media | None) -> RoomOptions:
    media = media or Media()
    return RoomOptions(RATE, RATE, token=token, timeout=5.0, on_voice=media.on_voice, on_picture=media.pictures.append)


class Actor(Protocol):
    """Somebody else in the room. Hears the track ``stream``, and speaks when told."""

    @property
    def actor_id(self) -> str: ...
    @property
    def speech(self) -> bytes: ...
    @property
    def said_to(self) -> list[Any]: ...
    def say(self, pcm: bytes) -> None: ...
    def show(self, rgb: bytes, width: int, height: int) -> None: ...
    def send(self, message: dict[str, Any]) -> None: ...
    def leave(self, reason: str = ...) -> None: ...


class Place(Protocol):
    """A room that the bot can join."""

    async def join(self, token: str | None = None, media: "Media | None" = None) -> Room: ...
    def enter(self, name: str) -> Actor: ...
    def demand_token(self) -> None: ...
    def throw_out(self) -> None: ...
    def names(self) -> list[str]: ...


class _DailyActor(Person):
    @property
    def actor_id(self) -> str:
        return self.id

    @property
    def said_to(self) -> list[Any]:
        return [message for _, _, message in self.messages]


class DailyPlace:
    """A room of the stand-in for Daily."""

    def __init__(self, native: Native) -> None:
        self._native = native
        self._url = f"https://example.daily.co/{uuid4()}"

    async def join(self, token: str | None = None, media: "Media | None" = None) -> Room:
        return await open_room(self._url, options(token, media))

    def enter(self, name: str) -> Actor:
        actor = _DailyActor(self._native.world, self._url, name, hears=("stream",))
        actor.join(camera=True)
        return actor

    def demand_token(self) -> None:
        self._native.room(self._url).tokens = frozenset({SECRET})

    def throw_out(self) -> None:
        for member in list(self._native.room(self._url).members.values()):
            if member.name == "Pipecat":
                member.ejected("Connection(Ejected)")

    def names(self) -> list[str]:
        return [member.name for member in self._native.room(self._url).members.values()]


class _Puppet(Member):
    def __init__(self, room: EmulatorRoom, name: str) -> None:
        super().__init__(name)
        self._room = room
        self._speech = bytearray()
        self.said_to: list[Any] = []

    @property
    def actor_id(self) -> str:
        return str(self.id)

    @property
    def speech(self) -> bytes:
        return bytes(self._speech)

    def on_event(self, sender: Member, event: object) -> None:
        match event:
            case AppMessage(message):
                self.said_to.append(message)
            case Sound(pcm) if sender.user_name == "Pipecat":
                self._speech += pcm
            case _:
                pass

    def say(self, pcm: bytes) -> None:
        for at in range(0, len(pcm), RATE // 50 * 2):
            self._room.send(self, Sound(pcm[at : at + RATE // 50 * 2], RATE))

    def show(self, rgb: bytes, width: int, height: int) -> None:
        self._room.send(self, Picture(bytearray(picture_header(self.id, width, height) + rgb)))

    def send(self, message: dict[str, Any]) -> None:
        self._room.send(self, AppMessage(message))

    def leave(self, reason: str = "leftCall") -> None:
        self._room.leave(self, reason)


class EmulatorPlace:
    """A room of the emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._room = emulator.open_room()

    async def join(self, token: str | None = None, media: "Media | None" = None) -> Room:
        return await open_room(self._emulator.room_url(self._room), options(token, media))

    def enter(self, name: str) -> Actor:
        puppet = _Puppet(self._room, name)
        self._room.enter(puppet)
        return puppet

    def demand_token(self) -> None:
        self._room.tokens = frozenset({SECRET})

    def throw_out(self) -> None:
        self._room.drop_connections()

    def names(self) -> list[str]:
        return [member.user_name for member in self._room.participants]


@asynccontextmanager
async def emulator_place(native: Native) -> AsyncIterator[Place]:
    async with Emulator() as emulator:
        yield EmulatorPlace(emulator)


@asynccontextmanager
async def daily_place(native: Native) -> AsyncIterator[Place]:
    yield DailyPlace(native)


class SharedPlace(DailyPlace):
    """A room of the stand-in for Daily that the bot's own `DailyTransport` has joined, in a running pipeline."""

    def __init__(self, native: Native, stack: AsyncExitStack) -> None:
        super().__init__(native)
        self._stack = stack

    async def join(self, token: str | None = None, media: "Media | None" = None) -> Room:
        params = DailyParams(audio_in_enabled=True, audio_out_enabled=True, audio_out_sample_rate=RATE)
        transport = DailyTransport(self._url, token, "Pipecat", params)
        shared = SharedDaily(transport, "LemonSlice")
        self._stack.push_async_callback(shared.close)
        await self._stack.enter_async_context(Running(transport.input(), transport.output()))
        return await shared.open_room(RATE)


@asynccontextmanager
async def shared_place(native: Native) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        yield SharedPlace(native, stack)


OWN: dict[str, Callable[[Native], AbstractAsyncContextManager[Place]]] = {
    "websocket": emulator_place,
    "daily": daily_place,
}
"""Rooms that the bot joins by itself, and sees and hears the avatar in."""

PLACES = {**OWN, "shared": shared_place}


class Reader:
    """Keeps everything that a room tells."""

    def __init__(self, room: Room) -> None:
        self.events: list[RoomEvent] = []
        self._task = asyncio.create_task(self._read(room))

    async def _read(self, room: Room) -> None:
        while True:
            event = await room.next_event()
            self.events.append(event)
            if isinstance(event, RoomLost):
                return

    async def until(self, condition: Callable[[], bool], seconds: float = 3.0) -> None:
        await until(condition, seconds)

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
