"""A room: who is in it, and what each of them gets to see and hear of the others.

Knows nothing of sockets and faces: participants are `Member`s, people's are in `visitor`, the avatar's in
`avatar`. Everything here happens at once, without waiting.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

from pipecat_lemonslice.emulator.wire import Sound

MOST_PARTICIPANTS = 100
"""Participants in one room, from which on nobody but avatars is let in."""


class Member:
    """A participant, as the room tells it what happens. By default it takes no notice.

    Parameters:
        id: Its participant id.
        user_name: Its name.
        tracks: Sample rate of each audio track it publishes, by name.
        entered_at: When it came, on the monotonic clock.
    """

    def __init__(self, user_name: str, tracks: Mapping[str, int] | None = None):
        self.id: UUID = uuid4()
        self.user_name = user_name
        self.tracks: Mapping[str, int] = tracks or {}
        self.entered_at = 0.0

    def watches(self, other: Member) -> bool:
        """Whether it wants pictures and sound of another."""
        return False

    def on_join(self, other: Member) -> None:
        """Somebody came."""

    def on_leave(self, other: Member, reason: str) -> None:
        """Somebody went."""

    def on_message(self, sender: Member, message: Mapping[str, Any]) -> None:
        """Somebody sent an app message."""

    def on_sound(self, sender: Member, sound: Sound) -> None:
        """Somebody made a sound."""

    def on_picture(self, sender: Member, picture: bytearray) -> None:
        """Somebody showed a picture, header included."""

    def on_hush(self, sender: Member) -> None:
        """What somebody said and has not been delivered is taken back."""

    def cut(self) -> None:
        """Its connection, if it has one, breaks."""


class Room:
    """One room.

    Args:
        name: Last part of its URL.
        tokens: Tokens that let people in; empty: anybody comes in.
    """

    def __init__(self, name: str, tokens: frozenset[str] = frozenset()):
        self.name = name
        self.tokens = tokens
        self._members: dict[UUID, Member] = {}

    @property
    def participants(self) -> list[Member]:
        """Who is in the room, in the order in which they came."""
        return list(self._members.values())

    def admits(self, token: str | None) -> bool:
        """Whether a token opens the door."""
        given = (token or "").encode()
        return not self.tokens or any(hmac.compare_digest(given, known.encode()) for known in self.tokens)

    def enter(self, member: Member) -> None:
        """Somebody comes in; the others are told."""
        for other in self._others(member):
            other.on_join(member)
        member.entered_at = time.monotonic()
        self._members[member.id] = member

    def leave(self, member: Member, reason: str = "leftCall") -> None:
        """Somebody goes; the others are told. Who is not in the room cannot leave it."""
        if self._members.pop(member.id, None) is not None:
            for other in self._others(member):
                other.on_leave(member, reason)

    def say(self, sender: Member, message: Mapping[str, Any], recipient: str | None = None) -> None:
        """An app message to everybody else, or to the participant with this id."""
        for other in self._others(sender):
            if recipient in (None, str(other.id)):
                other.on_message(sender, message)

    def play(self, sender: Member, sound: Sound) -> None:
        """A piece of sound."""
        for other in self._others(sender):
            other.on_sound(sender, sound)

    def show(self, sender: Member, picture: bytearray) -> None:
        """A picture, header included."""
        for other in self._others(sender):
            other.on_picture(sender, picture)

    def hush(self, sender: Member) -> None:
        """Take back what has not been delivered of somebody's sound."""
        for other in self._others(sender):
            other.on_hush(sender)

    def watched(self, sender: Member) -> bool:
        """Whether anybody wants pictures of somebody."""
        return any(other.watches(sender) for other in self._others(sender))

    def drop_connections(self) -> None:
        """Break every connection to the room, as a network does."""
        for member in self.participants:
            member.cut()

    def _others(self, member: Member) -> list[Member]:
        return [other for other in self._members.values() if other is not member]
