from collections.abc import AsyncIterator

import aiohttp
import pytest

from pipecat_lemonslice.emulator import Emulator, EmulatorOptions
from tests.emulator.town import Town


@pytest.fixture
def options() -> EmulatorOptions:
    return EmulatorOptions(latency=0.05)


@pytest.fixture
async def town(options: EmulatorOptions) -> AsyncIterator[Town]:
    """An emulator that runs, with a way to talk to it."""
    async with Emulator(options) as emulator, aiohttp.ClientSession() as http:
        town = Town(emulator, http)
        yield town
        await town.close()
