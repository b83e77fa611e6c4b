"""README's tables say what the code says, and tests/README.md names tests that exist."""

import dataclasses
import inspect
import re
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from loguru import logger
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.audio.audio_buffer_processor import AudioBufferProcessor
from pipecat.processors.frame_processor import FrameProcessor
from typer.main import get_group

from pipecat_lemonslice import AvatarLatency, AvatarLatencyObserver, AvatarStatus, LemonSliceVideoService
from pipecat_lemonslice.cli.app import app
from pipecat_lemonslice.emulator.faults import KINDS, parse
from pipecat_lemonslice.settings import default_settings
from tests.faults.catalogue import FAULTS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
TESTS_README = (ROOT / "tests/README.md").read_text()


def table(text: str, head: str) -> list[list[str]]:
    """The cells of the table whose head begins so, row by row."""
    rows = text[text.index(head) :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("| ").split("|")] for row in rows]


def names(rows: list[list[str]]) -> list[str]:
    """The names in the first column."""
    return [name for row in rows for name in re.findall(r"`(\w+)`", row[0])]


PROMISES = table(TESTS_README, "| when | then | kept by |")
KEPT_BY = "\n".join(row[2] for row in PROMISES)
FAULT_LIST = README[README.index("\n- requests: ") : README.index("## Not verified")]


@pytest.mark.parametrize(("file", "test"), sorted(set(re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", KEPT_BY))))
def test_each_promise_names_a_test_that_exists(file: str, test: str) -> None:
    """A file below tests, and a function in it where one is named."""
    assert re.search(rf"\bdef {test or 'test_'}", (ROOT / "tests" / file).read_text())


def test_each_promise_names_a_test() -> None:
    """Its own, or that of the row before."""
    assert len(PROMISES) > 25
    for when, _, kept_by in PROMISES:
        assert ".py" in kept_by or kept_by == "the same", when


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\*([^*|`]+?)\*", KEPT_BY))))
def test_each_fault_that_a_promise_names_is_in_the_catalogue(name: str) -> None:
    """An ellipsis stands for anything."""
    pattern = ".*".join(re.escape(part.strip()) for part in name.split("…"))
    assert any(re.search(pattern, fault.name) for fault in FAULTS), name


def test_the_examples_of_recording_run() -> None:
    """With any transport and services; the recording becomes part of the session's request."""
    passing = [FrameProcessor() for _ in range(7)]
    transport = SimpleNamespace(input=lambda: passing[0], output=lambda: passing[1])
    names: dict[str, Any] = {
        "LemonSliceVideoService": partial(LemonSliceVideoService, api_key="key-of-readme"),
        "AudioBufferProcessor": AudioBufferProcessor,
        "Pipeline": Pipeline,
        "transport": transport,
        **dict(zip(("stt", "user", "llm", "tts", "assistant"), passing[2:], strict=True)),
    }
    recorder, recorded = re.findall(r"```python\n(.*?)```", section("Recording"), re.DOTALL)
    exec(recorded.replace("…", "0123"), names)
    exec(recorder, names)
    assert names["recorder"] in names["pipeline"].processors


def test_the_example_of_observation_runs() -> None:
    """It makes a worker, and a handler for an event that the observer has."""
    observation = re.findall(r"```python\n(.*?)```", section("Observation"), re.DOTALL)[0]
    names: dict[str, Any] = {
        "AvatarLatencyObserver": AvatarLatencyObserver,
        "PipelineWorker": PipelineWorker,
        "logger": logger,
        "PipelineParams": PipelineParams,
        "pipeline": Pipeline([FrameProcessor()]),
    }
    exec(observation, names)
    for field in dataclasses.fields(AvatarLatency):
        assert field.name in observation


def test_the_commands_of_readme_exist() -> None:
    """Each command and subcommand that README names."""
    named = re.findall(r"^(?:uvx .*)?pipecat-lemonslice (\w+) +(\w+)?", section("Command line"), re.MULTILINE)
    commands = get_group(app).commands
    assert {name for name, _ in named} == commands.keys() - {"emulator"}
    for name, second in named:
        assert second in getattr(commands[name], "commands", second)


def section(title: str) -> str:
    """The text below a heading."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_what_the_examples_import_is_there() -> None:
    """From the package and from the emulator."""
    for home, name in re.findall(r"from (pipecat_lemonslice[\w.]*) import (\w+)", README):
        assert name in import_module(home).__all__


def test_the_functions_for_the_llm_are_made_as_shown() -> None:
    """The example runs, and gives the functions that the text below it names."""
    block = README[README.index("from pipecat_lemonslice import lemonslice_tools") :].partition("```")
    names: dict[str, Any] = {"avatar": LemonSliceVideoService(api_key="key", agent_id="a"), "LLMContext": LLMContext}
    exec(block[0], names)
    for tool in names["context"].tools.standard_tools:
        assert f"`{tool.name}`" in block[2]


def test_every_setting_is_in_readme_with_its_default() -> None:
    """Seconds as numbers; each setting once."""
    defaults = dataclasses.asdict(default_settings())
    rows = table(README, "| setting | default |")
    assert sorted(names(rows)) == sorted(defaults.keys() - {"model", "extra"})
    for row in rows:
        for name in names([row]):
            assert not name.endswith("_timeout") or row[1] == f"{defaults[name]:g} s", name


def test_every_keyword_is_in_readme() -> None:
    """Each once, except the settings and the keywords of Pipecat's own base class."""
    keywords = inspect.signature(LemonSliceVideoService).parameters
    known = [name for name in keywords if not name.startswith("_") and name not in ("settings", "kwargs")]
    assert sorted(names(table(README, "| keyword | default |"))) == sorted(known)


def test_every_status_of_the_avatar_is_in_readme() -> None:
    """In the order in which a call has them."""
    assert f"`AvatarStatusFrame(status, detail)`: {', '.join(AvatarStatus)} |" in README


def test_every_option_of_the_local_bot_is_in_readme() -> None:
    """Its own, and of the runner's where the page is served."""
    own = re.findall(r'add_argument\(\s*"(--[\w-]+)"', (ROOT / "bots/local.py").read_text())
    shown = README[README.index("Options of `bots/local.py`") :].partition("\n\n")[0]
    assert len(own) > 4
    assert sorted(re.findall(r"--[\w-]+", shown)) == sorted([*own, "--host", "--port"])


def test_every_fault_of_the_emulator_is_in_readme() -> None:
    """Written so that the emulator reads it."""
    written = re.findall(r"`([^`]+)`", FAULT_LIST)
    examples = re.findall(r"(?:--fault '?|emulator\.fault\(\")([^'\" \n]+)", README)
    assert {text.partition("=")[0] for text in written} == KINDS.keys()
    assert len(examples) == 3
    for text in (*written, *examples):
        parse(text)
