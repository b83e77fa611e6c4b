"""Drives the local bot as a person would: its process, a real browser, and the page in it.

Shared by the tests and by `screenshot.py`. Everything waits on a condition with a bound; what the page is doing
is read through `window.page`, which the page documents in `inspect.js`.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, async_playwright

ROOT = Path(__file__).resolve().parents[2]
BOT = ROOT / "bots" / "local.py"
PAGE = ROOT / "bots" / "page"
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 375, "height": 667}

POLL = 0.05
START_SECONDS = 40.0
STOP_SECONDS = 10.0

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
    found = (shutil.which(name) for name in names)
    return os.environ.get("CHROMIUM") or next(filter(None, found), None)


def free_port() -> int:
    """A TCP port of this machine that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Bot:
    """The process of the local bot, started and ended as its user would. It keeps its port across restarts."""

    def __init__(
        self, log: Path, *arguments: str, program: Sequence[str] = (sys.executable, str(BOT)), **environment: str
    ) -> None:
        """Create a bot that is not running yet.

        Args:
            log: File that receives what the process prints.
            *arguments: For its command line.
            program: What to run.
            **environment: What its environment has beside that of the tests.
        """
        self._program = program
        self._arguments = arguments
        self._environment = environment
        self.port = free_port()
        self.url = f"http://localhost:{self.port}/"
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start the process and wait until its port answers.

        Raises:
            RuntimeError: The process ended, or nothing answers within START_SECONDS.
        """
        self._process = process = self._spawn()
        deadline = time.monotonic() + START_SECONDS
        while not await self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                await self.stop()
                raise RuntimeError(f"the bot did not start; it said:\n{self.said()}")
            await asyncio.sleep(POLL)

    def _spawn(self) -> subprocess.Popen[bytes]:
        arguments = [*self._program, "--port", str(self.port), *self._arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **self._environment}
        with self._log.open("ab") as out:
            return subprocess.Popen(arguments, env=environment, stdout=out, stderr=subprocess.STDOUT)

    async def stop(self) -> None:
        """Ask the process to end, and insist when it does not."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)

    async def kill(self) -> None:
        """End the process as a crash would, without a goodbye."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait)

    def said(self) -> str:
        """The last lines that the process printed."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-60:]) if self._log.exists() else ""

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("localhost", self.port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True


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
    """Somebody at the page. Positions and loudness come from the page as it is shown, not from the server."""

    def __init__(self, page: Page, origin: str, bot: Bot | None = None) -> None:
        """Wrap a page that has not been loaded yet.

        Args:
            page: The browser's page.
            origin: Where the page comes from.
            bot: Whose last words are shown when something never comes about.
        """
        self.page = page
        self.origin = origin
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self._bot = bot
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        page.on("request", lambda request: self._note(request.url))

    @property
    def context(self) -> BrowserContext:
        """The browser context, which holds the permissions."""
        return self.page.context

    def _note(self, url: str) -> None:
        if not url.startswith((self.origin, "data:", "blob:")):
            self.foreign.append(url)

    async def look(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return await self.page.evaluate(expression)

    async def until(self, expression: str, seconds: float = 15.0) -> Any:
        """Wait until an expression is true, and return its value.

        Raises:
            AssertionError: It never was within the time; says how the page is instead.
        """
        deadline = time.monotonic() + seconds
        while not (value := await self.look(expression)):
            if time.monotonic() > deadline:
                raise AssertionError(f"never came about: {expression}\n{await self._report()}")
            await asyncio.sleep(POLL)
        return value

    async def _report(self) -> str:
        seen = await self.look("JSON.stringify([page.state, page.messages, page.captions, page.responses])")
        shown = await self.look("['status', 'notices'].map((id) => document.getElementById(id).innerText).join(' | ')")
        return f"the page: {seen}\nit says: {shown}\nthe bot: {self._bot.said() if self._bot else 'none'}"

    async def connect(self) -> None:
        """Press Connect and wait for the avatar's picture."""
        await self.page.click("#call")
        await self.until("page.state.ready && page.state.avatar === 'here'", 25)
        await self.until("page.state.picture === 'live'")

    async def hang_up(self) -> None:
        """Press Hang up."""
        await self.page.click("#call")
        await self.until("page.state.call === 'idle'")

    async def type(self, text: str) -> None:
        """Type a line and press Enter."""
        await self.page.fill("#text", text)
        await self.page.press("#text", "Enter")

    async def open_microphone(self) -> None:
        """Allow the microphone that was refused before, and press its button: its recording starts now."""
        await self.context.grant_permissions(["microphone"], origin=self.origin)
        await self.page.click("#mute")
        await self.until("page.state.mic === 'on'")

    async def frames_per_second(self, seconds: float) -> float:
        """How many pictures a second reach the screen, over a while."""
        counted = f"""async () => {{
            const start = performance.now(), before = page.frames.count;
            await new Promise((done) => setTimeout(done, {seconds * 1000}));
            return (page.frames.count - before) / (performance.now() - start) * 1000;
        }}"""
        return await self.page.evaluate(counted)


@asynccontextmanager
async def visit(
    browser: Browser,
    url: str,
    *,
    microphone: bool = True,
    bot: Bot | None = None,
    files: Path | None = None,
    **context: Any,
) -> AsyncIterator[Visitor]:
    """A new visitor at the page.

    Args:
        browser: Where to open it.
        url: The page.
        microphone: Whether the browser lets the page have it.
        bot: Process that serves the page.
        files: Serve these files at the URL instead of asking a server.
        **context: Further options of the browser context.
    """
    origin = url.rstrip("/")
    opened = await browser.new_context(viewport=context.pop("viewport", DESKTOP), **context)
    try:
        await opened.grant_permissions(["microphone"] if microphone else [], origin=origin)
        page = await opened.new_page()
        if files is not None:
            await page.route(f"{origin}/**", lambda route: route.fulfill(path=_file(files, route.request.url, origin)))
        visitor = Visitor(page, origin, bot)
        await page.goto(url)
        await visitor.until("window.page !== undefined")
        yield visitor
    finally:
        await opened.close()


def _file(files: Path, url: str, origin: str) -> Path:
    return files / (url.removeprefix(origin).lstrip("/") or "index.html")


def spoken(captions: list[Mapping[str, Any]], who: str) -> str:
    """What one side said, in one line of lower case."""
    return " ".join(entry["text"] for entry in captions if entry["who"] == who).lower()
