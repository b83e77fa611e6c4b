"""A text-to-speech service that speaks with espeak-ng, on this machine.

Speech is pushed in small chunks as it is made, many times faster than it is heard, with the time of each
word. It can be told to behave like TTS models that send no stop event, or one per sentence, or that pause
between sentences: what an avatar must cope with.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from pipecat.frames.frames import ErrorFrame, Frame, TTSAudioRawFrame, TTSStoppedFrame
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService
from pipecat.utils.types import NOT_GIVEN, NotGiven

from pipecat_lemonslice.cli.espeak import EspeakError, Samples, Voice, WordBegins, engine, stream

StopEvents = Literal["per_turn", "per_sentence", "never"]

CHUNK_SECONDS = 0.04
# A turn's audio context ends when the turn does. Pipecat's default of 3 s would end it in a pause.
LONGEST_GAP_SECONDS = 60.0


def _not_given() -> Any:
    return NOT_GIVEN


@dataclass
class EspeakTTSSettings(TTSSettings):
    """Settings of ``EspeakTTSService``; ``voice`` is a name such as ``en-us+f3``.

    Attributes:
        rate: Words per minute.
        pitch: Base pitch, 0 to 99.
        pitch_range: Liveliness of the pitch, 0 to 99.
    """

    rate: int | NotGiven = field(default_factory=_not_given)
    pitch: int | NotGiven = field(default_factory=_not_given)
    pitch_range: int | NotGiven = field(default_factory=_not_given)


class EspeakTTSService(TTSService):
    """Speaks with espeak-ng."""

    Settings = EspeakTTSSettings
    _settings: EspeakTTSSettings  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(
        self,
        *,
        stop_events: StopEvents = "per_turn",
        pause_between_sentences: float = 0.0,
        settings: EspeakTTSSettings | None = None,
        **kwargs: Any,
    ) -> None:
        """Load the engine.

        Args:
            stop_events: When ``TTSStoppedFrame`` is sent: at the end of a turn, after each sentence, or never.
            pause_between_sentences: Seconds without audio between two sentences of a turn, counted from
                when the first has been heard. 0 sends all as soon as it is made.
            settings: Voice, rate and pitch.
            **kwargs: Those of ``TTSService``.

        Raises:
            EspeakError: The engine cannot be loaded.
        """
        complete = _default_settings()
        if settings is not None:
            complete.apply_update(settings)
        super().__init__(
            push_text_frames=False,
            push_start_frame=True,
            push_stop_frames=stop_events == "per_turn",
            reuse_context_id_within_turn=stop_events != "per_sentence",
            stop_frame_timeout_s=LONGEST_GAP_SECONDS,
            settings=complete,
            **kwargs,
        )
        self._engine = engine()
        self._stop_events = stop_events
        self._pause = pause_between_sentences
        self._heard_at: float | None = None
        self._context = _Context("")

    def can_generate_metrics(self) -> bool:
        """Say that time to first byte and usage are measured."""
        return True

    async def on_turn_context_created(self, context_id: str) -> None:
        """Begin a turn: its first sentence waits for nothing."""
        self._heard_at = None

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Speak one sentence.

        Args:
            text: The sentence.
            context_id: The audio context that it belongs to.

        Yields:
            Its audio in chunks of ``CHUNK_SECONDS``; an ErrorFrame when the engine refuses.
        """
        if self._context.id != context_id:
            self._context = _Context(context_id)
        await self._wait_for_pause()
        await self.start_tts_usage_metrics(text)
        try:
            async with aclosing(self._sentence(text)) as chunks:
                async for pcm in chunks:
                    yield TTSAudioRawFrame(pcm, self.sample_rate, 1, context_id=context_id)
                    # A sentence is made in one go; without this nothing else would run meanwhile.
                    await asyncio.sleep(0)
        except EspeakError as error:
            yield ErrorFrame(error=f"{self}: {error}")
        if self._stop_events == "per_sentence":
            yield TTSStoppedFrame(context_id=context_id)
            await self.remove_audio_context(context_id)

    async def _wait_for_pause(self) -> None:
        if self._pause and self._heard_at is not None:
            await asyncio.sleep(self._heard_at + self._pause - asyncio.get_running_loop().time())
            self._context.seconds += self._pause

    async def _sentence(self, text: str) -> AsyncGenerator[bytes, None]:
        """The speech at the pipeline's rate, cut into chunks; its words are announced before they sound."""
        size = 2 * round(self.sample_rate * CHUNK_SECONDS)
        waiting = bytearray()
        async with aclosing(self._resampled(text)) as speech:
            async for pcm in speech:
                waiting += pcm
                while len(waiting) >= size:
                    yield bytes(waiting[:size])
                    del waiting[:size]
        if waiting:
            yield bytes(waiting)

    async def _resampled(self, text: str) -> AsyncGenerator[bytes, None]:
        await self._resampler.reset()
        words = _Words(text)
        made = 0
        async with aclosing(stream(text, self._voice())) as events:
            async for event in events:
                match event:
                    case Samples(pcm):
                        made += len(pcm) // 2
                        yield await self._resampler.resample(pcm, self._engine.sample_rate, self.sample_rate)
                    case WordBegins(position, seconds):
                        moment = self._context.seconds + seconds
                        timed = [(word, moment) for word in words.up_to(position)]
                        await self.add_word_timestamps(timed, self._context.id)
        yield await self._resampler.flush()
        self._count(made / self._engine.sample_rate)

    def _count(self, seconds: float) -> None:
        self._context.seconds += seconds
        now = asyncio.get_running_loop().time()
        self._heard_at = max(now, self._heard_at or now) + seconds

    def _voice(self) -> Voice:
        given = self._settings.given_fields()
        return Voice(given["voice"], given["rate"], given["pitch"], given["pitch_range"])


@dataclass
class _Context:
    """An audio context and its seconds so far, pauses included: word times count from its beginning."""

    id: str
    seconds: float = 0.0


class _Words:
    """The words of a sentence as they are written. Spoken ones may be more: 23 is two words."""

    def __init__(self, text: str) -> None:
        self._words: list[tuple[int, str]] = []
        start = 0
        for word in text.split():
            start = text.index(word, start)
            self._words.append((start, word))
            start += len(word)

    def up_to(self, position: int) -> list[str]:
        """The written words that begin at a position or before it and have not been returned yet."""
        begun = [word for start, word in self._words if start <= position]
        del self._words[: len(begun)]
        return begun


def _default_settings() -> EspeakTTSSettings:
    usual = Voice()
    return EspeakTTSSettings(
        model=None,
        voice=usual.name,
        language=None,
        rate=usual.rate,
        pitch=usual.pitch,
        pitch_range=usual.pitch_range,
    )
