"""A bot on a realtime model, which hears and speaks by itself: no separate STT or TTS.

python speech_to_speech.py -t webrtc      # needs OPENAI_API_KEY, and an avatar as in relay.py
python speech_to_speech.py -t daily
"""

import os

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import LLMRunFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.runner.types import RunnerArguments
from pipecat.runner.utils import create_transport
from pipecat.transports.base_transport import BaseTransport
from pipecat.workers.runner import WorkerRunner

from checks import (
    OneLineParser,
    address_problems,
    avatar_problems,
    caller_is_told,
    package_problems,
    refuse,
    transport_problems,
)
from relay import GREETING, TRANSPORTS, make_avatar
from services import INSTRUCTION


def model_problems() -> list[str]:
    """What is missing for the realtime model: its key, or its package."""
    if not os.getenv("OPENAI_API_KEY"):
        return ["Set OPENAI_API_KEY (see env.example): a realtime model cannot be run offline."]
    return package_problems("openai", extra="pipecat-ai[openai]")


def make_model() -> FrameProcessor:
    """The realtime model; its speech comes as plain TTS audio, without any event at its end.

    Raises:
        RuntimeError: Something is missing; says what.
    """
    if problems := model_problems():
        raise RuntimeError(" ".join(problems))
    from pipecat.services.openai.realtime.events import (
        AudioConfiguration,
        AudioInput,
        InputAudioTranscription,
        SemanticTurnDetection,
        SessionProperties,
    )
    from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

    properties = SessionProperties(
        audio=AudioConfiguration(
            input=AudioInput(transcription=InputAudioTranscription(), turn_detection=SemanticTurnDetection())
        )
    )
    return OpenAIRealtimeLLMService(
        api_key=os.environ["OPENAI_API_KEY"],
        settings=OpenAIRealtimeLLMService.Settings(session_properties=properties, system_instruction=INSTRUCTION),
    )


async def run_bot(transport: BaseTransport, runner_args: RunnerArguments) -> None:
    """Run one call."""
    context = LLMContext([{"role": "developer", "content": GREETING}])
    user, assistant = LLMContextAggregatorPair(
        context, user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
    )
    pipeline = Pipeline([transport.input(), user, make_model(), make_avatar(), transport.output(), assistant])
    worker = PipelineWorker(pipeline, params=PipelineParams(enable_metrics=True, enable_usage_metrics=True))
    runner = WorkerRunner(handle_sigint=runner_args.handle_sigint)

    @transport.event_handler("on_client_connected")
    async def on_client_connected(_transport: BaseTransport, _client: object) -> None:
        await worker.queue_frames([LLMRunFrame()])

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(_transport: BaseTransport, _client: object) -> None:
        await runner.cancel()

    await runner.add_workers(worker)
    await runner.run()


async def bot(runner_args: RunnerArguments) -> None:
    """Entry point, for Pipecat's runner and for Pipecat Cloud."""
    async with caller_is_told(runner_args):
        await run_bot(await create_transport(runner_args, TRANSPORTS), runner_args)


if __name__ == "__main__":
    from pipecat.runner.run import main

    refuse(
        [
            *transport_problems("speech_to_speech.py", tuple(TRANSPORTS)),
            *avatar_problems(),
            *model_problems(),
            *address_problems(),
        ]
    )
    main(OneLineParser(description="A realtime model with an avatar"))
