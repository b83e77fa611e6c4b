"""The avatar's track: speech converted to its rate, its positions there, and what is repeated if the avatar is lost.

Positions are counted in samples by the room, which plays at its own pace and reports how far it is. What has been
played is remembered for six seconds, since a lost avatar has not said the last of it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import ceil, inf
from typing import Protocol

from pipecat.frames.frames import TTSAudioRawFrame

from pipecat_lemonslice.media.playback import Playback
from pipecat_lemonslice.media.sound import SoundDetector
from pipecat_lemonslice.messages import SpeechEvent
from pipecat_lemonslice.speech.audio import SAMPLE_BYTES, AudioConverter, audio_format

PIECE_SECONDS = 0.02
"""What has been played is examined and remembered in pieces of this length."""

REMEMBERED_SECONDS = 6.0
"""How long what was played can be heard again: longer than it takes to find out that an avatar is mute."""

STALLED_SECONDS = 3.0
"""A room that plays nothing for so long, though there is speech on its track, takes no more audio."""

GAP_SECONDS = 0.1
"""Speech that is played so much later than the speech before it begins anew."""

JITTER_SECONDS = 0.3
"""By how much an avatar's lag may have changed since it was measured."""


class AvatarLink(Protocol):
    """The way to an avatar that is there. For the first five see :class:`pipecat_lemonslice.rooms.Room`."""

    @property
    def appended(self) -> int:
        """Position of the end of the speech on the track."""
        ...

    def append(self, pcm: bytes) -> None:
        """Have speech played behind what was appended before."""
        ...

    def clear(self) -> int:
        """Drop what has not been handed over; returns how many samples that was."""
        ...

    @property
    def played(self) -> int:
        """Position up to which the speech has been played."""
        ...

    def report_at(self, position: int) -> None:
        """Have a position reported as soon as it has been played."""
        ...

    def listen(self, on_played: Callable[[int], None] | None) -> None:
        """Have every report of :attr:`played` called out, or no more."""
        ...

    def was_played(self, *, at: float, sounds: bool) -> None:
        """Take note that a piece of speech has been played to the avatar.

        Args:
            at: When that began, on the loop's clock.
            sounds: Whether there is sound in it, which must be heard of the avatar.
        """
        ...

    def tell(self, event: SpeechEvent) -> None:
        """Tell the avatar of an event; never blocks, never raises."""
        ...

    def stalled(self) -> None:
        """Take note that the room has stopped playing."""
        ...


@dataclass(frozen=True, slots=True)
class Origin:
    """What the TTS said of a piece of audio.

    Attributes:
        context_id: Its context.
        interruptible: Whether an interruption ends it.
        destination: Where it was to be played.
    """

    context_id: str | None
    interruptible: bool
    destination: str | None

    def frame(self, pcm: bytes, sample_rate: int) -> TTSAudioRawFrame:
        """Return audio of this origin as a frame."""
        frame = TTSAudioRawFrame(pcm, sample_rate, 1, context_id=self.context_id)
        frame.interruptible = self.interruptible
        frame.transport_destination = self.destination
        return frame


@dataclass(frozen=True, slots=True)
class Chunk:
    """Speech on the track.

    Attributes:
        begin: Its position, in samples.
        pcm: Mono samples at the track's rate.
        origin: Where it comes from.
        sounds: Whether there is sound in each of its equal parts.
    """

    begin: int
    pcm: bytes = field(repr=False)
    origin: Origin
    sounds: tuple[bool, ...] = (False,)

    @property
    def end(self) -> int:
        """Position behind it."""
        return self.begin + len(self.pcm) // SAMPLE_BYTES

    def part(self, begin: int, end: int) -> "Chunk":
        """Return what lies between two positions."""
        start, stop = max(begin, self.begin), min(end, self.end)
        pcm = self.pcm[(start - self.begin) * SAMPLE_BYTES : (stop - self.begin) * SAMPLE_BYTES]
        parts = len(self.sounds) / max(1, self.end - self.begin)
        sounds = self.sounds[int((start - self.begin) * parts) : ceil((stop - self.begin) * parts)]
        return Chunk(start, pcm, self.origin, sounds)


def joined(chunks: Iterable[Chunk]) -> list[Chunk]:
    """Return chunks of which no two neighbours have the same origin."""
    whole: list[list[Chunk]] = []
    for chunk in chunks:
        if whole and whole[-1][-1].origin == chunk.origin:
            whole[-1].append(chunk)
        else:
            whole.append([chunk])
    return [
        Chunk(
            parts[0].begin,
            b"".join([part.pcm for part in parts]),
            parts[0].origin,
            tuple(sound for part in parts for sound in part.sounds),
        )
        for parts in whole
    ]


@dataclass(frozen=True, slots=True)
class Played:
    """A piece that has been played.

    Attributes:
        chunk: The piece.
        begin: When it began, on the loop's clock.
        end: When it had been played.
    """

    chunk: Chunk
    begin: float
    end: float

    @property
    def sounds(self) -> bool:
        """Whether there is sound in it."""
        return any(self.chunk.sounds)


class SpeechTrack:
    """The track to one avatar after the other. Without a link it has no positions, and takes no audio."""

    def __init__(self, sample_rate: int) -> None:
        """Create a track that leads nowhere yet.

        Args:
            sample_rate: In Hz; a multiple of 100.
        """
        self.sample_rate = sample_rate
        self.link: AvatarLink | None = None
        self.on_played: Callable[[list[Played]], None] = lambda pieces: None
        """Called with the pieces that have been played since the last call."""
        self.fed_at = -inf
        """When audio came last, on the loop's clock."""
        self._loop = asyncio.get_running_loop()
        self._converter = AudioConverter(sample_rate)
        self._origin: Origin | None = None
        self._pending: deque[Chunk] = deque()
        self._position = 0
        self._past: deque[Played] = deque()
        self._detector = SoundDetector()
        self._sounded = False
        self._watchdog: asyncio.TimerHandle | None = None

    def open(self, link: AvatarLink) -> None:
        """Lead to an avatar."""
        self.link = link
        self._position = link.appended
        link.listen(lambda position: self._has_played(link, position))

    @property
    def pending_seconds(self) -> float:
        """Duration of what has been appended and not been played."""
        return (
            self._seconds(self._pending[-1].end - max(self._position, self._pending[0].begin)) if self._pending else 0.0
        )

    @property
    def holds_remainder(self) -> bool:
        """Whether the converter holds samples back."""
        return self._converter.holds_audio

    def ends_with(self, context_id: str | None) -> bool:
        """Whether samples are held back that nothing of their context follows when that one has stopped."""
        if self._origin is None or not self.holds_remainder:
            return False
        return context_id is None or context_id == self._origin.context_id

    @property
    def busy(self) -> bool:
        """Whether there is speech that has not been played."""
        return bool(self._pending) or self.holds_remainder

    def report_at(self, position: int) -> None:
        """Have :attr:`on_played` called as soon as a position has been played; else it may be 100 ms later."""
        if self.link:
            self.link.report_at(position)

    def catch_up(self) -> None:
        """Take note of what has been played and has not been reported yet."""
        if self.link and self.link.played > self._position:
            self._has_played(self.link, self.link.played)

    @property
    def position(self) -> int:
        """Position up to which the speech is known to have been played, in samples."""
        return self._position

    def first(self, remaining: Callable[[str | None], float | None]) -> list[int]:
        """Return the first position on the track at which something is due, if there is any.

        Args:
            remaining: Says of a context after how many more seconds of it something is due; None for never.
        """
        seen: set[str | None] = set()
        for chunk in self._pending:
            context_id = chunk.origin.context_id
            if context_id not in seen and (seconds := remaining(context_id)) is not None:
                return [max(self._position, chunk.begin) + max(1, ceil(seconds * self.sample_rate))]
            seen.add(context_id)
        return []

    async def feed(self, frame: TTSAudioRawFrame) -> list[Chunk]:
        """Append audio to the track, at its rate. What the converter held back of another context comes first.

        Returns:
            What could not be appended, because the avatar went meanwhile.
        """
        origin = Origin(frame.context_id, frame.interruptible, frame.transport_destination)
        rest = await self.flush() if self._origin and self._origin.context_id != origin.context_id else []
        self._origin, self.fed_at = origin, self._loop.time()
        rate, channels = audio_format(frame, self.sample_rate)
        pcm = await self._converter.feed(frame.audio, rate, channels)
        if self._origin is not origin:  # it was interrupted meanwhile
            return []
        return rest + self._append(pcm, origin)

    async def flush(self) -> list[Chunk]:
        """Append what the converter holds back; returns it if the avatar is gone."""
        origin, pcm = self._origin, await self._converter.flush()
        return self._append(pcm, origin) if origin and self._origin is origin else []

    async def take_remainder(self) -> list[Chunk]:
        """Return what the converter holds back of an avatar that was lost; the next audio begins afresh."""
        origin, pcm = self._origin, await self._converter.flush()
        self._origin = None
        return [Chunk(0, pcm, origin)] if pcm and origin else []

    def cut(self) -> list[Chunk]:
        """Drop what has not been handed over to the room yet; returns it."""
        if self.link is None:
            return []
        self.catch_up()
        self.link.clear()
        end = self.link.appended
        rest = [chunk.part(end, chunk.end) for chunk in self._pending if chunk.end > end]
        self._pending = deque(chunk.part(chunk.begin, end) for chunk in self._pending if chunk.begin < end)
        if self._origin and self._origin.interruptible:
            self._converter.reset()
            self._origin = None
        return rest

    def forget(self) -> None:
        """Forget what has been handed over."""
        self._position = self.link.appended if self.link else 0
        self._pending.clear()
        self._past.clear()

    @property
    def plays_on(self) -> float:
        """Seconds of speech that have been handed over, and are played whatever happens."""
        return self._seconds(self.link.appended - self.link.played) if self.link else 0.0

    def close(self) -> None:
        """Detach from the avatar. What the converter holds back is there until :meth:`take_remainder`."""
        if self.link:
            self.link.listen(None)
            self.link.clear()
        self.link = None
        self.forget()
        if self._watchdog:
            self._watchdog.cancel()

    def unplayed(self) -> list[Chunk]:
        """Return what has been appended and is not known to have been played."""
        return [chunk.part(self._position, chunk.end) for chunk in self._pending]

    def unheard(self, playback: Playback) -> list[Chunk]:
        """Return what has been played, and has not been heard of the avatar yet.

        When unsure, assume less was heard: a repeated syllable is better than a lost one. An avatar that has fallen
        silent near the end of what it was given has said all of it.
        """
        now = self._loop.time()
        limit = max(playback.heard_until(now), now - REMEMBERED_SECONDS)
        rest = [played for played in self._past if played.end > limit + 1e-6]
        gap = next((at for at in range(1, len(rest)) if rest[at].begin - rest[at - 1].end > GAP_SECONDS), len(rest))
        if not playback.sounds(now) and (gap < len(rest) or not self.busy):
            sounded_until = max((played.end for played in rest[:gap] if played.sounds), default=-inf)
            rest = rest[gap:] if sounded_until <= limit + JITTER_SECONDS else rest
        if not self.busy and not any(played.sounds for played in rest):
            return []
        return joined(played.chunk for played in rest)

    def seconds_of(self, chunks: Iterable[Chunk]) -> float:
        """Return the duration of chunks."""
        return self._seconds(sum(len(chunk.pcm) // SAMPLE_BYTES for chunk in chunks))

    def _append(self, pcm: bytes, origin: Origin) -> list[Chunk]:
        if not pcm:
            return []
        if self.link is None:
            return [Chunk(0, pcm, origin)]
        if not self._pending:
            self._watch()
        sounds = self._detector.feed_blocks(pcm, self.sample_rate) or [self._sounded]
        self._sounded = sounds[-1]
        self._pending.append(Chunk(self.link.appended, pcm, origin, tuple(sounds)))
        self.link.append(pcm)
        return []

    def _has_played(self, link: AvatarLink, position: int) -> None:
        """Examine and remember what has been played; the room's report may lump several writes together."""
        if link is not self.link:
            return
        now, pieces = self._loop.time(), list[Played]()
        size = round(self.sample_rate * PIECE_SECONDS)
        while self._pending and self._position < position:
            chunk = self._pending[0]
            begin = max(self._position, chunk.begin)
            piece = chunk.part(begin, min(position, begin + size))
            if piece.end == chunk.end:
                self._pending.popleft()
            self._position = max(piece.end, begin)
            if not piece.pcm:  # the report ends where this chunk begins
                break
            ended = now - self._seconds(position - piece.end)
            pieces.append(Played(piece, ended - self._seconds(piece.end - piece.begin), ended))
            link.was_played(at=pieces[-1].begin, sounds=pieces[-1].sounds)
        self._past.extend(pieces)
        while self._past and self._past[0].end < now - REMEMBERED_SECONDS:
            self._past.popleft()
        self._watch()
        self.on_played(pieces)

    def _watch(self) -> None:
        if self._watchdog:
            self._watchdog.cancel()
        self._watchdog = self._loop.call_later(STALLED_SECONDS, self._check)

    def _check(self) -> None:
        if self.link and self._pending:
            self.link.stalled()

    def _seconds(self, samples: int) -> float:
        return samples / self.sample_rate
