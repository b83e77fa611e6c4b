import itertools
import math
import struct

import pytest

from pipecat_lemonslice.emulator.voice import Converter, LatencyLine, NoiseFloor, mono, opening

RATE = 8000
PACKET = 320


def speech(*values: int) -> bytes:
    """Packets of 20 ms, each full of one value."""
    return b"".join(struct.pack("<160h", *[value] * 160) for value in values)


def test_speech_comes_back_after_the_latency():
    """What is heard at t is sounded from t + latency on, not earlier, whole."""
    line = LatencyLine(RATE, 0.25)
    line.push(speech(1, 2), now=1.0)
    assert line.pull(PACKET, 1.234) == b""
    assert line.pull(PACKET, 1.25) == speech(1)
    assert line.pull(PACKET, 1.27) == speech(2)
    assert line.pull(PACKET, 1.29) == b""


def test_odd_lengths_lose_nothing():
    """Pieces of any length come out as one stream, the last packet shorter."""
    line = LatencyLine(RATE, 0.0)
    whole = speech(1, 2, 3)[:-38]
    for start in range(0, len(whole), 14):
        line.push(whole[start : start + 14], now=0.0)
    out = [line.pull(PACKET, tick * 0.02) for tick in range(4)]
    assert b"".join(out) == whole
    assert [len(packet) for packet in out] == [320, 320, 282, 0]


def test_jitter_makes_no_gap():
    """Speech that comes a little late joins the speech before it, as long as that is not over."""
    line = LatencyLine(RATE, 0.25)
    line.push(speech(1), now=0.0)
    line.push(speech(2), now=0.05)
    assert [line.pull(PACKET, 0.25), line.pull(PACKET, 0.27)] == [speech(1), speech(2)]


def test_a_pause_on_the_way_in_is_a_pause_on_the_way_out():
    """Speech after a pause keeps its distance from the speech before it."""
    line = LatencyLine(RATE, 0.25)
    line.push(speech(1), now=0.0)
    line.push(speech(2), now=0.5)
    assert line.pull(PACKET, 0.25) == speech(1)
    assert line.pull(PACKET, 0.27) == b""
    assert line.pull(PACKET, 0.73) == b""
    assert line.pull(PACKET, 0.75) == speech(2)


def test_looking_ahead_takes_nothing_and_stops_at_a_pause():
    """`peek` shows what is sounded from now on without a gap."""
    line = LatencyLine(RATE, 0.25)
    line.push(speech(1), now=0.0)
    line.push(speech(2), now=0.5)
    assert line.peek(2 * PACKET, 0.125) == b""
    assert line.peek(2 * PACKET, 0.25) == speech(1)
    assert line.pull(PACKET, 0.25) == speech(1)


def test_clear_forgets_everything():
    """After an interruption nothing of what was heard is sounded, and new speech starts with its own latency."""
    line = LatencyLine(RATE, 0.25)
    line.push(speech(1, 2, 3), now=0.0)
    line.pull(PACKET, 0.25)
    assert line.clear() == 2 * PACKET
    assert line.waiting == 0
    line.push(speech(4), now=0.3125)
    assert line.pull(PACKET, 0.375) == b""
    assert line.pull(PACKET, 0.5625) == speech(4)


def test_a_full_line_takes_no_more():
    """The line is bounded: what does not fit is refused, what is there stays."""
    line = LatencyLine(RATE, 0.0, limit=0.04)
    assert line.push(speech(1, 2), now=0.0)
    assert not line.push(speech(3), now=0.0)
    assert line.pull(PACKET, 0.0) == speech(1)
    assert line.push(speech(4), now=0.0)


def test_equal_rates_pass_untouched():
    """No resampler touches speech whose rate is right already."""
    assert Converter(24000, 24000).feed(b"\x01\x02\x03\x04") == b"\x01\x02\x03\x04"


@pytest.mark.parametrize(("source", "target"), [(16000, 24000), (24000, 48000), (48000, 16000), (22050, 24000)])
def test_conversion_keeps_duration_and_pitch(source: int, target: int):
    """Converted speech lasts as long and swings as often."""
    converter = Converter(source, target)
    wave = [round(8000 * math.sin(2 * math.pi * 440 * i / source)) for i in range(source)]
    size = source // 50
    out = b"".join(
        converter.feed(struct.pack(f"<{size}h", *wave[start : start + size])) for start in range(0, size * 50, size)
    )
    samples = struct.unpack(f"<{len(out) // 2}h", out)
    assert len(samples) == pytest.approx(target, rel=0.05)
    crossings = sum(a < 0 <= b for a, b in itertools.pairwise(samples))
    assert crossings / (len(samples) / target) == pytest.approx(440, rel=0.01)


def test_stereo_is_mixed_down():
    """Two channels become their mean; half a frame at the end is dropped."""
    assert mono(struct.pack("<4h", 100, 300, -50, 50) + b"\x01\x02", 2) == struct.pack("<2h", 200, 0)
    assert mono(b"\x01\x02\x03", 1) == b"\x01\x02"


def test_the_mouth_opens_with_loudness():
    """Silence closes it, louder speech opens it wider, full speech all the way."""
    openings = [opening(speech(amplitude)) for amplitude in (0, 100, 400, 900, 1600, 3000, 9000)]
    assert openings == sorted(openings)
    assert (openings[0], openings[-1]) == (0, 5)
    assert opening(b"") == 0


@pytest.mark.parametrize("dbfs", [-85.0, -61.0, -20.0])
def test_a_noise_floor_is_as_loud_as_it_is_called(dbfs: float):
    """The mean power of ten seconds, relative to full scale; no two packets are alike."""
    floor = NoiseFloor(dbfs)
    packets = [floor.beneath(bytes(PACKET)) for _ in range(500)]
    samples = [sample for packet in packets for (sample,) in struct.iter_unpack("<h", packet)]
    power = sum(sample * sample for sample in samples) / len(samples)
    assert 10 * math.log10(power / 32768**2) == pytest.approx(dbfs, abs=0.5)
    assert len(set(packets)) == 500


def test_a_noise_floor_keeps_the_sound_above_it():
    """Sound passes with the noise added, and does not wrap at full scale."""
    noise = NoiseFloor(-61.0).beneath(bytes(PACKET))
    summed = NoiseFloor(-61.0).beneath(speech(1000))
    assert [a - 1000 for (a,) in struct.iter_unpack("<h", summed)] == [b for (b,) in struct.iter_unpack("<h", noise)]
    loud = NoiseFloor(-20.0).beneath(speech(32767))
    assert min(sample for (sample,) in struct.iter_unpack("<h", loud)) > 16000
