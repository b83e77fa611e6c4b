"""A speech-to-text service that understands a fixed set of phrases with pocketsphinx, on this machine."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from loguru import logger
from pipecat.audio.utils import create_file_resampler
from pipecat.frames.frames import Frame, TranscriptionFrame
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.transcriptions.language import Language
from pipecat.utils.time import time_now_iso8601

from .recognizer import EXTRA_PRONUNCIATIONS, SAMPLE_RATE, Nothing, Recognizer, Unclear, Understood

# From the end of speech to the text, VAD included, with much to spare.
LATENCY_SECONDS = 0.6


class PocketsphinxSTTService(SegmentedSTTService):
    """Hears phrases. What is none of them is reported as ``not_understood``, so that the bot can say so."""

    def __init__(
        self,
        *,
        phrases: Sequence[str],
        not_understood: str,
        pronunciations: Mapping[str, str] = EXTRA_PRONUNCIATIONS,
        **kwargs: Any,
    ) -> None:
        """Build the grammar.

        Args:
            phrases: What can be understood: lower-case words without punctuation.
            not_understood: Text to report for speech that is none of the phrases.
            pronunciations: For words that the dictionary lacks.
            **kwargs: Those of ``SegmentedSTTService``.

        Raises:
            UnknownWordsError: Phrases contain words without a pronunciation.
        """
        settings = STTSettings(model="en-us", language=Language.EN_US)
        # The recognizer trims silence itself; Pipecat's own would only cost time.
        super().__init__(settings=settings, trailing_silence_secs=0, ttfs_p99_latency=LATENCY_SECONDS, **kwargs)
        self._recognizer = Recognizer(phrases, pronunciations)
        self._not_understood = not_understood
        self._at_16k = create_file_resampler()

    @property
    def wants_wav_segments(self) -> bool:
        """Ask for bare samples."""
        return False

    def can_generate_metrics(self) -> bool:
        """Say that time to first byte and processing are measured."""
        return True

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Understand one utterance, in a thread.

        Args:
            audio: Mono, 16-bit, at the pipeline's rate.

        Yields:
            What was said; nothing when nobody spoke.
        """
        await self.start_processing_metrics()
        pcm = await self._at_16k.resample(audio, self.sample_rate, SAMPLE_RATE)
        hearing = await asyncio.to_thread(self._recognizer.recognize, pcm)
        await self.stop_processing_metrics()
        logger.debug(f"{self}: {hearing}")
        match hearing:
            case Understood(phrase):
                yield self._transcription(phrase)
            case Unclear():
                yield self._transcription(self._not_understood)
            case Nothing():
                pass

    def _transcription(self, text: str) -> TranscriptionFrame:
        return TranscriptionFrame(text, self._user_id, time_now_iso8601(), Language.EN_US)
