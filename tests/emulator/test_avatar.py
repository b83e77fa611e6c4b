"""The avatar as a bot meets it: in a room, over a WebSocket, in real time."""

import asyncio
import base64
import io
import itertools
import struct

import aiohttp
import numpy as np
import pytest
from PIL import Image

from pipecat_lemonslice.emulator import EmulatorOptions, Session
from tests.emulator.town import KEY, Person, Town, tone

TICK = 0.02


async def meet(town: Town, **fields: object) -> tuple[Session, Person]:
    """A session whose avatar is there, and a bot with it."""
    answer = await town.create(**fields)
    session = town.emulator.sessions[-1]
    bot = await town.join(answer["room_url"])
    await session.avatar.wait_for("joined")
    return session, bot


def event(name: str, session: Session) -> dict[str, str]:
    return {"event": name, "session_id": session.id}


def rgb(picture: bytes) -> np.ndarray:
    _, _, width, height = struct.unpack_from("<B16sHH", picture)
    return np.frombuffer(picture, np.uint8, offset=21).reshape(height, width, 3)


async def test_the_avatar_comes_and_says_so(town: Town):
    """It joins as LemonSlice, sends bot_ready, and shows itself in 368x560 with continuous sound."""
    session, bot = await meet(town)
    await bot.until(lambda: bot.pictures and bot.sounds)
    names = [person["user_name"] for person in bot.others]
    names += [text["participant"]["user_name"] for text in bot.of("participant_joined")]
    assert names == ["LemonSlice"]
    assert session.status == "ACTIVE"
    source = session.avatar.id.bytes
    assert bot.pictures[0][:21] == b"\x02" + source + struct.pack("<HH", 368, 560)
    assert len(bot.pictures[0]) == 21 + 368 * 560 * 3
    assert bot.sounds[0] == b"\x01" + source + b"\x01" + struct.pack("<I", 24000) + bytes(960)


@pytest.mark.parametrize("options", [EmulatorOptions(join_delay=0.1)])
async def test_bot_ready_reaches_who_is_there(town: Town):
    """A bot that is there first sees the avatar join, then its bot_ready."""
    _, bot = await meet(town)
    await bot.until(lambda: bot.app_messages())
    assert [text["type"] for text in bot.texts[:2]] == ["participant_joined", "app_message"]
    assert bot.app_messages()[0]["type"] == "bot_ready"


@pytest.mark.parametrize("options", [EmulatorOptions(cold_start=0.15, join_delay=0.15)])
async def test_it_comes_after_cold_start_and_join_delay(town: Town):
    """QUEUED, then ACTIVE without an avatar, then the avatar."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await town.create()
    session = town.emulator.sessions[0]
    assert session.status == "QUEUED"
    joined = await session.avatar.wait_for("joined")
    assert joined.time - begin >= 0.3
    assert session.status == "ACTIVE"


async def test_speech_comes_back_sample_by_sample(town: Town):
    """Every sample that was heard is sounded, in order, and reaches the bot as the avatar's voice."""
    session, bot = await meet(town)
    speech = tone(0.613)
    await bot.tell(event("response_started", session))
    await bot.say(speech)
    await bot.tell(event("response_finished", session))
    idle = await session.avatar.wait_for("idle")
    assert session.avatar.heard == session.avatar.sounded == speech
    assert session.avatar.sample_rate == 24000
    assert idle.value == len(speech)
    await bot.until(lambda: speech in bot.voice)
    assert bot.voice.replace(speech, b"", 1).strip(b"\0") == b""


async def test_events_tell_the_story(town: Town):
    """What happens to an avatar is noted in order, audio with the range of its bytes."""
    session, bot = await meet(town)
    avatar = session.avatar
    await bot.tell(event("response_started", session))
    await bot.say(tone(0.05))
    await bot.tell(event("response_finished", session))
    await avatar.wait_for("idle")
    kinds = [str(each.kind) for each in avatar.events]
    assert kinds[:7] == ["joined", "response_started", "first_byte", "audio", "audio", "audio", "response_finished"]
    assert [each.value for each in avatar.events_of("audio")] == [
        range(960),
        range(960, 1920),
        range(1920, 2400),
    ]
    assert kinds[-2:] == ["voice", "idle"]
    assert [each.time for each in avatar.events] == sorted(each.time for each in avatar.events)


@pytest.mark.parametrize("options", [EmulatorOptions(latency=0.2)])
async def test_the_voice_comes_after_the_latency(town: Town):
    """Speech is sounded when the latency is over, not before."""
    session, bot = await meet(town)
    await bot.say(tone(0.1))
    voice = await session.avatar.wait_for("voice")
    heard = await session.avatar.wait_for("first_byte")
    assert voice.time - heard.time >= 0.2
    assert session.avatar.last_sounded_time is not None
    assert session.avatar.last_sounded_time >= heard.time + 0.2


async def test_other_rates_are_converted(town: Town):
    """Speech at another rate is heard at its own and comes back at the bot's, as long as it was."""
    answer = await town.create()
    session = town.emulator.sessions[0]
    tracks = [{"name": "stream", "sample_rate": 16000, "channels": 1}]
    bot = await town.join(answer["room_url"], tracks=tracks, voice_sample_rate=48000)
    await session.avatar.wait_for("joined")
    speech = tone(0.5, rate=16000)
    await bot.say(speech)
    await bot.tell(event("response_finished", session))
    await session.avatar.wait_for("idle")
    assert (session.avatar.heard, session.avatar.sample_rate) == (speech, 16000)
    heard = len(bot.sounds)
    await bot.until(lambda: len(bot.sounds) >= heard + 5)
    assert {len(sound) - 22 for sound in bot.sounds} == {1920}
    loud = np.flatnonzero(np.abs(np.frombuffer(bot.voice, np.int16)) > 500)
    assert (loud[-1] - loud[0]) / 48000 == pytest.approx(0.5, abs=0.01)


async def test_only_the_speech_track_is_for_the_avatar(town: Town):
    """What people say into their microphones is not repeated."""
    answer = await town.create()
    session = town.emulator.sessions[0]
    tracks = [{"name": "microphone", "sample_rate": 24000, "channels": 1}]
    user = await town.join(answer["room_url"], user_name="User", tracks=tracks)
    await session.avatar.wait_for("joined")
    await user.say(tone(0.1))
    await user.tell({"hello": 1})
    await session.avatar.wait_for("ignored")
    assert session.avatar.heard == b""


async def test_sound_is_continuous_in_real_time(town: Town):
    """Speaking or not, packets of 20 ms come one after the other, never faster than they play."""
    session, bot = await meet(town)
    await bot.until(lambda: len(bot.sounds) >= 10)
    begun = len(bot.sounds)
    await bot.say(tone(0.3))
    await bot.until(lambda: len(bot.sounds) >= begun + 40)
    times = bot.sound_times[begun : begun + 40]
    assert times[-1] - times[0] > 39 * TICK - 0.25
    assert {len(sound) for sound in bot.sounds} == {22 + 960}
    assert session.avatar.present


async def test_pictures_come_25_times_a_second(town: Town):
    """One picture for two packets of sound, fewer if the reader is slow."""
    _, bot = await meet(town)
    await bot.until(lambda: len(bot.sounds) >= 5)
    sounds, pictures = len(bot.sounds), len(bot.pictures)
    await bot.until(lambda: len(bot.sounds) >= sounds + 30)
    assert 6 <= len(bot.pictures) - pictures <= 16


async def test_the_mouth_moves_while_it_speaks(town: Town):
    """The mouth is closed in silence, open in speech, and closed again soon after it."""
    session, bot = await meet(town)
    await bot.until(lambda: len(bot.pictures) >= 2)

    def dark() -> int:
        """How much of the mouth's dark inside the newest picture shows."""
        return int((rgb(bot.pictures[-1])[304:338, 160:208, 0] < 125).sum())

    assert dark() < 60
    await bot.say(tone(0.5))
    await session.avatar.wait_for("voice")
    await bot.until(lambda: dark() > 150)
    await bot.tell(event("response_finished", session))
    await session.avatar.wait_for("idle")
    await bot.until(lambda: dark() < 60)


async def test_interrupt_drops_what_is_not_sounded(town: Town):
    """Of ten seconds nothing is said after `interrupt`; new speech is said in full."""
    session, bot = await meet(town)
    avatar = session.avatar
    await bot.tell(event("response_started", session))
    await bot.say(tone(10.0))
    await avatar.wait_until(lambda: len(avatar.sounded) > 4800)
    await bot.tell(event("interrupt", session))
    interrupted = await avatar.wait_for("interrupt")
    said = len(avatar.sounded)
    assert len(avatar.heard) == 480000
    assert avatar.last_audio_time is not None
    assert avatar.last_audio_time <= interrupted.time + TICK
    assert (await avatar.wait_for("dropped")).value == 480000 - said
    await avatar.wait_for("idle")
    assert len(avatar.sounded) == said
    assert avatar.events_of("response_done_timeout") == []
    await bot.tell(event("response_finished", session))
    again = tone(0.1, amplitude=5000)
    await bot.say(again)
    await avatar.wait_until(lambda: len(avatar.sounded) == said + len(again))
    assert avatar.sounded[said:] == again
    assert interrupted.time <= (await avatar.wait_for("voice", n=2)).time
    assert avatar.last_audio_time > interrupted.time


async def test_it_ends_a_response_itself(town: Town):
    """Without response_finished the session's timeout ends a response, that long after its last byte was played."""
    session, bot = await meet(town, response_done_timeout=0.25)
    await bot.tell(event("response_started", session))
    await bot.say(tone(0.3))
    ended = await session.avatar.wait_for("response_done_timeout")
    assert ended.value == session.avatar.last_audio_time
    assert ended.time - ended.value >= 0.25
    await session.avatar.wait_for("idle")


async def test_without_a_timeout_it_waits(town: Town):
    """A response is held open until somebody ends it."""
    session, bot = await meet(town)
    await bot.say(tone(0.1))
    await session.avatar.wait_until(lambda: len(session.avatar.sounded) == 4800)
    sounds = len(bot.sounds)
    await bot.until(lambda: len(bot.sounds) >= sounds + 15)
    assert session.avatar.speaking
    await bot.tell(event("response_finished", session))
    await session.avatar.wait_for("idle")
    assert not session.avatar.speaking
    assert session.avatar.events_of("response_done_timeout") == []


async def test_messages_for_other_sessions_are_ignored(town: Town):
    """A wrong session id, or none, is noted and not obeyed."""
    session, bot = await meet(town)
    await bot.say(tone(0.2))
    await bot.tell({"event": "interrupt", "session_id": "another"})
    await bot.tell({"event": "interrupt"})
    await session.avatar.wait_for("ignored", n=2)
    await bot.tell(event("response_finished", session))
    await session.avatar.wait_for("idle")
    assert session.avatar.sounded == session.avatar.heard == tone(0.2)
    assert session.avatar.events_of("interrupt") == []


async def test_unknown_messages_are_noted(town: Town):
    """An event that nobody knows does nothing but appear among the events."""
    session, bot = await meet(town)
    await bot.tell({"event": "dance", "session_id": session.id})
    assert (await session.avatar.wait_for("app_message")).value["event"] == "dance"


async def test_idle_timeout_ends_the_session(town: Town):
    """A second without speech: a message says so, the avatar leaves, the session TIMED_OUT, terminate finds none."""
    session, bot = await meet(town, idle_timeout=1)
    joined = await session.avatar.wait_for("joined")
    left = await session.avatar.wait_for("left")
    assert left.time - joined.time >= 1.0
    await bot.until(lambda: bot.of("participant_left"))
    assert {"type": "idle_timeout", "session_id": session.id} in bot.app_messages()
    assert session.status == "TIMED_OUT"
    assert (await town.control(session.id, event="terminate"))[0] == 404
    assert town.emulator.terminated == 0


async def test_speech_and_requests_keep_it_alive(town: Town):
    """The idle timeout counts from the end of the last speech as it is played, or from reset-idle-timeout."""
    spoken, bot = await meet(town, idle_timeout=1)
    asked, _ = await meet(town, idle_timeout=1)
    await bot.say(tone(0.4))
    await spoken.avatar.wait_until(lambda: len(spoken.avatar.sounded) == 19200)
    await town.control(asked.id, event="reset-idle-timeout")
    reset = await asked.avatar.wait_for("idle_reset")
    ended = [await session.avatar.wait_for("idle_timeout") for session in (spoken, asked)]
    assert spoken.avatar.last_audio_time is not None
    assert ended[0].time >= spoken.avatar.last_audio_time + 1.0
    assert ended[1].time >= reset.time + 1.0


async def test_a_negative_idle_timeout_never_ends(town: Town):
    """With -1 a session has no deadline; with 0 it would have ended at once."""
    forever, _ = await meet(town, idle_timeout=-1)
    await town.create(idle_timeout=0)
    await town.emulator.sessions[1].avatar.wait_for("idle_timeout")
    assert forever.status == "ACTIVE"


async def test_terminate_takes_the_avatar_away(town: Town):
    """The others see it leave, and the session is COMPLETED."""
    session, bot = await meet(town)
    await town.control(session.id, event="terminate")
    await bot.until(lambda: bot.of("participant_left"))
    assert (session.status, session.avatar.present) == ("COMPLETED", False)
    assert [str(each.kind) for each in session.avatar.events][-2:] == ["terminated", "left"]


def red(width: int = 60, height: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "PNG")
    return buffer.getvalue()


async def test_a_new_picture_is_shown_and_announced(town: Town):
    """update-image answers at once; image_change_complete comes when the new picture is shown."""
    session, bot = await meet(town)
    image = base64.b64encode(red()).decode()
    assert (await town.control(session.id, event="update-image", image_base64=image))[0] == 200
    await session.avatar.wait_for("image_changed")
    await bot.until(lambda: bot.pictures and (rgb(bot.pictures[-1])[10, 10] == (255, 0, 0)).all())
    assert {"type": "image_change_complete", "session_id": session.id} in bot.app_messages()


async def test_a_picture_that_fails_changes_nothing(town: Town):
    """A link to a private address is not followed; image_change_error says so and the face stays."""
    session, bot = await meet(town)
    await bot.until(lambda: bot.pictures)
    await town.control(session.id, event="update-image", image_url="http://127.0.0.1:9/face.png")
    assert "private" in (await session.avatar.wait_for("image_failed")).value
    await bot.until(lambda: any(message["type"] == "image_change_error" for message in bot.app_messages()))
    shown = len(bot.pictures)
    await bot.until(lambda: len(bot.pictures) > shown)
    assert (rgb(bot.pictures[-1])[2, 2] == rgb(bot.pictures[0])[2, 2]).all()


async def test_a_linked_portrait_may_fail(town: Town):
    """A session whose agent_image_url cannot be had still has an avatar: the drawn one."""
    session, bot = await meet(town, agent_id=None, agent_image_url="http://localhost:9/face.png")
    assert await session.avatar.wait_for("image_failed")
    await bot.until(lambda: bot.pictures)


async def test_an_uploaded_picture_is_the_portrait(town: Town):
    """A picture that was sent along fills the avatar's picture."""
    data = aiohttp.FormData()
    data.add_field("payload", '{"transport_type": "daily"}', content_type="application/json")
    data.add_field("image", red(), content_type="image/png", filename="face.png")
    async with town.http.post(town.emulator.api_url + "/liveai/sessions", data=data, headers=KEY) as response:
        bot = await town.join((await response.json())["room_url"])
    await bot.until(lambda: bot.pictures)
    assert (rgb(bot.pictures[0]) == (255, 0, 0)).all()


async def test_a_data_url_is_the_portrait(town: Town):
    """A picture in agent_image_url fills the avatar's picture, in the aspect ratio asked for."""
    url = "data:image/png;base64," + base64.b64encode(red()).decode()
    _, bot = await meet(town, agent_id=None, agent_image_url=url, aspect_ratio="1x1")
    await bot.until(lambda: bot.pictures)
    picture = rgb(bot.pictures[0])
    assert picture.shape == (512, 512, 3)
    assert (picture == (255, 0, 0)).all()


async def test_a_pose_is_seen(town: Town):
    """Waving changes the corner where the hand is, for a while."""
    session, bot = await meet(town)
    await bot.until(lambda: bot.pictures)
    corner = rgb(bot.pictures[0])[440:540, 20:100]

    def waving() -> bool:
        return bool((rgb(bot.pictures[-1])[440:540, 20:100] != corner).any(axis=2).sum() > 2000)

    await town.control(session.id, event="pose-trigger", pose_trigger={"name": "wave"})
    await bot.until(waving)
    await bot.until(lambda: not waving())


async def test_prompts_are_seen(town: Town):
    """A happy idle prompt puts a smile on the face."""
    session, bot = await meet(town)
    await bot.until(lambda: bot.pictures)

    def white() -> int:
        """How much of the teeth the newest picture shows."""
        return int((rgb(bot.pictures[-1])[300:330, 150:218].min(axis=2) > 235).sum())

    before = white()
    await town.control(session.id, event="update-idle-prompt", idle_prompt="a person smiling happily")
    await bot.until(lambda: white() > before + 100)


async def test_pauses_on_the_way_in_are_pauses_on_the_way_out(town: Town):
    """Speech in two parts with a pause comes back in two parts with a pause."""
    session, bot = await meet(town)
    first, second = tone(0.1), tone(0.1, amplitude=4000)
    await bot.say(first)
    await session.avatar.wait_until(lambda: session.avatar.sounded == first)
    sounds = len(bot.sounds)
    await bot.until(lambda: len(bot.sounds) >= sounds + 10)
    await bot.say(second)
    await session.avatar.wait_until(lambda: session.avatar.sounded == first + second)
    await bot.until(lambda: second in bot.voice)
    silent = [not any(sound[22:]) for sound in bot.sounds]
    runs = [(quiet, len(list(group))) for quiet, group in itertools.groupby(silent)]
    middle = [length for quiet, length in runs[1:-1] if quiet]
    assert max(middle) >= 9
