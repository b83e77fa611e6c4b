"""What of the avatar's voice is passed on: plain numbers and binary-exact times."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipecat_lemonslice.media import VoicePiece, VoiceReturn
from pipecat_lemonslice.rooms import VoiceReceived
from tests.support.stage import RATE, tone

PACKET = 0.02
SOUND, SILENCE = VoiceReceived(tone(PACKET), RATE), VoiceReceived(bytes(len(tone(PACKET))), RATE)


class Track:
    """Feeds packets of 20 ms in real time, starting at 100 s."""

    def __init__(self) -> None:
        self.voice = VoiceReturn()
        self.now = 100.0
        self.pieces: list[VoicePiece] = []

    def play(self, packet: VoiceReceived, seconds: float, *, speed: float = 1.0) -> list[VoicePiece]:
        passed: list[VoicePiece] = []
        for _ in range(round(seconds / PACKET)):
            passed += self.voice.feed(packet, self.now)
            self.now += PACKET / speed
        self.pieces += passed
        return passed


def seconds(pieces: list[VoicePiece]) -> float:
    return sum(len(piece.frame.audio) for piece in pieces) / (2 * RATE)


def test_a_track_that_is_silent_gives_nothing() -> None:
    """Silence without end would get in the way of everything else that is to be heard."""
    assert Track().play(SILENCE, 10.0) == []


def test_sound_is_passed_on_whole_and_at_once() -> None:
    """Every sample, as soon as a piece is full."""
    track = Track()
    pieces = track.play(SOUND, 2.0)
    assert b"".join(piece.frame.audio for piece in pieces) == tone(PACKET) * 100
    assert [piece.first for piece in pieces] == [True] + [False] * 49


def test_pauses_within_speech_are_kept_and_silence_after_it_ends() -> None:
    """Less than 0.8 s of silence passes; what follows does not."""
    track = Track()
    track.play(SOUND, 1.0)
    assert seconds(track.play(SILENCE, 0.6)) == pytest.approx(0.6)
    track.play(SOUND, 1.0)
    assert seconds(track.play(SILENCE, 5.0)) == pytest.approx(0.8, abs=0.041)


def test_sound_after_a_short_silence_is_the_first_of_something() -> None:
    """An answer soon after the last one is noticed as one; a pause between words is not."""
    track = Track()
    track.play(SOUND, 1.0)
    track.play(SILENCE, 0.12)
    assert not any(piece.first for piece in track.play(SOUND, 0.4))
    track.play(SILENCE, 0.32)
    assert [piece.first for piece in track.play(SOUND, 0.4)].count(True) == 1


def test_a_stall_does_not_delay_the_voice_for_good() -> None:
    """What comes in a burst is passed on; the silence in it is left out until the lead is gone."""
    track = Track()
    track.play(SOUND, 1.0)
    track.now += 1.0
    passed = seconds(track.play(SOUND, 0.4, speed=100.0)) + seconds(track.play(SILENCE, 0.6, speed=100.0))
    assert passed == pytest.approx(0.4)


@pytest.mark.parametrize("interrupted", [True, False])
def test_another_avatar_is_not_heard_before_it_is_given_something_to_say(interrupted: bool) -> None:
    """What it says before is not its own; nothing of its first answer is kept back."""
    track = Track()
    track.play(SOUND, 0.03)
    track.voice.begin_anew()
    if interrupted:
        track.voice.interrupt(track.now)
    assert track.play(SOUND, 1.0) == []
    assert track.play(SILENCE, 1.0) == []
    track.voice.expect(track.now + 0.05)
    assert seconds(track.play(SOUND, 1.0)) == pytest.approx(1.0)


def test_an_interruption_keeps_back_the_old_voice_until_it_falls_silent() -> None:
    """Silence of a tenth of a second, not earlier than a quarter after the interruption, lets the next voice in."""
    track = Track()
    track.play(SOUND, 1.0)
    track.voice.interrupt(track.now)
    assert track.play(SILENCE, 0.2) == []
    assert track.play(SOUND, 0.2) == []
    assert track.play(SILENCE, 0.12) == []
    assert seconds(track.play(SOUND, 0.4)) == pytest.approx(0.4, abs=0.041)


def test_a_voice_that_never_pauses_is_not_held_back_for_ever() -> None:
    """After two seconds it is heard again."""
    track = Track()
    track.play(SOUND, 1.0)
    track.voice.interrupt(track.now)
    assert seconds(track.play(SOUND, 5.0)) == pytest.approx(3.0, abs=0.081)


def test_the_voice_of_a_new_response_is_not_held_back() -> None:
    """From about when it is expected on, what sounds is the new response."""
    track = Track()
    track.play(SOUND, 1.0)
    track.voice.interrupt(track.now)
    track.voice.expect(track.now + 0.5)
    assert seconds(track.play(SOUND, 2.0)) == pytest.approx(2.0 - 0.4, abs=0.081)


def test_expecting_a_voice_matters_only_after_an_interruption() -> None:
    """Nothing is kept back without one."""
    track = Track()
    track.voice.expect(track.now + 10.0)
    assert seconds(track.play(SOUND, 1.0)) == pytest.approx(1.0)


def test_whether_it_sounds() -> None:
    """While it is heard and a moment longer; not once it has been interrupted."""
    track = Track()
    assert not track.voice.sounds(track.now)
    track.play(SOUND, 1.0)
    assert track.voice.sounds(track.now)
    assert track.voice.quiet_for(track.now) == pytest.approx(PACKET)
    assert not track.voice.sounds(track.now + 0.25)
    track.voice.interrupt(track.now)
    assert not track.voice.sounds(track.now)
    assert track.voice.quiet_for(track.now) == float("inf")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["sound", "blip", "silence"]), st.integers(1, 40), st.floats(0.5, 100.0))))
def test_nothing_is_doubled_or_changes_places(script: list[tuple[str, int, float]]) -> None:
    """Whatever comes, in real time and in bursts, leaves in its order and once; all sound does."""
    track, code, sounded = Track(), 100, list[int]()
    for kind, count, speed in script:
        for _ in range(count):
            samples = np.zeros(round(PACKET * RATE), "<i2")
            if kind != "silence":
                code += 1
                samples[: len(samples) if kind == "sound" else len(samples) // 4] = code
            if kind == "sound":
                sounded.append(code)
            track.play(VoiceReceived(samples.tobytes(), RATE), PACKET, speed=speed)
    came = np.frombuffer(b"".join(piece.frame.audio for piece in track.pieces), "<i2")
    codes = [int(one) for one in came[came > 0]]
    assert codes == sorted(codes)
    assert set(sounded[:-1]) <= set(codes)
    assert all(codes.count(one) == round(PACKET * RATE) for one in sounded[:-1][::20])


def test_a_change_of_rate_begins_anew() -> None:
    """Samples of two rates are never mixed in one piece."""
    voice = VoiceReturn()
    voice.feed(VoiceReceived(tone(0.03), RATE), 0.0)
    pieces = voice.feed(VoiceReceived(tone(0.04, 48000), 48000), 0.03)
    assert [piece.frame.audio for piece in pieces] == [tone(0.04, 48000)]
