"""What others can make grow, and where it stops."""

import asyncio
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from PIL import Image

from pipecat_lemonslice.emulator import Emulator, avatar, pictures, record, server, service, session
from pipecat_lemonslice.emulator.armed import Armed
from pipecat_lemonslice.emulator.grammar import parse
from pipecat_lemonslice.emulator.kept import Kept
from pipecat_lemonslice.emulator.record import Record
from pipecat_lemonslice.emulator.saboteur import Saboteur
from tests.emulator.test_rooms import hello, refused
from tests.emulator.town import Town


def test_a_list_stops_growing():
    """It keeps the first items, as many as are allowed and as many characters as there is room for."""
    kept = Kept[str](most=3, weight=10)
    for item in ("four", "seven", "too long", "z", "one too many"):
        kept.add(item, len(item))
    assert kept.items == ["four", "seven", "z"]


async def test_events_are_bounded(monkeypatch: pytest.MonkeyPatch):
    """Of an avatar's events only so many are kept, and values of so many characters in all."""
    monkeypatch.setattr(record, "MOST_EVENTS", 3)
    monkeypatch.setattr(record, "MOST_WEIGHT", 100)
    events = Record(lambda: 0.0, most=0)
    events.note(record.Kind.POSE, "x" * 50)
    events.note(record.Kind.POSE, "x" * 50)
    for _ in range(5):
        events.note(record.Kind.IDLE_RESET)
    assert [event.kind for event in events.events] == ["pose", "idle_reset", "idle_reset"]


async def test_controls_are_bounded(town: Town, monkeypatch: pytest.MonkeyPatch):
    """More control requests are obeyed, and their bodies not kept."""
    monkeypatch.setattr(session, "MOST_CONTROLS", 2)
    answer = await town.create()
    statuses = [(await town.control(answer["session_id"], event="reset-idle-timeout"))[0] for _ in range(3)]
    assert statuses == [200, 200, 200]
    (only,) = town.emulator.sessions
    assert (len(only.controls), len(only.avatar.events_of("idle_reset"))) == (2, 3)


async def test_large_controls_are_bounded(town: Town, monkeypatch: pytest.MonkeyPatch):
    """Bodies are kept up to so many characters in all."""
    monkeypatch.setattr(session, "MOST_WEIGHT", 1000)
    answer = await town.create()
    await town.control(answer["session_id"], event="update-agent-prompt", agent_prompt="x" * 1000)
    await town.control(answer["session_id"], event="update-agent-prompt", agent_prompt="short")
    assert [body["agent_prompt"] for body in town.emulator.sessions[0].controls] == ["short"]


async def test_changes_of_the_picture_are_bounded(town: Town, monkeypatch: pytest.MonkeyPatch):
    """Too many on their way answer 429; when they have come there is room again."""
    arrived = asyncio.Event()

    async def load(source: object, *, private: bool) -> Image.Image:
        await arrived.wait()
        return Image.new("RGB", (8, 8))

    monkeypatch.setattr(pictures, "load", load)
    answer = await town.create()
    change = {"event": "update-image", "image_url": "https://x.test/a.png"}
    statuses = [(await town.control(answer["session_id"], **change))[0] for _ in range(avatar.MOST_PICTURES + 1)]
    assert statuses == [200] * avatar.MOST_PICTURES + [429]
    arrived.set()
    (only,) = town.emulator.sessions
    await only.avatar.wait_for("image_changed", n=avatar.MOST_PICTURES, timeout=30)
    assert (await town.control(answer["session_id"], **change))[0] == 200
    assert len(only.controls) == avatar.MOST_PICTURES + 1


async def test_sessions_and_their_rooms_are_forgotten(town: Town, monkeypatch: pytest.MonkeyPatch):
    """The oldest that are over, each with its own room; waiting still counts from the first."""
    monkeypatch.setattr(service, "MOST_SESSIONS", 2)
    answers = [await town.create() for _ in range(2)]
    for answer in answers:
        await town.control(answer["session_id"], event="terminate")
    third = await town.create()
    assert [each.id for each in town.emulator.sessions] == [answers[1]["session_id"], third["session_id"]]
    assert (await town.get(f"/liveai/sessions/{answers[0]['session_id']}"))[0] == 404
    assert (await refused(town, answers[0]["room_url"], hello()))[1] == 4004
    assert (await town.emulator.wait_for_session(3)).id == third["session_id"]
    with pytest.raises(LookupError, match="session 1 is forgotten"):
        await town.emulator.wait_for_session(1)


async def test_running_sessions_are_not_forgotten(town: Town, monkeypatch: pytest.MonkeyPatch):
    """However many there are, until they are over."""
    monkeypatch.setattr(service, "MOST_SESSIONS", 1)
    for _ in range(3):
        await town.create()
    assert len(town.emulator.running) == 3


async def test_a_room_is_full(town: Town, monkeypatch: pytest.MonkeyPatch):
    """Nobody but an avatar is let in any more."""
    monkeypatch.setattr(service, "MOST_PARTICIPANTS", 1)
    url = town.emulator.room_url(town.emulator.open_room())
    bot = await town.join(url)
    assert await refused(town, url, hello()) == ({"type": "error", "error": "the room is full"}, 4003)
    await town.create(properties={"daily_url": url})
    await bot.until(lambda: bot.of("participant_joined"))


async def test_connections_to_rooms_are_bounded(town: Town, monkeypatch: pytest.MonkeyPatch):
    """Too many answer 503, also if nobody has said who they are."""
    monkeypatch.setattr(server, "MOST_SOCKETS", 1)
    url = town.emulator.room_url(town.emulator.open_room())
    silent = await town.http.ws_connect(url)
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await town.http.ws_connect(url)
    assert caught.value.status == 503
    await silent.close()


async def test_requests_are_bounded(monkeypatch: pytest.MonkeyPatch):
    """The newest are kept."""
    monkeypatch.setattr(server, "MOST_REQUESTS", 2)
    async with Emulator() as emulator, aiohttp.ClientSession() as http:
        town = Town(emulator, http)
        for name in ("a", "b", "c"):
            await town.get(f"/liveai/sessions/{name}")
        assert [request.url[-1] for request in emulator.requests] == ["b", "c"]


async def test_a_hanging_request_is_let_go_with_its_connection():
    """Who gives up waiting leaves nothing behind."""
    armed = Armed()
    armed.arm(parse("hang"))
    gone: Any = SimpleNamespace(transport=None)

    async def handler(request: web.Request) -> web.StreamResponse:
        raise AssertionError("the request is not to be carried out")

    async with asyncio.timeout(10):
        assert (await Saboteur(armed).serve(gone, "create", "", handler)).status == 200
