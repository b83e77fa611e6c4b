"""Who the avatar is, and whether it is there: facts with times in, decisions out."""

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
from pipecat_lemonslice.session.presence import (
    Absent,
    AvatarPresence,
    Change,
    Found,
    Over,
    PresenceTimeouts,
    Troubled,
    Visible,
)

AVATAR, TWIN, USER = Participant("1", "LemonSlice"), Participant("2", "LemonSlice"), Participant("3", "Ann")
SEEN = AvatarSeen(AVATAR)
TIMEOUTS = PresenceTimeouts(join=180.0, first_picture=15.0, picture=15.0, rejoin=2.0)


def after(*events: RoomEvent, now: float = 0.0) -> AvatarPresence:
    presence = AvatarPresence("LemonSlice", TIMEOUTS, 0.0)
    for event in events:
        presence.handle(event, now)
    return presence


def shown() -> AvatarPresence:
    return after(ParticipantJoined(AVATAR), SEEN)


def test_the_avatar_is_known_by_its_name_when_it_joins() -> None:
    """Others who join are nobody."""
    presence = after()
    assert presence.handle(ParticipantJoined(USER), 1.0) == ()
    assert presence.handle(ParticipantJoined(AVATAR), 2.0) == (Found(AVATAR),)


def test_it_goes_by_the_name_that_it_was_given() -> None:
    """With another name, LemonSlice is a stranger."""
    presence = AvatarPresence("Ann", TIMEOUTS, 0.0)
    assert presence.handle(ParticipantJoined(AVATAR), 1.0) == ()
    assert presence.handle(ParticipantJoined(USER), 1.0) == (Found(USER),)


def test_it_is_ready_with_its_first_picture_and_not_before() -> None:
    """Joining and bot_ready prove nothing; others who are seen do not count."""
    presence = after(ParticipantJoined(AVATAR))
    assert presence.handle(AvatarSeen(USER), 1.0) == ()
    assert presence.handle(MessageReceived("1", {"type": "bot_ready"}), 1.0) == ()
    assert presence.handle(SEEN, 2.0) == (Visible(),)
    assert presence.handle(SEEN, 3.0) == ()


def test_pictures_before_it_joined_are_nobodys() -> None:
    """They make nobody ready."""
    presence = after()
    assert presence.handle(SEEN, 1.0) == ()
    assert presence.deadline == 180.0


def test_where_the_bot_takes_no_pictures_it_is_never_frozen() -> None:
    """It is ready once the others see it, and its pictures are not waited for."""
    presence = shown()
    assert presence.handle_timer(1000.0, None) == ()
    assert [type(one) for one in presence.handle(ParticipantLeft(AVATAR, ""), 1001.0)] == [Absent]


@pytest.mark.parametrize(
    ("presence", "deadline"),
    [
        (after(), 180.0),
        (after(ParticipantJoined(AVATAR), now=10.0), 25.0),
        (after(ParticipantJoined(AVATAR), SEEN, now=20.0), 35.0),
        (after(ParticipantJoined(AVATAR), SEEN, ParticipantLeft(AVATAR, ""), now=30.0), 32.0),
    ],
    ids=["to join", "to be seen", "between pictures", "to come back"],
)
def test_patience_ends(presence: AvatarPresence, deadline: float) -> None:
    """At its deadline, not before, and only once."""
    assert presence.deadline == deadline
    assert presence.handle_timer(deadline - 0.25, 0.0) == ()
    assert [type(one) for one in presence.handle_timer(deadline, 0.0)] == [Over]
    assert presence.deadline is None
    assert presence.handle_timer(deadline + 1000.0, 0.0) == ()


def test_each_picture_renews_the_patience() -> None:
    """Frozen for fifteen seconds is gone."""
    presence = shown()
    assert presence.handle_timer(15.0, 10.0) == ()
    assert presence.deadline == 25.0
    assert [type(one) for one in presence.handle_timer(25.0, 10.0)] == [Over]


def test_it_may_come_back_with_another_id() -> None:
    """Then it must be seen again before it is ready."""
    presence = shown()
    (gone,) = presence.handle(ParticipantLeft(AVATAR, "leftCall"), 1.0)
    assert isinstance(gone, Absent)
    assert "leftCall" in gone.reason
    assert presence.handle(SEEN, 1.5) == ()
    assert presence.handle(ParticipantJoined(TWIN), 2.0) == (Found(TWIN),)
    assert presence.handle(AvatarSeen(TWIN), 2.5) == (Visible(),)


def test_one_that_came_back_before_it_left_takes_its_place_at_once() -> None:
    """Until then it is nobody; from then on it must be seen, and counts."""
    presence = shown()
    assert presence.handle(ParticipantJoined(TWIN), 1.0) == ()
    gone, found = presence.handle(ParticipantLeft(AVATAR, "leftCall"), 2.0)
    assert found == Found(TWIN)
    assert isinstance(gone, Absent)
    assert "leftCall" in gone.reason
    assert presence.deadline == 17.0
    assert presence.handle(AvatarSeen(TWIN), 2.5) == (Visible(),)
    assert [type(one) for one in presence.handle(ParticipantLeft(TWIN, ""), 3.0)] == [Absent]


def test_one_that_freezes_is_replaced_by_one_of_its_name() -> None:
    """Which has as long to be seen; what becomes of the frozen one is of no concern."""
    presence = shown()
    presence.handle(ParticipantJoined(TWIN), 1.0)
    assert [type(one) for one in presence.handle_timer(15.0, 0.0)] == [Absent, Found]
    assert presence.handle(ParticipantLeft(AVATAR, ""), 16.0) == ()
    assert [type(one) for one in presence.handle_timer(30.0, 0.0)] == [Over]


def test_who_has_gone_takes_nobodys_place() -> None:
    """Also where the same join is told twice."""
    presence = after(ParticipantJoined(AVATAR), ParticipantJoined(AVATAR), ParticipantJoined(TWIN))
    presence.handle(ParticipantLeft(TWIN, ""), 1.0)
    assert [type(one) for one in presence.handle(ParticipantLeft(AVATAR, ""), 2.0)] == [Absent]


STRANGE: list[RoomEvent] = [
    ParticipantJoined(TWIN),
    ParticipantLeft(TWIN, "leftCall"),
    ParticipantLeft(USER, "leftCall"),
    MessageReceived("2", {"type": "idle_timeout"}),
    MessageReceived("3", {"type": "daily_error", "fatal": True}),
    MessageReceived("1", {"type": "unheard_of"}),
    MessageReceived("1", None),
]


@pytest.mark.parametrize("event", STRANGE)
def test_strangers_and_unknown_messages_change_nothing(event: RoomEvent) -> None:
    """Also those who chose the avatar's name."""
    presence = shown()
    assert presence.handle(event, 1.0) == ()
    assert presence.deadline == 15.0


ENDS: list[tuple[RoomEvent, type[Change]]] = [
    (RoomLost("gone"), Over),
    (MessageReceived("1", {"type": "idle_timeout"}), Over),
    (MessageReceived("1", {"type": "daily_error", "fatal": True}), Over),
    (MessageReceived("1", {"type": "daily_error"}), Troubled),
    (MessageReceived("1", {"type": "video_generation_error"}), Troubled),
]


@pytest.mark.parametrize(("event", "change"), ENDS)
def test_what_ends_it_and_what_is_mere_trouble(event: RoomEvent, change: type[Change]) -> None:
    """A lost room, the idle timeout and fatal errors end it; the rest does not."""
    presence = shown()
    assert [type(one) for one in presence.handle(event, 1.0)] == [change]
    assert (presence.handle(event, 1.0) == ()) == (change is Over)


def test_nothing_comes_after_the_end() -> None:
    """Nobody is taken for the avatar once it is over."""
    presence = after(RoomLost("gone"))
    assert presence.handle(ParticipantJoined(AVATAR), 1.0) == ()
    assert presence.handle(SEEN, 1.0) == ()


def test_who_carries_its_id_takes_the_place_of_who_has_its_name() -> None:
    """Whatever it is called; who was there by name is nobody then, and no successor either."""
    avatar = Participant("9", "Nova", AvatarClaim.ID)
    presence = after(ParticipantJoined(AVATAR), SEEN, ParticipantJoined(TWIN))
    gone, found = presence.handle(ParticipantJoined(avatar), 1.0)
    assert isinstance(gone, Absent)
    assert found == Found(avatar)
    assert presence.handle(ParticipantLeft(AVATAR, ""), 2.0) == ()
    assert [type(one) for one in presence.handle(ParticipantLeft(avatar, ""), 3.0)] == [Absent]


def test_a_name_that_does_not_count_makes_nobody_the_avatar() -> None:
    """Nor its successor."""
    person = Participant("9", "LemonSlice", AvatarClaim.NONE)
    assert after().handle(ParticipantJoined(person), 1.0) == ()
    presence = after(ParticipantJoined(AVATAR), ParticipantJoined(person))
    assert [type(one) for one in presence.handle(ParticipantLeft(AVATAR, ""), 1.0)] == [Absent]
