"""The track to the avatar: speech converted to its rate, appended, and supervised while it is played.

Positions are counted in samples by the room, which plays at its own pace and reports how far it is.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from pipecat.frames.frames import TTSAudioRawFrame

from pipecat_lemonslice.media.playback import Playback
from pipecat_lemonslice.media.sound import SoundDetector
from pipecat_lemonslice.messages import SpeechEvent
from pipecat_lemonslice.rooms import Room
from pipecat_lemonslice.rooms.playout import SAMPLE_BYTES
from pipecat_lemonslice.speech.audio import AudioConverter, audio_format
from pipecat_lemonslice.speech.replay import Chunk, Cut, Origin, Played, ReplayBuffer

STALLED_SECONDS = 3.0
"""A room that plays nothing for so long, though there is speech on its track, takes no more audio."""


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
        self.room: Room | None = None
        """The way to the avatar that is there."""
        self.speech = ReplayBuffer(sample_rate)
        """What has been appended."""
        self.converter = AudioConverter(sample_rate)
        self.fed_at = -inf
        """When audio came last, on the loop's clock."""
        self._rate = sample_rate
        self._session_id = ""
        self._playback = playback
        self._on_played = on_played
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._origin: Origin | None = None
        self._detector = SoundDetector()
        self._watchdog: asyncio.TimerHandle | None = None

    def open(self, room: Room, session_id: str) -> None:
        """Lead to an avatar.

        Args:
            room: Where it is.
            session_id: What messages to it carry.
        """
        self.room, self._session_id = room, session_id
        self.speech.forget(room.appended)
        room.on_played = self._has_played

    def tell(self, event: SpeechEvent) -> dict[str, str]:
        """Tell the avatar of an event, if there is one; returns the message."""
        message = {"event": str(event), "session_id": self._session_id}
        if self.room:
            try:
                self.room.send(message)
            except Exception as error:
                self._emit(AvatarFailed(f"the room refuses what it is given: {type(error).__name__}"))
        return message

    def ends_with(self, context_id: str | None) -> bool:
        """Whether samples are held back that nothing of their context follows when that one has stopped."""
        if self._origin is None or not self.converter.holds_audio:
            return False
        return context_id is None or context_id == self._origin.context_id

    def report_at(self, position: int) -> None:
        """Have ``on_played`` called as soon as a position has been played; else it may be 100 ms later."""
        if self.room:
            self.room.report_at(position)

    async def feed(self, frame: TTSAudioRawFrame) -> list[Chunk]:
        """Append audio to the track, at its rate. What the converter held back of another context comes first.

        Returns:
            What could not be appended, because the avatar went meanwhile.
        """
        origin = Origin(frame.context_id, frame.interruptible, frame.transport_destination)
        rest = await self.flush() if self._origin and self._origin.context_id != origin.context_id else []
        self._origin, self.fed_at = origin, self._loop.time()
        rate, channels = audio_format(frame, self._rate)
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
        unheard, sounding = self._unheard()
        if self._origin and self._origin.interruptible:
            self.converter.reset()
            self._origin = None
        if self.room:
            self.room.clear()
        cut = self.speech.interrupt(self.room.appended if self.room else 0, unheard, sounding=sounding)
        self._watch()
        return cut

    def lose(self) -> Cut:
        """Take everything off the track that the avatar has not been heard saying."""
        unheard, sounding = self._unheard()
        unplayed, dropped = self.speech.unplayed(), self.speech.pending_seconds
        self.speech.forget(self.room.appended if self.room else 0)
        return Cut(False, sounding, dropped, unheard, unplayed, set())

    @property
    def plays_on(self) -> float:
        """Seconds of speech that have been handed over, and are played whatever happens."""
        return (self.room.appended - self.room.played) / self._rate if self.room else 0.0

    def close(self) -> None:
        """Detach from the avatar. What the converter holds back is there until :meth:`take_remainder`."""
        if self.room:
            self.room.clear()
            self.room.on_played = None
        self.room = None
        self.speech.forget(0)
        if self._watchdog:
            self._watchdog.cancel()

    def _unheard(self) -> tuple[list[Chunk], bool]:
        """Return what has been played and not been heard, and whether the avatar is heard or still will be."""
        if self.room and self.room.played > self.speech.position:  # it reports every 100 ms
            self._has_played(self.room.played)
        now, more = self._loop.time(), bool(self.speech.pending) or self.converter.holds_audio
        heard_until, sounding = self._playback.heard_until(now), self._playback.sounds(now)
        unheard = self.speech.unheard(heard_until, now, sounding=sounding, more=more)
        return unheard, sounding or bool(unheard)

    def _append(self, pcm: bytes, origin: Origin) -> list[Chunk]:
        if not pcm:
            return []
        if self.room is None:
            return [_loose(pcm, origin)]
        first = not self.speech.pending
        sounds = tuple(self._detector.feed(pcm, self._rate))
        begin = self.room.appended
        self.speech.pending.append(Chunk(begin, begin + len(pcm) // SAMPLE_BYTES, pcm, origin, sounds))
        try:
            self.room.append(pcm)
        except Exception as error:
            self._emit(AvatarFailed(f"the room refuses what it is given: {type(error).__name__}"))
        if first:
            self._watch()
        return []

    def _has_played(self, position: int) -> None:
        played = self.speech.play(position, self._loop.time())
        for piece in played:
            self._playback.played(piece.begin, piece.end - piece.begin, piece.chunk.sounds)
        self._watch()
        self._on_played(played)

    def _watch(self) -> None:
        """Look again when the room has played nothing for too long, or the avatar has not been heard for too long."""
        if self._watchdog:
            self._watchdog.cancel()
        stalled_at = self._loop.time() + STALLED_SECONDS if self.speech.pending else inf
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


def _loose(pcm: bytes, origin: Origin) -> Chunk:
    """Return speech that has no place on the track, since there is no avatar."""
    return Chunk(0, len(pcm) // SAMPLE_BYTES, pcm, origin)
