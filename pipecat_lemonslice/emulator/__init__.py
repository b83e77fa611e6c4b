"""A LemonSlice emulator: REST API, rooms on WebSockets, and an avatar with a drawn face.

``python -m pipecat_lemonslice.emulator`` runs it for a bot on this machine; tests run it in process:

    async with Emulator(EmulatorOptions(latency=0.05)) as emulator:
        ...

It is written from the service's description alone and shares no code with the client.
"""

from pipecat_lemonslice.emulator.avatar import Avatar
from pipecat_lemonslice.emulator.events import AvatarEvent, Kind
from pipecat_lemonslice.emulator.faults import FaultError
from pipecat_lemonslice.emulator.models import CreateRequest, EmulatorOptions
from pipecat_lemonslice.emulator.room import Room
from pipecat_lemonslice.emulator.server import Emulator
from pipecat_lemonslice.emulator.session import Session, Status

__all__ = [
    "Avatar",
    "AvatarEvent",
    "CreateRequest",
    "Emulator",
    "EmulatorOptions",
    "FaultError",
    "Kind",
    "Room",
    "Session",
    "Status",
]
