"""The room where bot and avatar meet: what every kind of room offers, and how one is opened.

A :class:`Room` exists only while it is joined, so it needs no guards. It gives events, in order. Voice and pictures are
not among them: they go straight to the two sinks with which the room was joined. They are the avatar's alone: a room
gives nothing of anybody who was not asked for with :meth:`Room.watch`.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from importlib import import_module
from typing import Any, Protocol
from urllib.parse import urlsplit

from pipecat_lemonslice.errors import ConfigurationError


class AvatarClaim(Enum):
    """Why a participant may be the avatar of the session."""

    ID = auto()
    """It carries the user id that was minted for this session's avatar, and nobody else can."""

    NAME = auto()
    """Its user name, if that is the avatar's."""

    NONE = auto()
    """Nothing: it was there before the session, or the avatar is known by its id. Its name does not count."""


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody in the room.

    Attributes:
        id: Unique within the room.
        name: The user name, which anybody may choose.
        claim: Why it may be the avatar.
    """

    id: str
    name: str
    claim: AvatarClaim = field(default=AvatarClaim.NAME, compare=False)


@dataclass(frozen=True, slots=True)
class ParticipantJoined:
    """Somebody is in the room, since now or since before the bot came."""

    participant: Participant


@dataclass(frozen=True, slots=True)
class ParticipantLeft:
    """Somebody has left.

    Attributes:
        participant: Who.
        reason: The room's own word for why.
    """

    participant: Participant
    reason: str


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """An app message.

    Attributes:
        sender: Participant id of who sent it.
        message: What was sent, of any shape.
    """

    sender: str
    message: object


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the watched participant.

    Attributes:
        rgb: ``height * width * 3`` bytes.
        width: In pixels.
        height: In pixels.
    """

    rgb: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class RoomLost:
    """The room is lost; the last event of a room.

    Attributes:
        reason: A sentence for people.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class AvatarSeen:
    """The watched participant can be seen: its first picture has come, or the people in a shared room see it.

    Attributes:
        participant: Who.
    """

    participant: Participant


RoomEvent = ParticipantJoined | ParticipantLeft | MessageReceived | AvatarSeen | RoomLost

MAX_EVENTS = 3000
"""Unread events of a room. A reader that far behind is stuck; the oldest are then dropped."""


class RoomInbox:
    """A room's unread events, for the event loop only. The loss of the room is the last one, and stays so."""

    def __init__(self) -> None:
        self._events: deque[RoomEvent] = deque(maxlen=MAX_EVENTS)
        self.lost: RoomLost | None = None
        """The loss of the room; None while it is joined."""
        self._wake = asyncio.Event()

    def put(self, event: RoomEvent) -> None:
        """Add an event; ignored after the room was lost."""
        if self.lost:
            return
        if isinstance(event, RoomLost):
            self.lost = event
        else:
            self._events.append(event)
        self._wake.set()

    async def get(self) -> RoomEvent:
        """Wait for the next event; the loss of the room comes last."""
        while True:
            if self._events:
                return self._events.popleft()
            if self.lost:
                return self.lost
            self._wake.clear()
            await self._wake.wait()


VoiceSink = Callable[[bytes, int], None]
"""Takes voice: signed 16-bit little-endian mono samples, and their rate in Hz."""

PictureSink = Callable[[Picture], None]


@dataclass(frozen=True, slots=True)
class RoomOptions:
    """What a room needs to know before it is joined.

    Attributes:
        speech_sample_rate: Rate in Hz of the speech that will be written; a multiple of 100.
        voice_sample_rate: Rate in Hz at which the avatar's voice is wanted.
        avatar_name: User name that the avatar goes by.
        token: The bot's own token for a private room; None for an open one.
        avatar_since: Time of the loop before which the avatar cannot have joined; None in a room that is new.
        timeout: The most seconds that joining may take.
        on_voice: Called on the loop with the watched participant's voice; must not block.
        on_picture: Called on the loop with its pictures; must not block.
    """

    speech_sample_rate: int
    voice_sample_rate: int
    avatar_name: str = "LemonSlice"
    token: str | None = None
    avatar_since: float | None = None
    timeout: float = 25.0
    on_voice: VoiceSink = lambda _pcm, _rate: None
    on_picture: PictureSink = lambda _picture: None

    def __repr__(self) -> str:
        return f"RoomOptions({self.speech_sample_rate} Hz, {self.avatar_name!r})"


class Room(Protocol):
    """A room that has been joined by the bot, with camera and microphone off and the track ``stream`` published."""

    on_played: Callable[[int], None] | None
    """Called on the loop with :attr:`played`: when it reaches what :meth:`report_at` asked for, when all speech has
    been played, and every 100 ms at least while speech is played."""

    pictured_at: float | None
    """When the watched participant's newest picture came, on the loop's clock; None before the first one, and where the
    bot takes no pictures."""

    @property
    def appended(self) -> int:
        """Position of the end of the speech on the track, in samples: all that was appended and not cleared."""
        ...

    @property
    def played(self) -> int:
        """Position up to which the speech has been played, in samples; silence between is not counted."""
        ...

    def report_at(self, position: int) -> None:
        """Have a position reported as soon as it has been played; replaces the one before."""
        ...

    def append(self, pcm: bytes) -> None:
        """Have speech played behind what was appended before; returns at once, and does nothing in a lost room.

        The room paces it: it is handed over in slices of at most 20 ms, two at a time, and the end is padded with
        silence when nothing follows in time.

        Args:
            pcm: Signed 16-bit mono samples at ``speech_sample_rate``, any number of them.
        """
        ...

    def clear(self) -> None:
        """Drop what has not been handed over yet, from the end of the track; what has been, 40 ms at most, plays on."""
        ...

    def send(self, message: Mapping[str, Any]) -> None:
        """Send an app message to the watched participant; when there is none, or it has left, nothing is sent.

        Never blocks and never raises: a room that can no longer send reports :class:`RoomLost`.
        """
        ...

    def watch(self, participant: Participant) -> None:
        """Ask for the voice and the pictures of one participant, instead of whoever was watched before."""
        ...

    async def next_event(self) -> RoomEvent:
        """Wait for what happens next."""
        ...

    async def close(self) -> None:
        """Leave the room and release everything, in bounded time; idempotent, never raises."""
        ...


async def open_room(url: str, options: RoomOptions) -> Room:
    """Join the room at an address.

    Args:
        url: ``https://`` for Daily, ``ws://`` or ``wss://`` for the emulator.
        options: What the room needs to know.

    Returns:
        The joined room.

    Raises:
        RoomError: The room could not be joined; says why.
        ConfigurationError: The address is of neither kind.
    """
    match urlsplit(url).scheme:
        case "ws" | "wss":
            from pipecat_lemonslice.rooms.websocket import WebSocketRoom

            return await WebSocketRoom.join(url, options)
        case "https":
            # In a thread: loading daily-python takes a second or so, and speech goes on meanwhile.
            daily = await asyncio.to_thread(import_module, "pipecat_lemonslice.rooms.daily")
            return await daily.DailyRoom.join(url, options)
        case scheme:
            raise ConfigurationError(f"room_url: cannot join a room over {scheme!r}; expected https:// or ws://")
