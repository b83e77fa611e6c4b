"""The demo as somebody gets it who has no clone: from a wheel, in an environment with nothing else in it."""

import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.bots.process import ROOT, Bot
from tests.browser.driver import visit

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(shutil.which("uv") is None, reason="uv builds and installs the wheel"),
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment in which only the wheel and what its extra ``local`` names are installed."""
    folder = tmp_path_factory.mktemp("demo")

    def uv(*arguments: str) -> None:
        done = subprocess.run(("uv", *arguments), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    uv("build", "--quiet", "--out-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("*.whl")
    uv("venv", "--quiet", str(folder / "venv"))
    uv("pip", "install", "--quiet", "--python", str(folder / "venv"), f"pipecat-lemonslice[local] @ {wheel}")
    return folder / "venv" / "bin"


async def test_the_demo_of_a_wheel_shows_the_avatar(browser: Browser, installed: Path, tmp_path: Path) -> None:
    """``pipecat-lemonslice demo``, one click, and a moving picture; the wheel was built from the sdist."""
    program = (str(installed / "pipecat-lemonslice"), "demo")
    async with (
        Bot(tmp_path / "demo.log", program=program) as demo,
        visit(browser, demo, microphone=False) as visitor,
    ):
        await visitor.connect()
        assert await visitor.look("page.frames.width") == 368
        assert visitor.errors == []
