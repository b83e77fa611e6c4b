"""A real browser, and the real bot where a test asks for it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.bots.process import Bot
from tests.browser.driver import find_chromium, open_browser


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium on this machine: install it, or name it with CHROMIUM=/path/to/chrome")
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """One browser for a module; each visitor gets a context of its own."""
    async with open_browser(chromium) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talking_browser(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """The same, with somebody who asks for a name whenever the microphone is opened."""
    from tests.support.speech import write_question_wav

    path = tmp_path_factory.mktemp("speech") / "question.wav"
    write_question_wav(path, "what is your name", lead_silence=0.4, tail_silence=1.5, rate=48000)
    async with open_browser(chromium, path) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bot(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bot]:
    """The local bot's process, serving its page."""
    async with Bot(tmp_path_factory.mktemp("bot") / "bot.log") as bot:
        yield bot
