"""Somebody who speaks: recordings made with the bots' own espeak engine, as a microphone would give them."""

import sys
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

BOTS = Path(__file__).resolve().parents[2] / "bots"
if str(BOTS) not in sys.path:
    sys.path.insert(0, str(BOTS))

from pipecat_lemonslice.cli.espeak import Voice, engine, speech  # noqa: E402

ROOM_NOISE = 20.0


def spoken(text: str, voice: Voice | None = None, *, rate: int = 16000) -> npt.NDArray[np.int16]:
    """Return a sentence as samples at a rate, without silence around it."""
    samples = np.frombuffer(speech(text, voice), dtype="<i2")
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 300)
    return soxr.resample(samples[loud[0] : loud[-1] + 1], engine().sample_rate, rate)


def microphone(
    text: str,
    voice: Voice | None = None,
    *,
    lead: float = 0.7,
    tail: float = 0.2,
    noise: float = ROOM_NOISE,
    rate: int = 16000,
) -> npt.NDArray[np.int16]:
    """Return a sentence as a microphone hears it: with time before and after, and the noise of a room.

    Args:
        text: What is said.
        voice: By whom.
        lead: Seconds before.
        tail: Seconds after.
        noise: Root mean square of the noise, in sample values.
        rate: Samples a second.
    """
    quiet_before, quiet_after = np.zeros(round(lead * rate)), np.zeros(round(tail * rate))
    heard = np.concatenate([quiet_before, spoken(text, voice, rate=rate), quiet_after])
    heard += np.random.default_rng(1).normal(0, noise, len(heard))
    return heard.clip(-32768, 32767).astype(np.int16)


def write_question_wav(path: Path, text: str, *, lead_silence: float, tail_silence: float, rate: int = 48000) -> None:
    """Write a sentence as a mono 16-bit WAV file, for Chromium's fake microphone.

    Args:
        path: The file.
        text: What is said.
        lead_silence: Seconds before it.
        tail_silence: Seconds after it.
        rate: Samples a second.
    """
    samples = microphone(text, lead=lead_silence, tail=tail_silence, rate=rate)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
