"""Noise floors of audio tracks, as 16-bit samples; always the same for the same arguments."""

from functools import cache

import numpy as np
import numpy.typing as npt

KINDS = ("white", "brown", "hum")


@cache
def noise(kind: str, dbfs: float, sample_rate: int, seconds: float = 10.0) -> npt.NDArray[np.int16]:
    """Return noise of a level: white, brown (a rumble that falls by 6 dB an octave above 20 Hz) or mains hum."""
    count = round(seconds * sample_rate)
    hiss = np.random.default_rng(7).normal(size=count)
    match kind:
        case "white":
            wave = hiss
        case "brown":
            shape = 1 / (1 + 1j * np.fft.rfftfreq(count, 1 / sample_rate) / 20)
            wave = np.fft.irfft(np.fft.rfft(hiss) * shape, count)
        case "hum":
            phase = 2 * np.pi * 50 * np.arange(count) / sample_rate
            wave = np.sin(phase) + 0.3 * np.sin(2 * phase) + 0.2 * np.sin(3 * phase) + 0.01 * hiss
        case _:
            raise ValueError(kind)
    wave = wave - wave.mean()
    wave *= 32768 * 10 ** (dbfs / 20) / np.sqrt(np.mean(wave**2))
    return np.round(wave).clip(-32768, 32767).astype("<i2")


def mixed(pcm: bytes, floor: npt.NDArray[np.int16]) -> bytes:
    """Return sound with as much of a noise floor beneath it."""
    samples = np.frombuffer(pcm, "<i2").astype(np.int32) + floor
    return samples.clip(-32768, 32767).astype("<i2").tobytes()
