"""The avatar's face as it is seen in its pictures, in virtual time."""

import asyncio
import io
from importlib.resources import files

import numpy as np
import pytest
import resvg_py
from PIL import Image

from tests.emulator.client import Client, Person, event, tone

SILENT, QUIET, LOUD = 0, 300, 12000


def dark(bot: Person) -> int:
    """How much of the mouth's dark inside the newest picture shows."""
    return int((bot.picture[304:338, 160:208, 0] < 125).sum())


def teeth(bot: Person) -> int:
    return int((bot.picture[300:330, 150:218].min(axis=2) > 235).sum())


def whites(bot: Person) -> int:
    """How much of the whites of the eyes the newest picture shows."""
    return int((bot.picture[232:264, 110:258].min(axis=2) > 230).sum())


def skin(bot: Person) -> int:
    """How much skin there is in the corner of the hand."""
    return int((np.abs(bot.picture[420:540, 5:110].astype(int) - (248, 207, 174)).max(axis=2) < 4).sum())


async def test_the_file_shows_the_face_at_rest(client: Client) -> None:
    """Opened in a browser, the drawing is the first picture of an avatar that does nothing."""
    _, bot = await client.meet()
    await bot.see()
    svg = files("pipecat_lemonslice.emulator").joinpath("face.svg").read_text(encoding="utf-8")
    alone = np.asarray(Image.open(io.BytesIO(resvg_py.svg_to_bytes(svg_string=svg))).convert("RGB"))
    assert np.abs(alone.astype(int) - bot.picture).max(axis=2).mean() < 0.1


async def test_the_louder_the_wider(client: Client) -> None:
    """The mouth is closed in silence, opens with speech, wider with louder speech, and closes again."""
    session, bot = await client.meet()
    shown: list[int] = []
    for amplitude in (SILENT, QUIET, LOUD):
        await bot.say(tone(0.5, amplitude=amplitude))
        await bot.see(9)
        shown.append(dark(bot))
        await asyncio.sleep(0.5)
    assert shown[0] < 60
    assert shown[0] < shown[1] < shown[2] - 100
    await bot.tell(event("response_finished", session))
    await asyncio.sleep(0.5)
    assert dark(bot) < 60


async def test_it_blinks_and_sways(client: Client) -> None:
    """In ten quiet seconds the eyes close a few times, for a moment; the head moves, and the body does not."""
    _, bot = await client.meet()
    await bot.see()
    first, places = bot.picture, set[bytes]()
    eyes: list[int] = []
    for _ in range(250):
        await bot.see()
        eyes.append(whites(bot))
        places.add(bot.picture[100:190].tobytes())
        assert (bot.picture[430:] == first[430:]).all()
    closed = [number for number, white in enumerate(eyes) if white < 20]
    starts = [number for number in closed if number - 1 not in closed]
    assert 2 <= len(starts) <= 4
    assert len(closed) == 2 * len(starts)
    assert len(places) >= 5


@pytest.mark.parametrize(("name", "waves"), [("wave", True), ("Say hello", True), ("smile", False), ("spin", False)])
async def test_a_pose_is_seen_for_a_moment(client: Client, name: str, waves: bool) -> None:
    """A hand waves for some names; every name changes the face."""
    session, bot = await client.meet()
    await bot.see()
    before = bot.picture[200:346, 100:268].copy()
    await client.control(session, event="pose-trigger", pose_trigger={"name": name})
    await bot.see(3)
    assert (skin(bot) > 1000) == waves
    assert (bot.picture[200:346, 100:268] != before).any()
    await bot.see(45)
    assert skin(bot) < 1000


async def test_it_sleeps_with_closed_eyes(client: Client) -> None:
    """For as long as it is idle; while it speaks they are half open, and it wakes up."""
    session, bot = await client.meet(agent_idle_prompt="a person asleep", agent_prompt="a sleepy person")
    await bot.see()
    for _ in range(100):
        await bot.see()
        assert whites(bot) < 20
    await bot.say(tone(0.2))
    await bot.until(lambda: whites(bot) > 20)  # unless it blinks just now
    await bot.tell(event("response_finished", session))
    await asyncio.sleep(0.5)
    await client.control(session, event="update-idle-prompt", idle_prompt="an attentive person")
    await bot.until(lambda: whites(bot) > 100)


async def smiles(bot: Person) -> bool:
    await bot.see(2)
    return teeth(bot) > 100


@pytest.mark.parametrize(
    ("prompt", "smiling"),
    [("", False), ("a Happy person", True), ("a serious person", False), ("sad, then cheerful", False)],
)
async def test_prompts_decide_the_mood(client: Client, prompt: str, smiling: bool) -> None:
    """At the creation and later, while idle; the first word that names a mood decides."""
    session, bot = await client.meet(agent_idle_prompt=prompt)
    assert await smiles(bot) == smiling
    await client.control(session, event="update-idle-prompt", idle_prompt="smiling broadly")
    assert await smiles(bot)
    await client.control(session, event="update-agent-prompt", agent_prompt="stern")
    await client.control(session, event="update-idle-prompt", idle_prompt=prompt or "none")
    assert await smiles(bot) == smiling


async def test_it_does_not_smile_in_the_pauses_of_its_speech(client: Client) -> None:
    """A smile would open the mouth in every pause."""
    session, bot = await client.meet(agent_prompt="happy", agent_idle_prompt="happy")
    assert await smiles(bot)
    await bot.say(tone(0.2))
    await asyncio.sleep(0.5)
    assert session.avatar.speaking
    assert not await smiles(bot)
    await bot.tell(event("response_finished", session))
    await asyncio.sleep(0.1)
    assert await smiles(bot)
