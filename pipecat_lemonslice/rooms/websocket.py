"""The emulator's room, over a WebSocket.

Owns the wire: JSON text for what happens, binary packets for sound and pictures. Speech is sent as it comes; the room
paces it, and reports how far it has been played.
"""

import asyncio
import json
import struct
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import aiohttp

from pipecat_lemonslice.errors import RoomError
from pipecat_lemonslice.rooms import (
    AvatarClaim,
    AvatarSeen,
    MessageReceived,
    Participant,
    ParticipantJoined,
    ParticipantLeft,
    Picture,
    RoomEvent,
    RoomInbox,
    RoomLost,
    RoomOptions,
)
from pipecat_lemonslice.rooms.playout import SAMPLE_BYTES

SOUND = struct.Struct("<B16sBI")
PICTURE = struct.Struct("<B16sHH")
SOUND_KIND = 1
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
MAX_OUTGOING = 10_000
"""Messages that wait to be sent. A room that is so far behind has stopped reading."""

PACKET_BYTES = 65536
"""The most sound that is sent in one packet."""

UNREPORTED_SECONDS = 0.04
"""What may have been played beyond the last report."""

LEAVE_TIMEOUT = 1.0
TRANSIT_SECONDS = 0.1
"""How long the room's answer may have been on its way."""

CLOSE_TIMEOUT = aiohttp.ClientWSTimeout(ws_close=LEAVE_TIMEOUT)  # pyright: ignore[reportCallIssue]


class WebSocketRoom:
    """A joined room of the emulator. Obtain one with :meth:`join`."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        socket: aiohttp.ClientWebSocketResponse,
        own_id: UUID,
        options: RoomOptions,
    ) -> None:
        """Take a socket over that has joined; use :meth:`join` instead."""
        self._http = http
        self._socket = socket
        self._loop = asyncio.get_running_loop()
        self._options = options
        self._rate = options.speech_sample_rate
        self._sound_header = SOUND.pack(SOUND_KIND, own_id.bytes, 1, self._rate)
        self._inbox = RoomInbox()
        self._watched: Participant | None = None
        self.pictured_at: float | None = None
        self.on_played: Callable[[int], None] | None = None
        self.appended = 0
        self.played = 0
        self._outgoing: asyncio.Queue[str | bytes] = asyncio.Queue(MAX_OUTGOING)
        self._reader = self._loop.create_task(self._read(), name="lemonslice-room-reader")
        self._writer = self._loop.create_task(self._send_outgoing(), name="lemonslice-room-writer")

    @classmethod
    async def join(cls, url: str, options: RoomOptions) -> "WebSocketRoom":
        """Join the room at a ``ws://`` address.

        Raises:
            RoomError: The room could not be reached, or did not let the bot in.
        """
        async with AsyncExitStack() as joining:
            http = await joining.enter_async_context(aiohttp.ClientSession())
            try:
                async with asyncio.timeout(options.timeout):
                    socket = await http.ws_connect(
                        url, max_msg_size=MAX_MESSAGE_BYTES, compress=0, timeout=CLOSE_TIMEOUT
                    )
                    joining.push_async_callback(socket.close)
                    own_id, present = await _shake_hands(socket, options)
            except TimeoutError:
                raise RoomError(f"the room did not answer within {options.timeout:g} s") from None
            except (aiohttp.ClientError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
                raise RoomError(f"the room could not be joined: {type(error).__name__}") from None
            joining.pop_all()
        room = cls(http, socket, own_id, options)
        for participant in present:
            room._inbox.put(ParticipantJoined(participant))
        return room

    def report_at(self, position: int) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.report_at`. The server reports every 20 ms as it is."""

    def append(self, pcm: bytes) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.append`."""
        self.appended += len(pcm) // SAMPLE_BYTES
        for start in range(0, len(pcm), PACKET_BYTES):
            self._enqueue(self._sound_header + pcm[start : start + PACKET_BYTES])

    def clear(self) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.clear`."""
        end = self.played + round(UNREPORTED_SECONDS * self._rate)
        if end < self.appended:
            self.appended = end
            self._enqueue(json.dumps({"type": "clear", "end": end}))

    def send(self, message: Mapping[str, Any]) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.send`."""
        if self._watched is None:
            return
        self._enqueue(json.dumps({"type": "app_message", "message": dict(message), "recipient": self._watched.id}))

    def watch(self, participant: Participant) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.watch`."""
        self._watched, self.pictured_at = participant, None

    async def next_event(self) -> RoomEvent:
        """See :meth:`pipecat_lemonslice.rooms.Room.next_event`."""
        return await self._inbox.get()

    async def close(self) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.close`."""
        drained = self._loop.create_task(self._outgoing.join())
        with suppress(Exception):
            async with asyncio.timeout(LEAVE_TIMEOUT):
                self._enqueue(json.dumps({"type": "leave"}))
                await asyncio.wait({drained, self._writer}, return_when=asyncio.FIRST_COMPLETED)
                await self._socket.close()
        for task in (drained, self._writer, self._reader):
            task.cancel()
        await asyncio.gather(drained, self._writer, self._reader, return_exceptions=True)
        self._lose("the bot has left the room")
        await self._http.close()

    def _enqueue(self, data: str | bytes) -> None:
        if self._inbox.lost:
            return
        try:
            self._outgoing.put_nowait(data)
        except asyncio.QueueFull:
            self._lose("the room takes no more data")

    async def _send_outgoing(self) -> None:
        try:
            while True:
                match await self._outgoing.get():
                    case str() as text:
                        await self._socket.send_str(text)
                    case bytes() as packet:
                        await self._socket.send_bytes(packet)
                self._outgoing.task_done()
        except Exception as error:
            self._lose(f"sending to the room failed: {type(error).__name__}")

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                self._understand(message)
        except Exception as error:
            self._lose(f"reading from the room failed: {type(error).__name__}")
        else:
            self._lose("the room has closed the connection")

    def _understand(self, message: aiohttp.WSMessage) -> None:
        match message.type:
            case aiohttp.WSMsgType.BINARY:
                self._understand_packet(message.data)
            case aiohttp.WSMsgType.TEXT:
                self._understand_text(json.loads(message.data))
            case _:
                pass

    def _understand_packet(self, data: bytes) -> None:
        source = data[1:17]
        if self._watched is None or source != UUID(self._watched.id).bytes:
            return
        match data[0]:
            case 1:
                _, _, _, rate = SOUND.unpack_from(data)
                self._options.on_voice(data[SOUND.size :], rate)
            case 2:
                _, _, width, height = PICTURE.unpack_from(data)
                if self.pictured_at is None:
                    self._inbox.put(AvatarSeen(self._watched))
                self.pictured_at = self._loop.time()
                self._options.on_picture(Picture(data[PICTURE.size :], width, height))
            case _:
                pass

    def _understand_text(self, body: dict[str, Any]) -> None:
        match body.get("type"):
            case "participant_joined":
                self._inbox.put(ParticipantJoined(_participant(body["participant"])))
            case "participant_left":
                who = _participant(body["participant"])
                if self._watched and who.id == self._watched.id:
                    self._watched = None
                self._inbox.put(ParticipantLeft(who, str(body.get("reason", ""))))
            case "app_message":
                self._inbox.put(MessageReceived(str(body["sender"]), body["message"]))
            case "played":
                # A report that was under way while the end was moved may speak of more than there is now.
                self.played = max(self.played, min(int(body["samples"]), self.appended))
                if self.on_played:
                    self.on_played(self.played)
            case _:
                pass

    def _lose(self, reason: str) -> None:
        self._inbox.put(RoomLost(reason))


async def _shake_hands(socket: aiohttp.ClientWebSocketResponse, options: RoomOptions) -> tuple[UUID, list[Participant]]:
    """Return the bot's own id and who else is there."""
    await socket.send_json(
        {
            "type": "join",
            "user_name": "Pipecat",
            "token": options.token,
            "tracks": [{"name": "stream", "sample_rate": options.speech_sample_rate, "channels": 1}],
            "voice_sample_rate": options.voice_sample_rate,
            "subscribe": options.avatar_name,
        }
    )
    answer: dict[str, Any] = await socket.receive_json()
    if answer["type"] != "joined":
        raise RoomError(f"the room refused the bot: {str(answer.get('error', 'no reason given'))[:200]}")
    return UUID(answer["id"]), _present(answer, options.avatar_since)


def _present(answer: Mapping[str, Any], avatar_since: float | None) -> list[Participant]:
    """Who is there when the bot has joined; the names of those who joined before the avatar can have do not count."""
    present = [_participant(entry) for entry in answer["participants"]]
    if avatar_since is None:
        return present
    limit = asyncio.get_running_loop().time() - avatar_since + TRANSIT_SECONDS
    here: Mapping[str, float] = answer.get("seconds_here", {})
    return [replace(who, claim=AvatarClaim.NONE) if here.get(who.id, 0.0) > limit else who for who in present]


def _participant(entry: Mapping[str, Any]) -> Participant:
    return Participant(str(entry["id"]), str(entry["user_name"]))
