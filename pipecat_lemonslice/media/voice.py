"""The avatar's voice as speech frames, and when the user hears it. Pure: times are seconds on one monotonic clock."""

from collections import deque
from math import ceil

from pipecat.frames.frames import SpeechOutputAudioRawFrame

from pipecat_lemonslice.media.playback import Playback, Sound

PIECE_SECONDS = 0.04
"""Voice is passed on in pieces of this length or a little more, which output transports take whole: nothing of it then
waits in their buffers for the rest of a chunk."""

UNCHANGED_SECONDS = 0.32
"""So long after sound, the track is passed on as it is, with its noise floor and the last breath of a word."""

HANGOVER_SECONDS = 0.8
"""Silence that is passed on after sound. After ``UNCHANGED_SECONDS`` it is digital silence, long enough for output
transports to see that the bot has stopped: to them, a noise floor is speech."""

ONSET_SECONDS = 0.16
"""Faint voice that waits in silence for the sound that may follow: a soft beginning is noticed late, and must be
heard."""

MAX_LEAD_SECONDS = 0.12
"""How far the voice may run ahead of real time before silence in it is left out: a stall must not delay it for good."""


class VoiceGate:
    """Turns the continuous sound of the avatar's track into speech frames. Pure.

    The track sounds without end, mostly of silence and its noise floor; passing that on would get in the way of
    everything else that is to be heard, and would never let a delay shrink.

    An output transport plays voice in real time. What comes faster waits: in the queue of the output, or in a buffer
    behind it; in which of them makes no difference to when it is heard.

    Attributes:
        heard_at: When the voice that comes next is heard. In the past if none is being passed on.
    """

    def __init__(self, playback: Playback) -> None:
        """Create a gate that has passed nothing on, for an output with chunks of 40 ms.

        Args:
            playback: Says what each piece of voice is.
        """
        self._playback = playback
        self._buffer = bytearray()
        self._rate = 0
        self.heard_at = self._played_until = 0.0
        self.adapt(PIECE_SECONDS)

    def adapt(self, chunk_seconds: float) -> None:
        """Make pieces of whole chunks of the output, which play without waiting; to be called before voice comes."""
        self._piece_seconds = chunk_seconds * ceil(PIECE_SECONDS / chunk_seconds - 1e-6)
        self._onset: deque[bytes] = deque(maxlen=ceil(ONSET_SECONDS / self._piece_seconds - 1e-6))

    def clear(self, now: float) -> None:
        """Drop what has come and has not been passed on, and forget what has been."""
        self._buffer.clear()
        self._onset.clear()
        self.heard_at = self._played_until = now

    def feed(
        self, pcm: bytes, sample_rate: int, queued: float, now: float
    ) -> tuple[list[SpeechOutputAudioRawFrame], bool]:
        """Take voice in.

        Args:
            pcm: Signed 16-bit little-endian mono samples.
            sample_rate: In Hz.
            queued: Seconds of voice that wait in the output behind the chunk that it writes.
            now: The time.

        Returns:
            What is to be passed on, and whether it holds the first sound after a pause.

        Raises:
            ValueError: It is not 16-bit audio.
        """
        if sample_rate < 1 / PIECE_SECONDS or len(pcm) % 2:
            raise ValueError(f"{len(pcm)} bytes at {sample_rate} Hz are not 16-bit audio")
        if sample_rate != self._rate:
            self.clear(now)
            self._rate = sample_rate
        if queued > 0.0 and self._played_until > now:  # after a stop the output may not have dropped its voice yet
            # The output may play more slowly than real time. A quarter of the chunk that it writes is left on average,
            # as the latest of two looks or more at it counts.
            self._played_until = max(self._played_until, now + queued + PIECE_SECONDS / 4)
        self._buffer += pcm
        size = round(sample_rate * self._piece_seconds) * 2
        frames: list[SpeechOutputAudioRawFrame] = []
        begins = False
        while len(self._buffer) >= size:
            piece = bytes(self._buffer[:size])
            del self._buffer[:size]
            quiet_for = self._playback.quiet_for(now)
            sound = self._playback.heard(piece, sample_rate, now)
            begins = begins or sound is Sound.FIRST
            pieces = self._passed(piece, sound, quiet_for, now)
            if pieces:
                self._played_until = max(self._played_until, now) + len(pieces) * self._piece_seconds
            for each in pieces:
                frames.append(SpeechOutputAudioRawFrame(each, sample_rate, 1))
        if self._played_until >= now:
            self.heard_at = self._played_until + len(self._buffer) / (2 * sample_rate)
        return frames, begins

    def _passed(self, piece: bytes, sound: Sound, quiet_for: float, now: float) -> list[bytes]:
        """Return what is passed on when a piece has come.

        Args:
            piece: The piece.
            sound: What it is.
            quiet_for: Seconds without sound before it.
            now: The time.
        """
        left_out = quiet_for > HANGOVER_SECONDS or self._played_until - now > MAX_LEAD_SECONDS
        match sound:
            case Sound.UNWANTED:
                return []
            case Sound.SILENT | Sound.FAINT if left_out or quiet_for > UNCHANGED_SECONDS:
                if sound is Sound.FAINT:
                    self._onset.append(piece)
                else:
                    self._onset.clear()
                return [] if left_out else [bytes(len(piece))]
            case _:
                pieces = [*self._onset, piece]
                self._onset.clear()
                return pieces
