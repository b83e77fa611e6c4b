"""The tests run in two processes or more: those in real time one after the other, all the others beside them.

The tests of the service, the API client, the emulator and of faults run in virtual time: see `support/virtual_time`.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests.support.network import NetworkLoop

# How long an example takes says more of the machine than of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

REAL_TIME = (
    "tests/bots/test_evals.py", "tests/bots/test_local.py", "tests/bots/test_voice.py", "tests/browser/test_page.py",
    "tests/cli/test_try.py", "tests/emulator/test_replay.py", "tests/faults/test_exits.py", "tests/fidelity/",
    "tests/test_video_bursts.py",
)  # fmt: skip
"""Where what is asserted depends on the real clock; sockets and processes alone may be busy beside others."""


VIRTUAL_TIME = ("tests/test_", "tests/api/", "tests/contract/", "tests/emulator/", "tests/faults/")
PROCESSES = (
    "tests/api/test_exit_hook.py", "tests/emulator/test_main.py", "tests/emulator/test_replay.py",
    "tests/faults/test_exits.py",
)  # fmt: skip
"""Real ones: their time is, too."""


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give a test the loop that it runs on."""
    virtual = item.nodeid.startswith(VIRTUAL_TIME) and not item.nodeid.startswith(PROCESSES)
    return {"virtual": NetworkLoop} if virtual else {"real": asyncio.new_event_loop}


class Scheduling(LoadScopeScheduling):
    """Keeps what measures real time in one process. Marks would do, but pytest 9.2 hides them from pytest-xdist 3.8."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(REAL_TIME):
            return "real time"
        return nodeid.partition("::")[0] if nodeid.startswith("tests/browser/") else nodeid  # one browser for a file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give way to the process that measures time, once this one computes."""
    if "PYTEST_XDIST_WORKER" in os.environ and not item.nodeid.startswith(REAL_TIME) and not os.nice(0):
        os.nice(5)
