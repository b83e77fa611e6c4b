"""``pipecat-lemonslice demo`` and ``… emulator``: programs with a command line of their own."""

import asyncio

from tests.cli.conftest import CommandLine


async def test_programs_get_all_arguments(command: CommandLine) -> None:
    """Their own help, and their own errors in one line."""
    emulator, refused, wrong = await asyncio.gather(
        command.run("emulator", "--help"),
        command.run("emulator", "--port", "99999"),
        command.run("demo", "--sentence-pause", "-3"),
    )
    assert emulator.code == 0
    assert "usage: pipecat-lemonslice emulator" in emulator.out
    assert "--fault" in emulator.out
    assert (refused.code, wrong.code) == (2, 2)
    assert refused.err.startswith("pipecat-lemonslice emulator: error: argument --port: must be a port")
    assert "--sentence-pause" in wrong.err.splitlines()[-1]
