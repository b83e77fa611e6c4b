"""The demo as somebody gets it who has no clone: from a wheel, in an environment with nothing else in it."""

import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.browser.driver import ROOT, Bot, visit

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(shutil.which("uv") is None, reason="uv builds and installs the wheel"),
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment in which only the wheel and what its extra ``local`` names are installed."""
    folder = tmp_path_factory.mktemp("demo")
    run("uv", "build", "--quiet", "--out-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("*.whl")
    run("uv", "venv", "--quiet", str(folder / "venv"))
    run("uv", "pip", "install", "--quiet", "--python", str(folder / "venv"), f"pipecat-lemonslice[local] @ {wheel}")
    return folder / "venv" / "bin"


def run(*command: str) -> None:
    """Run a program; fail with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_the_demo_of_a_wheel_shows_the_avatar(browser: Browser, installed: Path, tmp_path: Path) -> None:
    """``pipecat-lemonslice demo``, one click, and a moving picture; the wheel was built from the sdist."""
    program = (str(installed / "pipecat-lemonslice"), "demo")
    demo = Bot(tmp_path / "demo.log", program=program, PYTHONPATH="")
    await demo.start()
    try:
        async with visit(browser, demo.url, bot=demo, microphone=False) as visitor:
            await visitor.connect()
            assert await visitor.look("page.frames.width") == 368
            assert visitor.errors == []
    finally:
        await demo.stop()
