"""The avatar's voice on its way to the user: what is passed on, and how much of it at a time. Pure."""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from pipecat.frames.frames import SpeechOutputAudioRawFrame

from pipecat_lemonslice.rooms import VoiceReceived
from pipecat_lemonslice.sound import SoundDetector

CHUNK_SECONDS = 0.04
"""Voice is passed on in pieces that output transports take whole, so that nothing of it waits in their buffers."""

PAUSE_SECONDS = 0.32
"""A pause in the voice is passed on as it is for so long, with the noise of the track and the last breath of a word."""

HANGOVER_SECONDS = 0.8
"""Silence that is passed on after sound. What is left of it after the pause is digital silence, long enough for output
transports to see that the bot has stopped: to them, a noise floor is speech."""

ONSET_PIECES = 4
"""Pieces held back in silence that may belong to the sound that follows, 160 ms of them: a soft beginning is noticed
late, and must be heard."""

HUSH_SILENCE_SECONDS = 0.1
HUSH_LEAST_SECONDS = 0.25
HUSH_MOST_SECONDS = 2.0
"""After an interruption, what the avatar was still saying is kept back until it has been silent for a moment; silence
may still precede it for the first quarter of a second, and a voice that never pauses is not held back for ever."""

EARLY_SECONDS = 0.1
"""By how much the voice of a new response may come earlier than that of the one before did."""

FIRST_AFTER_SECONDS = 0.2
"""Sound after so much silence is the first of something."""

MAX_LEAD_SECONDS = 0.12
"""How far the voice may run ahead of real time before silence in it is left out: a stall must not delay it for good."""


class _Hush(Enum):
    OPEN = auto()
    """Its voice is passed on."""

    CLOSED = auto()
    """It is still saying what was interrupted."""

    SHUT = auto()
    """It has not been given anything to say; whatever it says is another's."""


@dataclass(frozen=True, slots=True)
class VoicePiece:
    """A piece of voice to be passed on.

    Parameters:
        frame: The frame.
        first: Whether it is the first sound after silence.
    """

    frame: SpeechOutputAudioRawFrame
    first: bool


class VoiceReturn:
    """Turns the continuous sound of the avatar's track into speech frames. Times are seconds on one monotonic clock.

    The track sounds without end, mostly of silence and its noise floor; passing that on would get in the way of
    everything else that is to be heard, and would never let a delay shrink.
    """

    def __init__(self) -> None:
        self._detector = SoundDetector()
        self._buffer = bytearray()
        self._rate = 0
        self._onset: deque[bytes] = deque(maxlen=ONSET_PIECES)
        self._sounded_at: float | None = None
        self._silent_seconds = 0.0
        self._heard_until = 0.0
        self._hush = _Hush.OPEN
        self._hushed_at = 0.0
        self._hushed_until = 0.0

    def sounds(self, now: float) -> bool:
        """Whether the avatar is being heard, or was a moment ago."""
        return self.quiet_for(now) < FIRST_AFTER_SECONDS

    def quiet_for(self, now: float) -> float:
        """Return for how many seconds the avatar has not been heard."""
        return float("inf") if self._sounded_at is None else now - self._sounded_at

    def interrupt(self, now: float) -> None:
        """Keep back what the avatar was saying, from now until it has fallen silent."""
        self._hush = _Hush.SHUT if self._hush is _Hush.SHUT else _Hush.CLOSED
        self._hushed_at, self._hushed_until = now, now + HUSH_MOST_SECONDS
        self._silent_seconds = 0.0
        self._sounded_at = None
        self._clear()
        self._heard_until = now

    def begin_anew(self) -> None:
        """The avatar is gone, or another comes: what it still says of older speech is not wanted."""
        self._clear()
        self._detector = SoundDetector()
        self._hush, self._sounded_at = _Hush.SHUT, None

    def expect(self, at: float) -> None:
        """Keep nothing back any more of what comes from about then on: it belongs to a new response."""
        if self._hush is _Hush.SHUT:
            self._hush = _Hush.OPEN
        self._hushed_until = min(self._hushed_until, max(self._hushed_at, at - EARLY_SECONDS))

    def feed(self, voice: VoiceReceived, now: float) -> list[VoicePiece]:
        """Take sound in and return what is to be passed on.

        Raises:
            ValueError: It is no 16-bit sound.
        """
        if voice.sample_rate < 1 / CHUNK_SECONDS or len(voice.pcm) % 2:
            raise ValueError(f"{len(voice.pcm)} bytes at {voice.sample_rate} Hz are no 16-bit sound")
        if voice.sample_rate != self._rate:
            self._clear()
            self._rate = voice.sample_rate
        self._buffer += voice.pcm
        size = round(self._rate * CHUNK_SECONDS) * 2
        pieces: list[VoicePiece] = []
        while len(self._buffer) >= size:
            chunk = bytes(self._buffer[:size])
            del self._buffer[:size]
            pieces += self._pieces(chunk, now)
        return pieces

    def _pieces(self, chunk: bytes, now: float) -> list[VoicePiece]:
        sounds = self._detector.feed(chunk, self._rate)
        rises = self._detector.faint
        quiet_seconds = self.quiet_for(now)
        self._silent_seconds = 0.0 if rises else self._silent_seconds + CHUNK_SECONDS
        if self._held_back(now):
            return []
        left_out = quiet_seconds > HANGOVER_SECONDS or self._heard_until - now > MAX_LEAD_SECONDS
        if sounds or (quiet_seconds <= PAUSE_SECONDS and not left_out):
            chunks = [*self._onset, chunk]
            self._onset.clear()
        else:
            self._hold(chunk, rises=rises)
            chunks = [] if left_out else [bytes(len(chunk))]
        if sounds:
            self._sounded_at = now
        self._heard_until = max(self._heard_until, now) + CHUNK_SECONDS * len(chunks)
        first = sounds and quiet_seconds > FIRST_AFTER_SECONDS
        return [
            VoicePiece(SpeechOutputAudioRawFrame(pcm, self._rate, 1), first and not number)
            for number, pcm in enumerate(chunks)
        ]

    def _hold(self, chunk: bytes, *, rises: bool) -> None:
        """Keep a piece that may be the beginning of sound; one that cannot be ends what was kept."""
        if rises:
            self._onset.append(chunk)
        else:
            self._onset.clear()

    def _clear(self) -> None:
        self._buffer.clear()
        self._onset.clear()

    def _held_back(self, now: float) -> bool:
        if self._hush is not _Hush.CLOSED:
            return self._hush is _Hush.SHUT
        since = now - self._hushed_at
        fell_silent = self._silent_seconds >= HUSH_SILENCE_SECONDS and since >= HUSH_LEAST_SECONDS
        if fell_silent or now >= self._hushed_until:
            self._hush = _Hush.OPEN
        return self._hush is _Hush.CLOSED
