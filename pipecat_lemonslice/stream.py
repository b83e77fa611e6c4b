"""Speech on its way into a room: converted, cut into short writes, and remembered until it must have been heard.

Holds one stretch of audio at a time and knows nothing of queues or responses.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Protocol

from loguru import logger
from pipecat.audio.utils import is_silence
from pipecat.frames.frames import TTSAudioRawFrame

from pipecat_lemonslice.audio import SAMPLE_BYTES, AudioConverter, AudioFormat
from pipecat_lemonslice.messages import SpeechEvent

WRITE_SECONDS = 0.02
"""Duration of one write."""

SLICES_PER_SECOND = 100
"""Rooms take whole slices of 10 ms."""

WRITES_IN_FLIGHT = 2
"""Writes handed over and not played: enough to bridge a busy loop, and all that an interruption leaves behind."""

STALLED_SECONDS = 3.0
"""A write that has not been played after so long means that the room takes no more audio."""

REMEMBERED_SECONDS = 6.0
"""Of what has been played, so much can be taken back: more than the time after which a mute avatar is given up."""


class AvatarLink(Protocol):
    """The way to an avatar that is there."""

    def write(self, pcm: bytes) -> "asyncio.Future[None]":
        """Hand over whole 10 ms slices of mono audio; the future is done when they have been played."""
        ...

    def tell(self, event: SpeechEvent) -> None:
        """Tell the avatar of an event; never blocks, never raises."""
        ...

    def stalled(self) -> None:
        """Take note that the room has stopped taking audio."""
        ...


class AvatarStream:
    """See the module. Less than a write waits for more audio until the stream is sealed."""

    def __init__(self, sample_rate: int, on_played: Callable[[], None]) -> None:
        """Create an empty stream.

        Args:
            sample_rate: Rate of the room's speech in Hz; a multiple of 100.
            on_played: Called whenever a write has been played.
        """
        self.sample_rate = sample_rate
        self.frame: TTSAudioRawFrame | None = None
        """The frame whose audio came last; None while nothing is being said."""
        self._on_played = on_played
        self._loop = asyncio.get_running_loop()
        self._converter = AudioConverter(sample_rate)
        self._slice_bytes = sample_rate // SLICES_PER_SECOND * SAMPLE_BYTES
        self._write_bytes = round(sample_rate * WRITE_SECONDS) * SAMPLE_BYTES
        self._buffer = bytearray()
        self._sealed = False
        self._in_flight: deque[tuple[asyncio.Future[None], bytes]] = deque()
        self._past: deque[tuple[float, bytes]] = deque()
        self._sounding_since: float | None = None
        self._watchdog: asyncio.TimerHandle | None = None

    @property
    def ready(self) -> bool:
        """Whether there is audio to be written now."""
        return len(self._buffer) >= (self._slice_bytes if self._sealed else self._write_bytes)

    @property
    def full(self) -> bool:
        """Whether as much is in flight as may be."""
        return len(self._in_flight) >= WRITES_IN_FLIGHT

    @property
    def has_tail(self) -> bool:
        """Whether audio is held back that has not been written."""
        return bool(self._buffer) or self._converter.holds_audio

    @property
    def in_flight_seconds(self) -> float:
        """Duration of what has been written and not played."""
        return self._seconds(sum(len(pcm) for _, pcm in self._in_flight))

    @property
    def waiting_seconds(self) -> float:
        """Duration of what is to be written."""
        return self._seconds(len(self._buffer))

    @property
    def next_seconds(self) -> float:
        """Duration of what the next write will write."""
        return self._seconds(min(len(self._buffer), self._write_bytes))

    @property
    def sounding_since(self) -> float:
        """When the first sound of the response was played, on the loop's clock; now if none has been."""
        return self._loop.time() if self._sounding_since is None else self._sounding_since

    @property
    def uninterruptible(self) -> bool:
        """Whether what is playing or about to play must be played to its end."""
        busy = self._in_flight or self.has_tail
        return bool(busy and self.frame and not self.frame.interruptible)

    def begin(self) -> None:
        """A response begins; what was played before is not wanted back any more."""
        self._past.clear()
        self._sounding_since = None

    async def feed(self, frame: TTSAudioRawFrame) -> None:
        """Take audio in. A new TTS context begins a new stretch; what the last one held back comes first."""
        if self.frame and self.frame.context_id != frame.context_id:
            await self._flush()
        self.frame, self._sealed = frame, False
        pcm = await self._converter.feed(frame.audio, audio_format(frame, self.sample_rate))
        if self.frame is frame:  # nothing was hushed meanwhile
            self._buffer += pcm

    async def seal(self) -> None:
        """End the stretch: nothing is held back any more; silence fills its last slice."""
        await self._flush()
        self._buffer += bytes(-len(self._buffer) % self._slice_bytes)
        self._sealed = True

    def write(self, link: AvatarLink) -> float:
        """Write what comes next.

        Returns:
            Its duration in seconds.
        """
        pcm = bytes(self._buffer[: self._write_bytes])
        del self._buffer[: len(pcm)]
        played = link.write(pcm)
        self._in_flight.append((played, pcm))
        played.add_done_callback(self._played)
        self._watch(link)
        return self._seconds(len(pcm))

    def written_since(self, heard_until: float) -> float:
        """Return the duration of what was written and not played until then, in seconds."""
        return self._seconds(len(self._written_since(heard_until)))

    async def take_back(self, heard_until: float = inf) -> TTSAudioRawFrame | None:
        """Return everything that had not been played by a time on the loop's clock, as one frame, and begin afresh."""
        template = self.frame
        pcm = self._written_since(heard_until) + bytes(self._buffer) + await self._converter.flush()
        self.forget()
        return _voice_frame(pcm, self.sample_rate, template) if pcm and template else None

    def hush(self) -> None:
        """Drop what has not been written. What is in flight plays on, but is not wanted back any more."""
        self._buffer.clear()
        self._converter.reset()
        self.frame, self._sealed = None, False
        self._in_flight = deque((played, b"") for played, _ in self._in_flight)
        self.begin()

    def forget(self) -> None:
        """Drop everything, also what is in flight."""
        self.hush()
        self._in_flight.clear()
        if self._watchdog:
            self._watchdog.cancel()

    def _written_since(self, heard_until: float) -> bytes:
        past = (pcm for at, pcm in self._past if at > heard_until)
        return b"".join((*past, *(pcm for _, pcm in self._in_flight)))

    async def _flush(self) -> None:
        said = self.frame
        rest = await self._converter.flush()
        if self.frame is said:  # nothing was hushed meanwhile
            self._buffer += rest

    def _played(self, played: "asyncio.Future[None]") -> None:
        failed = played.cancelled() or played.exception() is not None
        # Where the room is lost, what it did not play stays here to be taken back.
        in_flight = deque(entry for entry in self._in_flight if entry[0] is not played or (failed and entry[1]))
        # What was forgotten meanwhile is of no concern to what is heard now.
        if len(in_flight) < len(self._in_flight):
            self._remember(next(pcm for one, pcm in self._in_flight if one is played))
            self._in_flight = in_flight
            self._on_played()

    def _remember(self, pcm: bytes) -> None:
        if not pcm:  # it has been hushed
            return
        now = self._loop.time()
        if self._sounding_since is None and not is_silence(pcm):
            self._sounding_since = now - self._seconds(len(pcm))
        self._past.append((now, pcm))
        while self._past[0][0] < now - REMEMBERED_SECONDS:
            self._past.popleft()

    def _watch(self, link: AvatarLink) -> None:
        if self._watchdog:
            self._watchdog.cancel()
        self._watchdog = self._loop.call_later(STALLED_SECONDS, self._check, link)

    def _check(self, link: AvatarLink) -> None:
        if self._in_flight:
            link.stalled()

    def _seconds(self, byte_count: int) -> float:
        return byte_count / (SAMPLE_BYTES * self.sample_rate)


def audio_format(frame: TTSAudioRawFrame, default_rate: int) -> AudioFormat:
    """Return how a frame's audio is to be read; what it does not say is guessed, so that it is heard at all."""
    if frame.sample_rate <= 0 or frame.num_channels <= 0:
        logger.debug(f"{frame} does not say its format; it is read as mono at {default_rate} Hz")
    rate = frame.sample_rate if frame.sample_rate > 0 else default_rate
    return AudioFormat(rate, max(1, frame.num_channels))


def duration(frame: TTSAudioRawFrame, default_rate: int) -> float:
    """Return the duration of a frame's audio in seconds."""
    rate = frame.sample_rate if frame.sample_rate > 0 else default_rate
    return AudioFormat(rate, max(1, frame.num_channels)).seconds(len(frame.audio))


def _voice_frame(pcm: bytes, sample_rate: int, template: TTSAudioRawFrame) -> TTSAudioRawFrame:
    frame = TTSAudioRawFrame(pcm, sample_rate, 1, context_id=template.context_id)
    frame.interruptible = template.interruptible
    frame.transport_destination = template.transport_destination
    return frame
