"""The same calls in a room that bot, avatar and people share: the real `SharedDaily` over a transport in memory.

The room is one of the emulator's, in which the bot takes part without a socket. People hear the avatar straight from
the room, and the bot's plain voice through its transport.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from pipecat.frames.frames import ErrorFrame
from pipecat.transports.daily.transport import DailyParams, DailyTransport

from pipecat_lemonslice.emulator import Session
from pipecat_lemonslice.emulator.room import AppMessage, Joined, Left, Member, RoomEvent, Sound
from tests.faults.hearing import SLICE, Sounding, sounding
from tests.faults.world import AVATAR_TOKEN, JOIN_SECONDS, LAG, LOBBY, Site, World
from tests.support.stage import RATE


class MemoryTransport(DailyTransport):
    """As much of a `DailyTransport` as the service uses; nothing of the real one runs."""

    room_url = LOBBY  # type: ignore[assignment]

    def __init__(self) -> None:
        self.bot = Bot(self.tell)
        self._params = DailyParams(audio_in_enabled=True, audio_out_enabled=True, audio_out_sample_rate=RATE)
        self.handlers: dict[str, Callable[..., Any]] = {}

    def add_event_handler(self, event_name: str, handler: Callable[..., Any]) -> None:
        self.handlers[event_name] = handler

    def remove_event_handler(self, event_name: str, handler: Callable[..., Any]) -> None:
        assert self.handlers.pop(event_name) == handler

    def output(self) -> "Bot":  # type: ignore[override]
        return self.bot

    async def update_subscriptions(self, settings: dict[str, Any]) -> None:  # type: ignore[override]
        """The bot hears nobody anyway."""

    def tell(self, event: str, *args: Any) -> None:
        """Something happens to the transport."""
        if handler := self.handlers.get(event):
            handler(self, *args)


class Bot(Member):
    """The bot in the room, and as much of a `DailyOutputTransport`: it writes what it is given, and raises nothing.

    Of messages that the room refuses it tells with its event ``on_error``, once until one has been sent.
    """

    def __init__(self, tell: Callable[..., None]) -> None:
        super().__init__("Pipecat")
        self.heard: list[tuple[float, bytes]] = []
        """What people hear of the newest avatar. One of whose session nobody knows may speak beside it."""
        self.sites: list[Site] = []
        self.room: Any = None
        self._tell = tell
        self._newest: Member | None = None
        self._handlers: list[Callable[..., Any]] = []
        self._reported = False
        self._played_until = 0.0

    def enter(self, room: Any) -> None:
        self.room = room
        room.enter(self)
        self._tell("on_joined", {"participants": {"local": {}}})

    def on_event(self, sender: Member, event: RoomEvent) -> None:
        """See `Member`."""
        who = str(sender.id)
        info: dict[str, Any] = {"id": who, "info": {"userName": sender.user_name}, "media": {}}
        match event:
            case Joined():
                self._newest = sender
                media = {"camera": {"state": "sendable"}, "microphone": {"subscribed": "unsubscribed"}}
                self._tell("on_participant_joined", {**info, "media": media})
            case Left(reason):
                self._tell("on_participant_left", info, reason)
            case AppMessage(message):
                self._tell("on_app_message", message, who)
            case Sound(pcm) if sender is self._newest and any(pcm):
                self.heard.append((asyncio.get_running_loop().time(), pcm))
            case _:
                pass

    # What the service uses.

    def add_event_handler(self, event: str, handler: Callable[..., Any]) -> None:
        assert event == "on_error"
        self._handlers.append(handler)

    def remove_event_handler(self, event: str, handler: Callable[..., Any]) -> None:
        if handler in self._handlers:
            self._handlers.remove(handler)

    async def register_audio_destination(self, destination: str) -> None:
        self.tracks = {destination: RATE}

    async def write_audio_frame(self, frame: Any) -> bool:
        assert frame.transport_destination in self.tracks
        now, seconds = asyncio.get_running_loop().time(), len(frame.audio) / (2 * RATE)
        begins = max(self._played_until, now)
        self._played_until = begins + seconds
        self.room.send(self, Sound(frame.audio, RATE, begins))
        site = self.sites[-1] if self.sites else None
        await asyncio.sleep(self._played_until - now)
        if site and site.frozen:
            await asyncio.Event().wait()
        return True

    async def send_message(self, frame: Any) -> None:
        refused = bool(self.sites) and self.sites[-1].refuses_messages
        if not refused:
            self.room.send(self, AppMessage(frame.message), frame.participant_id)
        elif not self._reported:
            for handler in list(self._handlers):
                handler(self, ErrorFrame("Unable to send message: not joined"))
        self._reported = refused


class SharedWorld(World):
    """A call in a shared room; see the module.

    Args:
        joins_after: Seconds until the bot's transport has joined; None: the test has it join.
        **kwargs: Those of `World`.
    """

    unknown_lag = LAG + 4 * SLICE

    def __init__(self, *, joins_after: float | None = 0.25, **kwargs: Any) -> None:
        self.transport = MemoryTransport()
        self._joins_after = joins_after
        shared = {"transport": self.transport, "daily_token": AVATAR_TOKEN, "bot_token": None}
        super().__init__(**{**shared, **kwargs})
        self._room = self.emulator.open_room("lobby")
        self.transport.bot.sites = self.rooms

    def seams(self) -> dict[str, Any]:
        """The room is the transport's."""
        return {}

    async def __aenter__(self) -> "SharedWorld":
        if self._joins_after is not None:
            asyncio.get_running_loop().call_later(self._joins_after, self.join_transport)
        await super().__aenter__()
        return self

    def join_transport(self) -> None:
        """The bot's transport is in its room."""
        self.transport.bot.enter(self._room)

    def has_left(self, session: Session) -> bool:
        """Whether a session is over, or the bot follows nothing that happens in the room."""
        return session.ended or not self.transport.handlers

    async def _on_session_created(self, service: object, session_id: str) -> None:
        await super()._on_session_created(service, session_id)
        session = next(one for one in self.emulator.sessions if one.id == session_id)
        asyncio.get_running_loop().call_later(JOIN_SECONDS, self._enter, session)

    def _play(self) -> Iterator[Sounding]:
        room = (one for at, pcm in self.transport.bot.heard for one in sounding(at, at, pcm, "avatar") if one.code)
        return iter(sorted([*room, *super()._play()], key=lambda one: one.begin))
