"""Takes a picture of the local bot's page during a call: `python tests/browser/screenshot.py OUT.png`.

Starts `bots/local.py` on a free port and ends it again, unless `--url` says where one is running already. The
picture is taken while the avatar speaks its last answer; each line that is typed cuts the answer before it off, so
that captions and the strip show a conversation with an interruption.
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

PAUSE_SECONDS = 1.2


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description="Take a picture of the local bot's page during a call.")
    parser.add_argument("out", type=Path, help="PNG file to write")
    parser.add_argument("--dark", action="store_true", help="with the dark colours")
    parser.add_argument("--phone", action="store_true", help=f"{PHONE['width']}x{PHONE['height']} instead of a desktop")
    parser.add_argument("--url", help="a bot that is running already")
    parser.add_argument("--say", nargs="+", default=["Tell me a story", "Who are you?"], help="lines to type")
    parser.add_argument("--wait", type=float, default=3.5, help="seconds to listen to each answer")
    return parser.parse_args()


@asynccontextmanager
async def running_bot(url: str | None) -> AsyncIterator[tuple[str, Bot | None]]:
    """The address of a bot: the given one, or one of our own for as long as it is needed."""
    if url is not None:
        yield url, None
        return
    with tempfile.TemporaryDirectory() as directory:
        bot = Bot(Path(directory) / "bot.log")
        await bot.start()
        try:
            yield bot.url, bot
        finally:
            await bot.stop()


async def shoot(options: argparse.Namespace, chromium: str) -> None:
    """Hold a short conversation and take its picture."""
    size = PHONE if options.phone else DESKTOP
    scheme = "dark" if options.dark else "light"
    async with (
        running_bot(options.url) as (url, bot),
        open_browser(chromium) as browser,
        visit(browser, url, bot=bot, viewport=size, color_scheme=scheme) as visitor,
    ):
        await visitor.connect()
        await visitor.page.click("#mute")
        await visitor.until("page.responses[0]?.state === 'done'", 40)
        await visitor.page.wait_for_timeout(PAUSE_SECONDS * 1000)
        for place, line in enumerate(options.say, 1):
            await visitor.type(line)
            await visitor.until(f"page.responses[{place}]?.voiceAt && page.captions.at(-1).who === 'bot'", 20)
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
