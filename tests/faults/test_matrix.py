"""Every fault at every moment: a whole call in virtual time, listened to with the user's ears.

A cell of the matrix is one fault at one moment of the same call. What it may cost is stated once per fault, in the
catalogue; here it is found out. To run the matrix on another topology, add one to `TOPOLOGIES`.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest
from pipecat.frames.frames import EndFrame, StartFrame

from pipecat_lemonslice.video import END_SECONDS
from tests.faults.catalogue import FAULTS, READY, SOON, Fault
from tests.faults.hearing import SLICE, Utterance
from tests.faults.shared import SharedWorld
from tests.faults.world import LAG, World

MOMENTS = {
    "creating": 0.0,
    "joining": 1.25,
    "waiting": 1.75,
    "ready": 11.0,
    "speaking": 12.9,
    "between": 17.0,
}
"""Seconds from the start of the call; one more is "ending", `LATE` seconds into the last speech."""

LATE = 0.7

Speech = Sequence[tuple[float, float]]
"""When the bot says something, in seconds from the start of the call, and for how long."""

DOUBLED = 0.04 + 0.02
"""Seconds of words that may be heard twice: what was in flight when the avatar went, and the slice it went in."""

MARGIN = LAG + 0.1
"""Seconds until speech is heard when nothing is wrong: the avatar's lag, and a piece of voice."""

ENDING = 3.6
"""Seconds that the end of the call may take beyond the last words."""

APART = 30.0
"""Seconds at least from a creation that may have succeeded unseen to the next one."""

CLEANUP = 12.0 + 2.0
"""Seconds that the release of everything may take."""


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
    """

    name: str
    make: Callable[[], World]
    takes: Callable[[Fault], bool]
    differs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lag_lost: float = 0.0
    ending: float = 0.0

    def fault(self, fault: Fault) -> Fault:
        """Return what a fault costs here."""
        lost, ending = fault.lost + self.lag_lost, fault.ending + self.ending
        return replace(fault, **{"lost": lost, "ending": ending, **self.differs.get(fault.name, {})})


NOT_IN_RELAY = {
    "writes never complete": "a socket takes them; see `test_video_outage`",
    "the room refuses messages": "likewise; see `fidelity/test_own_room`",
    "an answer with session_id alone": "only a known room can be joined without being told which",
}
NOT_SHARED = {
    "the room refuses the bot": "the bot's own transport joins",
    "joining breaks": "likewise",
    "the network goes silent": "the connection is that of the bot's own transport",
    "the socket dies": "the bot's call is over with its transport",
    "its voice stops, its picture goes on": "the bot does not hear the avatar",
    "its picture stops, its voice goes on": "nor see it",
}
"""What cannot happen, or not be seen, in a room that bot, avatar and people share; and why."""

IN_A_KNOWN_ROOM = ("an answer with session_id alone", "the avatar leaves")
"""Where it is different that a room outlives the sessions."""

TOPOLOGIES = (
    Topology("relay", World, takes=lambda fault: fault.name not in NOT_IN_RELAY),
    Topology("relay, lobby", lambda: World(lobby=True), takes=lambda fault: fault.name in IN_A_KNOWN_ROOM),
    Topology(
        "shared room",
        SharedWorld,
        takes=lambda fault: fault.name not in NOT_SHARED,
        differs={"the avatar reports its idle timeout": {"quiet": ("ready", "between")}},
        lag_lost=LAG + 0.1,
        ending=END_SECONDS,
    ),
)

CELLS = [
    pytest.param(topology, fault, moment, id=f"{topology.name}: {fault.name}, {moment}")
    for topology in TOPOLOGIES
    for fault in FAULTS
    if topology.takes(fault)
    for moment in fault.moments
]


def test_the_matrix_is_as_large_as_promised() -> None:
    """At least sixty distinct cells."""
    assert len({param.id for param in CELLS}) == len(CELLS) >= 60


@pytest.mark.parametrize(("topology", "fault", "moment"), CELLS)
async def test_the_call_survives(topology: Topology, fault: Fault, moment: str) -> None:
    """No dead air, no lost word, no leak and no secret beyond what is stated; one ErrorFrame for each failure."""
    await _check(topology.make(), topology.fault(fault), moment, speech_of(fault))


def speech_of(fault: Fault) -> Speech:
    """What is said in a call; the last comes together with the EndFrame."""
    rested = 20.0 + fault.lasts
    return (0.1, 1.0), (12.0, 2.0), (20.0, 1.5), (rested, 1.0), (rested + 4.0, 1.5)


async def _check(world: World, fault: Fault, moment: str, speech: Speech) -> None:
    started, ended, left = await play(world, fault, moment, speech)
    assert world.time_of(StartFrame) == started, "the StartFrame was held back"
    check_ears(world, fault, moment, started)
    assert ended - started <= sum(speech[-1]) + ENDING + fault.silence + fault.ending
    assert left - ended <= CLEANUP
    check_errors(world, fault, moment)
    check_sessions(world, fault, moment)
    check_quiet(world)
    by = Counter(sounding.by for sounding in world.heard() if sounding.code in world.said[3].codes)
    assert by.most_common(1)[0][0] == ("avatar" if fault.back else "voice"), f"the last but one was said by {by}"


async def play(world: World, fault: Fault, moment: str, speech: Speech) -> tuple[float, float, float]:
    """One call with one fault; returns when it began, when its EndFrame had come through, and when all was over."""
    started = asyncio.get_running_loop().time()
    if moment == "creating":
        _inject(world, fault, moment)
    async with world:
        when = started + MOMENTS.get(moment, speech[-1][0] + LATE)
        injection = asyncio.get_running_loop().call_at(when, _inject, world, fault, moment)
        if moment == "creating":
            injection.cancel()
        for at, seconds in speech:
            await asyncio.sleep(max(0.0, started + at - world.now))
            await world.say(seconds)
        await world.end()
        ended = world.now
    return started, ended, world.now


def _inject(world: World, fault: Fault, moment: str) -> None:
    fault.inject(world)
    if fault.renewal and moment == "speaking":
        world.rooms[-1].leave()


# What the user hears.


def check_ears(world: World, fault: Fault, moment: str, started: float) -> None:
    """Each utterance is heard in order, soon, without more silence, loss or repetition than the fault may cost."""
    missing, doubled = world.missing(code for one in world.said for code in one.codes), world.doubled()
    loses_avatar = not fault.renewal or moment == "speaking"
    assert missing <= (fault.lost if loses_avatar else 1e-9), f"{missing:.3f} s were never heard"
    assert doubled <= DOUBLED + 1e-9, f"{doubled:.3f} s were heard twice"
    for utterance in world.said:
        silence = silence_of(world, utterance)
        assert silence <= _silence(fault, moment, utterance.at - started), f"{silence:.2f} s of silence"
    newest = 0
    for sounding in world.heard():  # what comes later was said later, but for what was in flight at a change-over
        assert sounding.code > newest - (DOUBLED + fault.overlap) / SLICE - 1, "words came out of order"
        newest = max(newest, sounding.code)


def silence_of(world: World, utterance: Utterance) -> float:
    """Seconds without sound from when something was said until it had been heard."""
    own = [sounding for sounding in world.heard() if sounding.code in utterance.codes]
    if not own:
        return 0.0
    begin, end = utterance.at, own[-1].end
    return end - begin - sum(max(0.0, min(end, one.end) - max(begin, one.begin)) for one in world.heard())


def _silence(fault: Fault, moment: str, at: float) -> float:
    begins = at < MOMENTS["ready"] or (fault.sleeps and moment in fault.quiet)
    waits = READY if fault.renewal and moment == "speaking" else fault.waits
    return MARGIN + fault.silence + (waits if begins else 0.0)


# What is told, and what is left.


def check_errors(world: World, fault: Fault, moment: str) -> None:
    """One ErrorFrame for each outage, with a category and the words of whoever failed; the page learns of it."""
    provoked = fault.renewal and moment == "speaking"
    unnoticed = moment in fault.quiet or (provoked and fault.repeats)
    expected = (0 if unnoticed else fault.errors) + provoked
    told = [error.error for error in world.errors]
    assert len(told) == expected, told
    assert all(error.category is not None and not error.fatal for error in world.errors)
    if expected > provoked:
        assert any(all(re.search(word, text) for word in fault.says) for text in told), told
    statuses = [told["status"] for told in world.page if "status" in told]
    assert statuses[-1] == "ended"
    # Of a session that cannot be terminated, and of trouble, the page learns nothing: the avatar is where it was.
    outages = [text for text in told if not re.search("could not be terminated|no GPU", text)]
    assert not outages or {"lost", "voice_only"} & set(statuses), statuses


def check_sessions(world: World, fault: Fault, moment: str) -> None:
    """Whatever the vendor told of has been terminated, and its room left; what may have succeeded is not repeated."""
    assert len(world.leaked) == fault.unseen
    assert all(site.closed for site in world.rooms)
    assert world.most_running <= 1 + fault.unseen + fault.beside
    asked = [request.time for request in world.emulator.requests if request.path == "create"]
    first = 1 if moment == "speaking" else 0
    for sent, following in list(pairwise(asked))[first : first + fault.doubtful]:
        assert following - sent >= APART, "created again too soon"


def check_quiet(world: World) -> None:
    """Nothing unhandled, nothing left running, and no secret anywhere."""
    assert world.strays == []
    assert world.tracebacks == []
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert world.secrets_seen() == []
    for request in world.emulator.requests:
        assert request.with_key == request.url.startswith("/api/"), "the key went elsewhere"


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda topology: topology.name)
async def test_every_frame_comes_through(topology: Topology) -> None:
    """The call that nothing happens to: said by the avatar from first to last, with the EndFrame behind it."""
    world, nothing = topology.make(), Fault("nothing", lambda _: None, (), errors=0)
    await _check(world, nothing, "between", speech_of(nothing))
    assert {sounding.by for sounding in world.heard()} == {"avatar"}
    assert len(world.down(EndFrame)) == 1
    assert silence_of(world, world.said[1]) <= MARGIN + SOON
