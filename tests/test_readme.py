"""README keeps its word: the tests, files and names that it mentions are there."""

import ast
import dataclasses
import inspect
import re
from functools import cache
from pathlib import Path

import pytest

import pipecat_lemonslice
from pipecat_lemonslice import AvatarStatus, LemonSliceVideoService
from pipecat_lemonslice.emulator.faults import KINDS, parse
from pipecat_lemonslice.settings import default_settings
from tests.faults.catalogue import FAULTS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PROMISES = README[README.index("## What happens when") : README.index("What is not promised")]
NAMED_TESTS = sorted(set(re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", PROMISES)))


@cache
def functions(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize(("file", "test"), NAMED_TESTS)
def test_each_promise_names_a_test_that_exists(file: str, test: str) -> None:
    """A file below tests, and a function in it where one is named."""
    path = ROOT / file if file.startswith("tests/") else ROOT / "tests" / file
    assert path.is_file()
    assert not test or test in functions(path)


def test_each_row_of_the_promises_names_a_test() -> None:
    """No promise goes without, but for the one whose test is that of the row before."""
    rows = [row for row in PROMISES.splitlines() if row.startswith("| ") and not row.startswith(("| when", "| ---"))]
    assert len(rows) > 25
    for row in rows:
        kept_by = row.rstrip("| ").rpartition("|")[2]
        assert ".py" in kept_by or kept_by.strip() == "the same", row


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\*([^*|`]+?)\*", PROMISES))))
def test_each_fault_that_a_promise_names_is_in_the_catalogue(name: str) -> None:
    """An ellipsis stands for anything."""
    pattern = ".*".join(re.escape(part.strip()) for part in name.split("…"))
    assert any(re.search(pattern, fault.name) for fault in FAULTS), name


def test_the_keywords_and_names_in_readme_are_real() -> None:
    """Settings, constructor keywords and what is imported in the examples."""
    for name in re.findall(r"from pipecat_lemonslice import (\w+)", README):
        assert name in pipecat_lemonslice.__all__
    table = README[README.index("| keyword |") : README.index("`settings=LemonSliceVideoService.Settings")]
    known = LemonSliceVideoService.__init__.__annotations__
    for row in table.splitlines()[2:]:
        for name in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else ""):
            assert name in known, name


def table(head: str) -> list[list[str]]:
    """The cells of a table's rows, by how its head begins."""
    rows = README[README.index(head) :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("| ").split("|")] for row in rows]


def test_every_setting_is_in_readme_with_its_default() -> None:
    """Seconds as numbers; each setting once."""
    defaults = dataclasses.asdict(default_settings())
    shown = {name: row[1] for row in table("| setting | default |") for name in re.findall(r"`(\w+)`", row[0])}
    assert shown.keys() == defaults.keys() - {"model", "extra"}
    for name, default in shown.items():
        if name.endswith("_timeout"):
            assert default == f"{defaults[name]:g} s", name


def test_every_keyword_is_in_readme() -> None:
    """Each once, but for the settings and the keywords of Pipecat's own base class."""
    shown = [name for row in table("| keyword | default |") for name in re.findall(r"`(\w+)`", row[0])]
    known = inspect.signature(LemonSliceVideoService).parameters.keys() - {"settings", "kwargs"}
    assert sorted(shown) == sorted(known)


def test_every_status_of_the_avatar_is_in_readme() -> None:
    """In the order in which a call has them."""
    named = ", ".join(AvatarStatus)
    assert f"`AvatarStatusFrame(status, detail)`: {named} |" in README


def test_every_option_of_the_local_bot_is_in_readme() -> None:
    """Its own with each choice; of the runner's, where the page is served."""
    source = ast.parse((ROOT / "bots/local.py").read_text())
    options = {
        node.args[0].value
        for node in ast.walk(source)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument"
        if isinstance(node.args[0], ast.Constant)
    }
    shown = {option for row in table("| option | what it does |") for option in re.findall(r"--[\w-]+", row[0])}
    assert len(options) > 4
    assert shown == options | {"--host", "--port"}


@pytest.mark.parametrize("fault", sorted(set(re.findall(r"--fault '?([^' \n]+)|emulator\.fault\(\"([^\"]+)", README))))
def test_the_faults_in_the_examples_are_faults(fault: tuple[str, str]) -> None:
    """As the emulator reads them."""
    parse("".join(fault))


def test_every_fault_of_the_emulator_is_in_readme() -> None:
    """Written so that the emulator reads it."""
    written = [text for row in table("| faults | of |") for text in re.findall(r"`([^`]+)`", row[0])]
    assert {text.partition("=")[0] for text in written} == KINDS.keys()
    for text in written:
        parse(text)
