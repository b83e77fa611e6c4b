"""What speech costs: processor time from the TTS frame to daily-python's own audio source.

Of the whole process, the native thread included, for several sessions that speak at once; on sources that have joined
no room, so nothing is encoded or sent. Beside it stands the share of the event loop's thread; the rest is daily-python
and the completions that run on its threads. Nothing is asserted here.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any, cast

from loguru import logger
from pipecat.frames.frames import Frame, TTSAudioRawFrame

from pipecat_lemonslice.media.playback import Playback
from pipecat_lemonslice.rooms.daily_native import SETTLE_SECONDS, LoopBridge, NativeTrack, initialize
from pipecat_lemonslice.settings import default_settings, timeouts
from pipecat_lemonslice.speech.output import OutputEvent, SpeechOutput
from pipecat_lemonslice.speech.track import AvatarFailed
from tests.support.stage import RATE, tone

SESSIONS = (1, 8, 32)
SECONDS = 8.0
FRAME_SECONDS = 0.2
"""Duration of a TTS frame; they come all at once, as from a TTS that is faster than speech."""

RELEASE_SECONDS = SETTLE_SECONDS * 3
"""Until the sources of one measurement have been released: silence costs something, too."""


class Line(NativeTrack):
    """A room of which there is no more than its native track, and in which there is no avatar to be told."""

    on_played: Callable[[int], None] | None = None
    pictured_at: float | None = None

    def __init__(self) -> None:
        super().__init__(RATE, LoopBridge(), on_played=self._has_played, on_failed=sys.exit)

    def send(self, message: object) -> None:
        pass

    def _has_played(self) -> None:
        if self.on_played:
            self.on_played(self.played)


async def speak(line: Line, pcm: bytes) -> None:
    """Give speech to the output as the service does, frame by frame, and wait until it has been played."""

    async def forward(_frame: Frame) -> None:
        pass

    def emit(event: OutputEvent) -> None:
        if isinstance(event, AvatarFailed):
            sys.exit(event.reason)

    given = timeouts(default_settings())
    output = SpeechOutput(forward, emit, time.monotonic_ns, Playback(), sample_rate=RATE, timeouts=given)
    output.avatar_here(cast("Any", line), "session")
    moving = asyncio.create_task(output.run())
    size = 2 * round(FRAME_SECONDS * RATE)
    for start in range(0, len(pcm), size):
        await output.put(TTSAudioRawFrame(pcm[start : start + size], RATE, 1, context_id="answer"))
    await output.drain()
    output.close()
    moving.cancel()


async def cost(sessions: int, seconds: float) -> tuple[float, float]:
    """Have sessions speak at once.

    Returns:
        Processor time in milliseconds for a second of speech of one session: of all threads, and of the loop's.
    """
    lines, pcm = [Line() for _ in range(sessions)], tone(seconds)
    process, thread = time.process_time(), time.thread_time()
    await asyncio.gather(*(speak(line, pcm) for line in lines))
    process, thread = time.process_time() - process, time.thread_time() - thread
    for line in lines:
        line.retire()
    await asyncio.sleep(RELEASE_SECONDS)
    return process * 1000 / seconds / sessions, thread * 1000 / seconds / sessions


async def measure() -> None:
    """Measure and print each number of sessions."""
    initialize()
    await cost(1, 0.5)  # what is imported and made once
    for sessions in SESSIONS:
        whole, loop = await cost(sessions, SECONDS)
        print(f"speech, {sessions} session(s): {whole:.1f} ms of processor time for a second of each, ", end="")
        print(f"{loop:.1f} of them on the event loop")


def run() -> None:
    """Measure, without log lines."""
    logger.remove()
    asyncio.run(measure())
