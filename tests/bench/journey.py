"""How far one thing travels through the package: a TTS frame, an interruption, a loss, an EndFrame, a picture.

On a running call in virtual time, over a LemonSlice in memory. The rule: a call is whatever ``sys.setprofile`` reports
as one, of a Python function whose file lies in the package: functions, properties, generators, and coroutines each time
they go on. Modules is the number of files among the calls. A change is a call whose file is not that of the call before
it; returns are not counted. Calls of the playout buffer count only as one module and its changes: with daily-python
they happen on the native thread, so the figure for running speech leaves them out.

The first edition (commit 108a424) gives its figures in the table under this rule with Python 3.11, to the digit but for
running speech, where it gives 110 to 114 calls. Later versions of Python inline comprehensions and count a few less.
Nothing is asserted here, least of all about time.
"""

import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from loguru import logger
from pipecat.frames.frames import InterruptionFrame

import pipecat_lemonslice
from tests.support.stage import Stage, speech
from tests.support.virtual_time import run_virtual

PACKAGE = Path(pipecat_lemonslice.__file__).parent
NATIVE = "rooms/playout.py"
"""What runs on daily-python's native thread, which the room in memory does not have."""


@dataclass
class Calls:
    """Counts what the package calls while it is entered, on this thread.

    Attributes:
        modules: The file of each call, in order.
    """

    modules: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        sys.setprofile(self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            with suppress(ValueError):  # not a file of the package
                self.modules.append(Path(frame.f_code.co_filename).relative_to(PACKAGE).as_posix())

    @property
    def entered(self) -> int:
        """How many modules were entered."""
        return len(set(self.modules))

    @property
    def changes(self) -> int:
        """How often the module changed from one call to the next."""
        return sum(before != after for before, after in pairwise(self.modules))

    @property
    def on_the_loop(self) -> Counter[str]:
        """How often each module is called on the event loop."""
        return Counter(module for module in self.modules if module != NATIVE)


@dataclass(frozen=True)
class Journey:
    """What is measured, on a call of its own.

    Attributes:
        name: Its name in the table.
        said: Seconds of speech that are given to the avatar at once before.
        after: Seconds between that and the journey.
        travel: Sets it off and waits until it is over.
        before: Modules and changes in the first edition.
        aim: What they should be.
    """

    name: str
    said: float
    after: float
    travel: Callable[[Stage], Awaitable[None]]
    before: tuple[int, int]
    aim: tuple[int, int]


async def first_audio(stage: Stage) -> None:
    """The first 20 ms of a response come from the TTS."""
    await stage.send(speech(0.02))
    await stage.settle()


async def interruption(stage: Stage) -> None:
    """The user interrupts."""
    await stage.send(InterruptionFrame())
    await stage.settle()


async def loss(stage: Stage) -> None:
    """The avatar leaves the room."""
    stage.room.leave()
    await stage.settle()


async def ending(stage: Stage) -> None:
    """The call ends."""
    await stage.end()
    await stage.settle()


async def picture(stage: Stage) -> None:
    """A picture of the avatar comes."""
    stage.room.show()
    await stage.settle()


JOURNEYS = (
    Journey("first TTS audio of a response", 0.0, 0.0, first_audio, (22, 94), (7, 15)),
    Journey("InterruptionFrame in mid-speech", 3.0, 1.0, interruption, (21, 73), (7, 20)),
    Journey("the avatar leaves in mid-speech", 3.0, 1.0, loss, (26, 151), (9, 45)),
    Journey("EndFrame in silence", 1.0, 4.0, ending, (20, 125), (8, 30)),
    Journey("one picture", 0.0, 0.0, picture, (8, 20), (3, 4)),
)


async def follow(said: float, after: float, travel: Callable[[Stage], Awaitable[None]]) -> Calls:
    """Return what was called on one journey, on a call whose avatar has been there for a second."""
    async with Stage() as stage:
        stage.room.arrive()
        await stage.settle(1.0)
        if said:
            await stage.send(speech(said))
            await stage.settle(after)
        with Calls() as calls:
            await travel(stage)
    return calls


async def running(stage: Stage) -> None:
    """A second of speech is played to the avatar and heard of it."""
    await stage.settle(1.0)


def measure() -> tuple[list[Calls], Calls]:
    """Return what was called on each journey, and during a second of running speech."""
    logger.disable("pipecat")
    logger.disable("pipecat_lemonslice")
    try:
        journeys = [run_virtual(follow(each.said, each.after, each.travel)) for each in JOURNEYS]
        return journeys, run_virtual(follow(4.0, 1.0, running))
    finally:
        logger.enable("pipecat")
        logger.enable("pipecat_lemonslice")


def run() -> None:
    """Follow every journey and print the table."""
    measured, second = measure()
    print(f"{'modules entered / changes of module':36}{'first edition':>14}{'aim':>10}{'measured':>12}")
    for journey, calls in zip(JOURNEYS, measured, strict=True):
        before, aim = (f"{modules} / {changes}" for modules, changes in (journey.before, journey.aim))
        print(f"{journey.name:36}{before:>14}{aim:>10}{f'{calls.entered} / {calls.changes}':>12}")
    share = second.on_the_loop.total() / 50
    print(f"{'20 ms of running speech':36}{'108 calls':>14}{'below 10':>10}{f'{share:.1f} calls':>12}")
    often = ", ".join(f"{module} {count / 50:.0f}" for module, count in second.on_the_loop.most_common(8))
    print(f"of these: {often}")


if __name__ == "__main__":
    run()
