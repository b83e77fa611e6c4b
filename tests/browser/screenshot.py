"""Takes a picture of the local bot's page during a call: `python tests/browser/screenshot.py OUT.png`.

Starts `bots/local.py` on a free port and ends it again, unless `--url` says where one is running already. The
picture is taken while the avatar speaks its second answer, so that captions and the strip show a conversation.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.browser.driver import DESKTOP, PHONE, Bot, find_chromium, open_browser, visit
from tests.browser.recorder import VOICED


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description="Take a picture of the local bot's page during a call.")
    parser.add_argument("out", type=Path, help="PNG file to write")
    parser.add_argument("--dark", action="store_true", help="with the dark colours")
    parser.add_argument("--phone", action="store_true", help=f"{PHONE['width']}x{PHONE['height']} instead of a desktop")
    parser.add_argument("--url", help="a bot that is running already")
    parser.add_argument("--say", nargs="+", default=["Who are you?", "Tell me a story"], help="lines to type")
    parser.add_argument("--wait", type=float, default=3.5, help="seconds of the last answer before the picture")
    return parser.parse_args()


@asynccontextmanager
async def running_bot(url: str | None) -> AsyncIterator[str]:
    """The address of a bot: the given one, or one of our own for as long as it is needed."""
    if url is not None:
        yield url
        return
    with tempfile.TemporaryDirectory() as directory:
        bot = Bot(Path(directory) / "bot.log")
        await bot.start()
        try:
            yield bot.url
        finally:
            await bot.stop()


async def shoot(options: argparse.Namespace, chromium: str) -> None:
    """Hold a short conversation and take its picture."""
    size = PHONE if options.phone else DESKTOP
    scheme = "dark" if options.dark else "light"
    async with (
        running_bot(options.url) as url,
        open_browser(chromium) as browser,
        visit(browser, url, viewport=size, color_scheme=scheme) as visitor,
    ):
        await visitor.connect()
        await visitor.page.click("#mute")
        *lines, last = options.say
        for line in lines:
            await visitor.type(line)
            await visitor.until("page.responses.at(-1)?.state === 'voice'", 20)
            await visitor.until("page.responses.at(-1).state === 'done'", 60)
        await visitor.type(last)
        await visitor.until(f"page.captions.at(-1).who === 'bot' && page.level > {VOICED}", 20)
        await visitor.page.wait_for_timeout(options.wait * 1000)
        await visitor.page.screenshot(path=options.out)


def main() -> None:
    """Run from the command line."""
    chromium = find_chromium()
    if chromium is None:
        sys.exit("no Chromium on this machine: install it, or name it with CHROMIUM=/path/to/chrome")
    asyncio.run(shoot(arguments(), chromium))


if __name__ == "__main__":
    main()
