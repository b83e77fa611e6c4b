"""A bot, an avatar and people in one Daily room: the avatar's picture goes straight to the people.

python shared_room.py -t daily      # needs DAILY_API_KEY and LEMONSLICE_API_KEY
"""

from collections.abc import Mapping
from typing import Any, cast

from dotenv import load_dotenv
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import LLMRunFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.runner.types import RunnerArguments
from pipecat.runner.utils import create_transport
from pipecat.transports.daily.transport import DailyParams, DailyTransport
from pipecat.workers.runner import WorkerRunner

from checks import OneLineParser, address_problems, avatar_problems, caller_is_told, refuse, transport_problems
from relay import GREETING, make_avatar
from services import choose_services, service_problems

load_dotenv(override=False)

# No picture goes out of here: the avatar sends its own. The microphone carries the plain voice while it is away.
TRANSPORTS = {"daily": lambda: DailyParams(audio_in_enabled=True, audio_out_enabled=True)}


async def run_bot(transport: DailyTransport, runner_args: RunnerArguments) -> None:
    """Run one call."""
    services = choose_services()
    avatar = make_avatar(transport=transport)
    context = LLMContext()
    user, assistant = LLMContextAggregatorPair(
        context,
        user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer(), user_turn_strategies=services.turns),
    )
    pipeline = Pipeline(
        [transport.input(), services.stt, user, services.llm, services.tts, avatar, transport.output(), assistant]
    )
    worker = PipelineWorker(pipeline, params=PipelineParams(enable_metrics=True, enable_usage_metrics=True))
    runner = WorkerRunner(handle_sigint=runner_args.handle_sigint)

    # The avatar is a participant too: greet people, and end when the last of them has gone.
    @transport.event_handler("on_participant_joined")
    async def on_participant_joined(_transport: DailyTransport, participant: Mapping[str, Any]) -> None:
        if avatar.is_avatar(participant):
            return
        if not context.get_messages():
            context.add_message({"role": "developer", "content": GREETING})
            await worker.queue_frames([LLMRunFrame()])

    @transport.event_handler("on_participant_left")
    async def on_participant_left(transport: DailyTransport, _participant: Mapping[str, Any], _reason: str) -> None:
        here = [one for key, one in transport.participants().items() if key != "local"]
        if not any(not avatar.is_avatar(one) for one in here):
            await runner.cancel()

    await runner.add_workers(worker)
    await runner.run()


async def bot(runner_args: RunnerArguments) -> None:
    """Entry point, for Pipecat's runner and for Pipecat Cloud."""
    async with caller_is_told(runner_args):
        await run_bot(cast("DailyTransport", await create_transport(runner_args, TRANSPORTS)), runner_args)


if __name__ == "__main__":
    from pipecat.runner.run import main

    refuse(
        [
            *transport_problems("shared_room.py", tuple(TRANSPORTS)),
            *avatar_problems(),
            *service_problems(),
            *address_problems(),
        ]
    )
    main(OneLineParser(description="A bot, an avatar and people in one Daily room"))
