"""The emulator told to misbehave, at the API and in its rooms, in virtual time."""

import asyncio
import json
from typing import Any

import aiohttp
import numpy as np
import pytest

from tests.emulator.client import CREATE, JOIN, KEY, Client, set_up, tone

KEYS = {"session_id", "room_url", "control_url"}
BROKEN = (aiohttp.ClientError, ConnectionError)
JSON, HTML = "application/json", "text/html"
REJECTED = '{"detail": "rejected by the emulator"}'


async def raw(client: Client) -> tuple[int, str, str, Any]:
    """Create a session; returns status, content type, text and headers of the answer."""
    url, timeout = f"{client.emulator.api_url}/liveai/sessions", aiohttp.ClientTimeout(30)
    async with client.http.post(url, json=CREATE, headers=KEY, allow_redirects=False, timeout=timeout) as response:
        return response.status, response.content_type, await response.text(), response.headers


# Requests.


@pytest.mark.parametrize(
    ("fault", "answer", "header", "created"),
    [
        ("reject=504", (504, JSON, REJECTED), "", 0),
        ("reject=504,when=after", (504, JSON, REJECTED), "", 1),
        ("reject=503,detail=come, b=1,retry_after=1.5", (503, JSON, '{"detail": "come, b=1"}'), "1.5", 0),
        ("reject=502,body=<p>Bad, gateway</p>,retry_after=Wed, 21", (502, HTML, "<p>Bad, gateway</p>"), "Wed, 21", 0),
        (
            "redirect=https://me@elsewhere.test/x",
            (307, "application/octet-stream", ""),
            "https://me@elsewhere.test/x",
            0,
        ),
        ('answer={"x": 1}', (201, JSON, '{"x": 1}'), "", 1),
        ("answer=", (201, JSON, ""), "", 1),
        ("answer=a,b=c@create@create", (201, JSON, "a,b=c@create"), "", 1),
        ("answer=<html>ok</html>", (201, HTML, "<html>ok</html>"), "", 1),
    ],
)
async def test_an_answer_is_another(
    client: Client, fault: str, answer: tuple[int, str, str], header: str, created: int
) -> None:
    """An error as JSON or as a gateway's HTML, a Location, other JSON, HTML, nothing: the session is created or not."""
    client.emulator.fault(f"2*{fault}")
    for _ in range(2):
        *seen, headers = await raw(client)
        assert tuple(seen) == answer
        assert headers.get("Retry-After", headers.get("Location", "")) == header
    assert client.emulator.created == 2 * created
    assert set(json.loads((await raw(client))[2])) == KEYS


@pytest.mark.parametrize(
    ("fault", "error", "created"),
    [
        ("hang", TimeoutError, 0),
        ("hang=after", TimeoutError, 1),
        ("reset", BROKEN, 0),
        ("reset=after", BROKEN, 1),
        ("truncate", BROKEN, 1),
        ("malform", json.JSONDecodeError, 1),
    ],
)
async def test_a_request_fails_before_or_after_it_is_carried_out(
    client: Client, fault: str, error: Any, created: int
) -> None:
    """The client sees no success, for a session that was or was not created; the next request is not concerned."""
    client.emulator.fault(fault)
    with pytest.raises(error):
        json.loads((await raw(client))[2])
    assert client.emulator.created == created
    await client.create()


async def test_answers_lack_keys_and_name_others(client: Client) -> None:
    """All that alter an answer add up; errors are left alone, and in the end everything goes well."""
    for text in ("always*drop=room_url", "foreign_control=http://x.test", "2*drop=cost@get", "drop=detail@control"):
        client.emulator.fault(text)
    answer = json.loads((await raw(client))[2])
    assert (set(answer), answer["control_url"]) == ({"session_id", "control_url"}, "http://x.test")
    session = client.emulator.sessions[0]
    assert set((await client.ask("GET", f"/{session.id}"))[1]) == {"session_id", "session_status"}
    assert set((await client.control(session, event="dance"))[1]) == {"detail"}
    client.emulator.behave()
    assert set(json.loads((await raw(client))[2])) == KEYS


@pytest.mark.parametrize(
    ("faults", "seconds"), [(["delay=4"], 4), (["2*delay=1@any", "delay=2"], 3), (["drip=20"], 20)]
)
async def test_answers_are_late(client: Client, faults: list[str], seconds: float) -> None:
    """Delays add up; of an answer that drips, status and headers come at once."""
    for text in faults:
        client.emulator.fault(text)
    now, url = asyncio.get_running_loop().time, f"{client.emulator.api_url}/liveai/sessions"
    begin = now()
    async with client.http.post(url, json=CREATE, headers=KEY) as response:
        assert now() - begin == pytest.approx(0 if faults == ["drip=20"] else seconds, abs=0.01)
        assert set(await response.json()) == KEYS
    assert now() - begin == pytest.approx(seconds, abs=0.01)


async def test_faults_are_for_their_requests(client: Client) -> None:
    """Of one kind, of all, or control requests with one event; the first that is due decides how a request ends."""
    session, path = await client.create(), f"/{client.emulator.sessions[0].id}"
    for text in ("2*reject=501@reset-idle-timeout", "reject=502@control", "reject=503@any", "reject=504@list"):
        client.emulator.fault(text)
    reset = {"json": {"event": "reset-idle-timeout"}}
    wave = {"json": {"event": "pose-trigger", "pose_trigger": {"name": "wave"}}}
    asked = (
        *(("POST", f"{path}/control", reset, 501), ("POST", f"{path}/control", wave, 502)),
        *(("POST", f"{path}/control", reset, 501), ("GET", path, {}, 503), ("GET", "", {}, 504)),
        *(("POST", f"{path}/control", reset, 200), ("POST", f"{path}/control", wave, 200), ("GET", "", {}, 200)),
    )
    for method, where, sent, status in asked:
        assert (await client.ask(method, where, **sent))[0] == status
    assert [body["event"] for body in session.controls] == ["reset-idle-timeout", "pose-trigger"]


@pytest.mark.parametrize("body", [b"{", b'{"event": 3}'])
async def test_a_control_request_that_cannot_be_read_has_no_event(client: Client, body: bytes) -> None:
    """It meets faults of all control requests alone, and is a bad request otherwise."""
    session = await client.create()
    client.emulator.fault("always*hang@terminate")
    assert (await client.ask("POST", f"/{session.id}/control", data=body))[0] == 400
    client.emulator.fault("reject=503@control")
    assert (await client.ask("POST", f"/{session.id}/control", data=body))[0] == 503


@pytest.mark.parametrize("fault", ["hang", "drip=3600", "delay=3600"])
async def test_the_end_of_the_emulator_ends_all_waiting(client: Client, fault: str) -> None:
    """Whatever a request waits for, its connection breaks within a second."""
    client.emulator.fault(fault)
    waiting = asyncio.create_task(raw(client))
    await asyncio.sleep(1)
    async with asyncio.timeout(1):
        await client.emulator.close()
        with pytest.raises(BROKEN):
            await waiting


# Sessions.


@set_up(cold_start=100)
async def test_faults_of_sessions_are_counted(client: Client) -> None:
    """One session without its avatar, though it becomes ACTIVE; the next one with it."""
    client.emulator.fault("1*never_join")
    first, second = await client.create(idle_timeout=60), await client.create(idle_timeout=60)
    await asyncio.sleep(130)
    assert (first.status, second.status) == ("ACTIVE", "ACTIVE")
    assert (first.avatar.present, second.avatar.present) == (False, True)
    await first.avatar.wait_for("idle_timeout", timeout=31)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("fatal=meeting, @create=1", {"type": "daily_error", "fatal": True, "error": "meeting, @create=1"}),
        ("fatal", {"type": "daily_error", "fatal": True, "error": "meeting expired"}),
        ("trouble", {"type": "video_generation_error", "error": "no GPU"}),
    ],
)
async def test_an_avatar_reports_that_something_is_wrong(client: Client, fault: str, message: dict[str, Any]) -> None:
    """When it has joined, behind bot_ready."""
    client.emulator.fault(fault)
    session, bot = await client.meet()
    await bot.until(lambda: len(bot.app_messages) == 2)
    assert bot.app_messages[1] == {**message, "session_id": session.id}


async def test_an_avatar_leaves_and_comes_back_as_somebody_else(client: Client) -> None:
    """In mid-sentence, with the rest unsaid, whenever it leaves; not once its session is over."""
    client.emulator.fault("leave_after=0.3")
    client.emulator.fault("return_after=2")
    session, bot = await client.meet()
    avatar, before = session.avatar, session.avatar.id
    await bot.say(tone(0.5))
    left = await avatar.wait_for("left")
    joined = await avatar.wait_for("joined", n=2)
    assert len(avatar.heard) == 0.3 * 48000
    assert (joined.time - left.time, session.status) == (pytest.approx(2), "ACTIVE")
    await bot.until(lambda: len(bot.of("participant_joined")) == 2)
    assert bot.of("participant_left")[0]["participant"]["id"] == str(before)
    assert bot.of("participant_joined")[1]["participant"]["id"] == str(avatar.id) != str(before)
    said = len(avatar.sounded)
    await bot.say(tone(0.2, amplitude=4000))
    await avatar.wait_until(lambda: avatar.sounded[said:] == tone(0.2, amplitude=4000))
    await bot.see(3)
    assert bot.pictures[-1][1:17] == avatar.id.bytes
    avatar.leave("closed")
    await avatar.wait_for("joined", n=3)
    await client.control(session, event="terminate")
    await asyncio.sleep(10)
    assert bot.of("participant_left")[1]["reason"] == "closed"
    assert not avatar.present


@pytest.mark.parametrize("fault", ["freeze_video", "mute", "freeze_video=0.4", "mute=0.4"])
async def test_a_picture_freezes_or_a_voice_is_gone(client: Client, fault: str) -> None:
    """From the start or after so much speech, each without the other; a test may end it."""
    client.emulator.fault(fault)
    session, bot = await client.meet()

    async def missing() -> set[str]:
        """What does not come for a second."""
        shown, heard = bot.shown, len(bot.sounds)
        await asyncio.sleep(1)
        came = {"freeze_video": bot.shown - shown, "mute": len(bot.sounds) - heard}
        return {name for name, count in came.items() if count == 0}

    name = fault.partition("=")[0]
    assert await missing() == (set() if "=" in fault else {name})
    await bot.say(tone(0.5))
    await asyncio.sleep(1)
    assert await missing() == {name}
    for on, gone in ((False, set[str]()), (True, {"freeze_video", "mute"})):
        session.avatar.freeze_video(on)
        session.avatar.mute(on)
        await asyncio.sleep(0.1)
        assert await missing() == gone


async def test_all_connections_break(client: Client) -> None:
    """After so much speech, without a goodbye; people can come again, and the avatar is there."""
    client.emulator.fault("cut_after=0.1")
    session, bot = await client.meet()
    url = client.emulator.room_url(session.room)
    viewer = await client.join(url, user_name="Viewer", tracks=[])
    await bot.say(tone(0.2))
    for person in (bot, viewer):
        await person.until(lambda person=person: not person.open)
        assert person.socket.close_code != 1000
    again = await client.join(url)
    assert [other["user_name"] for other in again.joined["participants"]] == ["LemonSlice"]
    await again.say(tone(0.2))
    await again.see(2)


def level(packets: list[bytes]) -> float:
    """Mean level of packets of sound in dBFS."""
    samples = np.frombuffer(b"".join(packet[22:] for packet in packets), "<i2").astype(float)
    return float(10 * np.log10(np.mean(samples**2) / 32768**2))


async def test_a_voice_has_a_noise_floor(client: Client) -> None:
    """Silence is noise of that level from the first packet on; speech is above it, and is recorded without it."""
    client.emulator.fault("noise=-61")
    session, bot = await client.meet()
    await bot.hear(25)
    assert all(-63 < level([sound]) < -59 for sound in bot.sounds)
    assert level(bot.sounds) == pytest.approx(-61, abs=0.5)
    said = tone(0.4)
    await bot.say(said)
    await session.avatar.wait_until(lambda: session.avatar.sounded == said)
    sounds = (await bot.hear(7))[2:]
    loud = np.frombuffer(b"".join(sound[22:] for sound in bot.sounds if level([sound]) > -40), "<i2").astype(float)
    noise = loud - np.frombuffer(said, "<i2")
    assert 10 * np.log10(np.mean(noise**2) / 32768**2) == pytest.approx(-61, abs=0.5)
    assert level(sounds) == pytest.approx(-61, abs=1)
    for dbfs in (-45.0, -20.0):
        session.avatar.noise = dbfs
        assert level((await bot.hear(7))[2:]) == pytest.approx(dbfs, abs=0.5)
    session.avatar.noise = None
    assert not any(b"".join(sound[22:] for sound in (await bot.hear(7))[2:]))


# Rooms.


async def test_rooms_refuse_so_many_people(client: Client) -> None:
    """For the reason given, one after the other; then they let people in, as they do when the emulator behaves."""
    url = client.emulator.room_url(client.emulator.open_room())
    client.emulator.fault("2*refuse_rooms=meeting is full")
    client.emulator.fault("refuse_rooms")
    hello = json.dumps(JOIN)
    refusals = [await client.refused(url, hello) for _ in range(4)]
    assert refusals == ["meeting is full"] * 2 + ["refused by the emulator"] * 2
    client.emulator.behave()
    await client.join(url)
