"""The stand-in's Daily: rooms in one process, and who is in them. All of it runs on the native thread."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from tests.fidelity.native import SLICE, Source, World

MEDIA = ("camera", "microphone", "screenVideo", "screenAudio")


@dataclass(frozen=True)
class Slice:
    """10 ms of a track, as it was heard.

    Attributes:
        at: Monotonic time.
        pcm: The samples.
        written: Whether somebody wrote them, or it is the silence in between.
        who: User name of whom they came from.
    """

    at: float
    pcm: bytes
    written: bool
    who: str


class Member:
    """Somebody in a room: a `CallClient`, or a person made up by a test. What happens there does nothing by itself."""

    def __init__(self, name: str) -> None:
        self.id = str(uuid4())
        self.name = name
        self.user_id = self.id
        self.joined_at = 0.0
        self.tracks: dict[str, Source] = {}
        self.camera = False

    def joined(self, other: "Member") -> None: ...
    def left(self, other: "Member", reason: str) -> None: ...
    def updated(self, other: "Member") -> None: ...
    def message(self, message: Any, sender: str) -> None: ...
    def picture(self, other: "Member", frame: Any) -> None: ...
    def hear(self, other: "Member", track: str, piece: Slice) -> None: ...

    def entry(self, subscribed: Mapping[str, bool], *, local: bool = False) -> dict[str, Any]:
        """The participant, as daily-python describes one to somebody who has subscribed to so much of it."""

        def track(name: str, on: bool) -> dict[str, Any]:
            taken = subscribed.get(name, False)
            state = "off" if not on else "playable" if taken else "sendable"
            return {"state": state, "subscribed": "subscribed" if taken else "unsubscribed"}

        info = {"userName": self.name, "userId": self.user_id, "isLocal": local, "joinedAt": int(self.joined_at)}
        on = {**dict.fromkeys(MEDIA, False), "camera": self.camera, "microphone": "microphone" in self.tracks}
        return {"id": self.id, "info": info, "media": {name: track(name, on[name]) for name in MEDIA}}


@dataclass(eq=False)
class DailyRoomState:
    """One room.

    Attributes:
        tokens: Who has one of these gets in; empty for an open room.
        refusal: Error of every join, if any.
        latency: Seconds that a join takes.
        message_refusals: Errors of the next app messages, the last first.
    """

    tokens: frozenset[str] = frozenset()
    refusal: str | None = None
    latency: float = 0.005
    message_refusals: list[str] = field(default_factory=list)
    members: dict[str, Member] = field(default_factory=dict)

    def refuses(self, token: str | None) -> str | None:
        unauthorized = self.tokens and token not in self.tokens
        return self.refusal or ("Connection(Api(RoomLookup(RoomInfoError(Unauthorized))))" if unauthorized else None)

    def add(self, member: Member) -> None:
        member.joined_at = member.joined_at or time.time()
        self.members[member.id] = member
        for other in self.others(member):
            other.joined(member)
            member.joined(other)
        for track, source in list(member.tracks.items()):
            self.publish(member, track, source)

    def remove(self, member: Member, reason: str = "leftCall") -> None:
        if self.members.pop(member.id, None):
            for other in self.others(member):
                other.left(member, reason)

    def publish(self, member: Member, track: str, source: Source) -> None:
        member.tracks[track] = source
        source.heard = partial(self._hear, member, track)
        self.update(member)

    def update(self, member: Member) -> None:
        for other in self.others(member):
            other.updated(member)

    def send(self, member: Member, message: Any, recipient: str | None) -> None:
        for other in self.others(member):
            if recipient in (None, "*", other.id):
                other.message(message, member.id)

    def show(self, member: Member, frame: Any) -> None:
        for other in self.others(member):
            other.picture(member, frame)

    def _hear(self, member: Member, track: str, at: float, pcm: bytes, written: bool) -> None:
        for other in self.others(member) if member.id in self.members else ():
            other.hear(member, track, Slice(at, pcm, written, member.name))

    def others(self, member: Member) -> list[Member]:
        return [other for other in self.members.values() if other is not member]


def room(world: World, url: str) -> DailyRoomState:
    return world.rooms.setdefault(url, DailyRoomState())


class Person(Member):
    """Somebody made up by a test. Joins by itself, hears the tracks it asks for, and keeps all messages."""

    def __init__(self, world: World, url: str, name: str, *, hears: tuple[str, ...] = ()) -> None:
        super().__init__(name)
        self.world = world
        self.room = room(world, url)
        self.messages: list[Any] = []
        self.heard: list[Slice] = []
        self.present: list[str] = []
        self._hears = hears

    # What a test asks for.

    def join(self, *, camera: bool = False, after: float = 0.0) -> None:
        self.camera = camera
        self.tracks["microphone"] = Source(24000)
        self.world.sources.append(self.tracks["microphone"])
        self.world.later(lambda: self.room.add(self), after)

    def leave(self) -> None:
        self.world.later(lambda: self.room.remove(self))

    def show(self, rgb: bytes = bytes(2 * 3 * 3), width: int = 2, height: int = 3) -> None:
        frame = SimpleNamespace(buffer=rgb, width=width, height=height, color_format="RGB")
        self.world.later(lambda: self.room.show(self, frame))

    def rename(self, name: str) -> None:
        """Take another name, and turn the camera on."""
        self.name, self.camera = name, True
        self.world.later(lambda: self.room.update(self))

    def say(self, pcm: bytes) -> None:
        """Sound from the microphone, whole slices, behind what was said before."""
        self.tracks["microphone"].write(pcm)

    def send(self, message: Any) -> None:
        self.world.later(lambda: self.room.send(self, message, None))

    @property
    def speech(self) -> bytes:
        """What was written to the tracks it hears, in order, without the silence in between."""
        return b"".join(piece.pcm for piece in self.heard if piece.written)

    def heard_of(self, name: str) -> bytes:
        """The same, of one participant."""
        return b"".join(piece.pcm for piece in self.heard if piece.written and piece.who == name)

    @property
    def events(self) -> list[str]:
        return [message["event"] for message in self.messages if isinstance(message, dict) and "event" in message]

    # What happens in the room.

    def joined(self, other: Member) -> None:
        self.present.append(other.name)

    def left(self, other: Member, reason: str) -> None:
        self.present.remove(other.name)

    def message(self, message: Any, sender: str) -> None:
        self.messages.append(message)

    def hear(self, other: Member, track: str, piece: Slice) -> None:
        if track in self._hears:
            self.heard.append(piece)


class AvatarPerson(Person):
    """Joins as LemonSlice does: hears the track ``stream`` of the bot, and speaks what it hears a little later."""

    def __init__(self, world: World, url: str, *, echo_after: float) -> None:
        super().__init__(world, url, "LemonSlice", hears=("stream",))
        self._echo_after = echo_after

    def arrive(self, *, after: float = 0.0) -> None:
        """Join with a camera that can be seen, and show pictures until it leaves."""
        self.join(camera=True, after=after)
        self.world.later(self._show_on, after + 0.03)

    def _show_on(self) -> None:
        if self.id in self.room.members:
            self.show()
            self.world.later(self._show_on, 0.04)

    def hear(self, other: Member, track: str, piece: Slice) -> None:
        super().hear(other, track, piece)
        if track in self._hears and piece.written:
            microphone = self.tracks["microphone"]
            if not microphone.writes:  # what it says is buffered, so that it has no gaps of its own
                microphone.write(bytes(microphone.slice_bytes * round(self._echo_after / SLICE)), silent=True)
            microphone.write(piece.pcm)
