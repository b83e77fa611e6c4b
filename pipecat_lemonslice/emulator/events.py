"""What an avatar records for those who test with it: its events, the speech it heard and the speech it gave back."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """Kinds of events; the comment says what the value of the event is."""

    JOINED = "joined"  # the avatar is in its room: its participant id
    LEFT = "left"  # the reason
    FIRST_BYTE = "first_byte"  # the first audio of a response: its offset in ``heard``
    VOICE = "voice"  # it began to speak after being idle: the offset in ``sounded``
    IDLE = "idle"  # it went back to being idle: the offset in ``sounded``
    RESPONSE_STARTED = "response_started"  # the app message
    RESPONSE_FINISHED = "response_finished"  # the app message
    INTERRUPT = "interrupt"  # the app message
    RESPONSE_DONE_TIMEOUT = "response_done_timeout"  # it ended a response itself: when the audio had ended
    DROPPED = "dropped"  # speech that is never spoken: how many bytes
    APP_MESSAGE = "app_message"  # another app message for this session
    IGNORED = "ignored"  # an app message that names another session, or none
    IMAGE_CHANGED = "image_changed"  # it shows a new picture
    IMAGE_FAILED = "image_failed"  # the picture stays as it is: why
    PROMPT = "prompt"  # the text
    IDLE_PROMPT = "idle_prompt"  # the text
    POSE = "pose"  # the name of the pose
    IDLE_RESET = "idle_reset"  # the idle timeout starts again
    IDLE_TIMEOUT = "idle_timeout"  # the session is over, as nobody spoke
    TERMINATED = "terminated"  # the session was terminated


@dataclass(frozen=True)
class AvatarEvent:
    """Something that happened to an avatar; what ``value`` is, ``Kind`` says."""

    time: float  # on the clock of the event loop
    kind: Kind
    value: Any = None


class AvatarRecord:
    """What one avatar did, in order, and waiting for it.

    Args:
        max_bytes: How much is kept of the speech heard, and of the speech given back.

    Attributes:
        events: Everything that happened, in order.
        heard: All speech heard, in order: mono PCM at the avatar's rate.
        sounded: All speech given back, without the silence around it and without a noise floor: mono PCM.
    """

    def __init__(self, max_bytes: int) -> None:
        self.events: list[AvatarEvent] = []
        self._max_bytes = max_bytes
        self.heard, self.sounded = bytearray(), bytearray()
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def events_of(self, kind: str) -> list[AvatarEvent]:
        """Return the events of one kind, in order."""
        return [event for event in self.events if event.kind == kind]

    async def wait_for(self, kind: str, n: int = 1, timeout: float = 10.0) -> AvatarEvent:
        """Wait for the n-th event of a kind since the session began, and return it.

        Raises:
            TimeoutError: It did not happen within ``timeout`` seconds.
        """
        await self.wait_until(lambda: len(self.events_of(kind)) >= n, timeout, kind)
        return self.events_of(kind)[n - 1]

    async def wait_until(self, condition: Callable[[], bool], timeout: float = 10.0, what: str = "such state") -> None:
        """Wait until a condition holds, looking again whenever something happened.

        Raises:
            TimeoutError: It did not hold within ``timeout`` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as error:
            seen = ", ".join(dict.fromkeys(event.kind for event in self.events)) or "nothing"
            raise TimeoutError(f"no {what} within {timeout} s; the avatar's events: {seen}") from error

    def note(self, kind: Kind, value: Any = None) -> None:
        """Record that something happened now."""
        self.events.append(AvatarEvent(self._loop.time(), kind, value))
        self._changed.set()

    def _record(self, pcm: bytes, record: bytearray) -> None:
        if len(record) < self._max_bytes:
            record += pcm
        self._changed.set()
