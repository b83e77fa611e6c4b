"""A real browser, and the bot's page in it.

Shared by the tests and by `screenshot.py`. What the page is doing is read through `window.page`, which the page
documents in `inspect.js`.
"""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from tests.bots.process import BOTS, Bot

PAGE = BOTS / "page"
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 375, "height": 667}
NO_SERVER = "http://localhost:9/"

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
)


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome: the one named by CHROMIUM, else the first one installed."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@asynccontextmanager
async def open_browser(chromium: str, microphone: Path | None = None) -> AsyncIterator[Browser]:
    """A browser whose microphone plays a WAV file once from each time that it is opened, or beeps."""
    fake = [f"--use-file-for-fake-audio-capture={microphone}%noloop"] if microphone else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, *fake])
        try:
            yield browser
        finally:
            await browser.close()


class Visitor:
    """Somebody at the page. Positions and loudness come from the page as it is shown, not from the server.

    Attributes:
        page: The browser's page.
        errors: What went wrong in it.
        foreign: What it asked of other hosts.
    """

    def __init__(self, page: Page, origin: str, bot: Bot | None) -> None:
        """Wrap a page that has not been loaded yet; the bot's last words are shown when something never happens."""
        self.page = page
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self._origin = origin
        self._bot = bot
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        page.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        if not url.startswith((self._origin, "data:", "blob:")):
            self.foreign.append(url)

    async def look(self, expression: str, argument: Any = None) -> Any:
        """The value of a JavaScript expression, or of a function with an argument, in the page."""
        return await self.page.evaluate(expression, argument)

    async def until(self, expression: str, seconds: float = 15.0) -> Any:
        """Wait until an expression is true, and return its value.

        Raises:
            AssertionError: It never was within the time; says how the page is instead.
        """
        deadline = time.monotonic() + seconds
        while not (value := await self.look(expression)):  # the page's policy forbids `wait_for_function`
            if time.monotonic() > deadline:
                seen = await self.look("JSON.stringify([page.state, page.messages, page.captions, page.responses])")
                shown = [await self.page.inner_text(part) for part in ("#status", "#notices")]
                said = self._bot.said() if self._bot else ""
                raise AssertionError(f"never came about: {expression}\n{seen}\n{shown}\n{said}")
            await asyncio.sleep(0.05)
        return value

    async def connect(self) -> None:
        """Press Connect and wait for the avatar's picture."""
        await self.page.click("#call")
        await self.until("page.state.ready && page.state.avatar === 'here' && page.state.picture === 'live'", 30)

    async def type(self, text: str) -> None:
        """Type a line and press Enter."""
        await self.page.fill("#text", text)
        await self.page.press("#text", "Enter")

    async def open_microphone(self) -> None:
        """Allow the microphone that was refused before, and press its button: its recording starts now."""
        await self.page.context.grant_permissions(["microphone"], origin=self._origin)
        await self.page.click("#mute")
        await self.until("page.state.mic === 'on'")


@asynccontextmanager
async def visit(
    browser: Browser, bot: Bot | None = None, *, microphone: bool = True, **context: Any
) -> AsyncIterator[Visitor]:
    """A new visitor at the page.

    Args:
        browser: Where to open it.
        bot: Process that serves the page; None: the page's files without a server.
        microphone: Whether the browser lets the page have it.
        **context: Further options of the browser context.
    """
    url = bot.url if bot else NO_SERVER
    opened = await browser.new_context(**{"viewport": DESKTOP, **context})
    try:
        await opened.grant_permissions(["microphone"] if microphone else [], origin=url)
        page = await opened.new_page()
        if bot is None:
            await page.route(
                f"{url}**",
                lambda route: route.fulfill(path=PAGE / (route.request.url.removeprefix(url) or "index.html")),
            )
        visitor = Visitor(page, url, bot)
        await page.goto(url)
        await visitor.until("window.page !== undefined")
        yield visitor
    finally:
        await opened.close()
