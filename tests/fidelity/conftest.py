from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.fidelity.installed import Native, native
from tests.fidelity.shared_bots import Stage

__all__ = ["native"]


@pytest.fixture
async def stage(native: Native, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """Where bots meet people and the avatar in one Daily room."""
    async with AsyncExitStack() as stack:
        yield Stage(native, stack, monkeypatch)
