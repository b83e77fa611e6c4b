"""How much the avatar sends, in virtual time."""

import asyncio

import aiohttp
import pytest

from pipecat_lemonslice.emulator import Emulator, EmulatorOptions
from tests.emulator.town import Town
from tests.support.network import NetworkLoop
from tests.support.virtual_time import run_virtual

SECONDS = 4.0


@pytest.mark.parametrize(("asked", "sent"), [(25.0, 25), (5.0, 5), (0.0, 1), (100.0, 25)])
def test_it_sends_as_many_pictures_as_asked_for(asked: float, sent: int) -> None:
    """From 1 to 25 a second; its voice keeps its own beat."""

    async def scenario() -> tuple[int, int]:
        async with Emulator(EmulatorOptions(pictures_per_second=asked)) as emulator, aiohttp.ClientSession() as http:
            town = Town(emulator, http)
            bot = await town.join((await town.create())["room_url"])
            await bot.until(lambda: bot.pictures)
            pictures, sounds = len(bot.pictures), len(bot.sounds)
            await asyncio.sleep(SECONDS)
            sent = len(bot.pictures) - pictures, len(bot.sounds) - sounds
            await town.close()
            return sent

    pictures, sounds = run_virtual(scenario, loop=NetworkLoop)
    assert pictures == pytest.approx(SECONDS * sent, abs=1)
    assert sounds == pytest.approx(SECONDS * 50, abs=1)
