"""What holds for a room of every kind."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from pipecat_lemonslice.errors import RoomError
from pipecat_lemonslice.rooms import (
    AvatarSeen,
    MessageReceived,
    Participant,
    ParticipantJoined,
    ParticipantLeft,
    Picture,
    Room,
    RoomLost,
)
from tests.fidelity.installed import Native
from tests.rooms.places import OWN, PLACES, RATE, SECRET, Actor, Media, Place, Reader, SharedPlace
from tests.support.stage import tone
from tests.support.waiting import until

WRITE = RATE // 50 * 2


@dataclass
class Call:
    """The bot in a room, and what it was told."""

    place: Place
    room: Room
    reader: Reader
    media: Media = field(default_factory=Media)

    def joined(self) -> list[Participant]:
        return [event.participant for event in self.reader.events if isinstance(event, ParticipantJoined)]

    async def meet(self, name: str = "LemonSlice") -> Actor:
        """Have somebody join, and wait until the room tells."""
        actor = self.place.enter(name)
        await until(lambda: actor.actor_id in [who.id for who in self.joined()])
        return actor

    async def speak(self, pcm: bytes, size: int = WRITE) -> list[tuple[float, int]]:
        """Append speech; returns when it was reported to have been played how far."""
        played: list[tuple[float, int]] = []
        self.room.on_played = lambda position: played.append((time.monotonic(), position))
        end = self.room.appended + len(pcm) // 2
        for at in range(0, len(pcm), size):
            self.room.append(pcm[at : at + size])
        await until(lambda: self.room.played == end)
        return played


@pytest.fixture(params=list(PLACES))
async def place(request: pytest.FixtureRequest, native: Native) -> AsyncIterator[Place]:
    async with PLACES[request.param](native) as place:
        yield place


@pytest.fixture(params=list(OWN))
async def own_place(request: pytest.FixtureRequest, native: Native) -> AsyncIterator[Place]:
    async with OWN[request.param](native) as place:
        yield place


@asynccontextmanager
async def calling(place: Place) -> AsyncIterator[Call]:
    media = Media()
    room = await place.join(media=media)
    reader = Reader(room)
    yield Call(place, room, reader, media)
    await room.close()
    await reader.end()


@pytest.fixture
async def call(place: Place) -> AsyncIterator[Call]:
    async with calling(place) as call:
        yield call


@pytest.fixture
async def own_call(own_place: Place) -> AsyncIterator[Call]:
    async with calling(own_place) as call:
        yield call


@pytest.mark.parametrize("size", [WRITE, 482, 10**6], ids=["writes", "odd", "at once"])
async def test_speech_is_played_at_its_own_pace(call: Call, size: int) -> None:
    """However it is appended, it arrives whole, and the room tells how far it has been played."""
    avatar = await call.meet()
    pcm = tone(0.507)
    started = time.monotonic()
    played = await call.speak(pcm, size)
    positions = [position for _, position in played]
    assert positions == sorted(set(positions))
    assert positions[-1] == call.room.appended == len(pcm) // 2
    assert 0.48 <= played[-1][0] - started < 1.5
    await until(lambda: len(avatar.speech) >= len(pcm))
    assert avatar.speech[: len(pcm)] == pcm
    assert not any(avatar.speech[len(pcm) :])
    assert len(avatar.speech) - len(pcm) < WRITE


async def test_what_has_not_been_handed_over_can_be_dropped(call: Call) -> None:
    """At most 40 ms play on, 160 ms where the loop itself has to hand over; what is appended afterwards follows."""
    avatar = await call.meet()
    call.room.append(tone(2.0))
    await until(lambda: call.room.played >= RATE // 5)
    played = call.room.played
    dropped = call.room.clear()
    assert call.room.appended == 2 * RATE - dropped
    assert call.room.appended - played <= RATE * (0.16 if isinstance(call.place, SharedPlace) else 0.04) + WRITE
    call.room.append(b"\x11\x11" * (RATE // 10))
    end = call.room.appended
    await until(lambda: call.room.played == end)
    await until(lambda: avatar.speech.count(b"\x11\x11") >= RATE // 10)
    before = avatar.speech[: avatar.speech.index(b"\x11\x11" * 10)]
    assert before.rstrip(b"\0") in tone(2.0)
    assert len(before) <= 2 * played + 12 * WRITE


async def test_messages_keep_their_order_and_their_shape(call: Call) -> None:
    """App messages arrive as they were sent, in the order of the calls, also between writes."""
    avatar = await call.meet()
    call.room.watch(Participant(avatar.actor_id, "LemonSlice"))
    sent = [{"event": f"e{index}", "session_id": "s", "more": {"n": [index, None]}} for index in range(20)]
    for index, message in enumerate(sent):
        call.room.send(message)
        if index % 5 == 0:
            call.room.append(bytes(WRITE))
    await until(lambda: len(avatar.said_to) == 20)
    assert avatar.said_to == sent


async def test_messages_go_to_the_watched_alone(call: Call) -> None:
    """Before watching nobody gets them, and nobody else ever does."""
    avatar, person = await call.meet(), await call.meet("Ann")
    call.room.send({"event": "first"})
    await asyncio.sleep(0.05)
    call.room.watch(Participant(avatar.actor_id, "LemonSlice"))
    call.room.send({"event": "second"})
    await until(lambda: bool(avatar.said_to))
    assert avatar.said_to == [{"event": "second"}]
    assert person.said_to == []


async def test_those_who_were_there_before_are_told_of_once(place: Place) -> None:
    """Everybody is told of exactly once, whether there before the bot or not."""
    before = [place.enter("Ann"), place.enter("LemonSlice")]
    await until(lambda: len(place.names()) == 2)
    room = await place.join()
    call = Call(place, room, Reader(room))
    after = await call.meet("Bob")
    await asyncio.sleep(0.05)
    assert sorted(who.id for who in call.joined()) == sorted(actor.actor_id for actor in [*before, after])
    assert {who.name for who in call.joined()} == {"Ann", "Bob", "LemonSlice"}
    await room.close()
    await call.reader.end()


async def test_nobody_but_the_watched_is_heard_or_seen(own_call: Call) -> None:
    """Of two who speak and show themselves, only the watched one's voice and pictures arrive."""
    call = own_call
    person, avatar = await call.meet("Ann"), await call.meet()
    call.room.watch(Participant(avatar.actor_id, "LemonSlice"))
    await asyncio.sleep(0.03)
    pcm = tone(0.1)
    person.say(b"\x11" * len(pcm))
    avatar.say(pcm)
    person.show(b"\x22" * 18, 2, 3)
    avatar.show(b"\x33" * 24, 4, 2)
    await until(lambda: pcm in call.media.voice and bool(call.media.pictures))
    assert b"\x11\x11" not in call.media.voice
    assert call.media.pictures == [Picture(b"\x33" * 24, 4, 2)]
    assert call.media.rates == {RATE}


async def test_messages_from_the_others_arrive_with_their_sender(call: Call) -> None:
    """What others say comes with their id, in order."""
    avatar = await call.meet()
    avatar.send({"type": "bot_ready"})
    avatar.send({"type": "idle_timeout"})
    received = [MessageReceived(avatar.actor_id, {"type": kind}) for kind in ("bot_ready", "idle_timeout")]
    await until(lambda: [event for event in call.reader.events if isinstance(event, MessageReceived)] == received)


async def test_who_leaves_is_told_of_and_may_come_back(call: Call) -> None:
    """Leaving comes with the id and the reason; a new visit has a new id and can be watched."""
    first = await call.meet()
    call.room.watch(Participant(first.actor_id, "LemonSlice"))
    first.leave()
    gone = ParticipantLeft(Participant(first.actor_id, "LemonSlice"), "leftCall")
    await until(lambda: gone in call.reader.events)
    second = await call.meet()
    call.room.watch(Participant(second.actor_id, "LemonSlice"))
    call.room.send({"event": "hello"})
    await until(lambda: second.said_to == [{"event": "hello"}])


async def test_an_avatar_that_comes_back_is_seen_again(own_call: Call) -> None:
    """Pictures follow the one who is watched now."""
    call = own_call
    first = await call.meet()
    call.room.watch(Participant(first.actor_id, "LemonSlice"))
    first.leave()
    second = await call.meet()
    call.room.watch(Participant(second.actor_id, "LemonSlice"))
    await asyncio.sleep(0.03)
    second.show(b"\x44" * 24, 4, 2)
    await until(lambda: AvatarSeen(Participant(second.actor_id, "LemonSlice")) in call.reader.events)
    assert call.media.pictures


async def test_a_lost_room_says_so_once_and_reports_nothing_more(call: Call) -> None:
    """The loss is the last event; what is appended is not played, and messages go nowhere."""
    await call.meet()
    call.room.append(bytes(WRITE * 50))
    call.place.throw_out()
    await until(lambda: any(isinstance(event, RoomLost) for event in call.reader.events))
    reports: list[int] = []
    call.room.on_played = reports.append
    call.room.append(bytes(WRITE))
    await asyncio.sleep(0.1)
    assert reports == []
    call.room.send({"event": "into the void"})
    call.room.watch(Participant("11111111-1111-4111-8111-111111111111", "LemonSlice"))
    assert isinstance(await call.room.next_event(), RoomLost)
    assert sum(isinstance(event, RoomLost) for event in call.reader.events) == 1


async def test_closing_leaves_the_room_in_bounded_time_and_may_be_repeated(own_call: Call) -> None:
    """The bot is gone for the others when close returns; closing twice, and at once, changes nothing."""
    call = own_call
    await call.meet()
    call.room.append(bytes(WRITE))
    started = time.monotonic()
    await asyncio.gather(call.room.close(), call.room.close())
    await call.room.close()
    assert time.monotonic() - started < 2.0
    await until(lambda: "Pipecat" not in call.place.names())
    assert isinstance(await call.room.next_event(), RoomLost)


async def test_what_was_sent_last_arrives_before_the_room_is_left(call: Call) -> None:
    """A message right before close is not lost."""
    avatar = await call.meet()
    call.room.watch(Participant(avatar.actor_id, "LemonSlice"))
    call.room.send({"event": "response_finished"})
    await call.room.close()
    await until(lambda: avatar.said_to == [{"event": "response_finished"}])


async def test_a_private_room_takes_the_bots_token(own_place: Place) -> None:
    """With its token the bot gets in."""
    place = own_place
    place.demand_token()
    room = await place.join(SECRET)
    assert place.names() == ["Pipecat"]
    await room.close()


@pytest.mark.parametrize("token", [None, "wrong-" + SECRET])
async def test_a_refused_join_says_why_and_keeps_the_token_to_itself(own_place: Place, token: str | None) -> None:
    """Without its token the bot is told so, in a RoomError that shows no secret."""
    place = own_place
    place.demand_token()
    with pytest.raises(RoomError) as caught:
        await place.join(token)
    assert "token" in str(caught.value)
    assert SECRET not in str(caught.value) + repr(caught.value)
    assert place.names() == []
