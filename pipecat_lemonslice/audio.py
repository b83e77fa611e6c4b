"""From the TTS's audio to the room's: one channel, one rate, whole samples, nothing lost on the way."""

from dataclasses import dataclass

import numpy as np
from pipecat.audio.resamplers.base_audio_resampler import BaseAudioResampler
from pipecat.audio.resamplers.soxr_stream_resampler import SOXRStreamAudioResampler

SAMPLE_BYTES = 2


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """How a piece of PCM is to be read.

    Parameters:
        sample_rate: In Hz.
        channels: Interleaved channels.
    """

    sample_rate: int
    channels: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return SAMPLE_BYTES * self.channels

    def seconds(self, byte_count: int) -> float:
        """Return the duration in seconds of that many bytes."""
        return byte_count / (self.frame_bytes * self.sample_rate)


class AudioConverter:
    """A stream of 16-bit PCM in any format, turned into mono at one rate.

    Bytes that are no whole sample yet wait for the rest. A change of format ends one stream and begins another: what
    the resampler still holds of the first comes out before the second.
    """

    def __init__(self, sample_rate: int) -> None:
        """Create a converter.

        Args:
            sample_rate: Rate of what comes out, in Hz.
        """
        self._rate = sample_rate
        self._format: AudioFormat | None = None
        self._resampler: BaseAudioResampler | None = None
        self._carry = b""

    @property
    def holds_audio(self) -> bool:
        """Whether :meth:`flush` may have something to give."""
        return bool(self._carry) or self._resampler is not None

    async def feed(self, pcm: bytes, audio_format: AudioFormat) -> bytes:
        """Convert what comes next.

        Args:
            pcm: Interleaved 16-bit little-endian samples; any number of bytes.
            audio_format: How to read them.

        Returns:
            Mono samples that are ready; the resampler may keep some back.
        """
        tail = b"" if audio_format == self._format else await self._switch(audio_format)
        whole, self._carry = _split(self._carry + pcm, audio_format.frame_bytes)
        return tail + await self._resample(_mix_down(whole, audio_format.channels))

    async def flush(self) -> bytes:
        """End the stream and return everything held back; half a sample is completed with zeros."""
        if self._format is None:
            return b""
        missing = -len(self._carry) % self._format.frame_bytes
        rest = _mix_down(self._carry + bytes(missing), self._format.channels)
        out = await self._resample(rest)
        if self._resampler:
            out += await self._resampler.flush()
        self.reset()
        return out

    def reset(self) -> None:
        """Forget everything held back."""
        self._format, self._resampler, self._carry = None, None, b""

    async def _switch(self, audio_format: AudioFormat) -> bytes:
        tail = await self.flush()
        self._format = audio_format
        return tail

    async def _resample(self, mono: bytes) -> bytes:
        rate = self._format.sample_rate if self._format else self._rate
        if not mono or rate == self._rate:
            return mono
        if self._resampler is None:
            self._resampler = SOXRStreamAudioResampler(clear_after_secs=None)
        return await self._resampler.resample(mono, rate, self._rate)


def _split(pcm: bytes, frame_bytes: int) -> tuple[bytes, bytes]:
    whole = len(pcm) - len(pcm) % frame_bytes
    return pcm[:whole], pcm[whole:]


def _mix_down(pcm: bytes, channels: int) -> bytes:
    if channels == 1 or not pcm:
        return pcm
    samples = np.frombuffer(pcm, dtype="<i2").reshape(-1, channels)
    return np.rint(samples.mean(axis=1)).astype("<i2").tobytes()
