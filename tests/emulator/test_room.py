from collections.abc import Mapping
from typing import Any

from pipecat_lemonslice.emulator.room import Member, Room
from pipecat_lemonslice.emulator.wire import Sound


class Diarist(Member):
    """Writes down what the room tells it."""

    def __init__(self, name: str, watching: str | None = None) -> None:
        super().__init__(name)
        self.watching = watching
        self.diary: list[tuple[Any, ...]] = []

    def watches(self, other: Member) -> bool:
        return other.user_name == self.watching

    def on_join(self, other: Member) -> None:
        self.diary.append(("join", other.user_name))

    def on_leave(self, other: Member, reason: str) -> None:
        self.diary.append(("leave", other.user_name, reason))

    def on_message(self, sender: Member, message: Mapping[str, Any]) -> None:
        self.diary.append(("message", sender.user_name, message))

    def on_sound(self, sender: Member, sound: Sound) -> None:
        self.diary.append(("sound", sender.user_name, sound.pcm))

    def on_picture(self, sender: Member, picture: bytearray) -> None:
        self.diary.append(("picture", sender.user_name, bytes(picture)))


def test_comings_and_goings_are_told_to_the_others():
    """Nobody is told of itself, and a second leaving is none."""
    room, ann, bob = Room("r"), Diarist("Ann"), Diarist("Bob")
    room.enter(ann)
    room.enter(bob)
    room.leave(ann, "leftCall")
    room.leave(ann, "again")
    assert ann.diary == [("join", "Bob")]
    assert bob.diary == [("leave", "Ann", "leftCall")]
    assert room.participants == [bob]


def test_messages_go_to_all_others_or_to_one():
    """The sender never hears itself; a recipient's id narrows it down."""
    room, ann, bob, eve = Room("r"), Diarist("Ann"), Diarist("Bob"), Diarist("Eve")
    for member in (ann, bob, eve):
        room.enter(member)
    room.say(ann, {"n": 1})
    room.say(ann, {"n": 2}, recipient=str(eve.id))
    assert ann.diary == [("join", "Bob"), ("join", "Eve")]
    assert [entry for entry in bob.diary if entry[0] == "message"] == [("message", "Ann", {"n": 1})]
    assert [entry[2] for entry in eve.diary if entry[0] == "message"] == [{"n": 1}, {"n": 2}]


def test_sound_and_pictures_reach_the_others():
    """The room passes both on as they are."""
    room, ann, bob = Room("r"), Diarist("Ann"), Diarist("Bob")
    room.enter(ann)
    room.enter(bob)
    room.play(bob, Sound(b"\x01\x00", 24000))
    room.show(bob, bytearray(b"rgb"))
    assert ann.diary[1:] == [("sound", "Bob", b"\x01\x00"), ("picture", "Bob", b"rgb")]
    assert bob.diary == []


def test_watched_is_who_somebody_else_watches():
    """Pictures need only be made for somebody who is looked at."""
    room, avatar, ann = Room("r"), Diarist("LemonSlice", watching="LemonSlice"), Diarist("Ann", watching="LemonSlice")
    room.enter(avatar)
    assert not room.watched(avatar)
    room.enter(ann)
    assert room.watched(avatar)
    assert not room.watched(ann)


def test_tokens_open_the_door():
    """A room without tokens takes anybody, one with tokens only those who have one."""
    assert Room("r").admits(None)
    closed = Room("r", frozenset({"one", "two"}))
    assert closed.admits("two")
    assert not closed.admits("three")
    assert not closed.admits(None)
