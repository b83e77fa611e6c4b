"""From the TTS's audio to the room's: nothing lost, nothing added but what rounding takes."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipecat_lemonslice.speech.audio import AudioConverter
from tests.support.stage import tone


async def convert(pieces: list[tuple[bytes, tuple[int, int]]], rate: int = 24000) -> bytes:
    converter = AudioConverter(rate)
    out = b"".join([await converter.feed(pcm, *how) for pcm, how in pieces])
    return out + await converter.flush()


@settings(max_examples=50)
@given(st.lists(st.integers(0, 997), max_size=20), st.integers(1, 3))
def test_cut_anywhere_it_is_the_same(cuts: list[int], channels: int) -> None:
    """However the bytes are cut into frames, the same samples come out."""
    pcm = tone(0.05, 24000, channels)
    how, pieces, rest = (24000, channels), [], pcm
    for cut in cuts:
        pieces.append((rest[:cut], how))
        rest = rest[cut:]
    assert asyncio.run(convert([*pieces, (rest, how)])) == tone(0.05)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
async def test_resampling_in_pieces_equals_resampling_as_a_whole(rate: int) -> None:
    """No clicks at the seams, and the length is the length."""
    pcm, how = tone(1.013, rate), (rate, 1)
    whole = await convert([(pcm, how)])
    pieces = await convert([(pcm[start : start + 333], how) for start in range(0, len(pcm), 333)])
    assert len(pieces) == pytest.approx(2 * 1.013 * 24000, abs=4)
    a, b = (np.frombuffer(one, dtype="<i2").astype(int) for one in (whole, pieces))
    assert np.abs(a - b).max() <= 3  # dithered


async def test_a_change_of_format_gives_what_was_held_back_first() -> None:
    """The resampler's tail and half a sample come out before the next format's samples."""
    out = await convert([(tone(0.5, 48000), (48000, 1)), (tone(0.5), (24000, 1))])
    assert out.endswith(tone(0.5))
    assert len(out) == pytest.approx(2 * 24000, abs=4)
    assert await convert([(b"\x01", (24000, 1)), (b"\x02\x00" * 2, (24000, 2))]) == (b"\x01\x00" + b"\x02\x00")


async def test_mixing_down_is_the_mean_and_does_not_overflow() -> None:
    """Two full-scale channels stay at full scale; opposite ones cancel."""
    loud = np.array([[32767, 32767], [-32768, -32768], [100, -100]], dtype="<i2").tobytes()
    assert np.frombuffer(await convert([(loud, (24000, 2))]), dtype="<i2").tolist() == [32767, -32768, 0]


async def test_holding_audio_is_known_and_can_be_forgotten() -> None:
    """Half a sample and a resampler hold audio; after a reset or a flush nothing does."""
    converter = AudioConverter(24000)
    assert not converter.holds_audio
    assert await converter.flush() == b""
    await converter.feed(b"\x01", 24000, 1)
    assert converter.holds_audio
    converter.reset()
    assert not converter.holds_audio
    await converter.feed(tone(0.1, 48000), 48000, 1)
    assert converter.holds_audio
    await converter.flush()
    assert not converter.holds_audio
    assert await converter.feed(tone(0.01), 24000, 1) == tone(0.01)
