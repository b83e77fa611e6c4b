"""A whole call in virtual time: the service with its real API client, over a LemonSlice and rooms in memory."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from loguru import logger
from pipecat.frames.frames import EndFrame, ErrorFrame

from pipecat_lemonslice.api.http import HttpClient
from pipecat_lemonslice.rooms import Participant, ParticipantLeft, Room, RoomOptions
from tests.faults.hearing import (
    FIRST_CODE,
    LAST_CODE,
    SLICE,
    SLICE_SAMPLES,
    Sounding,
    Utterance,
    coded_in,
    played,
    spoken,
)
from tests.faults.vendor import (
    AVATAR_TOKEN,
    BOT_TOKEN,
    IMAGE,
    ROOM,
    MemoryApi,
    MemoryLemonSlice,
    MemoryRest,
    Vendor,
)
from tests.support.memory import AVATAR_ID, MemoryRoom
from tests.support.stage import RATE, Stage
from tests.support.virtual_time import VirtualTimeLoop

LAG = 0.25
"""By how much the avatar's voice follows its speech, in seconds."""

REFUSALS = 3
"""Refused messages in a row that end a room, as in Daily."""

LOOK = 0.1
"""Seconds between two looks whether the end has come."""

TURNS = 15
"""Turns of the loop in which a frame has gone through the pipeline."""


# Rooms that misbehave.


class Site(Protocol):
    """A room of any world as a test of faults strikes it; those that can have more faults have more methods."""

    left: bool
    """Whether the avatar has ever left it."""

    @property
    def closed(self) -> bool:
        """Whether the bot has left it."""
        ...

    @property
    def watched(self) -> object:
        """Who is watched in it; false if nobody is."""
        ...

    @property
    def events(self) -> list[str]:
        """The app messages that reached the avatar."""
        ...

    def arrive(self) -> None:
        """The avatar comes (back), and shows itself."""
        ...

    def leave(self) -> None:
        """The avatar leaves."""
        ...

    def say(self, message: Any) -> None:
        """The avatar sends an app message."""
        ...


class WorldRoom(MemoryRoom):
    """A room whose avatar falls silent when it has gone, and whose parts can fail one by one."""

    def __init__(self, options: RoomOptions, **given: Any) -> None:
        super().__init__(RATE, options, **{"obedient": True, **given})
        self.message_error: Exception | None = None
        self._refused = 0
        self.left = False
        self._muted = False

    def send(self, message: Any) -> None:
        if not self.message_error:
            self._refused = 0
            super().send(message)
            return
        self._refused += 1
        if self._refused == REFUSALS:
            self.lose("the room takes no more messages")

    def leave(self, name: str = "LemonSlice", participant_id: str = AVATAR_ID) -> None:
        self.left = True
        self.fall_silent()
        super().leave(name, participant_id)

    def _sound(self, pcm: bytes) -> None:
        """As a track that never ends: what was said is followed by silence."""
        if self._muted:
            self._voices.popleft()
            return
        super()._sound(pcm)
        if not self._voices:
            self._voices.append(self._loop.call_later(SLICE, self._sound_nothing))

    def _sound_nothing(self) -> None:
        self._voices.popleft()
        self.hear(bytes(4 * SLICE_SAMPLES))

    def mute(self) -> None:
        """No sound of the avatar's from now on, though it can be seen."""
        self._muted = True
        self.fall_silent()

    def go_silent(self) -> None:
        """Nothing comes from the room any more, which takes what it is given all the same."""
        self.mute()
        self.freeze_video()

    def fall_silent(self) -> None:
        while self._voices:
            self._voices.pop().cancel()

    def put_left(self, participant_id: str) -> None:
        """Somebody else under the avatar's name goes."""
        self.put(ParticipantLeft(Participant(participant_id, "LemonSlice"), "leftCall"))

    def put_later(self, message: object) -> None:
        """The avatar says something once it is there."""
        self._loop.call_later(2.0, self.say, message)

    async def close(self) -> None:
        self.fall_silent()
        await super().close()


@dataclass
class Journal:
    """What went by that nobody asked for: logs, and what the loop could not place."""

    logs: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)


JOIN_SECONDS = 0.5
"""Seconds that joining a room takes."""


class World(Stage):
    """A call that can be driven through faults; see the module. Logs are kept of one that is ``observed``."""

    loop = VirtualTimeLoop
    """What it runs on."""

    unknown_lag = 0.0
    """Seconds of words of which the bot cannot know whether the avatar has been heard saying them."""

    lemonslice_class: type[MemoryLemonSlice] = MemoryLemonSlice
    lemonslice: Vendor
    rooms: list[Any]

    def __init__(self, *, observed: bool = True, **kwargs: Any) -> None:
        self.lemonslice, rest = self._vendor()
        self.journal = Journal()
        self.said: list[Utterance] = []
        self.coming: float | None = 1.0
        self.on_room: list[Callable[[Any], None]] = []
        self._codes = itertools.count(FIRST_CODE)
        self._heard: tuple[int, list[Sounding]] | None = None
        super().__init__(cast("Any", MemoryApi(self.lemonslice, rest)), **{**self._order(), **kwargs})
        self._sinks = [self._listen_in()] if observed else []

    def _vendor(self) -> tuple[Vendor, HttpClient]:
        """Who is asked for sessions, and over what."""
        lemonslice = self.lemonslice_class()
        return lemonslice, MemoryRest(lemonslice)

    def _order(self) -> dict[str, Any]:
        """What the service is told; as much of it as possible is secret."""
        return {
            "agent_id": None,
            "agent_image_url": IMAGE,
            "bot_token": BOT_TOKEN,
            "daily_token": AVATAR_TOKEN,
            "daily_room_url": ROOM,
        }

    async def __aenter__(self) -> "World":
        asyncio.get_running_loop().set_exception_handler(self._note_stray)
        await super().__aenter__()
        return self

    async def __aexit__(self, *details: Any) -> None:
        try:
            await super().__aexit__(*details)
            await self.settle()
        finally:
            for sink in self._sinks:
                logger.remove(sink)

    @property
    def errors(self) -> list[ErrorFrame]:
        return self.up(ErrorFrame)

    async def settle(self, seconds: float = 0.0) -> None:
        """Let time pass, and everything happen that is due; in fewer turns than the stage takes, as there are many."""
        await asyncio.sleep(seconds)
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def end(self) -> None:
        """End the call and wait until the EndFrame has come through."""
        await self.send(EndFrame())
        while not any(isinstance(frame, EndFrame) for _, frame in self.sink.frames[-20:]):  # noqa: ASYNC110
            await asyncio.sleep(LOOK)

    async def say(
        self, seconds: float, *, chunk: float = 0.2, stop: bool = True, llm: bool = True, interruptible: bool = True
    ) -> Utterance:
        """Have the bot say something coded, in chunks that come at once."""
        utterance = Utterance(self.now, self._next_codes(round(seconds / SLICE)), interruptible)
        self.said.append(utterance)
        for frame in spoken(utterance.codes, max(1, round(chunk / SLICE)), stop, llm):
            frame.interruptible = interruptible
            await self.send(frame)
        return utterance

    def heard(self) -> list[Sounding]:
        """What the user hears."""
        if self._heard is None or self._heard[0] != len(self.sink.frames):
            self._heard = (len(self.sink.frames), list(self._play()))
        return self._heard[1]

    def _play(self) -> Iterator[Sounding]:
        return played(self.sink.frames)

    def emitted(self) -> list[tuple[float, int, int]]:
        """When which code was sent on to the user, and how many samples of it."""
        return list(coded_in(self.sink.frames))

    def _next_codes(self, count: int) -> range:
        first = next(self._codes)
        if first + count > LAST_CODE:
            first = FIRST_CODE
        self._codes = itertools.count(first + count)
        return range(first, first + count)

    def keep_away(self, seconds: float | None = None) -> None:
        """Let avatars come only so long after the bot, or never."""
        self.coming = seconds

    async def _open(self, url: str, options: RoomOptions) -> Room:
        await asyncio.sleep(JOIN_SECONDS)
        if self.join_refusals:
            raise self.join_refusals.popleft()
        room = WorldRoom(options, **self._room_options)
        self._enter(room)
        return cast("Room", room)

    def _enter(self, room: Site) -> None:
        """The bot is in a room; what is to happen there, does."""
        self.rooms.append(room)
        if self.coming is not None:
            asyncio.get_running_loop().call_later(self.coming, self._arrive, room)
        for change in self.on_room:
            change(room)
        self.on_room.clear()

    def _arrive(self, room: Site) -> None:
        if not room.closed:
            room.arrive()

    def _listen_in(self) -> int:
        return logger.add(self._note_log, level="TRACE", diagnose=True, backtrace=True, format="{name} {message}")

    def _note_log(self, message: Any) -> None:
        if message.record["name"].startswith("pipecat_lemonslice.emulator"):
            return  # the vendor's own, who knows the keys and is told what to do wrong
        self.journal.logs.append(str(message))
        if message.record["exception"] is not None:
            self.journal.tracebacks.append(str(message))

    def _note_stray(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.journal.strays.append(f"{context.get('message')}: {context.get('exception')!r}")
