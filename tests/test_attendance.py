"""Who the avatar is, and whether it is there: facts with times in, decisions out."""

import pytest

from pipecat_lemonslice.attendance import (
    MAX_TWINS,
    Attendance,
    AttendanceTimeouts,
    AvatarGone,
    AvatarJoined,
    AvatarOver,
    AvatarReady,
    AvatarReplaced,
    AvatarTroubled,
    Change,
)
from pipecat_lemonslice.rooms import (
    AvatarClaim,
    AvatarSeen,
    MessageReceived,
    Participant,
    ParticipantJoined,
    ParticipantLeft,
    PictureReceived,
    RoomEvent,
    RoomLost,
    VoiceReceived,
)

AVATAR, TWIN, USER = Participant("1", "LemonSlice"), Participant("2", "LemonSlice"), Participant("3", "Ann")
PICTURE, VOICE = PictureReceived(bytes(12), 2, 2), VoiceReceived(bytes(960), 24000)
TIMEOUTS = AttendanceTimeouts(join=180.0, first_picture=15.0, picture=15.0, rejoin=2.0)


def after(*events: RoomEvent, now: float = 0.0) -> Attendance:
    attendance = Attendance("LemonSlice", TIMEOUTS, 0.0)
    for event in events:
        attendance.handle(event, now)
    return attendance


def shown() -> Attendance:
    return after(ParticipantJoined(AVATAR), PICTURE)


def test_the_avatar_is_known_by_its_name_when_it_joins() -> None:
    """Others who join are nobody."""
    attendance = after()
    assert attendance.handle(ParticipantJoined(USER), 1.0) is None
    assert attendance.avatar is None
    assert attendance.handle(ParticipantJoined(AVATAR), 2.0) == AvatarJoined(AVATAR)
    assert attendance.avatar == AVATAR


def test_it_goes_by_the_name_that_it_was_given() -> None:
    """With another name, LemonSlice is a stranger."""
    attendance = Attendance("Ann", TIMEOUTS, 0.0)
    assert attendance.handle(ParticipantJoined(AVATAR), 1.0) is None
    assert attendance.handle(ParticipantJoined(USER), 1.0) == AvatarJoined(USER)


def test_it_is_ready_with_its_first_picture_and_not_before() -> None:
    """Joining, its voice and bot_ready prove nothing; the second picture is no news."""
    attendance = after(ParticipantJoined(AVATAR))
    assert attendance.handle(VOICE, 1.0) is None
    assert attendance.handle(MessageReceived("1", {"type": "bot_ready"}), 1.0) is None
    assert attendance.handle(PICTURE, 2.0) == AvatarReady()
    assert attendance.handle(PICTURE, 3.0) is None


def test_pictures_before_it_joined_are_nobodys() -> None:
    """They make nobody ready."""
    attendance = after()
    assert attendance.handle(PICTURE, 1.0) is None
    assert attendance.deadline == 180.0


def test_where_the_bot_takes_no_pictures_others_see_it() -> None:
    """It is ready once they do, its pictures are not waited for, and another's do not count."""
    attendance = after(ParticipantJoined(AVATAR))
    assert attendance.handle(AvatarSeen(USER), 1.0) is None
    assert attendance.handle(AvatarSeen(AVATAR), 1.0) == AvatarReady()
    assert attendance.handle(AvatarSeen(AVATAR), 2.0) is None
    assert attendance.deadline is None
    assert isinstance(attendance.handle(ParticipantLeft(AVATAR, ""), 3.0), AvatarGone)


@pytest.mark.parametrize(
    ("attendance", "deadline"),
    [
        (after(), 180.0),
        (after(ParticipantJoined(AVATAR), now=10.0), 25.0),
        (after(ParticipantJoined(AVATAR), PICTURE, now=20.0), 35.0),
        (after(ParticipantJoined(AVATAR), PICTURE, ParticipantLeft(AVATAR, ""), now=30.0), 32.0),
    ],
    ids=["to join", "to be seen", "between pictures", "to come back"],
)
def test_patience_ends(attendance: Attendance, deadline: float) -> None:
    """At its deadline, not before, and only once."""
    assert attendance.deadline == deadline
    assert attendance.handle_timer(deadline - 0.25) is None
    assert isinstance(attendance.handle_timer(deadline), AvatarOver)
    assert attendance.deadline is None
    assert attendance.handle_timer(deadline + 1000.0) is None


def test_each_picture_renews_the_patience() -> None:
    """Frozen for fifteen seconds is gone."""
    attendance = shown()
    attendance.handle(PICTURE, 10.0)
    assert attendance.deadline == 25.0


def test_it_may_come_back_with_another_id() -> None:
    """Then it must be seen again before it is ready."""
    attendance = shown()
    gone = attendance.handle(ParticipantLeft(AVATAR, "leftCall"), 1.0)
    assert isinstance(gone, AvatarGone)
    assert "leftCall" in gone.reason
    assert attendance.handle(PICTURE, 1.5) is None
    assert attendance.handle(ParticipantJoined(TWIN), 2.0) == AvatarJoined(TWIN)
    assert attendance.handle(PICTURE, 2.5) == AvatarReady()


def test_one_that_came_back_before_it_left_takes_its_place_at_once() -> None:
    """Until then it is nobody; from then on it must be seen, and counts."""
    attendance = shown()
    assert attendance.handle(ParticipantJoined(TWIN), 1.0) is None
    replaced = attendance.handle(ParticipantLeft(AVATAR, "leftCall"), 2.0)
    assert isinstance(replaced, AvatarReplaced)
    assert (replaced.participant, attendance.avatar) == (TWIN, TWIN)
    assert "leftCall" in replaced.reason
    assert attendance.deadline == 17.0
    assert attendance.handle(PICTURE, 2.5) == AvatarReady()
    assert isinstance(attendance.handle(ParticipantLeft(TWIN, ""), 3.0), AvatarGone)


def test_one_that_freezes_is_replaced_by_one_of_its_name() -> None:
    """Which has as long to be seen; what becomes of the frozen one is of no concern."""
    attendance = shown()
    attendance.handle(ParticipantJoined(TWIN), 1.0)
    assert isinstance(attendance.handle_timer(15.0), AvatarReplaced)
    assert attendance.handle(ParticipantLeft(AVATAR, ""), 16.0) is None
    assert isinstance(attendance.handle_timer(30.0), AvatarOver)


def test_only_who_is_still_there_takes_its_place_and_the_first_of_them() -> None:
    """Also where the same join is told twice, and where there are very many."""
    twins = [Participant(f"t{number}", "LemonSlice") for number in range(100)]
    attendance = after(ParticipantJoined(AVATAR), ParticipantJoined(AVATAR), *map(ParticipantJoined, twins))
    assert len(attendance._twins) == MAX_TWINS
    attendance.handle(ParticipantLeft(twins[0], ""), 1.0)
    replaced = attendance.handle(ParticipantLeft(AVATAR, ""), 2.0)
    assert isinstance(replaced, AvatarReplaced)
    assert replaced.participant == twins[1]


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
    attendance = shown()
    assert attendance.handle(event, 1.0) is None
    assert attendance.avatar == AVATAR


ENDS: list[tuple[RoomEvent, type[Change]]] = [
    (RoomLost("gone"), AvatarOver),
    (MessageReceived("1", {"type": "idle_timeout"}), AvatarOver),
    (MessageReceived("1", {"type": "daily_error", "fatal": True}), AvatarOver),
    (MessageReceived("1", {"type": "daily_error"}), AvatarTroubled),
    (MessageReceived("1", {"type": "video_generation_error"}), AvatarTroubled),
]


@pytest.mark.parametrize(("event", "change"), ENDS)
def test_what_ends_it_and_what_is_mere_trouble(event: RoomEvent, change: type[Change]) -> None:
    """A lost room, the idle timeout and fatal errors end it; the rest does not. But in the first, it is still there."""
    attendance = shown()
    assert isinstance(attendance.handle(event, 1.0), change)
    assert (attendance.avatar is None) == isinstance(event, RoomLost)
    assert (attendance.handle(event, 1.0) is None) == (change is AvatarOver)


def test_nothing_comes_after_the_end() -> None:
    """Nobody is taken for the avatar once it is over."""
    attendance = after(RoomLost("gone"))
    assert attendance.handle(ParticipantJoined(AVATAR), 1.0) is None
    assert attendance.handle(PICTURE, 1.0) is None


def test_who_carries_its_id_takes_the_place_of_who_has_its_name() -> None:
    """Whatever it is called; who was there by name is nobody then, and no successor either."""
    avatar = Participant("9", "Nova", AvatarClaim.ID)
    attendance = after(ParticipantJoined(AVATAR), PICTURE, ParticipantJoined(TWIN))
    replaced = attendance.handle(ParticipantJoined(avatar), 1.0)
    assert isinstance(replaced, AvatarReplaced)
    assert (replaced.participant, attendance.avatar) == (avatar, avatar)
    assert attendance.handle(ParticipantLeft(AVATAR, ""), 2.0) is None
    assert isinstance(attendance.handle(ParticipantLeft(avatar, ""), 3.0), AvatarGone)


def test_a_name_that_does_not_count_makes_nobody_the_avatar() -> None:
    """Nor its successor."""
    person = Participant("9", "LemonSlice", AvatarClaim.NONE)
    assert after().handle(ParticipantJoined(person), 1.0) is None
    attendance = after(ParticipantJoined(AVATAR), ParticipantJoined(person))
    assert isinstance(attendance.handle(ParticipantLeft(AVATAR, ""), 1.0), AvatarGone)
