"""A real browser, and the real bot where a test asks for it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.driver import Bot, find_chromium, open_browser

QUESTION = "what is your name"
SILENCE_BEFORE_QUESTION = 0.4
SILENCE_AFTER_QUESTION = 1.5


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium on this machine: install it, or name it with CHROMIUM=/path/to/chrome")
    return path


@pytest.fixture(scope="module")
def question_wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody asking for a name, for the browser's microphone."""
    from tests.support.speech import write_question_wav

    path = tmp_path_factory.mktemp("speech") / "question.wav"
    write_question_wav(
        path,
        QUESTION,
        lead_silence=SILENCE_BEFORE_QUESTION,
        tail_silence=SILENCE_AFTER_QUESTION,
        rate=48000,
    )
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """One browser for a module; each visitor gets a context of its own."""
    async with open_browser(chromium) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talking_browser(chromium: str, question_wav: Path) -> AsyncIterator[Browser]:
    """The same, with somebody who asks a question whenever the microphone is opened."""
    async with open_browser(chromium, question_wav) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bot(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bot]:
    """The local bot's process, serving its page."""
    process = Bot(tmp_path_factory.mktemp("bot") / "bot.log")
    await process.start()
    try:
        yield process
    finally:
        await process.stop()
