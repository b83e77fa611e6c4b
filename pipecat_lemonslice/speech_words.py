"""The words that travel with speech: each leaves when the audio that it belongs to does.

Owns when and with which time they are passed on; the positions of words in their contexts are `contexts`' business.
"""

from collections.abc import Iterable

from pipecat.frames.frames import Frame, LLMFullResponseEndFrame, TTSAudioRawFrame, TTSStoppedFrame, TTSTextFrame

from pipecat_lemonslice.contexts import WordClock
from pipecat_lemonslice.speech_ports import SpeechPorts
from pipecat_lemonslice.stream import duration


class SpeechWords:
    """See the module."""

    def __init__(self, ports: SpeechPorts, sample_rate: int) -> None:
        """Create it with nothing waiting.

        Args:
            ports: Where frames leave.
            sample_rate: What audio that does not say its rate is taken to have, in Hz.
        """
        self._ports = ports
        self._rate = sample_rate
        self._clock = WordClock()

    def keep(self, frame: Frame) -> bool:
        """Take note of a frame that has come; returns whether it is kept here until its time."""
        if isinstance(frame, TTSAudioRawFrame | TTSTextFrame):
            self._clock.arrived(frame, self._ports.pipeline_time())
        return self._clock.hold(frame)

    def written(self, context_id: str | None, seconds: float) -> None:
        """Take note of audio that was written to the avatar."""
        self._clock.written(context_id, seconds)

    def taken_back(self, frames: Iterable[TTSAudioRawFrame], written_seconds: float) -> None:
        """Take note of audio that will be heard once more.

        Args:
            frames: Audio that was taken back.
            written_seconds: How much of it, from its beginning, had been written.
        """
        for frame in frames:
            again = min(written_seconds, duration(frame, self._rate))
            self._clock.taken_back(frame.context_id, again)
            written_seconds -= again

    def interrupt(self) -> None:
        """Drop what waits and may be dropped."""
        self._clock.interrupt()

    async def forward_due(self) -> bool:
        """Pass on what is due; returns whether anything was."""
        return await self._forward(self._clock.due())

    async def forward_overdue(self) -> bool:
        """Pass on what waits for audio that does not seem to come; returns whether anything did."""
        return await self._forward(self._clock.overdue())

    async def forward_all(self) -> None:
        """Pass on everything that waits."""
        await self._forward(self._clock.finish(None))

    async def forward_before(self, frame: Frame) -> None:
        """Pass on what must not come later than a frame."""
        match frame:
            case TTSStoppedFrame():
                await self._forward(self._clock.finish(frame.context_id))
            case LLMFullResponseEndFrame():
                await self.forward_overdue()
            case _:
                pass

    async def forward_voice(self, frame: TTSAudioRawFrame, heard_in: float) -> None:
        """Pass audio on as plain voice, and the words that waited for it.

        Args:
            frame: The audio.
            heard_in: Seconds until it will be heard.
        """
        heard_from_ns = self._ports.pipeline_time() + round(heard_in * 1e9)
        words = self._clock.voiced(frame.context_id, duration(frame, self._rate), heard_from_ns)
        for each in (frame, *words):
            await self._ports.forward(each)

    def restamp(self, frame: Frame, *, avatar: bool) -> None:
        """Words of speech that waited are late by as much; at the avatar's pace they need no time of their own."""
        if avatar:
            frame.pts = None
        elif frame.pts:
            frame.pts += self._clock.late_ns(getattr(frame, "context_id", None))

    async def _forward(self, frames: list[Frame]) -> bool:
        for frame in frames:
            frame.pts = None
            await self._ports.forward(frame)
        return bool(frames)
