"""The values that faults take, as they are written: what each is called, and how it is read from text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal


@dataclass(frozen=True)
class Term:
    """How a value is written.

    Parameters:
        name: What stands for it where a fault is explained.
        example: One that can be read.
        read: Makes the value; raises ValueError, whose text says what it must be.
    """

    name: str
    example: str
    read: Callable[[str], Any]


def seconds(text: str) -> float:
    """A number of seconds.

    Raises:
        ValueError: It is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise ValueError("must be a number of seconds from 0")
    return value


def _level(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 1.0
    if not -90 <= value <= 0:
        raise ValueError("must be a level from -90 to 0 dBFS")
    return value


def _status(text: str) -> int:
    value = int(text) if text.isascii() and text.isdecimal() and len(text) == 3 else 0
    if not 200 <= value <= 599:
        raise ValueError("must be a number from 200 to 599")
    return value


def _line(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError("must be one line of text")
    return text


def _when(text: str) -> str:
    if text not in ("before", "after"):
        raise ValueError("must be before or after")
    return text


Seconds = Annotated[float, Term("SECONDS", "2", seconds)]
"""Seconds from 0."""

Level = Annotated[float, Term("DBFS", "-61", _level)]
"""Mean level of a sound in dB, 0 for a square wave at full scale."""

Status = Annotated[int, Term("STATUS", "503", _status)]
"""An HTTP status."""

Text = Annotated[str, Term("TEXT", "meeting over", str)]
"""Words for whoever reads them."""

Body = Annotated[str, Term("BODY", "[]", str)]
"""Body of an answer."""

Key = Annotated[str, Term("KEY", "room_url", _line)]
"""Key of a JSON object."""

Url = Annotated[str, Term("URL", "https://elsewhere.test/", _line)]
"""An address; what is none may be meant as a fault, too."""

Html = Annotated[str | None, Term("HTML", "<p>Bad gateway</p>", str)]
"""A page; None: there is none."""

RetryAfter = Annotated[float | str | None, Term("SECONDS", "1", _line)]
"""Value of the Retry-After header, in seconds or as a date; None: no such header."""

When = Annotated[Literal["before", "after"], Term("before|after", "after", _when)]
"""Whether a fault comes before the request is looked at, or after it has been carried out."""
