"""The stand-in's Daily: rooms in one process, and who is in them."""

import time
from array import array
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

from tests.fidelity.native import SLICE, AudioData, Source, VideoFrame, World, Write

SHOWN = ("sendable", "playable")


class Member(Protocol):
    """Somebody in a room: a `CallClient`, or a person made up by a test."""

    id: str
    name: str
    user_id: str
    joined_at: float
    tracks: dict[str, Source]
    camera: bool

    def joined(self, other: "Member") -> None: ...
    def left(self, other: "Member", reason: str) -> None: ...
    def updated(self, other: "Member") -> None: ...
    def message(self, message: Any, sender: str) -> None: ...
    def picture(self, other: "Member", frame: VideoFrame) -> None: ...
    def published(self, other: "Member", track: str, source: Source) -> None: ...
    def ejected(self, reason: str) -> None: ...


@dataclass(eq=False)
class DailyRoomState:
    """One room.

    Attributes:
        tokens: Who has one of these gets in; empty for an open room.
        refusal: Error of every join, if any.
        hangs: Seconds that a join takes to fail with `refusal`.
        message_refusals: Errors of the next app messages, the last first.
    """

    world: World
    url: str
    tokens: frozenset[str] = frozenset()
    refusal: str | None = None
    hangs: float = 0.0
    latency: float = 0.005
    message_refusals: list[str] = field(default_factory=list)
    members: dict[str, Member] = field(default_factory=dict)

    def refuses(self, token: str | None) -> str | None:
        if self.refusal:
            return self.refusal
        if self.tokens and token not in self.tokens:
            return "Connection(Api(RoomLookup(RoomInfoError(Unauthorized))))"
        return None

    def add(self, member: Member) -> None:
        """Runs on the native thread."""
        others = list(self.members.values())
        member.joined_at = member.joined_at or time.time()
        self.members[member.id] = member
        for other in others:
            other.joined(member)
            member.joined(other)
            for track, source in other.tracks.items():
                member.published(other, track, source)
            for track, source in member.tracks.items():
                other.published(member, track, source)

    def remove(self, member: Member, reason: str = "leftCall") -> None:
        if self.members.pop(member.id, None):
            for other in list(self.members.values()):
                other.left(member, reason)

    def publish(self, member: Member, track: str, source: Source) -> None:
        member.tracks[track] = source
        for other in self.others(member):
            other.published(member, track, source)
            other.updated(member)

    def update(self, member: Member) -> None:
        for other in self.others(member):
            other.updated(member)

    def send(self, member: Member, message: Any, recipient: str | None) -> None:
        for other in self.others(member):
            if recipient in (None, "*", other.id):
                other.message(message, member.id)

    def show(self, member: Member, frame: VideoFrame) -> None:
        for other in self.others(member):
            other.picture(member, frame)

    def others(self, member: Member) -> list[Member]:
        return [other for other in self.members.values() if other is not member]


def room(world: World, url: str) -> DailyRoomState:
    with world.lock:
        if url not in world.rooms:
            world.rooms[url] = DailyRoomState(world, url)
        return world.rooms[url]


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


class Person:
    """Somebody made up by a test. Joins by itself, hears the tracks it asks for, and keeps all messages."""

    def __init__(self, world: World, url: str, name: str, *, hears: tuple[str, ...] = ()) -> None:
        self.world = world
        self.room = room(world, url)
        self.id = str(uuid4())
        self.name = name
        self.user_id = self.id
        self.joined_at = 0.0
        self.tracks: dict[str, Source] = {}
        self.camera = False
        self.messages: list[tuple[float, str, Any]] = []
        self.heard: list[Slice] = []
        self.heard_tracks: list[tuple[str, str, Source]] = []
        self.people: list[str] = []
        self.gone: list[str] = []
        self._hears = hears

    # What a test asks for.

    def join(self, *, camera: bool = False, rate: int = 24000, after: float = 0.0) -> None:
        self.camera = camera
        self.tracks["microphone"] = Source(rate, 1, True)
        with self.world.lock:
            self.world.sources.append(self.tracks["microphone"])
        self.world.later(lambda: self.room.add(self), after)

    def leave(self, reason: str = "leftCall") -> None:
        self.world.later(lambda: self.room.remove(self, reason))
        with self.world.lock:
            self.world.sources[:] = [source for source in self.world.sources if source not in self.tracks.values()]

    def show(self, rgb: bytes = bytes(2 * 3 * 3), width: int = 2, height: int = 3) -> None:
        self.world.later(lambda: self.room.show(self, VideoFrame(rgb, width, height)))

    def turn_camera_on(self) -> None:
        self.camera = True
        self.world.later(lambda: self.room.update(self))

    def say(self, pcm: bytes) -> None:
        """Sound from the microphone, whole slices, behind what was said before."""
        self._queue(pcm)

    def _queue(self, pcm: bytes, *, silent: bool = False) -> None:
        source = self.tracks["microphone"]
        size = source.slice_bytes
        slices = deque(pcm[at : at + size] for at in range(0, len(pcm), size))
        with self.world.lock:
            source.writes.append(Write(slices, None, len(pcm) // 2, silent))

    def send(self, message: Any, recipient: str | None = None) -> None:
        self.world.later(lambda: self.room.send(self, message, recipient))

    @property
    def speech(self) -> bytes:
        """What was written to the tracks it hears, in order, without the silence in between."""
        return b"".join(piece.pcm for piece in self.heard if piece.written)

    def heard_of(self, name: str) -> bytes:
        """The same, of one participant."""
        return b"".join(piece.pcm for piece in self.heard if piece.written and piece.who == name)

    @property
    def events(self) -> list[str]:
        return [message["event"] for _, _, message in self.messages if isinstance(message, dict) and "event" in message]

    # What the room asks for.

    def joined(self, other: Member) -> None:
        self.people.append(other.name)

    def left(self, other: Member, reason: str) -> None:
        self.gone.append(other.name)
        for source in other.tracks.values():
            source.listeners.pop(self, None)

    def updated(self, other: Member) -> None:
        pass

    def message(self, message: Any, sender: str) -> None:
        self.messages.append((time.monotonic(), sender, message))

    def picture(self, other: Member, frame: VideoFrame) -> None:
        pass

    def published(self, other: Member, track: str, source: Source) -> None:
        if track in self._hears:
            self.heard_tracks.append((other.name, track, source))
            source.listeners[self] = lambda at, pcm, written: self.hear(Slice(at, pcm, written, other.name))

    def ejected(self, reason: str) -> None:
        self.leave(reason)

    def hear(self, piece: Slice) -> None:
        self.heard.append(piece)


class AvatarPerson(Person):
    """Joins as LemonSlice does: hears the track ``stream`` of the bot, and speaks what it hears a little later."""

    def __init__(self, world: World, url: str, name: str = "LemonSlice", *, echo_after: float | None = None) -> None:
        super().__init__(world, url, name, hears=("stream",))
        self._echo_after = echo_after

    def arrive(self, *, after: float = 0.0) -> None:
        """Join with a camera that can be seen, and show pictures until it leaves."""
        self.join(camera=True, after=after)
        self.world.later(self._show_on, after + 0.03)

    def _show_on(self) -> None:
        if self.id in self.room.members:
            self.show()
            self.world.later(self._show_on, 0.04)

    def hear(self, piece: Slice) -> None:
        super().hear(piece)
        if self._echo_after is None or not piece.written:
            return
        microphone = self.tracks["microphone"]
        if not microphone.writes:  # what it says is buffered, so that it has no gaps of its own
            self._queue(bytes(microphone.slice_bytes * round(self._echo_after / SLICE)), silent=True)
        self._queue(piece.pcm)


def entry(member: Member, *, local: bool = False, subscribed: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A participant, as daily-python describes one."""
    subscribed = subscribed or {}

    def track(name: str, on: bool) -> dict[str, Any]:
        state = "off" if not on else "playable" if subscribed.get(name) == "subscribed" else "sendable"
        return {
            "state": state,
            "subscribed": subscribed.get(name, "unsubscribed"),
            "offReasons": [] if on else ["user"],
        }

    custom = {name: track(name, True) for name in member.tracks if name != "microphone"}
    return {
        "id": member.id,
        "info": {
            "userName": member.name,
            "userId": member.user_id,
            "isLocal": local,
            "isOwner": False,
            "joinedAt": int(member.joined_at),
        },
        "media": {
            "camera": track("camera", member.camera),
            "microphone": track("microphone", "microphone" in member.tracks),
            "screenVideo": track("screenVideo", False),
            "screenAudio": track("screenAudio", False),
            "customAudio": custom,
            "customVideo": {},
        },
    }


def resample(pcm: bytes, source_rate: int, rate: int) -> bytes:
    """10 ms at another rate, by the nearest sample: enough to count and to tell apart."""
    if source_rate == rate:
        return pcm
    samples = array("h", pcm)
    count = rate // 100
    return array("h", [samples[index * len(samples) // count] for index in range(count)]).tobytes()


@dataclass(eq=False)
class Renderer:
    """Collects slices into pieces of an interval, and hands them over."""

    callback: Callable[[str, AudioData, str], None]
    source_name: str
    rate: int
    slices: int
    buffer: bytearray = field(default_factory=bytearray)
    count: int = 0

    def feed(self, participant_id: str, pcm: bytes, source_rate: int) -> None:
        self.buffer += resample(pcm, source_rate, self.rate)
        self.count += 1
        if self.count >= self.slices:
            data, self.count = AudioData(bytes(self.buffer), self.rate), 0
            self.buffer.clear()
            self.callback(participant_id, data, self.source_name)
