from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from tests.fidelity.bots import Stage
from tests.fidelity.installed import Native, standing_in


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> Iterator[Native]:
    """A world of its own for each test."""
    yield from standing_in(monkeypatch)


@pytest.fixture
async def stage(native: Native, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """Where bots meet people and the avatar in Daily rooms."""
    async with AsyncExitStack() as stack:
        yield Stage(native, stack, monkeypatch)
