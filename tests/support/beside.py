"""Runs tests beside the others, in processes of the lowest priority: for pure computation, of which there is a lot.

Tests in real time mostly wait, and what they leave over is enough for those in virtual time; the lowest priority keeps
these from disturbing those. A test that is marked ``beside`` needs no fixtures, only parameters.
"""

import builtins
import importlib
import os
import re
import sys
import traceback
import warnings
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, cast

import pytest
from loguru import logger

WORKERS = 2
WORTH_IT = 20
"""Fewer tests run where they are, so that a debugger finds them."""


class Beside:
    """A plugin: begins with the marked tests once all are collected, and reports each at its turn."""

    def __init__(self, filters: list[str]) -> None:
        self._filters = filters
        self._pool: ProcessPoolExecutor | None = None
        self._outcomes: dict[str, Future[str | None]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        marked = [item for item in session.items if item.get_closest_marker("beside")]
        if len(marked) < WORTH_IT or session.config.option.collectonly:
            return
        self._pool = ProcessPoolExecutor(WORKERS, get_context("spawn"), _begin, (self._filters,))
        for item in sorted(marked, key=lambda item: "index" in _place(item)):  # the long ones first
            self._outcomes[item.nodeid] = self._pool.submit(_run, **_place(item))

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        outcome = self._outcomes.pop(pyfuncitem.nodeid, None)
        if outcome is None:
            return None
        if failure := outcome.result():
            pytest.fail(failure, pytrace=False)
        return True

    def pytest_sessionfinish(self) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)


def _place(item: pytest.Item) -> dict[str, Any]:
    """Where another process finds a test: its module, its name, and which of its parameters it has."""
    assert isinstance(item, pytest.Function)
    place: dict[str, Any] = {"file": str(item.path.relative_to(item.config.rootpath)), "name": item.originalname}
    if hasattr(item, "callspec"):
        place["index"] = next(iter(item.callspec.indices.values()))
    return place


def _begin(filters: list[str]) -> None:
    """Give way to everybody else, say nothing, and take warnings as pytest was told to."""
    os.nice(19)
    logger.remove()
    for spec in filters:
        action, message, category = (*spec.split(":"), "", "")[:3]
        warnings.filterwarnings(cast("Any", action), re.escape(message), getattr(builtins, category or "Warning"))


def _run(file: str, name: str, index: int | None = None) -> str | None:
    """Run a test; returns how it failed, None if it did not."""
    strays: list[str] = []
    sys.unraisablehook = lambda stray: strays.append(f"{stray.err_msg}: {stray.exc_value!r}")
    test = getattr(importlib.import_module(file.removesuffix(".py").replace(os.sep, ".")), name)
    values = () if index is None else _parameters(test)[index]
    try:
        test(*values)
    except BaseException as error:
        return "".join(traceback.format_exception(error))
    return "\n".join(strays) or None


def _parameters(test: Any) -> list[tuple[Any, ...]]:
    [mark] = [mark for mark in test.pytestmark if mark.name == "parametrize"]
    return [getattr(values, "values", None) or (values,) for values in mark.args[1]]
