"""The tests run in two processes or more: those in real time one after the other, all the others beside them."""

import os

import pytest

REAL_TIME = (
    "tests/bench/", "tests/bots/", "tests/browser/", "tests/emulator/", "tests/fidelity/", "tests/integration/",
    "tests/rooms/", "tests/api/test_exit_hook.py", "tests/faults/test_exits.py", "tests/test_video_bursts.py",
)  # fmt: skip
"""Where sockets, processes or the clock are real."""


NO_TIME = "tests/bots/test_start.py"
"""Processes that end at once: what they say does not depend on when."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(REAL_TIME) and not item.nodeid.startswith(NO_TIME):
            item.add_marker(pytest.mark.xdist_group("real time"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give way to the process that measures time, once this one computes."""
    if "PYTEST_XDIST_WORKER" in os.environ and not item.get_closest_marker("xdist_group") and os.nice(0) < 10:
        os.nice(10)
