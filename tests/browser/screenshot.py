"""Takes the picture of the local bot's page that README shows: `python -m tests.browser.screenshot OUT.png`.

It is taken while the avatar speaks its last answer; the line that is typed then cuts the answer before it off, so that
captions and the strip show a conversation with an interruption.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.bots.process import Bot
from tests.browser.driver import DESKTOP, PHONE, find_chromium, open_browser, visit

LINES = ("Tell me a story", "Who are you?")
PAUSE_SECONDS = 1.2
LISTEN_SECONDS = 3.5


async def shoot(options: argparse.Namespace, chromium: str) -> None:
    """Hold a short conversation and take its picture."""
    with tempfile.TemporaryDirectory() as folder:
        size, scheme = PHONE if options.phone else DESKTOP, "dark" if options.dark else "light"
        async with (
            Bot(Path(folder) / "bot.log") as bot,
            open_browser(chromium) as browser,
            visit(browser, bot, viewport=size, color_scheme=scheme) as visitor,
        ):
            await visitor.connect()
            await visitor.page.click("#mute")
            await visitor.until("page.responses[0]?.state === 'done'", 40)
            await asyncio.sleep(PAUSE_SECONDS)
            for place, line in enumerate(LINES, 1):
                await visitor.type(line)
                await visitor.until(f"page.responses[{place}]?.voiceAt && page.captions.at(-1).who === 'bot'", 20)
                await asyncio.sleep(LISTEN_SECONDS)
            await visitor.page.screenshot(path=options.out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Take a picture of the local bot's page during a call.")
    parser.add_argument("out", type=Path, help="PNG file to write")
    parser.add_argument("--dark", action="store_true", help="with the dark colours")
    parser.add_argument("--phone", action="store_true", help=f"{PHONE['width']}x{PHONE['height']} instead of a desktop")
    found = find_chromium() or sys.exit("no Chromium on this machine: install it, or name it with CHROMIUM=/path")
    asyncio.run(shoot(parser.parse_args(), found))
