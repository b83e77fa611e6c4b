"""The services of the relay and shared-room bots, chosen by the keys that are present."""

import os
from dataclasses import dataclass

from loguru import logger
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from checks import package_problems

INSTRUCTION = (
    "You are a friendly person on a video call, with a face. Your words are spoken aloud, so write no lists, no emojis "
    "and nothing else that cannot be said. Be brief: two sentences unless you are asked for more."
)
KEYS = ("DEEPGRAM_API_KEY", "OPENAI_API_KEY", "CARTESIA_API_KEY")


@dataclass(frozen=True)
class Services:
    """What hears, thinks and speaks.

    Attributes:
        stt: Speech to text.
        llm: The language model.
        tts: Text to speech.
        turns: How a turn of the user's begins and ends; None for Pipecat's own way.
    """

    stt: FrameProcessor
    llm: FrameProcessor
    tts: FrameProcessor
    turns: UserTurnStrategies | None = None


def service_problems() -> list[str]:
    """What is missing for hearing, thinking and speaking: a key, or the package of a service."""
    missing = [key for key in KEYS if not os.getenv(key)]
    if not missing:
        return package_problems("deepgram", "openai", extra="pipecat-ai[cartesia,deepgram,openai]")
    if len(missing) == len(KEYS):
        return package_problems("pocketsphinx", "espeakng_loader", extra="pipecat-lemonslice[local]")
    return [f"Set {' and '.join(missing)} too (see env.example), or none of {', '.join(KEYS)} to run offline."]


def choose_services() -> Services:
    """Return hosted services if their keys are set, the offline ones if none is.

    Raises:
        RuntimeError: Something is missing; says what.
    """
    if problems := service_problems():
        raise RuntimeError(" ".join(problems))
    return _hosted() if os.getenv(KEYS[0]) else _offline()


def _hosted() -> Services:
    from pipecat.services.cartesia.tts import CartesiaTTSService
    from pipecat.services.deepgram.stt import DeepgramSTTService
    from pipecat.services.openai.llm import OpenAILLMService

    voice = os.getenv("CARTESIA_VOICE_ID", "86e30c1d-714b-4074-a1f2-1cb6b552fb49")
    model = os.getenv("OPENAI_MODEL", "gpt-4.1")
    return Services(
        stt=DeepgramSTTService(api_key=os.environ["DEEPGRAM_API_KEY"]),
        llm=OpenAILLMService(
            api_key=os.environ["OPENAI_API_KEY"],
            settings=OpenAILLMService.Settings(model=model, system_instruction=INSTRUCTION),
        ),
        tts=CartesiaTTSService(
            api_key=os.environ["CARTESIA_API_KEY"], settings=CartesiaTTSService.Settings(voice=voice)
        ),
    )


def _offline() -> Services:
    from pipecat.turns.user_start import VADUserTurnStartStrategy
    from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy

    from offline.brain import ScriptedBrainService
    from offline.conversation import NOT_UNDERSTOOD
    from offline.ears import PocketsphinxSTTService
    from offline.script import PHRASES
    from offline.voice import EspeakTTSService

    logger.info("No keys are set: hearing, thinking and speaking are done offline")
    return Services(
        stt=PocketsphinxSTTService(phrases=PHRASES, not_understood=NOT_UNDERSTOOD),
        llm=ScriptedBrainService(),
        tts=EspeakTTSService(),
        turns=UserTurnStrategies(
            start=[VADUserTurnStartStrategy()],
            stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.4)],
        ),
    )
