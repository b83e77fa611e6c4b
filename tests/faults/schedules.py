"""What can happen in a random call: orders, and how they are obeyed."""

import asyncio
from dataclasses import dataclass

from pipecat.frames.frames import InterruptionFrame

from tests.faults.hearing import SLICE
from tests.faults.world import Site, World


@dataclass(frozen=True)
class Say:
    """Say something.

    Attributes:
        slices: How much, in 20 ms.
        chunk: In pieces of so many.
        stop: Whether the TTS says that it is over.
        llm: Whether it is an LLM's response.
        lasting: Whether it may not be interrupted.
    """

    slices: int
    chunk: int
    stop: bool
    llm: bool
    lasting: bool


@dataclass(frozen=True)
class Wait:
    """Let time pass."""

    seconds: float


@dataclass(frozen=True)
class Happen:
    """Something happens to the avatar, its room or its API."""

    what: str


@dataclass(frozen=True)
class Interrupt:
    """The user interrupts."""


Order = Say | Wait | Happen | Interrupt
LOSSES = ("leave", "return", "socket", "fatal", "stall", "messages")
MISFORTUNES = (*LOSSES, "refused", "reset", "late", "join")
IN_RELAY = tuple(what for what in MISFORTUNES if what not in ("stall", "messages"))
"""There a socket takes whatever is written."""

IN_SHARED_ROOM = tuple(what for what in MISFORTUNES if what not in ("socket", "join"))
"""There the bot's own transport has the connection, and joins."""


@dataclass
class Expected:
    """What was said, and what became of the wish to hear it.

    Attributes:
        wanted: Codes that must be heard.
        unwanted: Codes that must not leave the service any more, by when that was said.
        losses: How often the avatar may have been lost.
    """

    wanted: set[int]
    unwanted: list[tuple[float, set[int]]]
    losses: int = 0


async def obey(world: World, order: Order, expected: Expected) -> None:
    match order:
        case Say():
            said = await world.say(
                order.slices * SLICE,
                chunk=order.chunk * SLICE,
                stop=order.stop,
                llm=order.llm,
                interruptible=not order.lasting,
            )
            expected.wanted |= set(said.codes)
        case Wait(seconds):
            await asyncio.sleep(seconds)
        case Interrupt():
            await interrupt(world, expected)
        case Happen(what):
            happen(world, what, expected)


async def interrupt(world: World, expected: Expected) -> None:
    await world.settle()
    fleeting = {code for said in world.said if said.interruptible for code in said.codes}
    expected.wanted -= fleeting
    expected.unwanted.append((world.now, fleeting))
    await world.send(InterruptionFrame())


def happen(world: World, what: str, expected: Expected) -> None:
    site = world.rooms[-1] if world.rooms and not world.rooms[-1].closed else None
    expected.losses += what in LOSSES
    match what:
        case "refused":
            world.emulator.fault("2*reject=409")
        case "reset":
            world.emulator.fault("reset=before")
        case "late":
            world.keep_away(12.0)
        case "join":
            world.join_refusals.append(RuntimeError("unforeseen"))
        case _ if site is not None:
            strike(site, what)


def strike(site: Site, what: str) -> None:
    match what:
        case "leave":
            site.leave()
        case "return":
            site.leave()
            site.arrive()
        case "socket":
            site.session.room.drop_connections()
        case "fatal":
            site.say({"type": "daily_error", "fatal": True})
        case "stall":
            site.frozen = True
        case _:
            site.refuses_messages = True
