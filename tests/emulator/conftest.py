from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
from loguru import logger

from pipecat_lemonslice.emulator import Emulator, EmulatorOptions
from pipecat_lemonslice.emulator.__main__ import main
from tests.emulator.client import Client

Says = Callable[..., str]


@pytest.fixture
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """A client of an emulator, which `set_up` gives other options."""
    options = EmulatorOptions(**getattr(request, "param", {}))
    async with Emulator(options) as emulator, aiohttp.ClientSession() as http:
        talking = Client(emulator, http)
        yield talking
        await talking.close()


@pytest.fixture
def says(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Says:
    """What the command line says on stderr, in one line, when it ends with this status."""
    monkeypatch.setattr(logger, "remove", lambda: None)

    def run(status: int, *arguments: str) -> str:
        try:
            ended = main(arguments)
        except SystemExit as error:
            ended = error.code
        assert ended == status
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return run
