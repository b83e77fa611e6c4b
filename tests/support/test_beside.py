import sys
import warnings

import pytest

from tests.support.beside import _begin, _run

HERE = "tests/support/test_beside.py"


@pytest.fixture(autouse=True)
def hook_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)


def fine() -> None:
    pass


@pytest.mark.parametrize("number", [1, pytest.param(2, id="two")])
def fails_for_two(number: int) -> None:
    assert number != 2, "it is two"


def drops() -> None:
    class Unclosed:
        def __del__(self) -> None:
            raise RuntimeError("never closed")

    Unclosed()


def warns() -> None:
    warnings.warn("old", DeprecationWarning, stacklevel=1)


def test_a_test_that_passes_says_nothing() -> None:
    """With the parameters of its place."""
    assert _run(HERE, "fine") is None
    assert _run(HERE, "fails_for_two", 0) is None


def test_a_test_that_fails_says_how() -> None:
    """With a traceback, as another process has to tell it."""
    failure = _run(HERE, "fails_for_two", 1)
    assert failure is not None
    assert "it is two" in failure
    assert "test_beside.py" in failure


def test_what_nobody_can_catch_is_a_failure_too() -> None:
    """As it is where pytest runs the test itself."""
    assert "never closed" in (_run(HERE, "drops") or "")


def test_warnings_are_taken_as_pytest_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors, but for those that are let pass."""
    monkeypatch.setattr("tests.support.beside.os.nice", lambda _: None)
    monkeypatch.setattr("tests.support.beside.logger.remove", lambda: None)
    with warnings.catch_warnings():
        _begin(["error"])
        assert "DeprecationWarning: old" in (_run(HERE, "warns") or "")
        _begin(["error", "ignore:old:DeprecationWarning"])
        assert _run(HERE, "warns") is None
