"""The stand-in in the place of daily-python, for everything that uses it."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import daily
import pytest
from pipecat.transports.daily.transport import DailyTransportClient

from tests.fidelity.client import CallClient
from tests.fidelity.native import CustomAudioSource, CustomAudioTrack, Daily, World
from tests.fidelity.rooms import DailyRoomState, room

URL = "https://example.daily.co/room"
USERS_OF_DAILY = ("daily", "pipecat.transports.daily.transport", "pipecat_lemonslice.rooms")


@dataclass
class Native:
    """The stand-in, for a test."""

    world: World

    def room(self) -> DailyRoomState:
        return room(self.world, URL)

    @property
    def bot(self) -> CallClient:
        """The bot's client."""
        return next(client for client in self.world.clients if client.name == "Pipecat")


def standing_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Native]:
    """The stand-in installed while the generator lives; hazards fail the test."""
    world = World()
    users = [module for name, module in sys.modules.items() if name.startswith(USERS_OF_DAILY)]
    for kind in (CallClient, CustomAudioSource, CustomAudioTrack, Daily):
        original, bound = getattr(daily, kind.__name__), type(kind.__name__, (kind,), {"world": world})
        for module in users:
            if getattr(module, kind.__name__, None) is original:
                monkeypatch.setattr(module, kind.__name__, bound)
    monkeypatch.setattr(DailyTransportClient, "_daily_initialized", False)
    yield Native(world)
    world.stop()
    assert not world.hazards, f"daily-python would not have survived this: {world.hazards}"
