"""Rooms, visited by a WebSocket client that was written from the description of the wire."""

import asyncio
import json
import struct
from typing import Any, cast
from uuid import UUID

import aiohttp
import pytest

from pipecat_lemonslice.emulator import EmulatorOptions
from tests.emulator.town import Person, Town, tone


async def refused(town: Town, url: str, first: str) -> tuple[dict[str, Any], int | None]:
    """What somebody is told who is not let in, and the close code."""
    socket = await town.http.ws_connect(url)
    await socket.send_str(first)
    answer = json.loads(await socket.receive_str(timeout=5))
    await socket.receive(timeout=5)
    return answer, socket.close_code


def transport_of(socket: aiohttp.ClientWebSocketResponse) -> asyncio.Transport:
    """What lies below a socket, to mistreat it."""
    connection = socket._response.connection
    assert connection is not None
    return cast("asyncio.Transport", connection.transport)


def hello(**fields: Any) -> str:
    join = {"type": "join", "user_name": "X", "token": None, "tracks": [], "voice_sample_rate": 24000}
    return json.dumps({**join, "subscribe": None, **fields})


async def test_joining_tells_who_is_there(town: Town):
    """A newcomer learns who is there already, the others learn of the newcomer, whoever comes first."""
    url = town.emulator.room_url(town.emulator.open_room())
    ann = await town.join(url, user_name="Ann")
    bob = await town.join(url, user_name="Bob")
    assert ann.others == []
    assert bob.others == [{"id": ann.id, "user_name": "Ann"}]
    await ann.until(lambda: ann.texts)
    assert ann.texts == [{"type": "participant_joined", "participant": {"id": bob.id, "user_name": "Bob"}}]


async def test_app_messages_carry_their_sender(town: Town):
    """To everybody else, or to one."""
    url = town.emulator.room_url(town.emulator.open_room())
    ann, bob, eve = [await town.join(url, user_name=name) for name in ("Ann", "Bob", "Eve")]
    await ann.tell({"n": 1})
    await ann.tell({"n": 2}, recipient=eve.id)
    await eve.until(lambda: len(eve.of("app_message")) == 2)
    assert bob.of("app_message") == [{"type": "app_message", "sender": ann.id, "message": {"n": 1}}]
    assert ann.of("app_message") == []


async def test_leaving_is_told(town: Town):
    """Who says goodbye is gone at once, and its socket is closed."""
    url = town.emulator.room_url(town.emulator.open_room())
    ann, bob = await town.join(url, user_name="Ann"), await town.join(url, user_name="Bob")
    await ann.socket.send_json({"type": "leave"})
    await bob.until(lambda: bob.of("participant_left"))
    assert bob.of("participant_left") == [
        {"type": "participant_left", "participant": {"id": ann.id, "user_name": "Ann"}, "reason": "leftCall"}
    ]
    await ann.until(lambda: not ann.open)


async def test_disappearing_is_told(town: Town):
    """Who disappears without a goodbye has left, too."""
    url = town.emulator.room_url(town.emulator.open_room())
    ann, bob = await town.join(url, user_name="Ann"), await town.join(url, user_name="Bob")
    transport_of(ann.socket).abort()
    await bob.until(lambda: bob.of("participant_left"))


async def test_wrong_guests_are_refused(town: Town):
    """No such room closes with 4004, a wrong token with 4003, nonsense with 4000; each is told why."""
    room = town.emulator.room_url(town.emulator.open_room("closed", tokens=["t1"]))
    none = room.replace("closed", "none")
    assert await refused(town, none, hello()) == ({"type": "error", "error": "no such room"}, 4004)
    answer, code = await refused(town, room, hello(token="t2"))
    assert (answer["type"], code) == ("error", 4003)
    answer, code = await refused(town, room, hello(token="t1", voice_sample_rate=7))
    assert (answer["error"][:17], code) == ("voice_sample_rate", 4000)
    assert (await refused(town, room, "nonsense"))[1] == 4000
    assert (await town.join(room, token="t1")).others == []


@pytest.mark.parametrize("packet", [b"\x07", b"\x01" + bytes(16) + b"\x01\xc0\x5d\x00\x00\x01\x00"])
async def test_a_broken_rule_ends_the_visit(town: Town, packet: bytes):
    """A packet that is none, or in somebody else's name, is answered with an error and the door."""
    person = await town.join(town.emulator.room_url(town.emulator.open_room()))
    await person.socket.send_bytes(packet)
    await person.until(lambda: not person.open)
    assert person.of("error")
    assert person.socket.close_code == 4000


async def test_people_hear_each_other_at_their_own_rate(town: Town):
    """A subscriber gets another person's sound, at the rate it asked for, in 20 ms packets."""
    url = town.emulator.room_url(town.emulator.open_room())
    same = await town.join(url, user_name="Same", subscribe="Ann")
    other = await town.join(url, user_name="Other", subscribe="Ann", voice_sample_rate=16000)
    deaf = await town.join(url, user_name="Deaf", subscribe=None)
    ann = await town.join(url, user_name="Ann")
    speech = tone(1.0)
    await ann.say(speech)
    await same.until(lambda: len(same.voice) == len(speech))
    assert same.voice == speech
    await other.until(lambda: len(other.sounds) >= 40)
    assert {struct.unpack_from("<BBI", sound[:1] + sound[17:22]) for sound in other.sounds} == {(1, 1, 16000)}
    assert {len(sound) - 22 for sound in other.sounds} == {640}
    assert deaf.sounds == []


async def test_stereo_is_heard_as_mono(town: Town):
    """A subscriber gets the mean of two channels."""
    url = town.emulator.room_url(town.emulator.open_room())
    bob = await town.join(url, user_name="Bob", subscribe="Ann")
    tracks = [{"name": "stream", "sample_rate": 24000, "channels": 2}]
    ann = await town.join(url, user_name="Ann", tracks=tracks)
    await ann.say(struct.pack("<4h", 100, 300, -50, 50), channels=2)
    await bob.until(lambda: bob.sounds)
    assert bob.voice == struct.pack("<2h", 200, 0)


async def test_a_slow_reader_gets_the_newest_pictures(town: Town):
    """Who does not read while 25 pictures are shown finds a few of them, not all, and every sound."""
    answer = await town.create()
    slow = await town.http.ws_connect(answer["room_url"], max_msg_size=0)
    await slow.send_str(hello(subscribe="LemonSlice"))
    quick = await town.join(answer["room_url"])
    transport_of(slow).pause_reading()
    await quick.until(lambda: len(quick.pictures) >= 25)
    shown, played = len(quick.pictures), len(quick.sounds)
    transport_of(slow).resume_reading()
    kinds: list[int] = []
    async with asyncio.timeout(5):
        while kinds.count(1) < played:
            message = await slow.receive()
            kinds += [message.data[0]] if isinstance(message.data, bytes) else []
    assert 0 < kinds.count(2) < shown / 2
    await slow.close()


async def test_connections_can_be_dropped(town: Town):
    """All sockets of a room break at once, without a goodbye; the avatar stays."""
    answer = await town.create()
    session = town.emulator.sessions[0]
    ann = await town.join(answer["room_url"], user_name="Ann")
    bob = await town.join(answer["room_url"], user_name="Bob")
    await session.avatar.wait_for("joined")
    session.room.drop_connections()
    for person in (ann, bob):
        await person.until(lambda person=person: not person.open)
        assert person.socket.close_code != 1000
    assert [member.user_name for member in session.room.participants] == ["LemonSlice"]


async def test_rooms_can_refuse(town: Town):
    """Nobody is let in, for the reason given, until the emulator behaves again."""
    answer = await town.create()
    town.emulator.refuse_rooms("meeting is full")
    assert await refused(town, answer["room_url"], hello()) == ({"type": "error", "error": "meeting is full"}, 4003)
    town.emulator.behave()
    await town.join(answer["room_url"])


async def test_refusals_run_out(town: Town):
    """So many people are turned away, the next one comes in."""
    answer = await town.create()
    town.emulator.fault("2*refuse_rooms=meeting is full")
    for _ in range(2):
        assert await refused(town, answer["room_url"], hello()) == ({"type": "error", "error": "meeting is full"}, 4003)
    await town.join(answer["room_url"])


async def test_long_sounds_are_passed_on_in_packets(town: Town):
    """A second of sound in one message comes as 50 packets of 20 ms: nobody's queue holds more than it counts."""
    url = town.emulator.room_url(town.emulator.open_room())
    bob = await town.join(url, user_name="Bob", subscribe="Ann")
    ann = await town.join(url, user_name="Ann")
    await ann.socket.send_bytes(struct.pack("<B16sBI", 1, UUID(ann.id).bytes, 1, 24000) + tone(1.0))
    await bob.until(lambda: len(bob.sounds) == 50)
    assert bob.voice == tone(1.0)


async def test_an_existing_room_is_shared(town: Town):
    """A session created for a room brings its avatar to the people who are there already."""
    room = town.emulator.open_room("lobby")
    url = town.emulator.room_url(room)
    viewer = await town.join(url, user_name="Viewer", tracks=[])
    answer = await town.create(properties={"daily_url": url, "daily_room_url": url})
    assert answer["room_url"] == url
    await viewer.until(lambda: viewer.pictures and viewer.sounds)
    assert viewer.of("participant_joined")[0]["participant"]["user_name"] == "LemonSlice"
    assert town.emulator.sessions[0].room is room


@pytest.mark.parametrize("options", [EmulatorOptions(latency=0.05, room_tokens=frozenset({"bots"}))])
async def test_tokens_are_for_rooms_with_tokens(town: Town):
    """With tokens set, a session created with a token admits known ones only; others admit anybody."""
    closed = await town.create(properties={"daily_token": "avatars"})
    assert (await refused(town, closed["room_url"], hello()))[1] == 4003
    assert (await town.join(closed["room_url"], token="bots")).id
    assert (await town.join((await town.create())["room_url"])).id


async def test_an_avatar_without_the_token_fails(town: Town):
    """An avatar whose token does not open the room never comes, and its session FAILED."""
    room = town.emulator.open_room(tokens=["secret"])
    url = town.emulator.room_url(room)
    await town.create(properties={"daily_url": url, "daily_token": "wrong"})
    await town.create(properties={"daily_url": url, "daily_token": "secret"})
    wrong, right = town.emulator.sessions
    await right.avatar.wait_for("joined")
    assert (wrong.status, right.status) == ("FAILED", "ACTIVE")
    assert not wrong.avatar.present


async def test_the_end_closes_all_rooms(town: Town):
    """When the emulator ends everybody is sent away with the code for it, quickly."""
    answer = await town.create()
    people: list[Person] = [await town.join(answer["room_url"], user_name=name) for name in ("Ann", "Bob")]
    async with asyncio.timeout(1.9):
        await town.emulator.close()
    for person in people:
        await person.until(lambda person=person: not person.open)
        assert person.socket.close_code == 1001
