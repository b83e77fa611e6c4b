"""The same calls in a room that bot, avatar and people share: the real `SharedDaily` over a transport in memory.

The people hear the avatar straight from the room, and the bot's plain voice through its transport. Each session has a
seat in the room, which can be struck by the same faults as a room of the avatar's own.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, cast

from pipecat.frames.frames import ErrorFrame
from pipecat.transports.daily.transport import DailyParams, DailyTransport
from yarl import URL

from tests.faults.hearing import SLICE, Sounding, runs
from tests.faults.vendor import MemoryLemonSlice
from tests.faults.world import LAG, World
from tests.support.stage import RATE

ADDRESS = "https://example.daily.co/lobby"
JOIN_SECONDS = 0.5
"""From a session's creation until its avatar is on its way into the room."""


class MemoryTransport(DailyTransport):
    """As much of a `DailyTransport` as the service uses, in a room in memory; nothing of the real one runs."""

    room_url = ADDRESS  # type: ignore[assignment]

    def __init__(self) -> None:
        self._out = MemoryOutput(self)
        self._params = DailyParams(audio_in_enabled=True, audio_out_enabled=True, audio_out_sample_rate=RATE)
        self.handlers: dict[str, Callable[..., Any]] = {}
        self.seat: Seat | None = None
        self.heard: list[tuple[float, bytes]] = []
        self.tracks: list[str] = []
        self.unheard: set[str] = set()

    # What the service uses.

    def add_event_handler(self, event_name: str, handler: Callable[..., Any]) -> None:
        self.handlers[event_name] = handler

    def remove_event_handler(self, event_name: str, handler: Callable[..., Any]) -> None:
        assert self.handlers.pop(event_name) == handler

    def output(self) -> "MemoryOutput":  # type: ignore[override]
        return self._out

    async def update_subscriptions(self, settings: dict[str, Any]) -> None:  # type: ignore[override]
        self.unheard.update(settings)

    # What happens in the room.

    def tell(self, event: str, *args: Any) -> None:
        if handler := self.handlers.get(event):
            handler(self, *args)


class MemoryOutput:
    """As much of a `DailyOutputTransport`: it writes whatever it is given, and raises nothing.

    Of messages that the room refuses it tells with its event ``on_error``, once until one has been sent.
    """

    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport
        self._handlers: list[Callable[..., Any]] = []
        self._reported = False

    def add_event_handler(self, event: str, handler: Callable[..., Any]) -> None:
        assert event == "on_error"
        self._handlers.append(handler)

    def remove_event_handler(self, event: str, handler: Callable[..., Any]) -> None:
        if handler in self._handlers:
            self._handlers.remove(handler)

    async def register_audio_destination(self, destination: str) -> None:
        self._transport.tracks.append(destination)

    async def write_audio_frame(self, frame: Any) -> bool:
        assert frame.transport_destination == "stream"
        seat = self._transport.seat
        return await seat.write(frame.audio) if seat else True

    async def send_message(self, frame: Any) -> None:
        seat = self._transport.seat
        error = seat.send(frame.message, frame.participant_id) if seat else None
        if error and not self._reported:
            for handler in list(self._handlers):
                handler(self, ErrorFrame(f"Unable to send message: {error}"))
        self._reported = error is not None


class Seat:
    """One session's avatar in the shared room, with the faults that a room of its own can have."""

    def __init__(self, transport: MemoryTransport, session_id: str, number: int) -> None:
        self.session_id = session_id
        self.participant_id = f"{number:08d}-1111-4111-8111-111111111111"
        self.transport = transport
        self.ended = False
        self.frozen = False
        self.left = False
        self.message_error: Exception | None = None
        self.events: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._present: set[str] = set()
        self._played_until = 0.0
        self._voices: deque[asyncio.TimerHandle] = deque()
        transport.seat = self

    @property
    def closed(self) -> bool:
        """Whether the session is over, or the bot follows nothing that happens here."""
        return self.ended or not self.transport.handlers

    @property
    def watched(self) -> bool:
        """Whether the avatar is there."""
        return bool(self._present)

    async def write(self, pcm: bytes) -> bool:
        self._played_until = max(self._played_until, self._loop.time()) + len(pcm) / (2 * RATE)
        if self._present:
            self._voices.append(self._loop.call_at(self._played_until + LAG, self._sound, pcm))
        await asyncio.sleep(self._played_until - self._loop.time())
        if self.frozen:
            await asyncio.Event().wait()
        return True

    def send(self, message: dict[str, Any], recipient: str | None) -> str | None:
        """Take a message; returns why it is refused."""
        if self.message_error:
            return str(self.message_error)
        if recipient not in self._present or message["session_id"] != self.session_id:
            return None
        self.events.append(str(message["event"]))
        if message["event"] == "interrupt":
            self.fall_silent()
        return None

    def fall_silent(self) -> None:
        while self._voices:
            self._voices.pop().cancel()

    def _sound(self, pcm: bytes) -> None:
        self._voices.popleft()
        self.transport.heard.append((self._loop.time() - len(pcm) / (2 * RATE), pcm))

    # What a test asks for; see `WorldRoom`.

    def join(self, name: str = "LemonSlice", participant_id: str | None = None) -> None:
        who = participant_id or self.participant_id
        if name == "LemonSlice":
            self._present.add(who)
        media = {"camera": {"state": "sendable"}, "microphone": {"subscribed": "unsubscribed"}}
        self.transport.tell("on_participant_joined", {"id": who, "info": {"userName": name}, "media": media})

    def arrive(self) -> None:
        self.join()

    def leave(self) -> None:
        self.left = True
        self.fall_silent()
        for who in sorted(self._present):
            self._present.discard(who)
            self.transport.tell(
                "on_participant_left", {"id": who, "info": {"userName": "LemonSlice"}, "media": {}}, "leftCall"
            )

    def say(self, message: object) -> None:
        for who in sorted(self._present):
            self.transport.tell("on_app_message", message, who)

    def end(self) -> None:
        """The vendor has ended the session."""
        self.ended = True
        self.leave()


class SharedLemonSlice(MemoryLemonSlice):
    """The vendor, whose avatars come to the shared room and go with their sessions."""

    def __init__(self) -> None:
        super().__init__()
        self.on_created: Callable[[str], None] = lambda _: None
        self.on_terminated: Callable[[str], None] = lambda _: None

    def carry_out(self, event: str, url: URL) -> tuple[int, str]:
        created, terminated = len(self.created), len(self.terminated)
        answer = super().carry_out(event, url)
        for session_id in self.created[created:]:
            self.on_created(session_id)
        for session_id in self.terminated[terminated:]:
            self.on_terminated(session_id)
        return answer


class SharedWorld(World):
    """A call in a shared room; see the module.

    Args:
        joins_after: Seconds until the bot's transport has joined; None: the test has it join.
    """

    lemonslice_class = SharedLemonSlice
    unknown_lag = LAG + 4 * SLICE

    def __init__(self, *, joins_after: float | None = 0.25, **kwargs: Any) -> None:
        self.transport = MemoryTransport()
        self._joins_after = joins_after
        self._numbers = itertools.count(1)
        own = {"transport": self.transport, "daily_room_url": None, "bot_token": None}
        super().__init__(**{**own, **kwargs})
        vendor = cast("SharedLemonSlice", self.lemonslice)
        vendor.on_created, vendor.on_terminated = self._created, self._terminated

    def seams(self) -> dict[str, Any]:
        """The room is the transport's."""
        return {"_api": self.vendor}

    async def __aenter__(self) -> "SharedWorld":
        if self._joins_after is not None:
            asyncio.get_running_loop().call_later(self._joins_after, self.join_transport)
        await super().__aenter__()
        return self

    def join_transport(self) -> None:
        """The bot's transport is in its room."""
        self.transport.tell("on_joined", {"participants": {"local": {}}})

    def _created(self, session_id: str) -> None:
        asyncio.get_running_loop().call_later(JOIN_SECONDS, self._take_a_seat, session_id)

    def _take_a_seat(self, session_id: str) -> None:
        if session_id in self.lemonslice.terminated:
            return
        seat = Seat(self.transport, session_id, next(self._numbers))
        self.rooms.append(cast("Any", seat))
        if self.coming is not None:
            asyncio.get_running_loop().call_later(self.coming, self._arrive, cast("Any", seat))
        for change in self.on_room:
            change(cast("Any", seat))
        self.on_room.clear()

    def _terminated(self, session_id: str) -> None:
        for seat in cast("list[Seat]", self.rooms):
            if seat.session_id == session_id and not seat.ended:
                seat.end()

    def _play(self) -> Iterator[Sounding]:
        room = (self._sounding(at, pcm) for at, pcm in self.transport.heard)
        yield from sorted(itertools.chain(super()._play(), *room), key=lambda sounding: sounding.begin)

    def emitted(self) -> list[tuple[float, int, int]]:
        room = ((at, code, samples) for at, pcm in self.transport.heard for code, samples in runs(pcm) if code)
        return sorted(itertools.chain(super().emitted(), room), key=lambda sent: sent[0])

    def _sounding(self, at: float, pcm: bytes) -> Iterator[Sounding]:
        for code, samples in runs(pcm):
            if code:
                yield Sounding(at, at + samples / RATE, code, "avatar")
            at += samples / RATE
