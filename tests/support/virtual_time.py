"""An asyncio event loop whose clock jumps: hours of timers run in milliseconds, always in the same order.

While a callback is ready it runs and no time passes. When nothing is ready, the clock jumps to the next
timer, exactly. So ``asyncio.sleep``, ``wait_for``, ``asyncio.timeout`` and ``loop.call_later`` work as ever,
a test may assert exact times (use binary-exact ones such as 0.25), and nothing depends on the machine.

Tests in the folders that `conftest.py` names run on such a loop; ``run_virtual`` is for the others, and for many loops
in one test.

The limits of it:

- Only ``loop.time()`` is virtual. ``time.monotonic()`` and ``time.time()`` go on as they are.
- No pipes, subprocesses or sockets to the outside. For connections within the process there is
  ``run_virtual(…, loop=NetworkLoop)``; see `network`.
- ``asyncio.to_thread`` and ``run_in_executor`` work: the clock stands still until the thread is done. A
  thread that the loop did not start itself is not waited for.
- A loop with nothing ready, no timer and no thread can never go on: StuckError, with where each task waits.
  The same for one that spins without time passing, or that is still busy after `limit` virtual seconds.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from selectors import DefaultSelector, SelectorKey
from typing import Any, TypeVar

__all__ = ["START", "StuckError", "VirtualTimeLoop", "run_virtual"]

T = TypeVar("T")

START = 1024.0
"""What the clock shows at first, in seconds: not zero, as no real clock does, and exact in binary."""

_SPINS = 1_000_000
_THREAD_SECONDS = 30.0
_ASYNCIO = os.path.dirname(asyncio.__file__)


class StuckError(AssertionError):
    """The loop can never go on, or never ends."""


class _Clock(DefaultSelector):
    """Lets time pass where a real loop waits for its sockets."""

    def __init__(self, loop: "VirtualTimeLoop") -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Return which sockets are ready; if none is, let the clock jump to the next timer.

        Args:
            timeout: 0 if callbacks are ready, None if nothing is scheduled, else a timer waits.

        Raises:
            StuckError: Time cannot pass, or has passed for too long.
        """
        threads = self._loop.threads
        ready = super().select(0.0 if timeout == 0.0 or not threads else _THREAD_SECONDS)
        if ready or timeout == 0.0:
            self._loop.count_spin()
        elif threads:
            raise self._loop.stuck(f"A thread has not ended after {_THREAD_SECONDS} real seconds.")
        else:
            self._loop.jump()
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The loop. See the module.

    Args:
        limit: Virtual seconds after which a loop that still runs is taken to run for ever.
    """

    # The state that asyncio's own base class keeps, and that its type stubs leave out.
    _scheduled: list[asyncio.TimerHandle]
    _default_executor: Executor | None

    def __init__(self, *, limit: float = 3600.0) -> None:
        super().__init__(_Clock(self))
        self.threads = 0
        """How many run that the loop has started."""
        self._now = START
        self._limit = limit
        self._spins = 0
        # A timer is due if it lies before now + resolution, so zero would never let one run.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """The virtual time in seconds."""
        return self._now

    def jump(self) -> None:
        """Go on to the next timer."""
        if not self._scheduled:
            raise self.stuck("Nothing is ready and nothing is scheduled.")
        when = self._scheduled[0].when()
        if when > START + self._limit:
            raise self.stuck(f"Still running after {self._limit} virtual seconds.")
        self._spins = 0
        self._now = max(self._now, when)

    def count_spin(self) -> None:
        """Time does not pass, which is no harm for a while."""
        self._spins += 1
        if self._spins > _SPINS:
            self._spins = 0  # the clean-up that follows has to run
            raise self.stuck("The loop spins and no time passes.")

    def stuck(self, why: str) -> StuckError:
        """Return the error that says so, and where each task waits."""
        tasks = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
        lines = [f"\n  {task.get_name()} waits in {_innermost(task)}" for task in tasks if not task.done()]
        return StuckError("".join([why, *lines]))

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run `func` in a real thread, during which the clock stands still."""
        future = super().run_in_executor(executor, func, *args)  # type: ignore[arg-type]
        self.threads += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self.threads -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Join the threads here; asyncio's own way waits for a thread that this loop cannot see."""
        self._executor_shutdown_called = True
        if self._default_executor is not None:
            self._default_executor.shutdown(wait=True)


def _innermost(task: asyncio.Task[Any]) -> str:
    """File, line and name of the deepest frame in which a task waits, asyncio's own left out."""
    awaitable: Any = task.get_coro()
    place = "?"
    while awaitable is not None:
        frame = getattr(awaitable, "cr_frame", None) or getattr(awaitable, "ag_frame", None)
        if frame is not None and (place == "?" or not frame.f_code.co_filename.startswith(_ASYNCIO)):
            place = f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_qualname})"
        awaitable = getattr(awaitable, "cr_await", None) or getattr(awaitable, "ag_await", None)
    return place


def run_virtual(
    main: Callable[[], Coroutine[Any, Any, T]] | Coroutine[Any, Any, T],
    *,
    limit: float = 3600.0,
    loop: type[VirtualTimeLoop] = VirtualTimeLoop,
) -> T:
    """Run a coroutine to its end in virtual time, then cancel what it left behind and close the loop.

    Args:
        main: A coroutine, or a function without parameters that returns one.
        limit: Virtual seconds that it may last at most.
        loop: The kind of loop.

    Returns:
        What the coroutine returns.

    Raises:
        StuckError: It can never end: nothing is scheduled, time stands still, or `limit` has passed.
        RuntimeError: An event loop is running in this thread already.
    """
    coroutine = main() if callable(main) else main
    if asyncio._get_running_loop() is not None:
        coroutine.close()
        raise RuntimeError("run_virtual() cannot be called from a running event loop")
    with asyncio.Runner(loop_factory=lambda: loop(limit=limit)) as runner:
        return runner.run(coroutine)
