"""Where the avatar may be, for the matrix of faults: what can happen there, and what differs."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipecat_lemonslice.video import END_SECONDS
from tests.faults.catalogue import Fault
from tests.faults.emulated import EmulatedWorld
from tests.faults.shared import SharedWorld
from tests.faults.world import LAG, World


@dataclass(frozen=True)
class Topology:
    """Where the avatar is.

    Attributes:
        name: Its name.
        make: Makes a call in it.
        takes: Whether a fault can happen there.
        differs: What a fault costs there, where that is something else.
        lag_lost: Seconds of words that go with an avatar, since the bot does not hear how far it has come.
        ending: Seconds that the EndFrame may take longer, as the session ends before it goes on.
        rest: Seconds in which nothing is said, so that the avatar can be back; None: as many as the fault lasts.
    """

    name: str
    make: Callable[[], World]
    takes: Callable[[Fault], bool] = lambda _: True
    differs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lag_lost: float = 0.0
    ending: float = 0.0
    rest: float | None = 80.0

    def fault(self, fault: Fault) -> Fault:
        """Return what a fault costs here."""
        lost, ending = fault.lost + self.lag_lost, fault.ending + self.ending
        return replace(fault, **{"lost": lost, "ending": ending, **self.differs.get(fault.name, {})})


NOT_SHARED = {
    "the room refuses the bot": "the bot's own transport joins",
    "joining breaks": "likewise",
    "the network goes silent": "the connection is that of the bot's own transport",
    "the socket dies": "the bot's call is over with its transport",
    "its voice stops, its picture goes on": "the bot does not hear the avatar",
    "its picture stops, its voice goes on": "nor see it",
    "the room refuses writes": "a transport takes whatever is written to a track that it has",
}
"""What cannot happen, or not be seen, in a room that bot, avatar and people share; and why."""

NOT_OF_A_SOCKET = ("writes never complete", "the room refuses writes", "the room refuses messages")
OF_A_KNOWN_ROOM = ("an answer with session_id alone", "odd types in an answer")
AT_THE_CLIENT = ("an empty answer", "a list for an answer", "an answer without session_id", "no connection x5")
ALIKE = re.compile(
    r"4(00|02|03|04|05|10|13|15|22), for good$|(408|500|502|503|520) x1|409 x|50[23] x[25]|429 x2$|504 x1, retry"
    "|a hang before"
)
"""Refusals in which the emulator has the same part as in others."""


def emulated(fault: Fault) -> bool:
    """Whether the emulator has a part in a fault, in a room of the session's own, that it has in no other."""
    elsewhere = (*NOT_OF_A_SOCKET, *OF_A_KNOWN_ROOM, *AT_THE_CLIENT)
    return fault.name not in elsewhere and not ALIKE.search(fault.name)


def emulated_in_lobby(fault: Fault) -> bool:
    """What is different in a room that outlives the sessions."""
    return fault.name in (*OF_A_KNOWN_ROOM, "the avatar leaves", "the avatar is replaced by another")


TOPOLOGIES = (
    # Nothing is heard of a refused message before the third in a row: see `fidelity/test_refused_messages.py`.
    Topology("relay", World, takes=lambda fault: fault.name != "the room refuses messages"),
    Topology(
        "shared room",
        SharedWorld,
        takes=lambda fault: fault.name not in NOT_SHARED,
        differs={
            # The avatar cannot be told to stop.
            "the room refuses messages": {"overlap": LAG},
        },
        lag_lost=LAG + 0.1,
        ending=END_SECONDS,
    ),
    Topology(
        "emulator",
        EmulatedWorld,
        takes=emulated,
        # Reading and writing fail together, and either may be the first to be noticed.
        differs={
            "the socket dies": {"says": ("room has closed the connection|sending to the room failed",)},
            "the avatar reports its idle timeout": {"quiet": ("joining", "ready", "between")},
            # The room tells how far speech has been played, so its silence is noticed at the end, too.
            "the network goes silent": {"quiet": ()},
        },
        rest=None,
    ),
    Topology("emulator, lobby", lambda: EmulatedWorld(lobby=True), takes=emulated_in_lobby, rest=None),
)
