"""Speech on its way into a room: converted, cut into short writes, and remembered until it must have been heard.

Holds one stretch of audio at a time and knows nothing of queues or responses.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from loguru import logger
from pipecat.frames.frames import TTSAudioRawFrame

from pipecat_lemonslice.audio import SAMPLE_BYTES, AudioConverter, AudioFormat
from pipecat_lemonslice.messages import SpeechEvent
from pipecat_lemonslice.sound import SoundDetector
from pipecat_lemonslice.spoken import Heard, Passage, Spoken, joined, origin_of

WRITE_SECONDS = 0.02
"""Duration of one write."""

SLICES_PER_SECOND = 100
"""Rooms take whole slices of 10 ms."""

WRITES_IN_FLIGHT = 2
"""Writes handed over and not played: enough to bridge a busy loop, and all that an interruption leaves behind."""

STALLED_SECONDS = 3.0
"""A write that has not been played after so long means that the room takes no more audio."""


class AvatarLink(Protocol):
    """The way to an avatar that is there."""

    def write(self, pcm: bytes, *, sounds: bool) -> "asyncio.Future[None]":
        """Hand over whole 10 ms slices of mono audio; the future is done when they have been played.

        Args:
            pcm: The audio.
            sounds: Whether there is sound in it, which must be heard of the avatar.
        """
        ...

    def tell(self, event: SpeechEvent) -> None:
        """Tell the avatar of an event; never blocks, never raises."""
        ...

    def stalled(self) -> None:
        """Take note that the room has stopped taking audio."""
        ...


@dataclass(slots=True, eq=False)
class _Write:
    """What was handed over: to whom, until when, what, whether it sounds; nothing once it need not be said again."""

    link: AvatarLink
    played: "asyncio.Future[None]"
    passage: Passage | None
    sounds: bool


class AvatarStream:
    """See the module. Less than a write waits for more audio until the stream is sealed."""

    def __init__(self, sample_rate: int, on_played: Callable[[bool], None]) -> None:
        """Create an empty stream.

        Args:
            sample_rate: Rate of the room's speech in Hz; a multiple of 100.
            on_played: Called whenever a write has been played or lost, with whether it was still wanted.
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
        self._in_flight: deque[_Write] = deque()
        self._spoken = Spoken()
        self._detector = SoundDetector()
        self._returning: list[Passage] = []
        self._watchdog: asyncio.TimerHandle | None = None

    @property
    def ready(self) -> bool:
        """Whether there is audio to be written now."""
        return len(self._buffer) >= (self._slice_bytes if self._sealed else self._write_bytes)

    def full(self, link: AvatarLink) -> bool:
        """Whether as much is in flight to an avatar as may be."""
        return sum(write.link is link for write in self._in_flight) >= WRITES_IN_FLIGHT

    @property
    def has_tail(self) -> bool:
        """Whether audio is held back that has not been written."""
        return bool(self._buffer) or self._converter.holds_audio

    @property
    def in_flight_seconds(self) -> float:
        """Duration of what has been written and not played."""
        return self.seconds_of(self._handed_over())

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
        since = self._spoken.sounding_since
        return self._loop.time() if since is None else since

    @property
    def sounded_until(self) -> float:
        """When the last sound was played that is still remembered, on the loop's clock; else minus infinity."""
        return self._spoken.sounded_until

    @property
    def uninterruptible(self) -> bool:
        """Whether what is playing or about to play must be played to its end."""
        busy = self._in_flight or self.has_tail
        return bool(busy and self.frame and not self.frame.interruptible)

    def seconds_of(self, passages: Iterable[Passage]) -> float:
        """Return the duration of passages."""
        return self._seconds(sum(len(passage.pcm) for passage in passages))

    @property
    def lasting_contexts(self) -> set[str | None]:
        """The contexts of what may not be interrupted, as far as it is to be said, or to be said again."""
        origins = [passage.origin for passage in self._returning] + ([origin_of(self.frame)] if self.frame else [])
        return {origin.context_id for origin in origins if not origin.interruptible}

    def begin(self) -> None:
        """A response begins."""
        self._spoken.begin()

    async def feed(self, frame: TTSAudioRawFrame) -> None:
        """Take audio in. A new TTS context begins a new stretch; what the last one held back comes first."""
        if self.frame and self.frame.context_id != frame.context_id:
            await self._flush()
        self.frame, self._sealed = frame, False
        pcm = await self._converter.feed(frame.audio, audio_format(frame, self.sample_rate))
        if self.frame is frame:  # nothing was dropped meanwhile
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
        sounds = self._detector.feed(pcm, self.sample_rate)
        played = link.write(pcm, sounds=sounds)
        passage = Passage(pcm, origin_of(self.frame)) if self.frame else None
        self._in_flight.append(_Write(link, played, passage, sounds))
        played.add_done_callback(self._played)
        self._watch(link)
        return self._seconds(len(pcm))

    def unheard(self, heard: Heard) -> list[Passage]:
        """Return what has been played, and has not been heard of the avatar yet."""
        goes_on = self.has_tail or any(True for _ in self._handed_over())
        return self._spoken.unheard(heard, self._loop.time(), followed=goes_on)

    def let_go(self, unheard: Iterable[Passage]) -> None:
        """Begin to take back everything that has not been heard, however much of it has been handed over.

        What is in flight holds its place until it has been played, or its room is lost.

        Args:
            unheard: What has been played of it.
        """
        self._returning += [*unheard, *self._handed_over()]
        self._spoken.forget()
        for write in self._in_flight:
            write.passage = None

    @property
    def lets_go(self) -> bool:
        """Whether :meth:`take_back` may have something to give."""
        return bool(self._returning) or self.has_tail

    async def take_back(self) -> tuple[list[TTSAudioRawFrame], float]:
        """Return what was let go of, and what had not been written, and begin afresh.

        Returns:
            The speech in order, a frame for each origin, and how many seconds of it had been written.
        """
        await self._flush()
        rest = [Passage(bytes(self._buffer), origin_of(self.frame))] if self.frame else []
        written, self._returning = self._returning, []
        self.drop_unwritten()
        return [self._frame(passage) for passage in joined((*written, *rest))], self.seconds_of(written)

    def interrupt(self, unheard: Iterable[Passage]) -> None:
        """Drop what may be interrupted, and begin to take back the rest: the avatar drops both. See :meth:`let_go`."""
        self.let_go(unheard)
        self._returning = [passage for passage in self._returning if not passage.origin.interruptible]
        if self.frame is None or self.frame.interruptible:
            self.drop_unwritten()

    def forget(self) -> None:
        """Drop everything, also what is in flight."""
        self.drop_unwritten()
        self._returning.clear()
        self._spoken.forget()
        self._in_flight.clear()
        self._stop_watching()

    def drop_unwritten(self) -> None:
        """Drop what has not been handed over."""
        self._buffer.clear()
        self._converter.reset()
        self.frame, self._sealed = None, False

    def _handed_over(self) -> Iterator[Passage]:
        return (write.passage for write in self._in_flight if write.passage)

    async def _flush(self) -> None:
        said = self.frame
        rest = await self._converter.flush()
        if self.frame is said:  # nothing was dropped meanwhile
            self._buffer += rest

    def _played(self, played: "asyncio.Future[None]") -> None:
        write = next((write for write in self._in_flight if write.played is played), None)
        failed = played.cancelled() or played.exception() is not None
        # What was forgotten meanwhile is of no concern to what is heard now; what a lost room did not play stays here
        # to be taken back.
        if write is None or (failed and write.passage):
            return
        self._in_flight.remove(write)
        if write.passage:
            seconds = self._seconds(len(write.passage.pcm))
            self._spoken.add(write.passage, seconds, self._loop.time(), sounds=write.sounds)
        self._on_played(write.passage is not None)

    def _watch(self, link: AvatarLink) -> None:
        # What has been handed to an avatar before this one is of no concern any more.
        self._in_flight = deque(write for write in self._in_flight if write.link is link)
        self._stop_watching()
        self._watchdog = self._loop.call_later(STALLED_SECONDS, self._check, link)

    def _stop_watching(self) -> None:
        if self._watchdog:
            self._watchdog.cancel()

    def _check(self, link: AvatarLink) -> None:
        if self._in_flight:
            link.stalled()

    def _seconds(self, byte_count: int) -> float:
        return byte_count / (SAMPLE_BYTES * self.sample_rate)

    def _frame(self, passage: Passage) -> TTSAudioRawFrame:
        frame = TTSAudioRawFrame(passage.pcm, self.sample_rate, 1, context_id=passage.origin.context_id)
        frame.interruptible = passage.origin.interruptible
        frame.transport_destination = passage.origin.destination
        return frame


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
