from collections.abc import AsyncIterator

import aiohttp
import pytest

from pipecat_lemonslice.emulator import Emulator, EmulatorOptions
from tests.emulator.client import Client


@pytest.fixture
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """A client of an emulator, which `set_up` gives other options."""
    options = EmulatorOptions(**getattr(request, "param", {}))
    async with Emulator(options) as emulator, aiohttp.ClientSession() as http:
        talking = Client(emulator, http)
        yield talking
        await talking.close()
