"""Imports go one way, daily-python stays in the rooms, the emulator stays by itself, and what is public is listed."""

import ast
import re
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

import pipecat_lemonslice

ROOT = Path(pipecat_lemonslice.__file__).parent
LAYERS = (
    "_pipecat errors messages frames",
    "api settings rooms media speech session call",
    "tracing reports video tools observer cli __main__",
)
ORDER = [name for names in LAYERS for name in names.split()]
"""Modules and folders of the package: each imports from those before it."""

CORE = sorted(path for path in ROOT.rglob("*.py") if "emulator" not in path.relative_to(ROOT).parts)
EMULATOR = sorted((ROOT / "emulator").rglob("*.py"))


def unit(path: Path) -> str:
    """The part of the package that a file belongs to: its module, or its folder."""
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


@cache
def imported(path: Path) -> tuple[str, ...]:
    """Every module that a file imports, anywhere in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=aliases):
                names += [alias.name for alias in aliases]
            case ast.ImportFrom(module=str(module), level=0):
                names.append(module)
            case ast.ImportFrom():
                raise AssertionError(f"{path}: imports are absolute")
    return tuple(names)


def own_parts(path: Path) -> set[str]:
    names = [name.split(".") for name in imported(path)]
    return {parts[1] for parts in names if parts[0] == "pipecat_lemonslice" and len(parts) > 1}


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    """Each part imports only from itself and those before it, so never in a circle; nothing imports the emulator."""
    if unit(path) == "__init__":
        return
    assert unit(path) in ORDER, "a new part needs a place in ORDER"
    for other in own_parts(path) - {unit(path), "emulator"}:
        assert ORDER.index(other) < ORDER.index(unit(path)), f"{unit(path)} imports {other}"


def test_the_api_client_imports_one_way() -> None:
    """Images know no requests, and neither knows HTTP."""
    modules = ("images", "models", "responses", "exit_hook", "http", "client")
    for rank, name in enumerate(modules):
        names = [other.split(".") for other in imported(ROOT / "api" / f"{name}.py")]
        used = {parts[2] for parts in names if parts[:2] == ["pipecat_lemonslice", "api"]}
        assert used <= {*modules[:rank]}


@pytest.mark.parametrize("path", EMULATOR, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_emulator_shares_nothing_with_the_client(path: Path) -> None:
    """It imports only itself, or both would agree on the same mistake; and neither Pipecat nor daily-python."""
    for name in imported(path):
        assert not name.startswith("pipecat_lemonslice") or name.startswith("pipecat_lemonslice.emulator")
        assert name.split(".")[0] not in ("pipecat", "daily")


def test_the_client_imports_nothing_of_the_emulator() -> None:
    """It is a program of its own, which the command line alone starts."""
    assert {unit(path) for path in CORE if "emulator" in own_parts(path)} <= {"cli"}


def test_daily_python_is_imported_in_the_rooms_alone() -> None:
    """Also Pipecat's Daily transport, which imports it."""
    native = {unit(path) for path in CORE for name in imported(path) if name.split(".")[0] == "daily"}
    assert native <= {"rooms"}


def test_the_pure_parts_import_no_io_and_no_clock() -> None:
    """Decisions are made from facts and times given as arguments."""
    for name in (
        "media/playback",
        "media/sound",
        "media/voice",
        "speech/response",
        "speech/words",
        "rooms/playout",
        "session/presence",
        "session/renewal",
        "session/events",
        "messages",
        "frames",
        "settings",
    ):
        assert {"asyncio", "time", "aiohttp", "threading"}.isdisjoint(imported(ROOT / f"{name}.py"))


def test_only_declared_dependencies_are_imported() -> None:
    """What is audited is what is used: each import is declared, or comes with what is by its own declaration."""
    declared = distributions(requires("pipecat-lemonslice") or [])
    declared |= {name for each in ("aiohttp",) for name in distributions(requires(each) or [])}
    homes = packages_distributions()
    for path in (*CORE, *EMULATOR):
        for module in {name.split(".")[0] for name in imported(path)} - set(sys.stdlib_module_names):
            if module != "pipecat_lemonslice":
                assert {canonical(home) for home in homes[module]} & declared, f"{path.name} imports {module}"


def distributions(requirements: Iterable[str]) -> set[str]:
    """The names in requirements, without extras, versions and markers."""
    return {canonical(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]) for requirement in requirements}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_all_is_what_is_public() -> None:
    """What `__all__` lists can be had from the package, sorted, and comes with a docstring."""
    assert list(pipecat_lemonslice.__all__) == sorted(pipecat_lemonslice.__all__)
    for name in pipecat_lemonslice.__all__:
        assert getattr(pipecat_lemonslice, name).__doc__
    visible = {name for name, value in vars(pipecat_lemonslice).items() if isinstance(value, type)}
    assert visible <= set(pipecat_lemonslice.__all__)
