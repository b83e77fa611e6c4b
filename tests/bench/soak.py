"""Calls without end, in one process: what is left of them.

In virtual time, over a LemonSlice in memory, with a fault in every second call. Nothing is asserted here; see
`tests/faults/test_bounds.py`.
"""

import asyncio
import gc
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from loguru import logger
from pipecat.frames.frames import ErrorFrame, InterruptionFrame, TTSStoppedFrame

from pipecat_lemonslice.errors import ApiConnectionError
from tests.support.memory import MemoryVendor
from tests.support.stage import Stage, speech
from tests.support.virtual_time import run_virtual

SESSIONS = 500
WARM_UP = 50
"""Calls until everything that is made once has been made."""


@dataclass
class Figures:
    """What came of it.

    Attributes:
        calls: How many there were.
        sessions: How many sessions were created.
        terminated: How many of them were terminated.
        unhandled: Failures that nobody handled.
        errors: ErrorFrames.
        faults: What went wrong, how often.
        objects: Living objects after the warm-up, and at the end.
        resident: Resident memory then, in MB.
    """

    calls: int = 0
    sessions: int = 0
    terminated: int = 0
    unhandled: int = 0
    errors: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    objects: list[int] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)


def soak(calls: int, seed: int = 1) -> Figures:
    """Hold one call after the other; the seed is that of what happens in them."""
    chance, figures, memory = random.Random(seed), Figures(), Path("/proc/self/statm")
    logger.disable("pipecat")
    logger.disable("pipecat_lemonslice")
    try:
        for number in range(1, calls + 1):
            run_virtual(_call(chance, figures))
            if number in (WARM_UP, calls):
                gc.collect()
                figures.objects.append(len(gc.get_objects()))
                pages = int(memory.read_text().split()[1]) if memory.exists() else 0
                figures.resident.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
    finally:
        logger.enable("pipecat")
        logger.enable("pipecat_lemonslice")
    return figures


FAULTS: dict[str, Callable[[Stage], object]] = {
    "leaves": lambda stage: stage.room.leave(),
    "returns": lambda stage: (stage.room.leave(), stage.room.arrive()),
    "room lost": lambda stage: stage.room.lose("gone"),
    "fatal error": lambda stage: stage.room.say({"type": "daily_error", "fatal": True}),
    "writes refused": lambda stage: setattr(stage.room, "write_error", ValueError("released")),
    "writes stuck": lambda stage: setattr(stage.room, "frozen", True),
    "creation refused": lambda stage: stage.vendor.refuse(409, times=2),
    "creation in doubt": lambda stage: stage.vendor.refuse(ApiConnectionError("reset", True)),
    "join refused": lambda stage: stage.join_refusals.append(RuntimeError("unforeseen")),
}


async def _call(chance: random.Random, figures: Figures) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, _context: setattr(figures, "unhandled", figures.unhandled + 1))
    happenings = ["speech"] * 3 + ["interruption"] + [chance.choice(list(FAULTS))] * chance.randint(0, 1)
    chance.shuffle(happenings)
    async with Stage(MemoryVendor(latency=0.25)) as stage:
        for number, what in enumerate(happenings):
            if stage.rooms and not stage.room.watched:
                stage.room.arrive()
            if what == "speech":
                context = f"context-{number}"
                await stage.send(speech(chance.uniform(0.02, 0.4), context), TTSStoppedFrame(context))
            elif what == "interruption":
                await stage.send(InterruptionFrame())
            elif stage.rooms:
                figures.faults[what] += 1
                FAULTS[what](stage)
            await stage.settle(chance.choice((0.5, 2.0, 8.0)))
        await stage.end()
        figures.errors += len(stage.up(ErrorFrame))
    figures.calls += 1
    figures.sessions += len(stage.vendor.created)
    figures.terminated += len(stage.vendor.terminated)


def run() -> None:
    """Hold the calls and print the figures."""
    begun = time.process_time()
    figures = soak(SESSIONS)
    spent = time.process_time() - begun
    faults = ", ".join(f"{name} {count}" for name, count in sorted(figures.faults.items()))
    print(f"soak: {figures.calls} calls in {spent:.0f} s of processor time")
    leaked = figures.sessions - figures.terminated
    print(f"soak: {figures.sessions} sessions created, {figures.terminated} terminated, {leaked} leaked")
    print(f"soak: {figures.faults.total()} faults ({faults})")
    print(f"soak: {figures.errors} ErrorFrames, {figures.unhandled} unhandled failures")
    print(f"soak: {figures.objects[0]} objects after {WARM_UP} calls, {figures.objects[-1]} at the end; ", end="")
    print(f"{figures.resident[0]:.0f} MB, {figures.resident[-1]:.0f} MB")
