"""A bot with an avatar in a room of its own; the user comes over any transport.

    python relay.py -t webrtc     # a browser, on this machine
    python relay.py -t daily      # a Daily room for the user; needs DAILY_API_KEY
    python relay.py -t eval       # for `pipecat eval run` (see evals/)

With LEMONSLICE_API_URL it runs against the emulator, without a line changed:

    python -m pipecat_lemonslice.emulator
    LEMONSLICE_API_URL=http://127.0.0.1:8900/api LEMONSLICE_API_KEY=any python relay.py -t webrtc
"""

import os
from typing import Any

from dotenv import load_dotenv
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.evals.transport import EvalTransportParams
from pipecat.frames.frames import LLMRunFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.runner.types import RunnerArguments
from pipecat.runner.utils import create_transport
from pipecat.transports.base_transport import BaseTransport, TransportParams
from pipecat.transports.daily.transport import DailyParams
from pipecat.workers.runner import WorkerRunner

from checks import OneLineParser, address_problems, avatar_problems, caller_is_told, refuse, transport_problems
from pipecat_lemonslice import LemonSliceVideoService
from services import choose_services, service_problems

load_dotenv(override=False)

# Not live: the transport then shows the newest picture, and queues none.
PICTURE = {"video_out_enabled": True, "video_out_width": 368, "video_out_height": 560, "video_out_framerate": 25}
TRANSPORTS = {
    "webrtc": lambda: TransportParams(audio_in_enabled=True, audio_out_enabled=True, **PICTURE),
    "daily": lambda: DailyParams(audio_in_enabled=True, audio_out_enabled=True, **PICTURE),
    "eval": lambda: EvalTransportParams(audio_in_enabled=True, audio_out_enabled=True),
}
GREETING = "Greet the user, say who you are, and ask what they would like to talk about."


def make_avatar(**where: Any) -> LemonSliceVideoService:
    """The avatar of LEMONSLICE_AGENT_ID, or of the picture at LEMONSLICE_IMAGE_URL."""
    agent_id, image_url = os.getenv("LEMONSLICE_AGENT_ID"), os.getenv("LEMONSLICE_IMAGE_URL")
    if not agent_id and not image_url and os.getenv("LEMONSLICE_API_URL"):
        agent_id = "emulated"  # any name will do there
    return LemonSliceVideoService(agent_id=agent_id or None, agent_image_url=image_url or None, **where)


async def run_bot(transport: BaseTransport, runner_args: RunnerArguments) -> None:
    """Run one call."""
    services = choose_services()
    avatar = make_avatar()
    context = LLMContext()
    user, assistant = LLMContextAggregatorPair(
        context,
        user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer(), user_turn_strategies=services.turns),
    )
    pipeline = Pipeline(
        [
            transport.input(),
            services.stt,
            user,
            services.llm,
            services.tts,
            avatar,
            transport.output(),
            assistant,
        ]
    )
    worker = PipelineWorker(pipeline, params=PipelineParams(enable_metrics=True, enable_usage_metrics=True))
    runner = WorkerRunner(handle_sigint=runner_args.handle_sigint)

    @transport.event_handler("on_client_connected")
    async def on_client_connected(_transport: BaseTransport, _client: object) -> None:
        context.add_message({"role": "developer", "content": GREETING})
        await worker.queue_frames([LLMRunFrame()])

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(_transport: BaseTransport, _client: object) -> None:
        await runner.cancel()

    @avatar.event_handler("on_session_ended")
    async def on_session_ended(_avatar: LemonSliceVideoService, session_id: str, cost: float | None) -> None:
        logger.info(f"Avatar session {session_id} has ended; cost: {cost}")

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
            *transport_problems("relay.py", tuple(TRANSPORTS)),
            *avatar_problems(),
            *service_problems(),
            *address_problems(),
        ]
    )
    main(OneLineParser(description="An avatar in a room of its own"))
