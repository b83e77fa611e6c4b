"""Who the avatar is, and whether it is there: facts with times in, decisions out."""

from dataclasses import dataclass
from typing import Any

import pytest

from pipecat_lemonslice.rooms import (
    AvatarClaim,
    AvatarSeen,
    MessageReceived,
    Participant,
    ParticipantJoined,
    ParticipantLeft,
    RoomEvent,
    RoomLost,
)
from pipecat_lemonslice.session.presence import Absent, AvatarPresence, Change, Found
from pipecat_lemonslice.settings import default_settings, timeouts

AVATAR, TWIN, USER = Participant("1", "LemonSlice"), Participant("2", "LemonSlice"), Participant("3", "Ann")
BY_ID, PERSON = Participant("4", "Nova", AvatarClaim.ID), Participant("5", "LemonSlice", AvatarClaim.NONE)
JOIN, SEEN, LEAVE = ParticipantJoined(AVATAR), AvatarSeen(AVATAR), ParticipantLeft(AVATAR, "leftCall")
TWIN_JOINS, TWIN_LEAVES = ParticipantJoined(TWIN), ParticipantLeft(TWIN, "")
TIMEOUTS = timeouts(default_settings())


@dataclass(frozen=True)
class Timer:
    """Its deadline, or a time before; the newest picture came then, or the bot takes none."""

    pictured_at: float | None = 0.0


def said(sender: str, kind: object, **more: object) -> MessageReceived:
    return MessageReceived(sender, {"type": kind, **more})


def in_words(change: Change) -> str:
    if isinstance(change, Absent):
        assert change.reason
    return f"found {change.participant.id}" if isinstance(change, Found) else type(change).__name__.lower()


SHOWN: list[Any] = [(0, JOIN, "found 1"), (0, SEEN, "visible")]
SCRIPTS: dict[str, list[tuple[float, RoomEvent | Timer, str]]] = {
    # what happens, and what follows; the avatar's name is LemonSlice
    "known by its name": [(1, ParticipantJoined(USER), ""), (2, JOIN, "found 1")],
    "ready when it is seen": [(0, JOIN, "found 1"), (1, AvatarSeen(USER), ""), (1, said("1", "bot_ready"), ""),
                              (2, SEEN, "visible"), (3, SEEN, "")],
    "seen before it joined": [(1, SEEN, ""), (179, Timer(), ""), (180, Timer(), "over")],
    "never joins": [(179.75, Timer(), ""), (180, Timer(), "over"), (999, Timer(), ""), (999, JOIN, "")],
    "never seen": [(10, JOIN, "found 1"), (24.75, Timer(), ""), (25, Timer(), "over")],
    "freezes": [*SHOWN, (14.75, Timer(), ""), (15, Timer(), "over"), (99, Timer(), "")],
    "goes on": [*SHOWN, (15, Timer(10.0), ""), (24.75, Timer(10.0), ""), (25, Timer(10.0), "over")],
    "no pictures for the bot": [*SHOWN, (1000, Timer(None), ""), (1001, LEAVE, "absent")],
    "does not come back": [*SHOWN, (30, LEAVE, "absent"), (31.75, Timer(), ""), (32, Timer(), "over")],
    "comes back": [*SHOWN, (1, LEAVE, "absent"), (1.5, SEEN, ""), (2, TWIN_JOINS, "found 2"),
                   (2.5, AvatarSeen(TWIN), "visible")],
    "comes back before it leaves": [*SHOWN, (1, TWIN_JOINS, ""), (2, LEAVE, "absent, found 2"), (16.75, Timer(), ""),
                                    (16.8, AvatarSeen(TWIN), "visible"), (16.9, TWIN_LEAVES, "absent")],
    "freezes beside another": [*SHOWN, (1, TWIN_JOINS, ""), (15, Timer(), "absent, found 2"), (16, LEAVE, ""),
                               (30, Timer(), "over")],
    "the other has gone": [(0, JOIN, "found 1"), (0, JOIN, ""), (0, TWIN_JOINS, ""), (1, TWIN_LEAVES, ""),
                           (2, LEAVE, "absent")],
    "strangers": [*SHOWN, (1, TWIN_JOINS, ""), (1, TWIN_LEAVES, ""), (1, ParticipantLeft(USER, ""), ""),
                  (1, said("2", "idle_timeout"), ""), (1, said("3", "daily_error", fatal=True), ""),
                  (1, said("1", "unheard_of"), ""), (1, MessageReceived("1", None), ""), (15, Timer(), "over")],
    "room lost": [*SHOWN, (1, RoomLost("gone"), "over"), (1, RoomLost("gone"), ""), (2, JOIN, ""), (2, SEEN, "")],
    "idle timeout": [*SHOWN, (1, said("1", "idle_timeout"), "over"), (1, said("1", "idle_timeout"), "")],
    "fatal error": [*SHOWN, (1, said("1", "daily_error", fatal=True), "over")],
    "trouble": [*SHOWN, (1, said("1", "daily_error"), "troubled"), (1, said("1", "daily_error"), "troubled"),
                (1, said("1", "video_generation_error"), "troubled")],
    "the id counts more than the name": [*SHOWN, (0, TWIN_JOINS, ""), (1, ParticipantJoined(BY_ID), "absent, found 4"),
                                         (2, LEAVE, ""), (3, ParticipantLeft(BY_ID, ""), "absent")],
    "a name that does not count": [(1, ParticipantJoined(PERSON), ""), (2, JOIN, "found 1"), (3, LEAVE, "absent")],
}  # fmt: skip


@pytest.mark.parametrize("name", SCRIPTS)
def test_who_the_avatar_is_and_whether_it_is_there(name: str) -> None:
    """Each line is a law: facts in their order, and what follows from each."""
    presence = AvatarPresence("LemonSlice", TIMEOUTS, 0.0)
    for now, fact, follows in SCRIPTS[name]:
        if isinstance(fact, Timer):
            assert presence.deadline is not None or not follows
            changes = presence.handle_timer(now, fact.pictured_at)
        else:
            changes = presence.handle(fact, now)
        assert ", ".join(map(in_words, changes)) == follows, (now, fact)


def test_it_goes_by_the_name_that_it_was_given() -> None:
    """With another name, LemonSlice is a stranger."""
    presence = AvatarPresence("Ann", TIMEOUTS, 0.0)
    assert presence.handle(JOIN, 1.0) == ()
    assert presence.handle(ParticipantJoined(USER), 1.0) == (Found(USER),)


@pytest.mark.parametrize(
    ("facts", "deadline"), [([], 180.0), ([JOIN], 25.0), ([JOIN, SEEN], 25.0), ([JOIN, SEEN, LEAVE], 12.0)]
)
def test_when_it_wants_to_be_asked_again(facts: list[RoomEvent], deadline: float) -> None:
    """For it to join, to be seen, between pictures, to come back."""
    presence = AvatarPresence("LemonSlice", TIMEOUTS, 0.0)
    for fact in facts:
        presence.handle(fact, 10.0)
    assert presence.deadline == deadline
