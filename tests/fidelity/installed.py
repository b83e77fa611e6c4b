"""The stand-in in the place of daily-python, for everything that uses it."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import daily
import pytest
from pipecat.transports.daily.transport import DailyTransportClient

from tests.fidelity.client import make_call_client
from tests.fidelity.native import Classes, World
from tests.fidelity.rooms import DailyRoomState, room

URL = "https://example.daily.co/room"
USERS_OF_DAILY = ("daily", "daily.daily", "pipecat.transports.daily.transport")


@dataclass
class Native:
    """The stand-in, for a test."""

    world: World
    client_class: Any

    @property
    def clients(self) -> list[Any]:
        return self.client_class.made

    def room(self, url: str = URL) -> DailyRoomState:
        return room(self.world, url)


def namespaces() -> list[ModuleType]:
    names = [name for name in sys.modules if name in USERS_OF_DAILY or name.startswith("pipecat_lemonslice.rooms")]
    return [sys.modules[name] for name in names]


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> Iterator[Native]:
    """A world of its own for each test; hazards fail it."""
    yield from standing_in(monkeypatch)


def standing_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Native]:
    """The stand-in installed while the generator lives."""
    world = World()
    classes = Classes(world)
    replacements = {**classes.named, "CallClient": make_call_client(world, classes)}
    for name, replacement in replacements.items():
        original = getattr(daily, name)
        for module in namespaces():
            if getattr(module, name, None) is original:
                monkeypatch.setattr(module, name, replacement)
    monkeypatch.setattr(DailyTransportClient, "_daily_initialized", False)
    yield Native(world, replacements["CallClient"])
    world.stop()
    assert not world.hazards, f"daily-python would not have survived this: {world.hazards}"
