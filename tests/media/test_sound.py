"""What is sound and what is silence: samples in, answers out."""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipecat_lemonslice.media.sound import SoundDetector
from tests.support.noise import mixed, noise
from tests.support.stage import tone

RATE = 24000
PACKET = 0.02
Samples = npt.NDArray[Any]


@cache
def floor(kind: str, dbfs: float, rate: int = RATE) -> bytes:
    return noise(kind, dbfs, rate).tobytes()


def hear(pcm: bytes, rate: int = RATE, packet: float = PACKET, detector: SoundDetector | None = None) -> list[bool]:
    """What a detector says of each packet."""
    detector, size = detector or SoundDetector(), round(packet * rate) * 2
    return [any(detector.feed(pcm[start : start + size], rate)) for start in range(0, len(pcm), size)]


def vowel(duration: float, dbfs: float, rate: int = RATE) -> bytes:
    """A voice of 120 Hz with its overtones and two formants, in syllables of a quarter of a second."""
    time = np.arange(round(duration * rate)) / rate
    wave = sum(formants(pitch) * np.sin(2 * np.pi * pitch * time) for pitch in range(120, 3000, 120))
    wave = wave * np.abs(np.sin(2 * np.pi * 2 * time))
    return np.round(wave * 32768 * 10 ** (dbfs / 20) / np.sqrt(np.mean(wave**2))).astype("<i2").tobytes()


def formants(pitch: float) -> float:
    return 1 / (1 + ((pitch - 500) / 200) ** 2) + 0.5 / (1 + ((pitch - 1500) / 300) ** 2)


def behind(first: bytes, second: bytes, beneath: bytes) -> bytes:
    """One sound and then another, over a noise floor."""
    return mixed(first + second, np.frombuffer(beneath, "<i2")[: (len(first) + len(second)) // 2])


def test_digital_silence_is_silence_and_what_follows_is_sound_at_once() -> None:
    """In the very packet in which it begins."""
    heard = hear(bytes(RATE) + tone(0.5) + bytes(RATE))
    assert heard == [False] * 25 + [True] * 25 + [False] * 25


@pytest.mark.parametrize("value", [50, 100, 3000, 30_000, -100])
def test_a_value_that_is_held_is_sound(value: int) -> None:
    """Also from the first sample on, and for ever."""
    assert all(hear(np.full(30 * RATE, value, "<i2").tobytes()))


def test_steps_of_one_are_sound() -> None:
    """Values that are held for 20 ms each, as they follow one another."""
    assert all(hear(np.repeat(np.arange(100, 400, dtype="<i2"), RATE // 50).tobytes()))


@pytest.mark.parametrize("value", [1, 5, 15])
def test_an_offset_of_a_silent_track_is_silence(value: int) -> None:
    """A few steps away from zero."""
    assert not any(hear(np.full(RATE, value, "<i2").tobytes()))


def test_speech_under_way_when_the_track_begins_is_sound() -> None:
    """Though nothing is known of the floor, and it is loud."""
    heard = hear(behind(vowel(3.0, -22.0), bytes(2 * RATE), floor("white", -55.0)))
    assert sum(heard[:150]) >= 140
    assert not any(heard[155:])


def test_gaps_in_a_track_do_not_make_its_noise_sound() -> None:
    """Packets that were lost come as digital silence."""
    samples = np.frombuffer(floor("white", -55.0), "<i2").copy()
    for start in range(2 * RATE, 9 * RATE, RATE):
        samples[start : start + RATE // 10] = 0
    assert not any(hear(samples.tobytes())[60:])


@settings(max_examples=60)
@given(sizes=st.lists(st.integers(0, 3001), min_size=1, max_size=20), dbfs=st.sampled_from([-90.0, -61.0, -50.0]))
def test_how_a_track_is_cut_does_not_matter(sizes: list[int], dbfs: float) -> None:
    """Pieces of any length, empty ones and halves of samples at the end of none, tell the same in the end."""
    pcm = behind(bytes(2 * RATE * 2), vowel(0.5, -22.0), floor("white", dbfs))
    whole, cut = SoundDetector(), SoundDetector()
    expected = hear(pcm, detector=whole)
    sounded, start, number = False, 0, 0
    while start < len(pcm):
        size = 2 * sizes[number % len(sizes)] + (2 if not any(sizes) else 0)
        begins_late = start >= 2 * 2 * RATE - 4800
        sounded = (any(cut.feed(pcm[start : start + size], RATE)) and begins_late) or sounded
        start, number = start + size, number + 1
    assert sounded == any(expected[100:])
    assert cut.feed(pcm[:96000], RATE) == whole.feed(pcm[:96000], RATE)


@settings(max_examples=100)
@given(st.binary(max_size=4000), st.integers(1, 96000))
def test_nothing_that_comes_raises(pcm: bytes, rate: int) -> None:
    """Any bytes at any rate."""
    detector = SoundDetector()
    for _ in range(3):
        detector.feed(pcm, rate)
