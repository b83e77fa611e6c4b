"""The avatar's track: speech converted to its rate, its positions there, and what is repeated if the avatar is lost.

Positions are counted in samples by the room, which plays at its own pace and reports how far it is. What has been
played is remembered for six seconds, since a lost avatar has not said the last of it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil, inf

from pipecat.frames.frames import TTSAudioRawFrame

from pipecat_lemonslice.media.playback import Playback
from pipecat_lemonslice.media.sound import SoundDetector
from pipecat_lemonslice.messages import SpeechEvent, speech_message
from pipecat_lemonslice.rooms import Room
from pipecat_lemonslice.speech.audio import (
    SAMPLE_BYTES,
    AudioConverter,
    Chunk,
    Cut,
    Origin,
    Played,
    audio_format,
    joined,
)

REMEMBERED_SECONDS = 6.0
"""How long what was played can be heard again: longer than it takes to find out that an avatar is mute."""

STALLED_SECONDS = 3.0
"""A room that plays nothing for so long, though there is speech on its track, takes no more audio."""

GAP_SECONDS = 0.1
"""Speech that is played so much later than the speech before it begins anew."""

LEFT_BEHIND = 0.0401
"""What an interruption may leave of the speech that it interrupts, in seconds: the writes in flight."""

JITTER_SECONDS = 0.3
"""By how much an avatar's lag may have changed since it was measured."""


@dataclass(frozen=True, slots=True)
class AvatarFailed:
    """The avatar does not do what it is there for, though nobody has said so: its session is to be replaced.

    Attributes:
        reason: A sentence for people.
    """

    reason: str


class SpeechTrack:
    """The track to one avatar after the other. Without a room it has no positions, and takes no audio."""

    def __init__(
        self,
        sample_rate: int,
        playback: Playback,
        *,
        on_played: Callable[[list[Played]], None],
        emit: Callable[[AvatarFailed], None],
    ) -> None:
        """Create a track that leads nowhere yet.

        Args:
            sample_rate: In Hz; a multiple of 100.
            playback: Told of what is played; knows how far the avatar has been heard.
            on_played: Called with the speech that has been played since the last call.
            emit: Takes events; must not block.
        """
        self.sample_rate = sample_rate
        self.room: Room | None = None
        """The way to the avatar that is there."""
        self.fed_at = -inf
        """When audio came last, on the loop's clock."""
        self.pending: deque[Chunk] = deque()
        """What has been appended and is not known to have been played."""
        self.converter = AudioConverter(sample_rate)
        self._session_id = ""
        self._playback = playback
        self._on_played = on_played
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._origin: Origin | None = None
        self._position = 0
        self._past: deque[Played] = deque()
        self._detector = SoundDetector()
        self._sounded = False
        self._watchdog: asyncio.TimerHandle | None = None

    def open(self, room: Room, session_id: str) -> None:
        """Lead to an avatar.

        Args:
            room: Where it is.
            session_id: What messages to it carry.
        """
        self.room, self._session_id = room, session_id
        self._position = room.appended
        room.on_played = self._has_played

    def tell(self, event: SpeechEvent) -> None:
        """Tell the avatar of an event, if there is one."""
        if self.room:
            try:
                self.room.send(speech_message(event, self._session_id))
            except Exception as error:
                self._emit(AvatarFailed(f"the room refuses what it is given: {type(error).__name__}"))

    @property
    def pending_seconds(self) -> float:
        """Duration of what has been appended and not been played."""
        if not self.pending:
            return 0.0
        return self._seconds(self.pending[-1].end - max(self._position, self.pending[0].begin))

    def ends_with(self, context_id: str | None) -> bool:
        """Whether samples are held back that nothing of their context follows when that one has stopped."""
        if self._origin is None or not self.converter.holds_audio:
            return False
        return context_id is None or context_id == self._origin.context_id

    def report_at(self, position: int) -> None:
        """Have ``on_played`` called as soon as a position has been played; else it may be 100 ms later."""
        if self.room:
            self.room.report_at(position)

    def catch_up(self) -> None:
        """Take note of what has been played and has not been reported yet."""
        if self.room and self.room.played > self._position:
            self._has_played(self.room.played)

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
        for chunk in self.pending:
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
        pcm = await self.converter.feed(frame.audio, rate, channels)
        if self._origin is not origin:  # it was interrupted meanwhile
            return []
        return rest + self._append(pcm, origin)

    async def flush(self) -> list[Chunk]:
        """Append what the converter holds back; returns it if the avatar is gone."""
        origin, pcm = self._origin, await self.converter.flush()
        return self._append(pcm, origin) if origin and self._origin is origin else []

    async def take_remainder(self) -> list[Chunk]:
        """Return what the converter holds back of an avatar that was lost; the next audio begins afresh."""
        origin, pcm = self._origin, await self.converter.flush()
        self._origin = None
        return [_loose(pcm, origin)] if pcm and origin else []

    def interrupt(self) -> Cut:
        """Drop what may be interrupted, at once; what may not be interrupted stays."""
        self.catch_up()
        unheard = self.unheard()
        sounding = bool(unheard) or self._playback.sounds(self._loop.time())
        rest = self.cut()
        in_flight = self.unplayed()
        playing = [*unheard, *in_flight]
        again = [chunk for chunk in rest if not chunk.origin.interruptible]
        # An avatar that says hardly anything but what may not be interrupted is left alone. One that is told to stop
        # drops all of it, so that is said again.
        unwanted = self.seconds_of([chunk for chunk in playing if chunk.origin.interruptible])
        keeps_playing = self.seconds_of(playing) > unwanted and unwanted <= LEFT_BEHIND
        lasting = [chunk for chunk in (*playing, *again) if not chunk.origin.interruptible]
        contexts = {chunk.origin.context_id for chunk in lasting}
        if keeps_playing:
            return Cut(True, sounding, self.seconds_of(rest), [], again, contexts)
        heard_again = [chunk for chunk in unheard if not chunk.origin.interruptible]
        lost = [chunk for chunk in in_flight if not chunk.origin.interruptible]
        self.forget()
        return Cut(False, sounding, self.seconds_of(rest), heard_again, [*lost, *again], contexts)

    def cut(self) -> list[Chunk]:
        """Drop what has not been handed over to the room yet; returns it."""
        if self.room is None:
            return []
        self.catch_up()
        self.room.clear()
        end = self.room.appended
        rest = [chunk.part(end, chunk.end) for chunk in self.pending if chunk.end > end]
        self.pending = deque(chunk.part(chunk.begin, end) for chunk in self.pending if chunk.begin < end)
        if self._origin and self._origin.interruptible:
            self.converter.reset()
            self._origin = None
        return rest

    def forget(self) -> None:
        """Forget what waits, and what has been handed over."""
        self._position = self.room.appended if self.room else 0
        self.pending.clear()
        self._past.clear()

    @property
    def plays_on(self) -> float:
        """Seconds of speech that have been handed over, and are played whatever happens."""
        return self._seconds(self.room.appended - self.room.played) if self.room else 0.0

    def close(self) -> None:
        """Detach from the avatar. What the converter holds back is there until :meth:`take_remainder`."""
        self.forget()
        if self.room:
            self.room.clear()
            self.room.on_played = None
        self.room = None
        if self._watchdog:
            self._watchdog.cancel()

    def unplayed(self) -> list[Chunk]:
        """Return what has been appended and is not known to have been played."""
        return [chunk.part(self._position, chunk.end) for chunk in self.pending]

    def unheard(self) -> list[Chunk]:
        """Return what has been played, and has not been heard of the avatar yet.

        When unsure, assume less was heard: a repeated syllable is better than a lost one. An avatar that has fallen
        silent near the end of what it was given has said all of it.
        """
        now, busy = self._loop.time(), bool(self.pending or self.converter.holds_audio)
        limit = max(self._playback.heard_until(now), now - REMEMBERED_SECONDS)
        rest = [played.after(limit) for played in self._past if played.end > limit + 1e-6]
        gap = next((at for at in range(1, len(rest)) if rest[at].begin - rest[at - 1].end > GAP_SECONDS), len(rest))
        if not self._playback.sounds(now) and (gap < len(rest) or not busy):
            sounded_until = max((played.sounded_until for played in rest[:gap]), default=-inf)
            rest = rest[gap:] if sounded_until <= limit + JITTER_SECONDS else rest
        if not busy and not any(sound for played in rest for sound in played.chunk.sounds):
            return []
        return joined(played.chunk for played in rest)

    def seconds_of(self, chunks: Iterable[Chunk]) -> float:
        """Return the duration of chunks."""
        return self._seconds(sum(chunk.end - chunk.begin for chunk in chunks))

    def _append(self, pcm: bytes, origin: Origin) -> list[Chunk]:
        if not pcm:
            return []
        if self.room is None:
            return [_loose(pcm, origin)]
        first = not self.pending
        sounds = self._detector.feed_blocks(pcm, self.sample_rate) or [self._sounded]
        self._sounded = sounds[-1]
        begin = self.room.appended
        self.pending.append(Chunk(begin, begin + len(pcm) // SAMPLE_BYTES, pcm, origin, tuple(sounds)))
        try:
            self.room.append(pcm)
        except Exception as error:
            self._emit(AvatarFailed(f"the room refuses what it is given: {type(error).__name__}"))
        if first:
            self._watch()
        return []

    def _has_played(self, position: int) -> None:
        """Examine and remember what has been played; the room's report may lump several writes together."""
        now, played = self._loop.time(), list[Played]()
        while self.pending:
            chunk = self.pending[0]
            begin, end = max(self._position, chunk.begin), min(position, chunk.end)
            if begin >= end:
                break
            if end == chunk.end:
                self.pending.popleft()
            piece, ended = chunk.part(begin, end), now - self._seconds(position - end)
            played.append(Played(piece, ended - self._seconds(end - begin), ended))
            self._playback.played(played[-1].begin, self._seconds(end - begin), piece.sounds)
            self._position = end
        self._past.extend(played)
        while self._past and self._past[0].end < now - REMEMBERED_SECONDS:
            self._past.popleft()
        self._watch()
        self._on_played(played)

    def _watch(self) -> None:
        """Look again when the room has played nothing for too long, or the avatar has not been heard for too long."""
        if self._watchdog:
            self._watchdog.cancel()
        stalled_at = self._loop.time() + STALLED_SECONDS if self.pending else inf
        mute_at = self._playback.mute_deadline
        if (at := min(stalled_at, inf if mute_at is None else mute_at)) < inf:
            self._watchdog = self._loop.call_at(at, self._check, at, stalled_at)

    def _check(self, now: float, stalled_at: float) -> None:
        if self._playback.mute(now):
            self._emit(AvatarFailed("the avatar is not heard, though it is given speech"))
        elif now >= stalled_at:
            self._emit(AvatarFailed("the room takes no more audio"))
        else:
            self._watch()

    def _seconds(self, samples: int) -> float:
        return samples / self.sample_rate


def _loose(pcm: bytes, origin: Origin) -> Chunk:
    """Return speech that has no place on the track, since there is no avatar."""
    return Chunk(0, len(pcm) // SAMPLE_BYTES, pcm, origin)
