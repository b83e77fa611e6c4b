"""The tests run in two processes or more: those in real time one after the other, all the others beside them."""

import os

import pytest

REAL_TIME = (
    "tests/bench/", "tests/bots/", "tests/browser/", "tests/emulator/", "tests/fidelity/", "tests/integration/",
    "tests/rooms/", "tests/api/test_exit_hook.py", "tests/faults/test_exits.py", "tests/test_video_bursts.py",
)  # fmt: skip
"""Where sockets, processes or the clock are real."""


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("PYTEST_XDIST_WORKER", "gw0") != "gw0":  # the first process has the largest group: real time
        os.nice(10)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(REAL_TIME):
            item.add_marker(pytest.mark.xdist_group("real time"))
