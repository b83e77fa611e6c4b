"""What the package has logged, as a person reads it later."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from loguru import logger


@dataclass(frozen=True)
class Line:
    """One line of the log.

    Attributes:
        at: The loop's time at which it was written.
        level: Name of its level.
        text: Its message.
    """

    at: float
    level: str
    text: str


@contextmanager
def package_logs(level: str = "INFO") -> Iterator[list[Line]]:
    """Keep what the package logs at a level or above it; Pipecat's own lines are left out."""
    lines: list[Line] = []

    def keep(message: Any) -> None:
        record = message.record
        lines.append(Line(asyncio.get_running_loop().time(), record["level"].name, record["message"]))

    sink = logger.add(keep, level=level, filter="pipecat_lemonslice", format="{message}")
    try:
        yield lines
    finally:
        logger.remove(sink)
