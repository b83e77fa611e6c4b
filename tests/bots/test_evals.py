"""Pipecat's own evals of the local bot: it greets, it can be interrupted, its goodbye is heard. Nobody judges."""

import asyncio
from pathlib import Path

from pipecat.evals.results import EvalScriptResult
from pipecat.evals.scenario import EvalScenarioFile
from pipecat.evals.session import EvalSession
from pipecat.evals.suite import EvalManifest

from tests.bots.process import BOTS, Bot


async def test_the_scenarios_of_the_suite_pass(tmp_path: Path) -> None:
    """Those that ``pipecat eval suite bots/evals/suite.yaml`` plays, in three calls at once."""
    runs = EvalManifest.load(BOTS / "evals" / "suite.yaml").runs
    assert [run.scenario.partition("/")[0] for run in runs] == ["greeting", "interruption", "goodbye"]
    scenarios = [EvalScenarioFile.load(run.scenario_path)[run.scenario] for run in runs]
    async with Bot(tmp_path / "bot.log") as bot:
        url = f"ws://localhost:{bot.port}/ws"
        results = await asyncio.gather(*(EvalSession.from_scenario(scenario, url).run() for scenario in scenarios))
    for result in results:
        assert isinstance(result, EvalScriptResult)
        assert result.passed, f"{result.failures}\n{result.debug_log}\n{bot.said()}"
