"""The bots as processes, started and ended as their users would."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
BOTS = ROOT / "bots"
KEYS = ("LEMONSLICE_", "DAILY_", "DEEPGRAM_", "OPENAI_", "CARTESIA_")
START_SECONDS = 60.0
STOP_SECONDS = 20.0


def free_port() -> int:
    """A TCP port of this machine that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def environment(**own: str) -> dict[str, str]:
    """The variables of the tests, without keys of whoever runs them."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith(KEYS)}, **own}


class Bot:
    """A bot that runs, or a program that serves one. It keeps its port across restarts.

    Args:
        log: File that receives what the process prints.
        *arguments: For its command line.
        program: What to run.
        **own: What its environment has beside that of the tests.
    """

    def __init__(self, log: Path, *arguments: str, program: tuple[str, ...] = ("local.py",), **own: str) -> None:
        self.port = free_port()
        self.url = f"http://localhost:{self.port}/"
        script = (sys.executable, str(BOTS / program[0])) if program[0].endswith(".py") else program
        self._command = [*script, "--port", str(self.port), *arguments]
        self._environment = environment(PYTHONUNBUFFERED="1", **own)
        self._log = log

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            await asyncio.to_thread(self.process.wait, STOP_SECONDS)
        finally:
            await self.kill()

    async def start(self) -> None:
        """Start the process and wait until its port answers.

        Raises:
            RuntimeError: The process ended, or nothing answers within START_SECONDS.
        """
        with self._log.open("ab") as out:
            self.process = subprocess.Popen(  # noqa: ASYNC220
                self._command, env=self._environment, stdout=out, stderr=out, cwd=self._log.parent
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                await self.kill()
                raise RuntimeError(f"the bot did not start; it said:\n{self.said()}")
            await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """End the process as a crash would, without a goodbye."""
        self.process.kill()
        await asyncio.to_thread(self.process.wait)

    def said(self) -> str:
        """The last lines that the process printed."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-60:])

    def _answers(self) -> bool:
        try:
            socket.create_connection(("localhost", self.port), 1.0).close()
        except OSError:
            return False
        return True
