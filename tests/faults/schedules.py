"""What can happen in a random call: orders, and how they are obeyed."""

import asyncio
from dataclasses import dataclass
from typing import Any

from pipecat.frames.frames import InterruptionFrame

from tests.faults.hearing import SLICE
from tests.faults.vendor import Break, Refuse
from tests.faults.world import World


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
OF_WRITES = ("stall", "writes", "messages")
LOSSES = ("leave", "return", "socket", "fatal", *OF_WRITES)
MISFORTUNES = (*LOSSES, "refused", "reset", "late", "join")


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
    await world.settle()  # what was sent before has arrived: system frames overtake in Pipecat's queues
    fleeting = {code for said in world.said if said.interruptible for code in said.codes}
    expected.wanted -= fleeting
    expected.unwanted.append((world.now, fleeting))
    await world.send(InterruptionFrame())


def happen(world: World, what: str, expected: Expected) -> None:
    room = world.rooms[-1] if world.rooms and not world.rooms[-1].closed else None
    expected.losses += what in LOSSES
    match what:
        case "refused":
            world.lemonslice.arm("create", *[Refuse(409)] * 2)
        case "reset":
            world.lemonslice.arm("create", Break("before"))
        case "late":
            world.keep_away(12.0)
        case "join":
            world.join_refusals.append(RuntimeError("unforeseen"))
        case _ if room is not None:
            strike(room, what)


def strike(room: Any, what: str) -> None:
    match what:
        case "leave":
            room.leave()
        case "return":
            room.leave()
            room.arrive()
        case "socket":
            room.lose("gone")
        case "fatal":
            room.say({"type": "daily_error", "fatal": True})
        case "stall":
            room.frozen = True
        case "writes":
            room.write_error = ValueError("released")
        case _:
            room.message_error = ValueError("released")
