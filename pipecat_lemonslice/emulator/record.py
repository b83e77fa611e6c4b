"""What an avatar lived through: its events, the speech it heard and the speech it gave back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from pipecat_lemonslice.emulator.kept import Kept
from pipecat_lemonslice.emulator.options import MEBIBYTE

T = TypeVar("T")

MOST_EVENTS = 200_000
MOST_WEIGHT = 16 * MEBIBYTE
"""Events recorded of one avatar, and characters in their values; later ones happen and are not recorded."""


class Kind(StrEnum):
    """Kinds of events, with what their value is."""

    JOINED = "joined"
    """The avatar is in its room; its participant id."""
    LEFT = "left"
    """It left; the reason."""
    FIRST_BYTE = "first_byte"
    """The first audio of a response; its offset in `heard`."""
    AUDIO = "audio"
    """Audio was heard; the range of its bytes in `heard`."""
    VOICE = "voice"
    """It began to speak after being idle; the offset in `sounded`."""
    IDLE = "idle"
    """It went back to its idle demeanour; the offset in `sounded`."""
    RESPONSE_STARTED = "response_started"
    """App message; the message."""
    RESPONSE_FINISHED = "response_finished"
    """App message; the message."""
    INTERRUPT = "interrupt"
    """App message; the message."""
    RESPONSE_DONE_TIMEOUT = "response_done_timeout"
    """It had to end a response itself, because nobody said so; when its audio ended."""
    DROPPED = "dropped"
    """Speech heard and never to be sounded; how many bytes."""
    APP_MESSAGE = "app_message"
    """Another app message; the message."""
    IGNORED = "ignored"
    """An app message that names no session or another one; the message."""
    IMAGE_CHANGED = "image_changed"
    """It shows a new picture."""
    IMAGE_FAILED = "image_failed"
    """A picture could not be had, the one before stays; why."""
    PROMPT = "prompt"
    """A new prompt; the text."""
    IDLE_PROMPT = "idle_prompt"
    """A new prompt for being idle; the text."""
    POSE = "pose"
    """A pose was triggered; its name."""
    IDLE_RESET = "idle_reset"
    """The idle timeout began anew."""
    IDLE_TIMEOUT = "idle_timeout"
    """No speech for too long: the session is over."""
    TERMINATED = "terminated"
    """The session was terminated."""


@dataclass(frozen=True)
class AvatarEvent:
    """Something that happened to an avatar.

    Parameters:
        time: When, on the clock of the event loop.
        kind: What.
        value: See `Kind`.
    """

    time: float
    kind: Kind
    value: Any = None


class Record:
    """The events in their order, and waiting for them.

    Args:
        clock: Tells the time of an event, in seconds.
        most: Bytes of speech kept of what was heard, and of what was sounded.
    """

    def __init__(self, clock: Callable[[], float], most: int):
        self._clock = clock
        self._most = most
        self._news = asyncio.Event()
        self._events = Kept[AvatarEvent](MOST_EVENTS, MOST_WEIGHT)
        self.heard = bytearray()
        self.sounded = bytearray()
        self.heard_bytes = 0
        self.sounded_bytes = 0

    @property
    def events(self) -> list[AvatarEvent]:
        """What is recorded, in order."""
        return self._events.items

    def note(self, kind: Kind, value: Any = None) -> None:
        """Something happened now."""
        self._events.add(AvatarEvent(self._clock(), kind, value), len(repr(value)))
        self._changed()

    def hear(self, pcm: bytes) -> None:
        """Speech was heard."""
        if self.heard_bytes < self._most:
            self.heard += pcm
            self.note(Kind.AUDIO, range(self.heard_bytes, self.heard_bytes + len(pcm)))
        self.heard_bytes += len(pcm)

    def sound(self, pcm: bytes) -> None:
        """Speech was given back."""
        if self.sounded_bytes < self._most:
            self.sounded += pcm
            self._changed()
        self.sounded_bytes += len(pcm)

    def of(self, kind: str) -> list[AvatarEvent]:
        """The events of one kind."""
        return [event for event in self.events if event.kind == kind]

    async def wait(self, found: Callable[[], T | None], what: str, timeout: float) -> T:
        """Wait until `found` finds something.

        Raises:
            TimeoutError: Nothing was found for `timeout` seconds; names the events that there were.
        """
        try:
            async with asyncio.timeout(timeout):
                while (result := found()) is None:
                    await self._news.wait()
                return result
        except TimeoutError as error:
            seen = ", ".join(dict.fromkeys(event.kind for event in self.events)) or "nothing"
            raise TimeoutError(f"no {what} within {timeout} s; the avatar saw: {seen}") from error

    def _changed(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
