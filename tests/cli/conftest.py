"""The command line as a process, over an emulator in this one."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from pipecat_lemonslice.emulator import Emulator, EmulatorOptions

KEY = "key-0123456789abcdef"
SECONDS = 60.0


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class CommandLine:
    """``pipecat-lemonslice`` with an account at an emulator."""

    emulator: Emulator

    async def start(self, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        """Start a command; an empty variable of the environment is one that is not set."""
        account = {"LEMONSLICE_API_URL": self.emulator.api_url, "LEMONSLICE_API_KEY": KEY}
        merged = {**os.environ, "DAILY_API_KEY": "", **account, **environment}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "pipecat_lemonslice", *arguments),
            env={name: value for name, value in merged.items() if value},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str, typed: str = "", **environment: str) -> Ended:
        """Run a command to its end."""
        return await self.ended(await self.start(*arguments, **environment), typed)

    async def ended(self, process: asyncio.subprocess.Process, typed: str = "") -> Ended:
        """Wait for a command's end; kill it, and fail, when it does not come."""
        try:
            async with asyncio.timeout(SECONDS):
                out, err = await process.communicate(typed.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return Ended(process.returncode or 0, out.decode(), err.decode())


@pytest.fixture
async def command() -> AsyncIterator[CommandLine]:
    async with Emulator(EmulatorOptions(api_keys=frozenset({KEY}))) as emulator:
        yield CommandLine(emulator)
