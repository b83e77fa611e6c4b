"""README keeps its word: the tests, files and names that it mentions are there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import pipecat_lemonslice
from pipecat_lemonslice import LemonSliceVideoService
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
