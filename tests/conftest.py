"""The tests run in two processes or more: those in real time one after the other, all the others beside them."""

import os
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

REAL_TIME = (
    "tests/bench/", "tests/bots/test_evals.py", "tests/bots/test_interrupted_answers.py", "tests/bots/test_local.py",
    "tests/bots/test_voice.py", "tests/browser/", "tests/cli/", "tests/fidelity/", "tests/integration/",
    "tests/emulator/test_replay.py", "tests/faults/test_exits.py", "tests/test_video_bursts.py",
)  # fmt: skip
"""Where what is asserted depends on the real clock; sockets and processes alone may be busy beside others."""


class Scheduling(LoadScopeScheduling):
    """Keeps what measures real time in one process. Marks would do, but pytest 9.2 hides them from pytest-xdist 3.8."""

    def _split_scope(self, nodeid: str) -> str:
        return "real time" if nodeid.startswith(REAL_TIME) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give way to the process that measures time, once this one computes."""
    if "PYTEST_XDIST_WORKER" in os.environ and not item.nodeid.startswith(REAL_TIME) and not os.nice(0):
        os.nice(5)
