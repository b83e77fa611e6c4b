"""The avatar as a bot meets it: in a room, over a WebSocket, in virtual time."""

import asyncio
import base64
import struct
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from pipecat_lemonslice.emulator.room import Member, Picture, RoomEvent, Sound
from tests.emulator.client import CREATE, PICTURE_HEAD, Client, event, form, png, set_up, tone

TICK = 0.02
LATENCY = 0.25
RED = base64.b64encode(png()).decode()


@set_up(cold_start=5, join_delay=2)
async def test_the_avatar_comes_and_says_so(client: Client) -> None:
    """After cold start and join delay it joins, sends bot_ready, and shows itself in 368x560 with continuous sound."""
    now = asyncio.get_running_loop().time
    begin = now()
    session, bot = await client.meet()
    assert now() - begin == pytest.approx(7, abs=0.01)
    await bot.until(lambda: bot.pictures and bot.sounds)
    assert [text["type"] for text in bot.texts] == ["participant_joined", "app_message"]
    assert bot.texts[0]["participant"] == {"id": str(session.avatar.id), "user_name": "LemonSlice"}
    assert bot.app_messages == [{"type": "bot_ready", "session_id": session.id}]
    source = session.avatar.id.bytes
    assert bot.pictures[0][:PICTURE_HEAD] == b"\x02" + source + struct.pack("<HH", 368, 560)
    assert len(bot.pictures[0]) == PICTURE_HEAD + 368 * 560 * 3
    assert bot.sounds[0] == b"\x01" + source + b"\x01" + struct.pack("<I", 24000) + bytes(960)


async def test_speech_comes_back_sample_by_sample_after_the_latency(client: Client) -> None:
    """What is heard is spoken in that order, that much later; events and times tell of it."""
    session, bot = await client.meet()
    avatar, speech = session.avatar, tone(0.613)
    await bot.tell(event("response_started", session))
    await bot.say(speech)
    await asyncio.sleep(0.7)
    await bot.tell(event("response_finished", session))
    idle = await avatar.wait_for("idle")
    assert avatar.heard == avatar.sounded == speech
    assert (avatar.sample_rate, avatar.speaking) == (24000, False)
    await bot.hear(1)
    assert bot.voice.strip(b"\0") == speech.strip(b"\0")
    kinds = [str(each.kind) for each in avatar.events]
    assert kinds == ["joined", "response_started", "first_byte", "voice", "response_finished", "idle"]
    first, voice = avatar.events_of("first_byte")[0].time, avatar.events_of("voice")[0].time
    assert voice - first == pytest.approx(LATENCY, abs=TICK)
    assert avatar.heard_until == pytest.approx(first + 0.613)
    assert idle.time == pytest.approx(voice + 0.613, abs=2 * TICK)


class Marks(Member):
    """Somebody in the room who notes when a picture is white, and when a sound is a click."""

    def __init__(self) -> None:
        super().__init__("Somebody")
        self.white: list[float] = []
        self.loud: list[float] = []

    def on_event(self, sender: Member, event: RoomEvent) -> None:
        now = asyncio.get_running_loop().time()
        if isinstance(event, Picture) and set(event.data[PICTURE_HEAD:]) == {255}:
            self.white.append(now)
        if isinstance(event, Sound) and np.abs(np.frombuffer(event.pcm, "<i2").astype(int)).min() > 32000:
            self.loud.append(now)


@set_up(marks=0.5)
async def test_marks_are_seen_and_heard_at_one_instant(client: Client) -> None:
    """While it speaks, every half second a white picture comes with the first packet of a click; never in silence."""
    session, bot = await client.meet()
    watcher = Marks()
    session.room.enter(watcher)
    await asyncio.sleep(1.0)
    await bot.say(tone(2.0))
    await asyncio.sleep(3.0)
    assert watcher.white == watcher.loud
    assert np.diff(watcher.loud).tolist() == pytest.approx([0.52, 0.52, 0.52])  # each begins with a picture


async def test_a_pause_in_speech_stays_a_pause(client: Client) -> None:
    """Speech in two parts comes back in two parts, as far from each other."""
    session, bot = await client.meet()
    first, second = tone(0.1), tone(0.1, amplitude=4000)
    await bot.say(first)
    await asyncio.sleep(0.5)
    await bot.say(second)
    await session.avatar.wait_until(lambda: session.avatar.sounded == first + second)
    await bot.hear(5)
    runs = [(silent, len(list(group))) for silent, group in groupby(not any(sound[22:]) for sound in bot.sounds)]
    assert [length for silent, length in runs[1:-1] if silent] == [pytest.approx(20, abs=1)]


async def test_other_rates_are_converted(client: Client) -> None:
    """Speech at 16 kHz is heard at the session's 24 kHz and comes back at the bot's 48 kHz, as long as it was."""
    session = await client.create()
    tracks = [{"name": "stream", "sample_rate": 16000, "channels": 1}]
    bot = await client.join(client.emulator.room_url(session.room), tracks=tracks, voice_sample_rate=48000)
    await session.avatar.wait_for("joined")
    await bot.say(tone(0.5, rate=16000), rate=16000)
    await bot.hear(50)
    assert len(session.avatar.heard) == pytest.approx(0.5 * 48000, abs=960)
    assert {(sound[18:22], len(sound) - 22) for sound in bot.sounds} == {(struct.pack("<I", 48000), 1920)}
    loud = np.flatnonzero(np.abs(np.frombuffer(bot.voice, np.int16)) > 500)
    assert (loud[-1] - loud[0]) / 48000 == pytest.approx(0.5, abs=0.02)


@set_up(avatar_name="Somebody")
async def test_only_the_speech_track_is_for_the_avatar(client: Client) -> None:
    """What people say into their microphones is not repeated; nobody sees it but who subscribes to the name it has."""
    session, bot = await client.meet()
    tracks = [{"name": "microphone", "sample_rate": 24000, "channels": 1}]
    user = await client.join(client.emulator.room_url(session.room), user_name="User", tracks=tracks)
    await user.say(tone(0.1))
    await asyncio.sleep(1)
    assert session.avatar.heard == b""
    assert (bot.texts[0]["participant"]["user_name"], bot.shown, bot.sounds) == ("Somebody", 0, [])


@pytest.mark.parametrize(
    ("client", "sent"),
    [({"pictures_per_second": fps}, n) for fps, n in ((5, 5), (0, 1), (100, 25))],
    indirect=["client"],
)
async def test_it_sends_as_many_pictures_as_asked_for(client: Client, sent: int) -> None:
    """From 1 to 25 a second; its voice keeps its own pace of 50 packets a second."""
    _, bot = await client.meet()
    await bot.see()
    pictures, sounds = bot.shown, len(bot.sounds)
    await asyncio.sleep(4)
    assert bot.shown - pictures == pytest.approx(4 * sent, abs=1)
    assert len(bot.sounds) - sounds == pytest.approx(200, abs=1)


async def test_interrupt_drops_what_has_not_been_spoken(client: Client) -> None:
    """Nothing of it is said any more; new speech is said in full."""
    session, bot = await client.meet()
    avatar = session.avatar
    await bot.say(tone(1.0))
    await asyncio.sleep(0.5)
    await bot.tell(event("interrupt", session))
    await bot.socket.send_json({"type": "clear", "end": 0})
    interrupted = await avatar.wait_for("interrupt")
    said = len(avatar.sounded)
    assert said == pytest.approx((0.5 - LATENCY) * 48000, abs=2 * 960)
    assert (await avatar.wait_for("dropped")).value == len(avatar.heard) - said
    assert avatar.heard_until == pytest.approx(interrupted.time)
    await avatar.wait_for("idle")
    await bot.say(tone(0.1, amplitude=5000))
    await avatar.wait_until(lambda: avatar.sounded[said:] == tone(0.1, amplitude=5000))
    assert len(avatar.events_of("voice")) == len(avatar.events_of("first_byte")) == 2


async def test_it_ends_a_response_itself(client: Client) -> None:
    """Without response_finished after the session's timeout, counted from the end of the audio; without one, never."""
    patient, bot = await client.meet()
    await bot.say(tone(0.1))
    session, other = await client.meet(response_done_timeout=0.5)
    await other.say(tone(0.3))
    ended = await session.avatar.wait_for("response_done_timeout")
    assert ended.value == session.avatar.heard_until
    assert ended.time - ended.value == pytest.approx(0.5, abs=TICK)
    await session.avatar.wait_for("idle")
    await asyncio.sleep(20)
    assert patient.avatar.speaking
    assert patient.avatar.events_of("response_done_timeout") == []
    await bot.tell(event("response_finished", patient))
    await patient.avatar.wait_for("idle")


async def test_messages_for_other_sessions_are_ignored(client: Client) -> None:
    """A wrong session id, or none, is noted and not obeyed; an event that nobody knows is noted."""
    session, bot = await client.meet()
    await bot.say(tone(0.2))
    await bot.tell({"event": "interrupt", "session_id": "another"})
    await bot.tell({"event": "interrupt"})
    await bot.tell(event("dance", session))
    assert (await session.avatar.wait_for("app_message")).value["event"] == "dance"
    await session.avatar.wait_until(lambda: session.avatar.sounded == tone(0.2))
    assert len(session.avatar.events_of("ignored")) == 2
    assert session.avatar.events_of("interrupt") == []


async def test_the_idle_timeout_ends_the_session(client: Client) -> None:
    """Counted from joining, the end of the last speech, or reset-idle-timeout; a message says so, the avatar leaves."""
    session, bot = await client.meet(idle_timeout=60)
    await asyncio.sleep(50)
    await bot.say(tone(0.4))
    await asyncio.sleep(50)
    await client.control(session, event="reset-idle-timeout")
    reset = session.avatar.events_of("idle_reset")[0]
    ended = await session.avatar.wait_for("idle_timeout", timeout=100)
    assert ended.time - reset.time == pytest.approx(60)
    await bot.until(lambda: bot.of("participant_left"))
    assert {"type": "idle_timeout", "session_id": session.id} in bot.app_messages
    assert session.status == "TIMED_OUT"
    assert (await client.control(session, event="terminate"))[0] == 404
    assert client.emulator.terminated == 0


@pytest.mark.parametrize(("timeout", "status"), [(-1, "ACTIVE"), (0, "TIMED_OUT")])
async def test_a_negative_idle_timeout_never_ends(client: Client, timeout: int, status: str) -> None:
    """With 0 it ends at once."""
    session = await client.create(idle_timeout=timeout)
    await asyncio.sleep(0.1)
    assert session.status == status
    await asyncio.sleep(300)
    assert session.status == status


@pytest.mark.parametrize(("ratio", "size"), [("2x3", (368, 560)), ("1x1", (512, 512)), ("9x16", (360, 640))])
async def test_a_new_picture_fills_the_shape(client: Client, ratio: str, size: tuple[int, int]) -> None:
    """update-image answers at once; image_change_complete comes when the middle of the new picture is shown."""
    session, bot = await client.meet(aspect_ratio=ratio)
    await bot.see()
    assert bot.picture.shape[1::-1] == size
    assert all(edge.any() for edge in (bot.picture[0], bot.picture[-1], bot.picture[:, 0], bot.picture[:, -1]))
    image = base64.b64encode(png(900, 100)).decode()
    assert (await client.control(session, event="update-image", image_base64=image))[0] == 200
    await bot.until(lambda: (bot.picture == (255, 0, 0)).all())
    assert bot.picture.shape[1::-1] == size
    assert {"type": "image_change_complete", "session_id": session.id} in bot.app_messages


async def portrait(_: web.BaseRequest) -> web.Response:
    return web.Response(body=png())


@pytest.mark.parametrize("source", ["uploaded", f"data:image/png;base64,{RED}", "http://127.0.0.1:8123/face.png"])
async def test_a_picture_of_its_own_is_the_portrait(client: Client, source: str) -> None:
    """Whether it is sent along, in the URL or behind a link, on this machine or elsewhere."""
    runner = web.ServerRunner(web.Server(portrait))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 8123).start()
    sent: dict[str, Any] = {"json": {**CREATE, "agent_id": None, "agent_image_url": source}}
    if source == "uploaded":
        sent = {"data": form({"transport_type": "daily"}, png())}
    assert (await client.ask("POST", **sent))[0] == 201
    bot = await client.join(client.emulator.room_url(client.emulator.sessions[0].room))
    await bot.see()
    assert (bot.picture == (255, 0, 0)).all()
    await runner.cleanup()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:9/face.png?signature=S3CR3T", "it could not be fetched"),
        ("file:///etc/hostname", "it could not be fetched"),
        ("data:,nonsense", "not a PNG, JPEG or WebP picture"),
        ("data:x;base64," + base64.b64encode(png()[:60]).decode(), ""),
    ],
)
async def test_a_picture_that_cannot_be_had_changes_nothing(client: Client, url: str, why: str) -> None:
    """Neither at the creation nor later; image_change_error says so, without the address, and the drawn face stays."""
    session, bot = await client.meet(agent_id=None, agent_image_url=url)
    await bot.see()
    corner = bot.picture[:40].copy()
    await client.control(session, event="update-image", image_url=url)
    failed = await session.avatar.wait_for("image_failed", n=2)
    assert (failed.value[: len(why)], "S3CR3T" in failed.value) == (why, False)
    await bot.until(lambda: any(message["type"] == "image_change_error" for message in bot.app_messages))
    await bot.see()
    assert (bot.picture[:40] == corner).all()


@set_up(latency=1.0, image_cuts_voice=True)
async def test_a_new_picture_may_cut_the_voice(client: Client) -> None:
    """As the real model may, if the emulator is told so."""
    session, bot = await client.meet()
    await bot.say(tone(0.5))
    await asyncio.sleep(0.6)
    await client.control(session, event="update-image", image_base64=RED)
    assert (await session.avatar.wait_for("dropped")).value == len(tone(0.5))


@set_up(record_seconds=0.1)
async def test_what_is_recorded_is_bounded(client: Client) -> None:
    """The beginning of the speech is kept, and nothing later, although it is spoken."""
    session, bot = await client.meet()
    await bot.say(tone(0.5))
    await bot.hear(50)
    assert session.avatar.heard == session.avatar.sounded == tone(0.1)
    assert tone(0.5) in bot.voice
