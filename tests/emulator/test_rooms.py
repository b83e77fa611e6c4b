"""Rooms, entered by a WebSocket client that was written from the description of the wire."""

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest

from tests.emulator.client import JOIN, Client, Person, set_up, tone


def hello(**fields: Any) -> str:
    return json.dumps({**JOIN, **fields})


async def people(client: Client, *names: str, **fields: Any) -> tuple[str, list[Person]]:
    """A room with some people in it, each of whom hears the first."""
    url = client.emulator.room_url(client.emulator.open_room())
    return url, [await client.join(url, user_name=name, subscribe=names[0], **fields) for name in names]


async def test_joining_and_leaving_are_told(client: Client) -> None:
    """A newcomer learns who is there and since when, the others who comes and leaves, with or without a goodbye."""
    url = client.emulator.room_url(client.emulator.open_room("named"))
    assert url.endswith("/rooms/named")
    _, (ann,) = await people(client, "Ann")
    first = await client.join(url, user_name="First")
    await asyncio.sleep(2)
    second = await client.join(url, user_name="Second")
    assert (first.joined["participants"], ann.texts) == ([], [])
    assert second.joined["participants"] == [{"id": first.id, "user_name": "First"}]
    assert second.joined["seconds_here"] == {first.id: 2.0}
    await first.socket.send_json({"type": "leave"})
    await first.until(lambda: not first.open)
    third = await client.join(url, user_name="Third")
    await third.close()
    await second.until(lambda: len(second.texts) == 3)
    told = [(text["type"], text["participant"]["user_name"], text.get("reason")) for text in second.texts]
    left, joined = "participant_left", "participant_joined"
    assert told == [(left, "First", "leftCall"), (joined, "Third", None), (left, "Third", "leftCall")]


@pytest.mark.parametrize(
    ("room", "first", "says"),
    [
        ("none", hello(), "no such room"),
        ("closed", hello(token="t2"), "the token does not let you"),
        ("closed", hello(token="t1", voice_sample_rate=7), "message not understood: ValueError('sample rates"),
        ("closed", hello(type="hello"), "message not understood: "),
        ("closed", "nonsense", "message not understood: "),
    ],
)
async def test_who_is_not_let_in_is_told_why(client: Client, room: str, first: str, says: str) -> None:
    """No such room, a wrong token, nonsense; the right token opens the door."""
    url = client.emulator.room_url(client.emulator.open_room("closed", tokens=["t1"]))
    assert (await client.refused(url.replace("closed", room), first)).startswith(says)
    await client.join(url, token="t1")


@pytest.mark.parametrize("packet", [b"\x07", b"\x01" + bytes(16) + b"\x01\xc0\x5d\x00\x00\x01\x00", "[]", "{}", "x"])
async def test_who_breaks_the_rules_is_sent_away(client: Client, packet: bytes | str) -> None:
    """A message that makes no sense, or sound in somebody else's name."""
    _, (ann,) = await people(client, "Ann")
    await (ann.socket.send_str(packet) if isinstance(packet, str) else ann.socket.send_bytes(packet))
    await ann.until(lambda: not ann.open)
    assert ann.of("error")


async def test_sound_is_paced_and_reported(client: Client) -> None:
    """A second of speech in one message is heard in packets of 20 ms, each in its time; its sender is told how far."""
    _, (ann, bob) = await people(client, "Ann", "Bob")
    await ann.say(tone(1.0))
    await ann.until(lambda: len(ann.of("played")) == 50)
    assert bob.voice == tone(1.0)
    assert [later - earlier for earlier, later in pairwise(bob.sound_times)] == pytest.approx([0.02] * 49)
    assert [text["samples"] for text in ann.of("played")] == list(range(480, 24001, 480))


@pytest.mark.parametrize(("end", "heard"), [(12, 12), (5, 10)])
async def test_sound_can_be_cleared(client: Client, end: int, heard: int) -> None:
    """What lies behind a position and has not been played is not heard; what follows is counted from that position."""
    _, (ann, bob) = await people(client, "Ann", "Bob")
    await ann.say(tone(1.0))
    await bob.hear(10)
    await ann.socket.send_json({"type": "clear", "end": end * 480})
    await asyncio.sleep(0.5)
    assert bob.voice == tone(heard * 0.02)
    await ann.say(tone(0.02, amplitude=500))
    await asyncio.sleep(0.5)
    assert ann.of("played")[-1]["samples"] == (end + 1) * 480
    assert bob.voice == tone(heard * 0.02) + tone(0.02, amplitude=500)


async def test_a_slow_reader_gets_the_newest_pictures(client: Client) -> None:
    """Who reads nothing for four seconds finds a few of 100 pictures, and every sound."""
    session, bot = await client.meet()
    slow = await client.http.ws_connect(client.emulator.room_url(session.room), max_msg_size=0)
    await slow.send_str(hello())
    await slow.receive_str()
    await bot.see()
    shown = bot.shown
    sounds = await bot.hear(200)
    kinds: list[int] = []
    async with asyncio.timeout(5):
        while kinds.count(1) < len(sounds):
            message = await slow.receive()
            kinds += [message.data[0]] if isinstance(message.data, bytes) else []
    assert bot.shown - shown >= 99
    assert 0 < kinds.count(2) < 10
    await slow.close()


@set_up(room_tokens={"bots"})
async def test_tokens_are_for_rooms_with_tokens(client: Client) -> None:
    """With tokens set, a session created with a token admits known ones only; others admit anybody."""
    closed = client.emulator.room_url((await client.create(properties={"daily_token": "avatars"})).room)
    assert "token" in await client.refused(closed, hello())
    await client.join(closed, token="bots")
    await client.join(client.emulator.room_url((await client.create()).room))


async def test_an_avatar_without_the_token_fails(client: Client) -> None:
    """An avatar whose token does not open the room never comes, and its session FAILED."""
    url = client.emulator.room_url(client.emulator.open_room(tokens=["secret"]))
    wrong = await client.create(properties={"daily_url": url, "daily_token": "wrong"})
    right = await client.create(properties={"daily_url": url, "daily_token": "secret"})
    await right.avatar.wait_for("joined")
    assert (wrong.status, right.status) == ("FAILED", "ACTIVE")
    assert not wrong.avatar.present
