"""Pipecat's own evals of the local bot: it greets, it can be interrupted, its goodbye is heard. Nobody judges."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pipecat.evals.results import EvalScriptResult
from pipecat.evals.scenario import EvalScenarioFile
from pipecat.evals.session import EvalSession
from pipecat.evals.suite import EvalManifest

from tests.browser.driver import Bot

SUITE = Path(__file__).parents[2] / "bots" / "evals" / "suite.yaml"


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    process = Bot(tmp_path / "bot.log", LEMONSLICE_API_URL="", LEMONSLICE_API_KEY="")
    await process.start()
    yield process
    await process.stop()


async def test_the_scenarios_of_the_suite_pass(bot: Bot) -> None:
    """Those that ``pipecat eval suite bots/evals/suite.yaml`` plays, in three calls at once."""
    runs = EvalManifest.load(SUITE).runs
    assert [run.scenario.partition("/")[0] for run in runs] == ["greeting", "interruption", "goodbye"]
    scenarios = [EvalScenarioFile.load(run.scenario_path)[run.scenario] for run in runs]
    url = f"ws://localhost:{bot.port}/ws"
    results = await asyncio.gather(*(EvalSession.from_scenario(scenario, url).run() for scenario in scenarios))
    for result in results:
        assert isinstance(result, EvalScriptResult)
        assert result.passed, f"{result.failures}\n{result.debug_log}\n{bot.said()}"
