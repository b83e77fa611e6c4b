"""The emulator told to misbehave, at the API and in the room."""

import asyncio
import json
from typing import Any

import aiohttp
import numpy as np
import pytest

from pipecat_lemonslice.emulator import Emulator
from pipecat_lemonslice.emulator.faults import Reject
from tests.emulator.town import CREATE, KEY, Person, Town, tone


async def test_rejections_run_out(town: Town):
    """Two requests are refused with the status, the detail and Retry-After, the third is not."""
    town.emulator.reject(503, times=2, detail="come back later", retry_after=1.5)
    url = town.emulator.api_url + "/liveai/sessions"
    for _ in range(2):
        async with town.http.post(url, json=CREATE, headers=KEY) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "1.5")
            assert await response.json() == {"detail": "come back later"}
    await town.create()
    assert (town.emulator.created, len(town.emulator.requests)) == (1, 3)


async def test_a_gateway_answers_in_html(town: Town):
    """A body makes the answer HTML."""
    town.emulator.reject(502, body="<html>Bad Gateway</html>")
    async with town.http.post(town.emulator.api_url + "/liveai/sessions", json=CREATE, headers=KEY) as response:
        assert (response.status, response.content_type) == (502, "text/html")
        assert await response.text() == "<html>Bad Gateway</html>"


async def test_faults_can_be_for_control(town: Town):
    """A terminate that fails leaves the session alone; the next one works."""
    answer = await town.create()
    town.emulator.reject(500, path="control")
    assert (await town.get("/liveai/sessions"))[0] == 200
    assert (await town.control(answer["session_id"], event="terminate"))[0] == 500
    assert len(town.emulator.running) == 1
    assert (await town.control(answer["session_id"], event="terminate"))[0] == 200
    assert town.emulator.running == []


async def test_faults_can_be_for_one_control_event(town: Town):
    """One event is refused as often as it comes, and not carried out; all others are obeyed."""
    session_id = (await town.create())["session_id"]
    town.emulator.fault("always*reject=400,detail=unknown event@reset-idle-timeout")
    for _ in range(2):
        answer = await town.control(session_id, event="reset-idle-timeout")
        assert answer == (400, {"detail": "unknown event"})
    assert (await town.control(session_id, event="pose-trigger", pose_trigger={"name": "wave"}))[0] == 200
    assert (await town.control(session_id, event="terminate"))[0] == 200
    session = town.emulator.sessions[0]
    assert [body["event"] for body in session.controls] == ["pose-trigger", "terminate"]
    assert session.avatar.events_of("idle_reset") == []


async def test_a_fault_of_an_event_may_come_after_the_deed(town: Town):
    """From Python, too: the event is carried out and the answer is an error."""
    session_id = (await town.create())["session_id"]
    town.emulator.arm(Reject(504, when="after"), path="reset-idle-timeout", times=1)
    assert (await town.control(session_id, event="reset-idle-timeout"))[0] == 504
    assert (await town.control(session_id, event="reset-idle-timeout"))[0] == 200
    assert len(town.emulator.sessions[0].avatar.events_of("idle_reset")) == 2


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b'{"event": 3}', b'{"event": ["terminate"]}', b"[" * 9999, b"\xff"]
)
async def test_a_control_request_that_cannot_be_read_has_no_event(town: Town, body: bytes):
    """It meets faults of all control requests alone, and is a bad request otherwise."""
    session_id = (await town.create())["session_id"]
    town.emulator.fault("always*hang@terminate")
    url = f"{town.emulator.api_url}/liveai/sessions/{session_id}/control"
    async with town.http.post(url, data=body, headers=KEY) as response:
        assert response.status == 400
    town.emulator.fault("reject=503@control")
    async with town.http.post(url, data=body, headers=KEY) as response:
        assert response.status == 503


async def test_a_delay_holds_the_answer_back(town: Town):
    """The answer comes, only later."""
    town.emulator.delay(0.2)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await town.create()
    assert loop.time() - begin >= 0.2


@pytest.mark.parametrize(("when", "created"), [("before", 0), ("after", 1)])
async def test_a_hang_never_answers(town: Town, when: str, created: int):
    """The client waits in vain, for a session that was or was not created."""
    town.emulator.hang(when=when)  # type: ignore[arg-type]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await town.create()
    assert town.emulator.created == created


async def arrived(emulator: Emulator) -> None:
    """Wait until a request has reached the emulator."""
    while True:
        await asyncio.sleep(0)
        if emulator.requests:
            return


async def test_the_end_lets_go_of_hanging_requests():
    """Closing the emulator breaks the connections that hang."""
    async with aiohttp.ClientSession() as http:
        async with Emulator() as emulator:
            town = Town(emulator, http)
            emulator.hang()
            waiting = asyncio.create_task(town.create())
            async with asyncio.timeout(5):
                await arrived(emulator)
        with pytest.raises(aiohttp.ClientError):
            await waiting


async def test_malformed_json_after_the_fact(town: Town):
    """The session exists; the answer's JSON is cut off."""
    town.emulator.malform()
    async with town.http.post(town.emulator.api_url + "/liveai/sessions", json=CREATE, headers=KEY) as response:
        text = await response.text()
        assert (response.status, response.content_type) == (201, "application/json")
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)
    assert town.emulator.created == 1


@pytest.mark.parametrize(("when", "created"), [("before", 0), ("after", 1)])
async def test_a_reset_breaks_the_connection(town: Town, when: str, created: int):
    """The client sees its connection broken, before or after the session was created."""
    town.emulator.reset(when=when)  # type: ignore[arg-type]
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await town.create()
    assert town.emulator.created == created
    await town.create()


async def test_keys_can_be_missing(town: Town):
    """The answer to create lacks what was dropped, until the emulator behaves."""
    town.emulator.drop_keys("control_url", "room_url")
    assert set(await town.create()) == {"session_id"}
    town.emulator.behave()
    assert set(await town.create()) == {"session_id", "room_url", "control_url"}


async def test_an_avatar_may_never_come(town: Town):
    """The session is ACTIVE and times out; nobody joins the room."""
    town.emulator.never_join()
    await town.create(idle_timeout=1)
    session = town.emulator.sessions[0]
    await session.avatar.wait_for("idle_timeout")
    assert session.avatar.events_of("joined") == []
    assert session.status == "TIMED_OUT"


async def meet(town: Town) -> tuple[Person, Emulator]:
    answer = await town.create()
    bot = await town.join(answer["room_url"])
    await bot.until(lambda: bot.pictures and bot.sounds)
    return bot, town.emulator


async def test_an_avatar_leaves_in_mid_sentence(town: Town):
    """After so much speech it is gone with the rest unsaid; the session goes on and can be terminated."""
    bot, emulator = await meet(town)
    session = emulator.sessions[0]
    session.avatar.leave_after(0.3)
    await bot.say(tone(1.0))
    await bot.until(lambda: bot.of("participant_left"))
    assert len(session.avatar.heard) == 0.3 * 48000
    assert session.status == "ACTIVE"
    assert (await town.control(session.id, event="terminate"))[0] == 200


async def test_every_avatar_may_leave(town: Town):
    """A fault of sessions befalls every session created from then on."""
    town.emulator.fault("leave_after=0.1")
    bot, emulator = await meet(town)
    await bot.say(tone(0.2))
    await emulator.sessions[0].avatar.wait_for("left")


async def test_an_avatar_comes_back_as_somebody_else(town: Town):
    """A rejoining avatar has a new id, speaks again, and what it had not said is forgotten."""
    bot, emulator = await meet(town)
    avatar = emulator.sessions[0].avatar
    before = avatar.id
    await bot.say(tone(1.0))
    await avatar.wait_for("first_byte")
    avatar.leave()
    said = len(avatar.sounded)
    avatar.rejoin()
    await avatar.wait_for("joined", n=2)
    assert avatar.id != before
    heard = len(avatar.heard)
    await bot.say(tone(0.1))
    await avatar.wait_until(lambda: len(avatar.sounded) >= said + 4800)
    assert avatar.sounded[-4800:] == tone(0.1)
    assert len(avatar.heard) >= heard
    await bot.until(lambda: bot.pictures[-1][1:17] == avatar.id.bytes)


async def test_frozen_video_and_muted_sound(town: Town):
    """No pictures while frozen, no sound while muted, each without the other, and both come back."""
    bot, emulator = await meet(town)
    avatar = emulator.sessions[0].avatar
    avatar.freeze_video()
    sounds = len(bot.sounds)
    await bot.until(lambda: len(bot.sounds) >= sounds + 5)
    pictures = len(bot.pictures)
    await bot.until(lambda: len(bot.sounds) >= sounds + 15)
    assert len(bot.pictures) == pictures
    avatar.thaw_video()
    avatar.mute()
    await bot.until(lambda: len(bot.pictures) >= pictures + 2)
    sounds = len(bot.sounds)
    await bot.until(lambda: len(bot.pictures) >= pictures + 6)
    assert len(bot.sounds) <= sounds + 1
    await bot.say(tone(0.1))
    await avatar.wait_for("voice")
    assert avatar.sounded == b""
    avatar.unmute()
    await bot.until(lambda: len(bot.sounds) > sounds + 2)


async def test_waiting_in_vain_is_bounded(town: Town):
    """Waiting for a session that never comes ends with an error."""
    with pytest.raises(TimeoutError):
        await town.emulator.wait_for_session(timeout=0.05)
    waiting = asyncio.create_task(town.emulator.wait_for_session(2))
    await town.create()
    await town.create()
    assert await waiting is town.emulator.sessions[1]


async def test_sessions_that_leak_are_seen():
    """After the emulator's end a session that nobody terminated still counts as running."""
    async with Emulator() as emulator, aiohttp.ClientSession() as http:
        await Town(emulator, http).create()
    assert [session.status for session in emulator.running] in (["ACTIVE"], ["QUEUED"])


async def test_an_answer_breaks_off(town: Town):
    """The session exists, and half of the answer comes."""
    town.emulator.truncate()
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await town.create()
    assert town.emulator.created == 1
    await town.create()


# Answers


async def test_a_gateway_may_give_up_on_a_request_that_works(town: Town):
    """The session is created, and the answer is an error all the same."""
    town.emulator.fault("reject=504,when=after")
    assert (await town.post("/liveai/sessions", CREATE))[0] == 504
    assert town.emulator.created == 1


async def test_a_redirect_points_elsewhere(town: Town):
    """307 with the Location, and nothing is created."""
    town.emulator.fault("redirect=https://elsewhere.test/x")
    url = town.emulator.api_url + "/liveai/sessions"
    async with town.http.post(url, json=CREATE, headers=KEY, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (307, "https://elsewhere.test/x")
    assert town.emulator.created == 0


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('{"x": 1}', "application/json"),
        ("[1]", "application/json"),
        ("", "application/json"),
        ("ok, created", "application/json"),
        ("<html>ok</html>", "text/html"),
    ],
)
async def test_an_answer_is_another(town: Town, body: str, kind: str):
    """The session is created; the answer keeps its status and has another body."""
    town.emulator.fault(f"answer={body}")
    async with town.http.post(town.emulator.api_url + "/liveai/sessions", json=CREATE, headers=KEY) as response:
        assert (response.status, response.content_type, await response.text()) == (201, kind, body)
    assert town.emulator.created == 1


async def test_a_body_drips(town: Town):
    """Status and headers come at once, the body does not; the emulator's end lets the rest of it go."""
    town.emulator.fault("drip=3600")
    async with town.http.post(town.emulator.api_url + "/liveai/sessions", json=CREATE, headers=KEY) as response:
        assert (response.status, town.emulator.created) == (201, 1)
        assert not response.content.at_eof()
        await town.emulator.close()
        assert set(await response.json()) == {"session_id", "room_url", "control_url"}


async def test_a_body_drips_to_its_end(town: Town):
    """After so much time the whole answer is there."""
    town.emulator.fault("drip=0.1")
    assert set(await town.create()) == {"session_id", "room_url", "control_url"}


async def test_any_answer_can_lack_keys(town: Town):
    """Several keys of the answer to one kind of request, so often; errors are left alone."""
    session_id = (await town.create())["session_id"]
    for text in ("drop=cost@get", "2*drop=session_status@get", "drop=detail@control"):
        town.emulator.fault(text)
    assert set((await town.get(f"/liveai/sessions/{session_id}"))[1]) == {"session_id"}
    assert set((await town.get(f"/liveai/sessions/{session_id}"))[1]) == {"session_id", "cost"}
    assert set((await town.control(session_id, event="dance"))[1]) == {"detail"}


async def test_control_may_be_said_to_be_elsewhere(town: Town):
    """The answer to a creation names another control address, and the next one its own."""
    town.emulator.fault("foreign_control=http://127.0.0.1:9")
    assert (await town.create())["control_url"] == "http://127.0.0.1:9"
    assert (await town.create())["control_url"].startswith(town.emulator.api_url)


# Sessions


async def visit(town: Town) -> Person:
    """Somebody who is in the room before its avatar."""
    url = town.emulator.room_url(town.emulator.open_room())
    bot = await town.join(url)
    await town.create(properties={"daily_url": url})
    return bot


async def test_faults_of_sessions_are_counted(town: Town):
    """One session without its avatar, the next one with it."""
    town.emulator.fault("1*never_join")
    await town.create(idle_timeout=0)
    await town.create()
    first, second = town.emulator.sessions
    await first.avatar.wait_for("idle_timeout")
    await second.avatar.wait_for("joined")
    assert first.avatar.events_of("joined") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fatal=meeting expired", {"type": "daily_error", "fatal": True, "error": "meeting expired"}),
        ("trouble=no GPU", {"type": "video_generation_error", "error": "no GPU"}),
    ],
)
async def test_an_avatar_complains(town: Town, text: str, message: dict[str, Any]):
    """Once it has joined it says that it is there, and then that something is wrong."""
    town.emulator.fault(text)
    bot = await visit(town)
    await bot.until(lambda: len(bot.app_messages()) == 2)
    session_id = town.emulator.sessions[0].id
    assert bot.app_messages() == [
        {"type": "bot_ready", "session_id": session_id},
        {**message, "session_id": session_id},
    ]


async def test_an_avatar_that_left_comes_back(town: Town):
    """Whenever it has left, as another participant; not once its session is over."""
    town.emulator.fault("leave_after=0.1")
    town.emulator.fault("return_after=0.05")
    bot, emulator = await meet(town)
    avatar = emulator.sessions[0].avatar
    before = str(avatar.id)
    await bot.say(tone(0.2))
    await avatar.wait_for("joined", n=2)
    await bot.until(lambda: bot.of("participant_left") and bot.of("participant_joined"))
    assert bot.of("participant_left")[0]["participant"]["id"] == before
    assert bot.of("participant_joined")[-1]["participant"]["id"] == str(avatar.id) != before
    avatar.leave()
    await avatar.wait_for("joined", n=3)
    await town.control(emulator.sessions[0].id, event="terminate")
    await town.create()
    await emulator.sessions[1].avatar.wait_for("joined")
    assert len(avatar.events_of("joined")) == 3
    assert not avatar.present


async def test_an_avatar_may_never_show_a_picture(town: Town):
    """It joins and sounds, and no picture comes."""
    town.emulator.fault("freeze_video")
    bot = await visit(town)
    await bot.until(lambda: len(bot.sounds) >= 10)
    assert bot.pictures == []


async def test_an_avatar_may_never_be_heard(town: Town):
    """It joins and is seen, and no sound comes."""
    town.emulator.fault("mute")
    bot = await visit(town)
    await bot.until(lambda: len(bot.pictures) >= 5)
    assert bot.sounds == []


async def test_a_picture_freezes_while_the_voice_goes_on(town: Town):
    """After so much speech no more pictures come."""
    town.emulator.fault("freeze_video=0.1")
    bot, emulator = await meet(town)
    await bot.say(tone(0.2))
    await emulator.sessions[0].avatar.wait_until(lambda: len(emulator.sessions[0].avatar.heard) >= 0.1 * 48000)
    sounds = len(bot.sounds)
    await bot.until(lambda: len(bot.sounds) >= sounds + 5)
    pictures = len(bot.pictures)
    await bot.until(lambda: len(bot.sounds) >= sounds + 15)
    assert len(bot.pictures) == pictures


async def test_a_voice_stops_while_the_picture_goes_on(town: Town):
    """After so much speech no more sound comes."""
    town.emulator.fault("mute=0.1")
    bot, emulator = await meet(town)
    avatar = emulator.sessions[0].avatar
    await bot.say(tone(0.2))
    await avatar.wait_until(lambda: len(avatar.heard) >= 0.1 * 48000)
    pictures = len(bot.pictures)
    await bot.until(lambda: len(bot.pictures) >= pictures + 2)
    sounds = len(bot.sounds)
    await bot.until(lambda: len(bot.pictures) >= pictures + 6)
    assert len(bot.sounds) == sounds
    assert avatar.present


async def test_all_connections_break(town: Town):
    """After so much speech everybody's socket is gone without a goodbye, and they can come again."""
    town.emulator.fault("cut_after=0.1")
    bot, emulator = await meet(town)
    room = emulator.sessions[0].room
    viewer = await town.join(emulator.room_url(room), user_name="Viewer", tracks=[])
    await bot.say(tone(0.1))
    for person in (bot, viewer):
        await person.until(lambda person=person: not person.open)
        assert person.socket.close_code != 1000
    again = await town.join(emulator.room_url(room))
    assert [other["user_name"] for other in again.others] == ["LemonSlice"]
    await again.say(tone(0.2))
    await again.until(lambda: len(again.pictures) >= 2)


# The noise floor of a voice


def level(packets: list[bytes]) -> float:
    """Mean level of packets of sound in dBFS."""
    samples = np.frombuffer(b"".join(packet[22:] for packet in packets), "<i2").astype(float)
    return float(10 * np.log10(np.mean(samples**2) / 32768**2))


async def test_a_voice_has_a_noise_floor(town: Town):
    """Silence is noise of that level from the first packet on; speech is above it, and is recorded without it."""
    town.emulator.fault("noise=-61")
    bot = await visit(town)
    avatar = town.emulator.sessions[0].avatar
    await bot.until(lambda: len(bot.sounds) >= 25)
    assert all(-63 < level([sound]) < -59 for sound in bot.sounds)
    assert level(bot.sounds) == pytest.approx(-61, abs=0.5)
    before, said = len(bot.sounds), tone(0.4)
    await bot.say(said)
    await avatar.wait_until(lambda: len(avatar.sounded) == len(said))
    assert avatar.sounded == said
    await bot.until(lambda: len(bot.sounds) >= before + 40)
    loud = [sound for sound in bot.sounds[before:] if level([sound]) > -40]
    heard = np.frombuffer(b"".join(sound[22:] for sound in loud), "<i2").astype(float)
    noise = heard - np.frombuffer(said, "<i2")
    assert 10 * np.log10(np.mean(noise**2) / 32768**2) == pytest.approx(-61, abs=0.5)
    assert all(-63 < level([sound]) < -59 for sound in bot.sounds[-5:])


async def test_a_noise_floor_may_change(town: Town):
    """It rises and ends while the avatar is there; a muted track has none."""
    bot, emulator = await meet(town)
    avatar = emulator.sessions[0].avatar
    assert not any(bot.voice)
    for dbfs in (-61.0, -45.0):
        avatar.set_noise(dbfs)
        begin = len(bot.sounds) + 2
        await bot.until(lambda begin=begin: len(bot.sounds) >= begin + 5)
        assert level(bot.sounds[begin:]) == pytest.approx(dbfs, abs=1)
    avatar.set_noise(None)
    begin = len(bot.sounds) + 2
    await bot.until(lambda: len(bot.sounds) >= begin + 5)
    assert not any(b"".join(sound[22:] for sound in bot.sounds[begin:]))
    avatar.set_noise(-61.0)
    avatar.mute()
    sounds, pictures = len(bot.sounds), len(bot.pictures)
    await bot.until(lambda: len(bot.pictures) >= pictures + 5)
    assert len(bot.sounds) <= sounds + 1
