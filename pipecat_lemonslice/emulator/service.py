"""The sessions and rooms of one emulator, and what is done to them; knows nothing of HTTP."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from pipecat_lemonslice.emulator import bodies
from pipecat_lemonslice.emulator.armed import Armed
from pipecat_lemonslice.emulator.bodies import BadRequest, CreateOrder
from pipecat_lemonslice.emulator.options import EmulatorOptions
from pipecat_lemonslice.emulator.pictures import PictureError, base64_bytes
from pipecat_lemonslice.emulator.room import MOST_PARTICIPANTS, Room
from pipecat_lemonslice.emulator.session import CreateRequest, Session
from pipecat_lemonslice.emulator.visitor import BAD_TOKEN, NO_ROOM, Refused
from pipecat_lemonslice.emulator.wire import Join

MOST_SESSIONS = 200
"""Sessions remembered; of more, the oldest that are over are forgotten, each with the room made for it."""


class NotFound(Exception):
    """What the request names does not exist; its text is the detail."""


class Busy(Exception):
    """Too much is under way already; its text is the detail."""


class Service:
    """Sessions and rooms.

    Args:
        options: The emulator's options.
        armed: What is to go wrong.
    """

    def __init__(self, options: EmulatorOptions, armed: Armed):
        self._options = options
        self._armed = armed
        self._news = asyncio.Condition()
        self._numbered: dict[int, Session] = {}
        self.rooms: dict[str, Room] = {}
        self._own_rooms: set[str] = set()
        self.created = 0
        self.terminated = 0

    @property
    def sessions(self) -> list[Session]:
        """The sessions remembered, oldest first."""
        return list(self._numbered.values())

    def open_room(self, name: str | None = None, tokens: frozenset[str] = frozenset()) -> Room:
        """A new room; without a name it gets one that cannot be guessed."""
        room = Room(name or secrets.token_hex(12), tokens)
        self.rooms[room.name] = room
        return room

    def admit(self, name: str, join: Join) -> Room:
        """The room for somebody who wants to come in.

        Raises:
            Refused: There is no such room, or the token is wrong, or it is full, or nobody is let in.
        """
        if (reason := self._armed.refusal()) is not None:
            raise Refused(BAD_TOKEN, reason)
        room = self.rooms.get(name)
        if room is None:
            raise Refused(NO_ROOM, "no such room")
        if not room.admits(join.token):
            raise Refused(BAD_TOKEN, "the token does not open this room")
        if len(room.participants) >= MOST_PARTICIPANTS:
            raise Refused(BAD_TOKEN, "the room is full")
        return room

    async def create(self, request: CreateRequest, order: CreateOrder, image: bytes | None) -> Session:
        """A new session.

        Raises:
            BadRequest: The room that it names is none of this emulator's.
            NotFound: There is no such agent.
            Busy: Too many sessions run.
        """
        if order.agent_id and self._options.agents and order.agent_id not in self._options.agents:
            raise NotFound(f"agent {order.agent_id} not found")
        if sum(not session.ended for session in self.sessions) >= self._options.max_sessions:
            raise Busy("too many sessions are running")
        room = self._room_for(order)
        session = Session(str(uuid4()), request, order, image, room, self._options, self._armed.for_session())
        self.created += 1
        self._numbered[self.created] = session
        self._forget()
        async with self._news:
            self._news.notify_all()
        return session

    def find(self, session_id: str) -> Session:
        """The session with this id.

        Raises:
            NotFound: There is none.
        """
        for session in self.sessions:
            if session.id == session_id:
                return session
        raise NotFound(f"session {session_id} not found"[:100])

    async def control(self, session: Session, body: Mapping[str, Any]) -> None:
        """Carry out a control request.

        Raises:
            BadRequest: The body is wrong.
            NotFound: The session is over.
            Busy: Too much of it is under way already.
        """
        order = bodies.control_order(body)
        if session.ended:
            raise NotFound(f"session {session.id} has ended")
        match order:
            case bodies.Terminate():
                self.terminated += 1
                await session.terminate()
            case bodies.ResetIdleTimeout():
                session.reset_idle_timeout()
            case bodies.UpdateImage(url, base64):
                if not session.avatar.change_image(url or _picture_bytes(base64 or "")):
                    raise Busy("too many pictures are on their way")
            case bodies.UpdatePrompt(text):
                session.avatar.prompt(text)
            case bodies.UpdateIdlePrompt(text):
                session.avatar.idle_prompt(text)
            case bodies.TriggerPose(name):
                session.avatar.pose(name)
        session.obeyed(body)

    async def wait_for_session(self, n: int, timeout: float) -> Session:
        """The n-th session ever created, waiting for it.

        Raises:
            TimeoutError: It was not created within `timeout` seconds.
            LookupError: It was created and is forgotten.
        """
        async with asyncio.timeout(timeout), self._news:
            await self._news.wait_for(lambda: self.created >= n)
        if n not in self._numbered:
            raise LookupError(f"session {n} is forgotten")
        return self._numbered[n]

    async def close(self) -> None:
        """Stop all sessions."""
        await asyncio.gather(*(session.close() for session in self.sessions))

    def _room_for(self, order: CreateOrder) -> Room:
        if order.room_url is None:
            known = self._options.room_tokens
            room = self.open_room(tokens=known | {order.token} if order.token and known else frozenset())
            self._own_rooms.add(room.name)
            return room
        url = urlsplit(order.room_url)
        room = self.rooms.get(url.path.removeprefix("/rooms/"))
        if url.scheme not in ("ws", "wss") or room is None:
            raise BadRequest("properties.daily_url: not a room of this emulator")
        return room

    def _forget(self) -> None:
        over = [number for number, session in self._numbered.items() if session.ended]
        for number in over[: max(0, len(self._numbered) - MOST_SESSIONS)]:
            session = self._numbered.pop(number)
            if session.room.name in self._own_rooms:
                self._own_rooms.discard(session.room.name)
                self.rooms.pop(session.room.name, None)


def _picture_bytes(text: str) -> bytes:
    try:
        return base64_bytes(text)
    except PictureError as error:
        raise BadRequest(f"image_base64: {error}") from error
