"""Speech as a track takes it: one channel, one rate, whole samples. Nothing is lost on the way."""

import numpy as np
from loguru import logger
from pipecat.audio.resamplers.base_audio_resampler import BaseAudioResampler
from pipecat.audio.resamplers.soxr_stream_resampler import SOXRStreamAudioResampler
from pipecat.frames.frames import TTSAudioRawFrame

from pipecat_lemonslice.rooms.playout import SAMPLE_BYTES


def audio_format(frame: TTSAudioRawFrame, default_rate: int) -> tuple[int, int]:
    """Return rate and channels of a frame; what it does not say is guessed, so that it is heard at all."""
    if frame.sample_rate <= 0 or frame.num_channels <= 0:
        logger.debug(f"{frame} does not say its format; it is read as mono at {default_rate} Hz")
    return frame.sample_rate if frame.sample_rate > 0 else default_rate, max(1, int(frame.num_channels))


class AudioConverter:
    """Turns a stream of 16-bit PCM in any format into mono at one rate; whole samples, nothing lost on the way.

    Bytes that are no whole sample yet wait for the rest. A change of format ends one stream and begins another: what
    the resampler still holds of the first comes out before the second.
    """

    def __init__(self, sample_rate: int) -> None:
        """Create a converter.

        Args:
            sample_rate: Rate of what comes out, in Hz.
        """
        self._out_rate = sample_rate
        self._rate, self._channels = sample_rate, 1
        self._resampler: BaseAudioResampler | None = None
        self._carry = b""
        self.holds_audio = False
        """Whether :meth:`flush` may have something to give."""

    async def feed(self, pcm: bytes, rate: int, channels: int) -> bytes:
        """Convert what comes next.

        Args:
            pcm: Interleaved 16-bit little-endian samples; any number of bytes.
            rate: Its rate in Hz.
            channels: Its channels.

        Returns:
            Mono samples that are ready; the resampler may keep some back.
        """
        tail = b""
        if (rate, channels) != (self._rate, self._channels):
            tail = await self.flush()
            self._rate, self._channels = rate, channels
        pcm = self._carry + pcm
        whole = len(pcm) - len(pcm) % (SAMPLE_BYTES * channels)
        self._carry = pcm[whole:]
        tail += await self._resample(_mix_down(pcm[:whole], channels))
        self.holds_audio = bool(self._carry) or self._resampler is not None
        return tail

    async def flush(self) -> bytes:
        """End the stream and return everything held back; half a sample is completed with zeros."""
        missing = -len(self._carry) % (SAMPLE_BYTES * self._channels)
        pcm = await self._resample(_mix_down(self._carry + bytes(missing), self._channels))
        if self._resampler:
            pcm += await self._resampler.flush()
        self.reset()
        return pcm

    def reset(self) -> None:
        """Forget everything held back."""
        self._resampler, self._carry, self.holds_audio = None, b"", False

    async def _resample(self, mono: bytes) -> bytes:
        if not mono or self._rate == self._out_rate:
            return mono
        if self._resampler is None:
            self._resampler = SOXRStreamAudioResampler(clear_after_secs=None)
        return await self._resampler.resample(mono, self._rate, self._out_rate)


def _mix_down(pcm: bytes, channels: int) -> bytes:
    if channels == 1 or not pcm:
        return pcm
    samples = np.frombuffer(pcm, dtype="<i2").reshape(-1, channels)
    return np.rint(samples.mean(axis=1)).astype("<i2").tobytes()
