"""The output of speech by itself: what leaves through its ports, when, and in which order."""

import asyncio
from collections.abc import Callable

import pytest
from pipecat.frames.frames import (
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)

from pipecat_lemonslice.media.playback import SharedPlayback
from pipecat_lemonslice.messages import SpeechEvent
from pipecat_lemonslice.speech.output import SpeechOutput
from pipecat_lemonslice.speech.ports import OutputEvent, SpeechPorts
from pipecat_lemonslice.speech.response import DoneReason, ResponseDone, ResponseStarted
from pipecat_lemonslice.speech.route import Route, WaitedInVain
from tests.support.memory import MemoryRoom
from tests.support.stage import RATE, speech, tone
from tests.support.virtual_time import virtual_time


class Link:
    """A room as the output sees it."""

    def __init__(self) -> None:
        self.room = MemoryRoom(echo=False)
        self.append, self.clear = self.room.append, self.room.clear
        self.stalls = 0

    @property
    def appended(self) -> int:
        return self.room.appended

    @property
    def played(self) -> int:
        return self.room.played

    def report_at(self, position: int) -> None:
        self.room.report_at(position)

    def listen(self, on_played: Callable[[int], None] | None) -> None:
        self.room.on_played = on_played

    def was_played(self, *, at: float, sounds: bool) -> None:
        pass

    def tell(self, event: SpeechEvent) -> None:
        self.room.send({"event": event})

    def stalled(self) -> None:
        self.stalls += 1


class Output:
    """An output that runs, and what comes out of it."""

    def __init__(self, *, here: bool = True, ready_timeout: float = 8.0) -> None:
        self.loop = asyncio.get_running_loop()
        self.started = self.loop.time()
        self.out: list[tuple[float, Frame]] = []
        self.notices: list[OutputEvent] = []
        self.playback = SharedPlayback()
        self.slow = 0.0
        self.link = Link()
        self.output = SpeechOutput(
            SpeechPorts(self._forward, self.notices.append, lambda: round(self.loop.time() * 1e9), self.playback),
            sample_rate=RATE,
            done_timeout=0.5,
            hold_timeout=3.0,
            ready_timeout=ready_timeout,
        )
        if here:
            self.output.avatar_here(self.link)
        self.running = asyncio.create_task(self.output.run())

    async def _forward(self, frame: Frame) -> None:
        await asyncio.sleep(self.slow)
        self.out.append((self.loop.time() - self.started, frame))

    async def put(self, *frames: Frame) -> None:
        for frame in frames:
            await self.output.put(frame)

    @property
    def kinds(self) -> list[str]:
        return [type(frame).__name__ for _, frame in self.out]

    @property
    def plain(self) -> bytes:
        return b"".join(frame.audio for _, frame in self.out if isinstance(frame, TTSAudioRawFrame))

    @property
    def reasons(self) -> list[DoneReason]:
        return [notice.reason for notice in self.notices if isinstance(notice, ResponseDone)]

    async def stop(self) -> None:
        self.output.close()
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


@virtual_time
async def test_frames_leave_in_order_when_the_audio_before_them_has_been_played() -> None:
    """What comes before leaves at once, what comes after when the audio has been played."""
    line = Output()
    first, last = LLMTextFrame("first"), LLMTextFrame("last")
    await line.put(first, speech(1.0), last)
    await asyncio.sleep(2.0)
    assert [frame for _, frame in line.out] == [first, last]
    assert line.out[0][0] == 0.0
    assert line.out[1][0] == pytest.approx(1.0, abs=0.001)
    await line.stop()


@virtual_time
async def test_the_room_is_told_of_a_response_before_and_after_its_audio() -> None:
    """`response_started` before the first byte, `response_finished` when the last has been played."""
    line = Output()
    await line.put(speech(0.5), TTSStoppedFrame("a"))
    await asyncio.sleep(1.0)
    log = [(entry.at - line.started, entry.what) for entry in line.link.room.log]
    assert log[0] == (0.0, "response_started")
    assert log[-1] == (pytest.approx(0.5), "response_finished")
    assert b"".join(what for _, what in log[1:-1] if isinstance(what, bytes)) == tone(0.5)
    done = line.notices[-1]
    assert line.notices == [ResponseStarted(1), done]
    assert isinstance(done, ResponseDone)
    assert (done.id, done.reason, done.audio_seconds) == (1, DoneReason.STOPPED, pytest.approx(0.5))
    await line.stop()


@pytest.mark.parametrize("stop", [True, False])
@virtual_time
async def test_no_hole_comes_before_the_end_of_a_response(stop: bool) -> None:
    """What the resampler holds back follows the rest without a pause, with an explicit end and without one."""
    line = Output()
    await line.put(speech(1.013, sample_rate=44100))
    if stop:
        await line.put(TTSStoppedFrame("a"))
    await asyncio.sleep(3.0)
    writes = [entry for entry in line.link.room.log if isinstance(entry.what, bytes)]
    seconds = sum(len(entry.what) for entry in writes) / (2 * RATE)
    assert seconds == pytest.approx(1.013, abs=0.011)
    assert line.link.room.played_until - line.started == pytest.approx(seconds, abs=1e-6)
    await line.stop()


@virtual_time
async def test_speech_waits_for_an_avatar_and_then_does_not() -> None:
    """It is told once that it waited in vain; later speech does not wait."""
    line = Output(here=False, ready_timeout=2.0)
    await line.put(speech(1.0))
    await asyncio.sleep(1.99)
    assert line.out == []
    await asyncio.sleep(0.02)
    assert line.notices == [WaitedInVain(2.0), ResponseStarted(1)]
    assert line.output.route is Route.VOICE
    await asyncio.sleep(5.0)
    await line.put(speech(1.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert line.plain == tone(1.0) * 2
    assert [type(notice) for notice in line.notices].count(WaitedInVain) == 1
    await line.stop()


@virtual_time
async def test_a_shorter_patience_counts_at_once() -> None:
    """A changed ready_timeout wakes the line."""
    line = Output(here=False)
    await line.put(speech(1.0))
    await asyncio.sleep(1.0)
    line.output.configure(done_timeout=0.5, hold_timeout=3.0, ready_timeout=1.25)
    await asyncio.sleep(0.3)
    assert line.plain == tone(1.0)
    await line.stop()


@pytest.mark.parametrize("ticks", range(8))
@virtual_time
async def test_the_avatar_goes_while_a_frame_is_being_forwarded(ticks: int) -> None:
    """Nothing is lost and nothing doubled beyond what was in flight, whatever the line is waiting for."""
    line = Output()
    line.slow = 0.25
    frames = [frame for n in range(4) for frame in (LLMTextFrame(str(n)), speech(0.25, str(n)))]
    await line.put(*frames, LLMTextFrame("end"))
    await asyncio.sleep(0.1 + ticks * 0.0625)
    line.output.avatar_gone()
    await asyncio.sleep(5.0)
    written = line.link.room.speech
    whole = tone(0.25) * 4
    assert whole.startswith(written)
    assert whole.endswith(line.plain)
    assert 0 <= len(written) + len(line.plain) - len(whole) <= 2 * 960
    assert [frame.text for _, frame in line.out if isinstance(frame, LLMTextFrame)] == ["0", "1", "2", "3", "end"]
    await line.stop()


@virtual_time
async def test_a_stale_completion_does_not_shorten_the_plain_voice() -> None:
    """What the old room plays after the handover says nothing of the response that goes on as plain voice."""
    line = Output()
    await line.put(speech(5.0))
    await asyncio.sleep(1.0)
    line.output.avatar_gone()
    await asyncio.sleep(3.0)
    assert line.reasons == [DoneReason.AVATAR_LOST]
    await asyncio.sleep(2.0)
    assert line.reasons == [DoneReason.AVATAR_LOST, DoneReason.RESPONSE_DONE_TIMEOUT]
    await line.stop()


@virtual_time
async def test_draining_waits_for_everything_and_ends_the_response() -> None:
    """Tail included, without waiting for timeouts, also with an LLM that never closed."""
    line = Output()
    await line.put(LLMFullResponseStartFrame(), speech(1.005))
    assert line.output.unheard_seconds == pytest.approx(1.005)
    await line.output.drain()
    assert line.loop.time() - line.started == pytest.approx(1.01)
    assert line.output.unheard_seconds == 0
    assert line.reasons == [DoneReason.STOPPED]
    await line.stop()


@virtual_time
async def test_draining_is_over_when_the_line_is_closed() -> None:
    """Nobody waits for a line that moves nothing any more."""
    line = Output()
    await line.put(speech(100.0))
    draining = asyncio.create_task(line.output.drain())
    await asyncio.sleep(1.0)
    line.output.close()
    await asyncio.wait_for(draining, 0.1)
    assert line.reasons == [DoneReason.ENDED]
    await line.stop()


@virtual_time
async def test_an_interruption_says_whether_something_plays_on() -> None:
    """True if everything was cut off, False if it may not be."""
    line = Output()
    assert line.output.interrupt()
    await line.put(speech(1.0))
    await asyncio.sleep(0.5)
    assert line.output.interrupt()
    await line.put(speech(1.0, "b", interruptible=False))
    await asyncio.sleep(0.5)
    assert not line.output.interrupt()
    await asyncio.sleep(2.0)
    assert line.reasons == [DoneReason.INTERRUPTED, DoneReason.RESPONSE_DONE_TIMEOUT]
    await line.stop()


@virtual_time
async def test_an_avatar_that_is_still_heard_is_interrupted() -> None:
    """Although its response is over here; one that is silent is not told anything."""
    line = Output()
    line.output.interrupt()
    line.playback.response_began(line.loop.time())
    line.output.interrupt()
    assert line.link.room.events == ["interrupt"]
    await line.stop()


@virtual_time
async def test_a_skipped_llm_response_holds_nothing_open() -> None:
    """Text that is not to be spoken does not delay the end of what is."""
    line = Output()
    silent = LLMFullResponseStartFrame()
    silent.skip_tts = True
    await line.put(silent, speech(0.5), TTSStoppedFrame("a"))
    await asyncio.sleep(0.6)
    assert line.reasons == [DoneReason.STOPPED]
    await line.put(LLMFullResponseEndFrame())
    await line.stop()


@virtual_time
async def test_an_avatar_of_a_room_that_plays_nothing_is_told_what_it_was_given() -> None:
    """Each response that was appended has its start and its end, and what was not played is heard without it."""
    line = Output()
    line.link.room.frozen = True
    await line.put(speech(0.04, "a"))
    await asyncio.sleep(0.1)
    line.output.interrupt()
    events = ["response_started", "interrupt", "response_finished"]
    assert line.link.room.events == events
    await line.put(speech(0.04, "b"))
    await asyncio.sleep(0.1)
    line.output.avatar_gone()
    await asyncio.sleep(0.1)
    assert line.link.room.events == events * 2
    assert line.plain == tone(0.04)
    await line.stop()
