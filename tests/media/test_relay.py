"""What of the avatar's voice is passed on, and how long its end is waited for."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipecat.frames.frames import Frame, SpeechOutputAudioRawFrame

from pipecat_lemonslice.media.playback import Playback
from pipecat_lemonslice.media.relay import MAX_WAITING_PIECES, MediaRelay, VoiceReturned
from pipecat_lemonslice.media.voice import PIECE_SECONDS, VoiceGate
from tests.support.logs import package_logs
from tests.support.stage import RATE, tone
from tests.support.virtual_time import virtual_time

PACKET = 0.02
SOUND, SILENCE = tone(PACKET), bytes(len(tone(PACKET)))


class Track:
    """Feeds packets of 20 ms in real time, starting at 100 s, to a gate whose avatar was given a response."""

    def __init__(self, chunk_seconds: float = PIECE_SECONDS) -> None:
        playback = Playback()
        playback.response_began(100.0)
        self.gate = VoiceGate(playback)
        self.gate.adapt(chunk_seconds)
        self.now = 100.0
        self.passed = b""

    def play(self, packet: bytes, seconds: float, *, speed: float = 1.0) -> float:
        """Return how many seconds were passed on."""
        before = len(self.passed)
        for _ in range(round(seconds / PACKET)):
            frames, _ = self.gate.feed(packet, RATE, self.now)
            self.passed += b"".join(frame.audio for frame in frames)
            self.now += PACKET / speed
        return (len(self.passed) - before) / (2 * RATE)


@pytest.mark.parametrize("chunk_seconds", [PIECE_SECONDS, 0.1, 0.2])
def test_pauses_within_speech_are_kept_and_silence_after_it_ends(chunk_seconds: float) -> None:
    """Less than 0.8 s of silence passes; what follows does not, and none before the first sound."""
    track = Track(chunk_seconds)
    assert track.play(SILENCE, 10.0) == 0.0
    track.play(SOUND, 1.0)
    assert track.play(SILENCE, 0.6) == pytest.approx(0.6)
    track.play(SOUND, 1.0)
    assert track.play(SILENCE, 5.0) == pytest.approx(0.8, abs=chunk_seconds + 0.001)
    assert track.gate.clock.heard_at < track.now  # no picture waits in silence


def test_a_stall_does_not_delay_the_voice_for_good() -> None:
    """What comes in a burst is passed on; the silence in it is left out until the lead is gone."""
    track = Track()
    track.play(SOUND, 1.0)
    track.now += 1.0
    assert track.play(SOUND, 0.4, speed=100.0) + track.play(SILENCE, 0.6, speed=100.0) == pytest.approx(0.4)


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
            track.play(samples.tobytes(), PACKET, speed=speed)
    came = np.frombuffer(track.passed, "<i2")
    codes = [int(one) for one in came[came > 0]]
    assert codes == sorted(codes)
    assert set(sounded[:-1]) <= set(codes)
    assert all(codes.count(one) == round(PACKET * RATE) for one in sounded[:-1][::20])


def test_a_change_of_rate_begins_anew() -> None:
    """Samples of two rates are never mixed in one piece."""
    gate = Track().gate
    gate.feed(tone(0.03), RATE, 0.0)
    frames, _ = gate.feed(tone(0.04, 48000), 48000, 0.03)
    assert [frame.audio for frame in frames] == [tone(0.04, 48000)]


class Running:
    """A relay that runs, with an avatar that was given a response; may be held up downstream."""

    def __init__(self) -> None:
        self.playback = Playback()
        self.events: list[object] = []
        self.relay = MediaRelay(self._push, self.events.append, self.playback)
        self.relay.show_on(None)
        self.loop = asyncio.get_running_loop()
        self.playback.response_began(self.loop.time())
        self.open = asyncio.Event()
        self.open.set()
        self.voice = b""
        self._task = asyncio.create_task(self.relay.run_voice())

    async def _push(self, frame: Frame) -> None:
        await self.open.wait()
        assert isinstance(frame, SpeechOutputAudioRawFrame)
        self.voice += frame.audio

    async def speak(self, seconds: float) -> None:
        for _ in range(round(seconds / PACKET)):
            self.relay.on_voice(SOUND, RATE)
            await asyncio.sleep(PACKET)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@virtual_time
async def test_voice_is_passed_on_and_its_beginning_is_told() -> None:
    """Every sample, and once that it began."""
    running = Running()
    await running.speak(1.0)
    assert running.voice == SOUND * 50
    assert [type(event) for event in running.events] == [VoiceReturned]
    await running.stop()


@pytest.mark.parametrize("interrupted", [True, False])
@virtual_time
async def test_an_interruption_drops_what_waits(interrupted: bool) -> None:
    """So does another avatar; what was pushed is pushed."""
    running = Running()
    running.open.clear()
    await running.speak(1.0)
    (running.relay.interrupt if interrupted else running.relay.avatar_changed)()
    running.open.set()
    await running.speak(0.2)
    assert running.voice == SOUND * 2
    await running.stop()


@virtual_time
async def test_voice_that_nobody_takes_does_not_pile_up() -> None:
    """The oldest makes way, which is logged once."""
    running = Running()
    running.open.clear()
    with package_logs("WARNING") as lines:
        await running.speak(2 * MAX_WAITING_PIECES * PIECE_SECONDS)
    assert len(lines) == 1
    running.open.set()
    await asyncio.sleep(0.1)
    assert len(running.voice) == (MAX_WAITING_PIECES + 1) * len(tone(PIECE_SECONDS))
    await running.stop()


@virtual_time
async def test_waiting_until_the_avatar_has_finished() -> None:
    """It waits for the voice to come, as long as the lag is unknown, and to end; and not for ever."""
    running = Running()
    started = running.loop.time()
    waiting = asyncio.create_task(running.relay.wait_until_finished())
    running.playback.played(started, 0.02, [True])
    await asyncio.sleep(0.25)
    await running.speak(1.0)
    await waiting
    assert 1.25 + 0.3 <= running.loop.time() - started <= 1.25 + 0.45
    started = running.loop.time()
    waiting = asyncio.create_task(running.relay.wait_until_finished())
    await running.speak(4.0)
    await waiting
    assert running.loop.time() - started <= 4.0
    await asyncio.sleep(1.0)
    started, lag = running.loop.time(), running.playback.lag
    await running.relay.wait_until_finished()
    assert lag
    assert running.loop.time() - started == pytest.approx(lag)  # after a pause, the last word comes so late
    running.relay.avatar_changed()
    started = running.loop.time()
    await running.relay.wait_until_finished()
    assert running.loop.time() == started
    await running.stop()
