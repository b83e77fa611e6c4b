"""What ends a session when no event loop can: run in a process of its own, against the emulator."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from yarl import URL

from pipecat_lemonslice import last_will
from pipecat_lemonslice.emulator import Emulator, EmulatorOptions
from pipecat_lemonslice.last_will import ALL_WILLS_SECONDS, MAX_WILLS, WILL_TIMEOUT, LastWill

CREATE = """
import asyncio
from pipecat_lemonslice.api import CreateSessionRequest, LemonSliceApi

async def main():
    api = LemonSliceApi(api_key="test-key-0123", api_url={url!r})
    for _ in range({sessions}):
        created = await api.create_session(CreateSessionRequest(agent_id="agent"))
        will = api.last_will(created.session_id, control_url=created.control_url)
    await api.close()
    {rest}

{run}
"""


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(EmulatorOptions()) as running:
        yield running


async def run(emulator: Emulator, *, rest: str = "", run: str = "asyncio.run(main())", sessions: int = 1) -> int:
    script = CREATE.format(url=emulator.api_url, rest=rest, run=run, sessions=sessions)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stderr=subprocess.DEVNULL)
    return await asyncio.wait_for(process.wait(), 30)


async def test_a_process_that_just_ends_terminates_its_session(emulator: Emulator) -> None:
    """A loop that is closed without any clean-up leaves no session running."""
    assert await run(emulator) == 0
    assert emulator.created == emulator.terminated == 1


async def test_a_process_that_fails_terminates_its_session(emulator: Emulator) -> None:
    """An exception that nobody handles leaves no session running either."""
    assert await run(emulator, rest="raise SystemExit(3)") == 3
    assert emulator.created == emulator.terminated == 1


async def test_a_revoked_will_is_not_carried_out(emulator: Emulator) -> None:
    """What has ended in order is not ended again."""
    assert await run(emulator, rest="will.revoke()") == 0
    assert (emulator.created, emulator.terminated) == (1, 0)


async def test_a_vendor_that_is_gone_holds_nothing_up(emulator: Emulator) -> None:
    """If nobody answers, the process ends all the same, with its own result."""
    emulator.hang(path="control")
    assert await run(emulator, rest="raise SystemExit(0)") == 0


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
async def test_a_signal_that_nobody_handles_ends_the_process_without_a_session(emulator: Emulator, name: str) -> None:
    """The process still ends by that signal, as whoever sent it expects."""
    number = getattr(signal, name)
    assert await run(emulator, rest=f"import os; os.kill(os.getpid(), {number})", sessions=3) == -number
    assert emulator.created == emulator.terminated == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
async def test_a_forked_child_ends_no_session_of_its_parent(emulator: Emulator) -> None:
    """Neither by a signal nor by its exit; the session is still its parent's to end."""
    rest = (
        "import os, signal, time; children = [os.fork() for _ in (1, 2)]; all(children) or os.kill(os.getpid(), 15);"
        " [os.waitpid(child, 0) for child in children]; will.revoke()"
    )
    assert await run(emulator, rest=rest) == 0
    assert (emulator.created, emulator.terminated) == (1, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_a_signal_that_somebody_handles_is_theirs(emulator: Emulator) -> None:
    """Nothing is ended for a bot that goes on."""
    rest = "import os, signal; signal.signal(15, lambda *_: None); os.kill(os.getpid(), 15); will.revoke()"
    assert await run(emulator, rest=rest) == 0
    assert (emulator.created, emulator.terminated) == (1, 0)


def test_no_more_wills_are_kept_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of sessions that could not be terminated the oldest is forgotten: it has timed out since."""
    kept: dict[int, LastWill] = {}
    monkeypatch.setattr(last_will, "_registered", kept)
    wills = [LastWill(URL("http://127.0.0.1:9/x"), {}, {}) for _ in range(MAX_WILLS + 10)]
    assert list(kept.values()) == wills[10:]
    for will in wills:
        will.revoke()
    assert kept == {}


def test_wills_that_nobody_answers_take_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No further one is begun when the time is up; the newest come first."""
    clock, done = [0.0], list[str]()

    class Slow(LastWill):
        def execute(self) -> None:
            self.revoke()
            clock[0] += WILL_TIMEOUT
            done.append(self._url.path)

    monkeypatch.setattr(last_will, "_registered", {})
    monkeypatch.setattr(last_will.time, "monotonic", lambda: clock[0])
    for number in range(5):
        Slow(URL(f"http://127.0.0.1:9/{number}"), {}, {})
    last_will.execute_all()
    assert done == ["/4", "/3"]
    assert clock[0] <= ALL_WILLS_SECONDS + WILL_TIMEOUT
