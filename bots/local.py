"""A complete bot on this machine: no key, no internet, no model to download. Talk to it in a browser.

    uv run bots/local.py

Microphone, voice detection, ears, a scripted brain, a voice, the avatar, the browser. All of the pipeline is
real; the avatar comes from the emulator of this package, unless LEMONSLICE_API_URL names another place.
"""

import argparse
import asyncio
import logging
import math
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType, MappingProxyType

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.evals.transport import EvalTransportParams
from pipecat.frames.frames import LLMRunFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.runner.run import app, main, runner_host, runner_port
from pipecat.runner.types import (
    EvalRunnerArguments,
    RunnerArguments,
    SmallWebRTCRunnerArguments,
    WebSocketRunnerArguments,
)
from pipecat.runner.utils import create_transport
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_transport import BaseTransport, TransportParams
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from checks import OneLineParser, address_problems, caller_is_told, package_problems, refuse, transport_problems
from offline.brain import ScriptedBrainService, avatar_tools
from offline.browser import BrowserTransport
from offline.conversation import NOT_UNDERSTOOD
from offline.ears import PocketsphinxSTTService
from offline.script import PHRASES
from offline.voice import EspeakTTSService
from pipecat_lemonslice import ConfigurationError, LemonSliceVideoService
from pipecat_lemonslice.emulator import Emulator, EmulatorOptions

PAGE = Path(__file__).parent / "page"

# The packages of Pipecat's own local services, by the extra that brings them.
EXTRAS = {"whisper": "faster_whisper", "moonshine": "moonshine_voice", "kokoro": "kokoro_onnx", "piper": "piper"}

# The avatar's picture by its shape, width and height in pixels.
SIZES = MappingProxyType({"2x3": (368, 560), "9x16": (360, 640), "1x1": (512, 512)})

EVALS = {"eval": lambda: EvalTransportParams(audio_in_enabled=True, audio_out_enabled=True)}

calls: set[WorkerRunner] = set()
app.state.aspect = "2x3"

# The ears need the whole utterance and then a tenth of a second, so a turn may end soon after the voice does.
SPEECH_TIMEOUT = 0.4
# A turn in which nothing was said (a cough) ends after this many seconds.
EMPTY_TURN_TIMEOUT = 2.0


def browser_params(aspect: str = "2x3") -> TransportParams:
    """Return what is sent to the browser, and what is taken from it.

    Args:
        aspect: Shape of the avatar's picture, one of ``SIZES``.
    """
    width, height = SIZES[aspect]
    return TransportParams(
        audio_in_enabled=True,
        audio_out_enabled=True,
        audio_out_sample_rate=24000,
        audio_out_end_silence_secs=1,
        video_out_enabled=True,
        video_out_width=width,
        video_out_height=height,
        # Pictures are marked for 30 a second. Not live: the newest is shown, as often as needed; live would queue
        # every one without bound, and a slow browser would see the avatar later and later.
        video_out_framerate=30,
        video_out_is_live=False,
    )


def missing_packages(args: argparse.Namespace) -> list[str]:
    """Say for the ears and the voice what to install, where it is missing."""
    return [
        f"{option} {name} needs its package: uv pip install 'pipecat-ai[{name}]'"
        for option, name in (("--ears", args.ears), ("--voice", args.voice))
        if name in EXTRAS and find_spec(EXTRAS[name]) is None
    ]


def make_ears(name: str) -> STTService:
    """Return the speech recognition of that name. Loads files: call it in a thread."""
    match name:
        case "whisper":
            from pipecat.services.whisper.stt import WhisperSTTService

            return WhisperSTTService()
        case "moonshine":
            from pipecat.services.moonshine.stt import MoonshineSTTService

            return MoonshineSTTService()
        case _:
            return PocketsphinxSTTService(phrases=PHRASES, not_understood=NOT_UNDERSTOOD)


def make_voice(args: argparse.Namespace) -> TTSService:
    """Return the voice that was asked for. Loads files: call it in a thread."""
    match args.voice:
        case "kokoro":
            from pipecat.services.kokoro.tts import KokoroTTSService

            return KokoroTTSService(settings=KokoroTTSService.Settings(voice="af_heart"))
        case "piper":
            from pipecat.services.piper.tts import PiperTTSService

            return PiperTTSService(settings=PiperTTSService.Settings(voice="en_US-ryan-high"))
        case _:
            return EspeakTTSService(stop_events=args.stop_events, pause_between_sentences=args.sentence_pause)


def make_avatar(api_url: str, aspect: str = "2x3") -> LemonSliceVideoService:
    """Return the avatar: an agent's if one is named, else the emulator's own.

    Args:
        api_url: Address of LemonSlice's API, or of the emulator's.
        aspect: Shape of its picture, one of ``SIZES``.
    """
    return LemonSliceVideoService(
        api_url=api_url,
        api_key=os.getenv("LEMONSLICE_API_KEY") or "none-needed",
        agent_id=os.getenv("LEMONSLICE_AGENT_ID") or "lem",
        aspect_ratio=aspect,
    )


def avatar_problems(aspect: str) -> list[str]:
    """What is wrong with the LemonSlice or emulator that is named, or missing for one of our own.

    Args:
        aspect: Shape of the avatar's picture, one of ``SIZES``.
    """
    url = os.getenv("LEMONSLICE_API_URL")
    if not url:
        return package_problems("resvg_py", extra="pipecat-lemonslice[local]")
    try:
        make_avatar(url, aspect)
    except ConfigurationError as error:
        return [str(error)]
    return []


async def make_worker(
    transport: BaseTransport, ears: STTService, voice: TTSService, avatar: LemonSliceVideoService
) -> PipelineWorker:
    """Return the bot for one call. It greets as soon as the browser's page is ready."""
    context = LLMContext(tools=await asyncio.to_thread(avatar_tools, avatar))
    user, assistant = LLMContextAggregatorPair(
        context,
        user_params=LLMUserAggregatorParams(
            vad_analyzer=SileroVADAnalyzer(),
            user_turn_strategies=UserTurnStrategies(
                start=[VADUserTurnStartStrategy()],
                stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=SPEECH_TIMEOUT)],
            ),
            user_turn_stop_timeout=EMPTY_TURN_TIMEOUT,
        ),
    )
    brain = ScriptedBrainService()
    worker = PipelineWorker(
        Pipeline([transport.input(), ears, user, brain, voice, avatar, transport.output(), assistant]),
        params=PipelineParams(audio_in_sample_rate=16000, audio_out_sample_rate=24000, enable_metrics=True),
    )

    @worker.rtvi.event_handler("on_client_ready")
    async def greet(_rtvi: object) -> None:
        await worker.queue_frame(LLMRunFrame())

    @transport.event_handler("on_client_disconnected")
    async def leave(_transport: object, _client: object) -> None:
        await worker.cancel()

    return worker


async def bot(runner_args: RunnerArguments) -> None:
    """Run one call; Pipecat's runner starts it when a browser connects."""
    async with caller_is_told(runner_args):
        args = runner_args.cli_args or options().parse_args([])
        await run_bot(await make_transport(runner_args, args.aspect), runner_args, args)


async def make_transport(runner_args: RunnerArguments, aspect: str) -> BaseTransport:
    """Return the way to whoever calls: a browser, or the harness of Pipecat's evals.

    Raises:
        ValueError: It is neither.
    """
    match runner_args:
        case SmallWebRTCRunnerArguments():
            return BrowserTransport(runner_args.webrtc_connection, browser_params(aspect))
        case WebSocketRunnerArguments() | EvalRunnerArguments():
            return await create_transport(runner_args, EVALS)
        case _:
            raise ValueError("local.py talks to browsers over WebRTC only; see relay.py for other transports")


async def run_bot(transport: BaseTransport, runner_args: RunnerArguments, args: argparse.Namespace) -> None:
    """Run one call."""
    ears, voice = await asyncio.to_thread(make_ears, args.ears), await asyncio.to_thread(make_voice, args)
    worker = await make_worker(transport, ears, voice, make_avatar(app.state.lemonslice_url, args.aspect))
    runner = WorkerRunner(handle_sigint=runner_args.handle_sigint)
    await runner.add_workers(worker)
    calls.add(runner)
    try:
        await runner.run()
    finally:
        calls.discard(runner)


def end_calls_first(number: signal.Signals) -> None:
    """Let a signal end the calls before the server, which would wait for them."""
    loop, ending, serving = asyncio.get_running_loop(), set[asyncio.Task[None]](), signal.getsignal(number)

    def end_calls() -> None:
        ending.update(loop.create_task(runner.cancel()) for runner in calls)

    def on_signal(received: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(end_calls)
        if callable(serving):
            serving(received, frame)

    signal.signal(number, on_signal)


@app.get("/", include_in_schema=False)
async def page() -> HTMLResponse:
    """The page, laid out for the picture's shape. Registered before the runner adds its own, so this one is shown."""
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    return HTMLResponse(html.replace('data-aspect="2x3"', f'data-aspect="{app.state.aspect}"'))


class Announcement(logging.Handler):
    """Prints the address last, when the server really listens on it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print it behind uvicorn's own message."""
        if str(record.msg).startswith("Uvicorn running on"):
            print(f"\nTalk to the avatar: http://{runner_host()}:{runner_port()}/\n", flush=True)


@asynccontextmanager
async def lifespan(served: FastAPI) -> AsyncIterator[None]:
    """Keep one emulator for all calls, and serve the page's files after all other routes."""
    served.mount("/", StaticFiles(directory=PAGE))
    logging.getLogger("uvicorn").addHandler(Announcement())
    for number in (signal.SIGINT, signal.SIGTERM):
        end_calls_first(number)
    if url := os.getenv("LEMONSLICE_API_URL"):
        served.state.lemonslice_url = url
        yield
    else:
        async with Emulator(EmulatorOptions(record_seconds=0)) as emulator:
            served.state.lemonslice_url = emulator.api_url
            yield


def pause(text: str) -> float:
    """Return a number of seconds, 0 or more.

    Raises:
        ArgumentTypeError: The text is not such a number.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"give a number of seconds, 0 or more, not {text!r}")
    return seconds


def options(*, add_help: bool = True) -> argparse.ArgumentParser:
    """Return the options of this bot; the runner adds its own, such as --host and --port."""
    parser = OneLineParser(description="Talk to an avatar on this machine", add_help=add_help)
    parser.add_argument(
        "--ears",
        choices=("pocketsphinx", "whisper", "moonshine"),
        default="pocketsphinx",
        help="speech recognition: pocketsphinx (the default) understands a list of phrases and needs no download; "
        "whisper and moonshine understand anything, and each needs its package of Pipecat",
    )
    parser.add_argument(
        "--voice",
        choices=("espeak", "kokoro", "piper"),
        default="espeak",
        help="the voice: espeak (the default) needs no download; kokoro and piper sound natural, and each needs its "
        "package of Pipecat",
    )
    parser.add_argument(
        "--stop-events",
        choices=("per_turn", "per_sentence", "never"),
        default="per_turn",
        help="when the voice says that it has stopped (espeak only; the default is per_turn)",
    )
    parser.add_argument(
        "--sentence-pause",
        type=pause,
        default=0.0,
        metavar="SECONDS",
        help="silence between two sentences (espeak only; the default is 0)",
    )
    parser.add_argument(
        "--aspect", choices=tuple(SIZES), default="2x3", help="shape of the avatar's picture (the default is 2x3)"
    )
    return parser


app.router.lifespan_context = lifespan

if __name__ == "__main__":
    chosen = options(add_help=False).parse_known_args()[0]
    app.state.aspect = chosen.aspect
    refuse(
        [
            *transport_problems("local.py", ("webrtc", *EVALS)),
            *missing_packages(chosen),
            *avatar_problems(chosen.aspect),
            *address_problems(),
        ]
    )
    main(options())
