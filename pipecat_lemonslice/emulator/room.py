"""Rooms: who is in them, what they see and hear of each other, and the wire of those who come over a WebSocket.

Texts are JSON objects with a ``type``; binary messages begin with their kind and the sender's id. The room paces the
sound that comes over a WebSocket and reports how far it has been played. Knows nothing of sessions and faces.
"""

import asyncio
import contextlib
import json
import socket
import struct
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID, uuid4

from aiohttp import WSMsgType, web

from pipecat_lemonslice.emulator.voice import PACKET_SECONDS, Converter

_SOUND, _PICTURE = 1, 2
_SOUND_HEAD = struct.Struct("<B16sBI")
_PICTURE_HEAD = struct.Struct("<B16sHH")
_RATES = range(8000, 96001, 50)
"""Sample rates of which 20 ms are a whole number of samples."""

BROKEN_RULES = (ValueError, KeyError, TypeError, struct.error, TimeoutError)
"""What is raised when somebody breaks the rules of the wire."""

_JOIN_SECONDS = 10.0
_KERNEL_BUFFER = 512 * 1024
"""Bytes that the kernel may hold back for a slow reader: less than one picture."""


@dataclass(frozen=True)
class Joined:
    """The sender came in."""


@dataclass(frozen=True)
class Left:
    """The sender left."""

    reason: str


@dataclass(frozen=True)
class AppMessage:
    """A message of the sender's application."""

    message: Mapping[str, Any]


@dataclass(frozen=True)
class Sound:
    """Sound of the sender: signed 16 bit samples of one channel.

    ``begins`` is when it begins to be played, on the clock of the event loop, which may be late for it; None: now.
    """

    pcm: bytes
    sample_rate: int
    begins: float | None = None


@dataclass(frozen=True)
class Picture:
    """A picture of the sender: ``picture_header``, then RGB bytes."""

    data: bytearray


RoomEvent = Joined | Left | AppMessage | Sound | Picture


def picture_header(source: UUID, width: int, height: int) -> bytes:
    """Return what comes before the RGB bytes of a picture."""
    return _PICTURE_HEAD.pack(_PICTURE, source.bytes, width, height)


class Member:
    """A participant. By default it takes no notice of the others.

    Args:
        user_name: Its name.
        tracks: Sample rate of each audio track it publishes, by name.

    Attributes:
        id: Its participant id.
        entered_at: When it came, on the clock of the event loop.
    """

    def __init__(self, user_name: str, tracks: Mapping[str, int] | None = None) -> None:
        self.id: UUID = uuid4()
        self.user_name = user_name
        self.tracks: Mapping[str, int] = tracks or {}
        self.entered_at = 0.0

    def on_event(self, sender: "Member", event: RoomEvent) -> None:
        """Take notice of what another member did."""

    def disconnect(self) -> None:
        """Its connection breaks, if it has one."""


@dataclass(eq=False)
class Room:
    """One room.

    Attributes:
        name: Last part of its URL.
        tokens: Tokens that let people in; empty: anybody comes in.
        participants: Who is in the room, in the order in which they came.
    """

    name: str
    tokens: Collection[str] = ()
    participants: list[Member] = field(default_factory=list[Member])

    def admits(self, token: str | None) -> bool:
        """Return whether a token lets somebody in."""
        return not self.tokens or token in self.tokens

    def enter(self, member: Member) -> None:
        """Let somebody in, and tell the others."""
        self.send(member, Joined())
        member.entered_at = asyncio.get_running_loop().time()
        self.participants.append(member)

    def leave(self, member: Member, reason: str = "leftCall") -> None:
        """Let somebody go, and tell the others; without effect if they are not there."""
        if member in self.participants:
            self.participants.remove(member)
            self.send(member, Left(reason))

    def send(self, sender: Member, event: RoomEvent, recipient: str | None = None) -> None:
        """Tell everybody else what somebody did, or only the participant with this id."""
        for other in list(self.participants):
            if other is not sender and recipient in (None, str(other.id)):
                other.on_event(sender, event)

    def drop_connections(self) -> None:
        """Break every connection to the room, as a network does."""
        for member in list(self.participants):
            member.disconnect()


class WebSocketMember(Member):
    """A participant at the other end of a WebSocket.

    Texts and sounds leave in their order, after them the newest picture of each sender.

    Args:
        hello: Its first message.
        transport: Its connection.

    Raises:
        One of ``BROKEN_RULES``: The message is not a correct join.
    """

    def __init__(self, hello: Mapping[str, Any], transport: asyncio.Transport) -> None:
        if hello["type"] != "join":
            raise ValueError(f"its type is {hello['type']!r}"[:80])
        tracks = {str(track["name"]): _rate(track["sample_rate"]) for track in hello["tracks"]}
        super().__init__(str(hello["user_name"]), tracks)
        self.token: str | None = hello.get("token")
        self._subscribe = hello.get("subscribe")
        self._rate = _rate(hello["voice_sample_rate"])
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._outgoing: deque[str | bytes] = deque()
        self._pictures: dict[Member, bytearray] = {}
        self._has_outgoing = asyncio.Event()
        self._converters: dict[tuple[Member, int], Converter] = {}
        self._speech = bytearray()
        self._speech_rate = self._rate
        self._position = 0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def on_event(self, sender: Member, event: RoomEvent) -> None:
        """See ``Member``. Sound and pictures are passed on if it subscribes to the sender."""
        match event:
            case Joined():
                self._send("participant_joined", participant=_entry(sender))
            case Left(reason):
                self._send("participant_left", participant=_entry(sender), reason=reason)
            case AppMessage(message):
                self._send("app_message", sender=str(sender.id), message=message)
            case Sound(pcm, rate) if sender.user_name == self._subscribe:
                if (sender, rate) not in self._converters:
                    self._converters[sender, rate] = Converter(rate, self._rate)
                for packet in self._converters[sender, rate].packets(pcm):
                    self._put(_SOUND_HEAD.pack(_SOUND, sender.id.bytes, 1, self._rate) + packet)
            case Picture(data) if sender.user_name == self._subscribe:
                self._pictures[sender] = data
                self._has_outgoing.set()
            case _:
                pass

    def disconnect(self) -> None:
        """See ``Member``."""
        reset(self._transport)

    async def stay(self, ws: web.WebSocketResponse, room: Room) -> None:
        """Be in a room until the connection ends.

        Raises:
            One of ``BROKEN_RULES``: It sent something else than it may.
        """
        entries, now = [_entry(other) for other in room.participants], self._loop.time()
        seconds_here = {str(other.id): round(now - other.entered_at, 3) for other in room.participants}
        self._send("joined", id=str(self.id), participants=entries, seconds_here=seconds_here)
        room.enter(self)
        sending = asyncio.create_task(self._send_outgoing(ws))
        try:
            await self._read(ws, room)
        finally:
            if self._timer:
                self._timer.cancel()
            room.leave(self)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _read(self, ws: web.WebSocketResponse, room: Room) -> None:
        async for message in ws:
            if message.type is WSMsgType.BINARY:
                self._hear(message.data, room)
                continue
            data = json.loads(message.data)
            match data["type"]:
                case "leave":
                    return
                case "clear":
                    end = int(data["end"])
                    del self._speech[max(0, end - self._position) * 2 :]
                    self._position = min(self._position, end)
                case "app_message":
                    room.send(self, AppMessage(dict(data["message"])), data.get("recipient"))
                case unknown:
                    raise ValueError(f"unknown type {unknown!r}"[:80])

    def _hear(self, data: bytes, room: Room) -> None:
        kind, source, channels, rate = _SOUND_HEAD.unpack_from(data)
        if (kind, source, channels, len(data) % 2) != (_SOUND, self.id.bytes, 1, _SOUND_HEAD.size % 2):
            raise ValueError("not whole samples of this participant's own sound, in one channel")
        self._speech += data[_SOUND_HEAD.size :]
        self._speech_rate = _rate(rate)
        if self._timer is None:
            self._due = self._loop.time()
            self._play(room)

    def _play(self, room: Room) -> None:
        """Report how many samples have been played, and play the 20 ms that follow."""
        if self._timer:
            self._send("played", samples=self._position)
        self._timer = None
        if not self._speech:
            return
        size = round(self._speech_rate * PACKET_SECONDS) * 2
        packet = bytes(self._speech[:size])
        del self._speech[:size]
        room.send(self, Sound(packet, self._speech_rate, self._due))
        self._position += len(packet) // 2
        self._due += len(packet) / (2 * self._speech_rate)
        self._timer = self._loop.call_at(self._due, self._play, room)

    async def _send_outgoing(self, ws: web.WebSocketResponse) -> None:
        with contextlib.suppress(ConnectionError):
            while await self._has_outgoing.wait():
                if self._outgoing:
                    data = self._outgoing.popleft()
                    await (ws.send_str(data) if isinstance(data, str) else ws.send_bytes(data))
                elif self._pictures:
                    await ws.send_bytes(cast("bytes", self._pictures.pop(next(iter(self._pictures)))))
                else:
                    self._has_outgoing.clear()

    def _send(self, kind: str, **fields: Any) -> None:
        self._put(json.dumps({"type": kind, **fields}))

    def _put(self, data: str | bytes) -> None:
        self._outgoing.append(data)
        self._has_outgoing.set()


async def join(ws: web.WebSocketResponse, transport: asyncio.Transport) -> WebSocketMember:
    """Return who is at the other end of a new WebSocket and its connection.

    Raises:
        One of ``BROKEN_RULES``: Their first message is not a correct join.
    """
    if (sock := transport.get_extra_info("socket")) is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER)
    return WebSocketMember(json.loads(await ws.receive_str(timeout=_JOIN_SECONDS)), transport)


def reset(transport: asyncio.BaseTransport) -> None:
    """Break a connection so that the other side sees a reset, not an end."""
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


def _entry(member: Member) -> dict[str, str]:
    return {"id": str(member.id), "user_name": member.user_name}


def _rate(value: Any) -> int:
    if value not in _RATES:
        raise ValueError(f"sample rates are from 8000 to 96000, multiples of 50, not {value!r}"[:120])
    return int(value)
