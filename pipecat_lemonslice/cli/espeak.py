"""The espeak-ng library, which speaks on any machine: one engine for the whole process.

Owns the foreign calls and the lock around them; text goes in, samples and the moments of words come out.
It knows nothing of Pipecat.
"""

import asyncio
import ctypes
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import espeakng_loader  # pyright: ignore[reportMissingTypeStubs]

BUFFER_MS = 40

# From speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_DO_NOT_EXIT = 0x8000
_CHARS_UTF8 = 1
_END_PAUSE = 0x1000
_RATE, _PITCH, _RANGE = 1, 3, 4
_LIST_TERMINATED, _WORD = 0, 1
_GO_ON, _ABORT = 0, 1


class EspeakError(RuntimeError):
    """The engine refused: the message says what."""


@dataclass(frozen=True)
class Voice:
    """How to speak.

    Attributes:
        name: A voice of espeak-ng, with a variant after a plus sign.
        rate: Words per minute, 80 to 450.
        pitch: Base pitch, 0 to 99.
        pitch_range: Liveliness of the pitch, 0 (monotone) to 99.
    """

    name: str = "en-us+f3"
    rate: int = 160
    pitch: int = 45
    pitch_range: int = 60


@dataclass(frozen=True)
class Samples:
    """Speech as it is made: mono, 16-bit little endian, at ``Engine.sample_rate``."""

    pcm: bytes


@dataclass(frozen=True)
class WordBegins:
    """A word of the text begins.

    Attributes:
        position: Index of its first character in the text.
        seconds: When, counted from the beginning of the speech.
    """

    position: int
    seconds: float


Event = Samples | WordBegins


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


class Engine:
    """The loaded library. Its state is global, so there is one engine, and one text is spoken at a time."""

    def __init__(self) -> None:
        """Load the library and its data.

        Raises:
            EspeakError: The library cannot be loaded or does not find its data.
        """
        try:
            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as error:
            raise EspeakError(f"the espeak-ng library cannot be loaded: {error}") from error
        data = espeakng_loader.get_data_path().encode()
        self.sample_rate: int = self._library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, BUFFER_MS, data, _DO_NOT_EXIT
        )
        if self.sample_rate <= 0:
            raise EspeakError("espeak-ng does not find its data")
        self._lock = threading.Lock()
        self._emit: Callable[[Event], bool] = lambda _: False
        # The library keeps the bare address; without this reference the function would be freed.
        self._callback = _Callback(self._on_speech)
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, voice: Voice, emit: Callable[[Event], bool]) -> None:
        """Speak a text; returns when all of it has been made, far sooner than it takes to hear.

        Args:
            text: What to say.
            voice: How to say it.
            emit: Takes each event in this thread; a False stops the speech.

        Raises:
            EspeakError: There is no such voice, or the synthesis failed.
        """
        with self._lock:
            self._choose(voice)
            self._emit = emit
            encoded = text.encode()
            size = ctypes.c_size_t(len(encoded) + 1)
            failed = self._library.espeak_Synth(encoded, size, 0, 1, 0, _CHARS_UTF8 | _END_PAUSE, None, None)
        if failed:
            raise EspeakError(f"espeak-ng failed with {failed}")

    def _choose(self, voice: Voice) -> None:
        if self._library.espeak_SetVoiceByName(voice.name.encode()):
            raise EspeakError(f"espeak-ng has no voice {voice.name!r}")
        for parameter, value in ((_RATE, voice.rate), (_PITCH, voice.pitch), (_RANGE, voice.pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)

    def _on_speech(self, samples: int | None, count: int, events: Any) -> int:
        index = 0
        while events[index].type != _LIST_TERMINATED:
            event = events[index]
            index += 1
            if event.type == _WORD:
                word = WordBegins(event.text_position - 1, event.audio_position / 1000)
                if not self._emit(word):
                    return _ABORT
        if not samples or count <= 0:
            return _GO_ON
        return _GO_ON if self._emit(Samples(ctypes.string_at(samples, 2 * count))) else _ABORT


@lru_cache(maxsize=1)
def _loaded() -> Engine:
    return Engine()


_loading = threading.Lock()


def engine() -> Engine:
    """Return the engine of this process, loading it the first time.

    Raises:
        EspeakError: It cannot be loaded.
    """
    with _loading:
        return _loaded()


async def stream(text: str, voice: Voice) -> AsyncGenerator[Event, None]:
    """Speak a text in a thread and hand its events over as they are made. Closing stops the speech.

    Args:
        text: What to say.
        voice: How to say it.

    Raises:
        EspeakError: As ``Engine.speak``.
    """
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[Event | None] = asyncio.Queue()
    unwanted = threading.Event()

    def emit(event: Event) -> bool:
        if unwanted.is_set():
            return False
        loop.call_soon_threadsafe(events.put_nowait, event)
        return True

    def work() -> None:
        try:
            engine().speak(text, voice, emit)
        finally:
            loop.call_soon_threadsafe(events.put_nowait, None)

    worker = loop.run_in_executor(None, work)
    try:
        while (event := await events.get()) is not None:
            yield event
        await worker
    finally:
        unwanted.set()
        await asyncio.wait([worker])


def speech(text: str, voice: Voice | None = None) -> bytes:
    """Return a whole text as speech: mono, 16-bit, at the engine's rate. Blocks for milliseconds."""
    parts: list[bytes] = []

    def emit(event: Event) -> bool:
        if isinstance(event, Samples):
            parts.append(event.pcm)
        return True

    engine().speak(text, voice or Voice(), emit)
    return b"".join(parts)
