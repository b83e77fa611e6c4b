"""People and bots in a room: one WebSocket each.

A task sends what waits in the outbox, the request's own task reads. A participant that breaks the rules of
the wire is told so and shown out; one that disappears is simply gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, cast
from uuid import UUID

from aiohttp import WSMsgType, web
from loguru import logger

from pipecat_lemonslice.emulator.net import keep_fresh, reset
from pipecat_lemonslice.emulator.options import MEBIBYTE
from pipecat_lemonslice.emulator.outbox import Outbox, OutboxFull
from pipecat_lemonslice.emulator.room import Member, Room
from pipecat_lemonslice.emulator.voice import PACKET_SECONDS, Converter, mono
from pipecat_lemonslice.emulator.wire import (
    AppMessage,
    Clear,
    Join,
    Leave,
    Sound,
    WireError,
    pack_sound,
    parse_join,
    parse_sound,
    parse_text,
)

BAD_MESSAGE, BAD_TOKEN, NO_ROOM = 4000, 4003, 4004
_JOIN_SECONDS = 10.0


class _Ear:
    """The sound of one sender, at the rate that this participant wants, in packets."""

    def __init__(self, source_rate: int, rate: int):
        self.source_rate = source_rate
        self._converter = Converter(source_rate, rate)
        self._size = round(rate * PACKET_SECONDS) * 2
        self._same = source_rate == rate
        self._rest = bytearray()

    def packets(self, pcm: bytes) -> list[bytes]:
        if self._same:
            return [pcm[i : i + self._size] for i in range(0, len(pcm), self._size)]
        self._rest += self._converter.feed(pcm)
        whole = len(self._rest) - len(self._rest) % self._size
        packets = [bytes(self._rest[i : i + self._size]) for i in range(0, whole, self._size)]
        del self._rest[:whole]
        return packets


class Playout:
    """The sound that a participant sends, played at its own pace, 20 ms at a time.

    Args:
        play: Takes each piece when it is its turn.
        report: Told after each how many samples have been played so far.
    """

    def __init__(self, play: Callable[[Sound], None], report: Callable[[int], None]):
        self._play = play
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._rate, self._channels = 0, 1
        self._pcm = bytearray()
        self._played = 0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, sound: Sound) -> None:
        """Play a sound behind those before it."""
        self._rate, self._channels = sound.sample_rate, sound.channels
        self._pcm += sound.pcm
        if self._timer is None:
            self._due = self._loop.time()
            self._next()

    def clear(self, end: int) -> None:
        """Drop what lies behind a position; the next sample is counted from there."""
        keep = max(0, end - self._played) * 2 * self._channels
        del self._pcm[keep:]
        self._played = min(self._played, end)

    def stop(self) -> None:
        """Play nothing more."""
        if self._timer:
            self._timer.cancel()
        self._pcm.clear()

    def _next(self) -> None:
        self._timer = None
        if not self._pcm:
            return
        piece = bytes(self._pcm[: round(self._rate * PACKET_SECONDS) * 2 * self._channels])
        del self._pcm[: len(piece)]
        self._play(Sound(piece, self._rate, self._channels))
        samples = len(piece) // (2 * self._channels)
        self._due += samples / self._rate
        self._timer = self._loop.call_at(self._due, self._over, samples)

    def _over(self, samples: int) -> None:
        self._played += samples
        self._report(self._played)
        self._next()


class Visitor(Member):
    """A participant at the other end of a WebSocket.

    Args:
        join: What it said when it came.
        cut: Breaks its connection.
    """

    def __init__(self, join: Join, cut: Callable[[], None]):
        super().__init__(join.user_name, join.tracks)
        self.outbox = Outbox()
        self._subscribe = join.subscribe
        self._rate = join.voice_sample_rate
        self._ears: dict[UUID, _Ear] = {}
        self.cut = cut

    def watches(self, other: Member) -> bool:
        """Whether it subscribes to another by name."""
        return other.user_name == self._subscribe

    def on_join(self, other: Member) -> None:
        """Tell it who came."""
        self.text({"type": "participant_joined", "participant": _card(other)})

    def on_leave(self, other: Member, reason: str) -> None:
        """Tell it who went."""
        self._ears.pop(other.id, None)
        self.text({"type": "participant_left", "participant": _card(other), "reason": reason})

    def on_message(self, sender: Member, message: Mapping[str, Any]) -> None:
        """Pass an app message on."""
        self.text({"type": "app_message", "sender": str(sender.id), "message": message})

    def on_sound(self, sender: Member, sound: Sound) -> None:
        """Pass the sound on, if it subscribes to the sender."""
        if not self.watches(sender):
            return
        ear = self._ears.get(sender.id)
        if ear is None or ear.source_rate != sound.sample_rate:
            ear = self._ears[sender.id] = _Ear(sound.sample_rate, self._rate)
        for packet in ear.packets(mono(sound.pcm, sound.channels)):
            self.outbox.sound(sender.id, pack_sound(sender.id, packet, self._rate))

    def on_picture(self, sender: Member, picture: bytearray) -> None:
        """Pass the picture on, if it subscribes to the sender."""
        if self.watches(sender):
            self.outbox.picture(sender.id, picture)

    def on_hush(self, sender: Member) -> None:
        """Forget what waits of the sender's sound."""
        self._ears.pop(sender.id, None)
        self.outbox.hush(sender.id)

    def text(self, message: Mapping[str, Any]) -> None:
        """Queue a text; a participant that takes none is cut off."""
        try:
            self.outbox.text(json.dumps(message))
        except OutboxFull:
            self.cut()


def _card(member: Member) -> dict[str, str]:
    return {"id": str(member.id), "user_name": member.user_name}


class Refused(Exception):
    """A participant that is not let in.

    Args:
        code: WebSocket close code.
        reason: What it is told.
    """

    def __init__(self, code: int, reason: str):
        super().__init__(reason)
        self.code = code
        self.reason = reason


Admit = Callable[[Join], Room]
"""Finds the room for somebody who joins, or raises `Refused`."""


async def serve(request: web.Request, admit: Admit, open_sockets: set[web.WebSocketResponse]) -> web.WebSocketResponse:
    """One participant, from the upgrade request to its last message.

    Args:
        request: The upgrade request.
        admit: Finds the room.
        open_sockets: Where its socket is kept while it is open, to be closed when the emulator ends.
    """
    ws = web.WebSocketResponse(timeout=1.0, heartbeat=20.0, compress=False, max_msg_size=MEBIBYTE)
    await ws.prepare(request)
    transport = request.transport
    if transport is None:
        return ws
    keep_fresh(transport)
    open_sockets.add(ws)
    try:
        join = await _first_message(ws)
        room = admit(join)
        await _stay(ws, room, Visitor(join, lambda: reset(transport)))
    except Refused as refused:
        logger.debug(f"Emulator: a participant was refused: {refused.reason}")
        await _show_out(ws, refused.code, refused.reason)
    except WireError as error:
        await _show_out(ws, BAD_MESSAGE, str(error))
    finally:
        open_sockets.discard(ws)
    return ws


async def _first_message(ws: web.WebSocketResponse) -> Join:
    try:
        return parse_join(await ws.receive_str(timeout=_JOIN_SECONDS))
    except (TypeError, TimeoutError) as error:
        raise WireError("the first message must be a join") from error


async def _show_out(ws: web.WebSocketResponse, code: int, reason: str) -> None:
    with contextlib.suppress(ConnectionError):
        await ws.send_str(json.dumps({"type": "error", "error": reason}))
    await ws.close(code=code, message=reason.encode()[:120])


async def _stay(ws: web.WebSocketResponse, room: Room, visitor: Visitor) -> None:
    others = [_card(other) for other in room.participants]
    seconds = {str(other.id): round(time.monotonic() - other.entered_at, 3) for other in room.participants}
    visitor.text({"type": "joined", "id": str(visitor.id), "participants": others, "seconds_here": seconds})
    room.enter(visitor)
    sending = asyncio.create_task(_send(ws, visitor.outbox))
    try:
        await _read(ws, room, visitor)
    finally:
        room.leave(visitor)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    await ws.close()


async def _send(ws: web.WebSocketResponse, outbox: Outbox) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            match await outbox.get():
                case str() as text:
                    await ws.send_str(text)
                case data:
                    await ws.send_bytes(cast("bytes", data))


async def _read(ws: web.WebSocketResponse, room: Room, visitor: Visitor) -> None:
    playout = Playout(
        lambda sound: room.play(visitor, sound),
        lambda samples: visitor.text({"type": "played", "samples": samples}),
    )
    try:
        async for message in ws:
            match message.type:
                case WSMsgType.BINARY:
                    playout.feed(parse_sound(message.data, visitor.id))
                case WSMsgType.TEXT:
                    match parse_text(message.data):
                        case Leave():
                            return
                        case Clear(end):
                            playout.clear(end)
                        case AppMessage(content, recipient):
                            room.say(visitor, content, recipient)
                case _:
                    return
    finally:
        playout.stop()
