"""The local bot as it is wired, over a transport in memory, with the emulator; in real time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pipecat.frames.frames import (
    InputAudioRawFrame,
    InputTransportMessageFrame,
    OutputAudioRawFrame,
    OutputImageRawFrame,
    StartFrame,
)
from pipecat.pipeline.worker import PipelineWorker
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import BaseTransport
from pipecat.workers.runner import WorkerRunner

import local
from pipecat_lemonslice.emulator import Avatar, Emulator, EmulatorOptions, Kind
from tests.support.speech import microphone

BOUND = 20.0


class Input(BaseInputTransport):
    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)


class Output(BaseOutputTransport):
    """Takes sound at the speed at which it is heard, counts pictures, keeps messages."""

    def __init__(self, browser: "Browser", params: Any) -> None:
        super().__init__(params)
        self._browser = browser

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        await asyncio.sleep(len(frame.audio) / 2 / frame.sample_rate)
        return True

    async def write_video_frame(self, frame: OutputImageRawFrame) -> bool:
        self._browser.pictures += 1
        self._browser.sizes.add(frame.size)
        return True

    async def send_message(self, frame: Any) -> None:
        self._browser.messages.append(frame.message)
        self._browser.news.set()


class Browser(BaseTransport):
    """Somebody in a call, without a network."""

    def __init__(self, aspect: str = "2x3") -> None:
        super().__init__()
        params = local.browser_params(aspect)
        self._ins, self._outs = Input(params), Output(self, params)
        self.pictures = 0
        self.sizes: set[tuple[int, int]] = set()
        self.messages: list[dict[str, Any]] = []
        self.news = asyncio.Event()
        self._register_event_handler("on_client_disconnected")

    def input(self) -> Input:
        return self._ins

    def output(self) -> Output:
        return self._outs

    async def send(self, kind: str, data: dict[str, Any]) -> None:
        message = {"label": "rtvi-ai", "type": kind, "id": "1", "data": data}
        await self._ins.broadcast_frame(InputTransportMessageFrame, message=message)

    async def type(self, text: str) -> None:
        await self.send("send-text", {"content": text, "options": {"run_immediately": True, "audio_response": True}})

    async def say(self, text: str) -> None:
        """Speak as into a microphone, in real time, with a second of quiet behind it."""
        samples = microphone(text, lead=0.5, tail=1.2)
        for start in range(0, len(samples), 320):
            await self._ins.push_audio_frame(InputAudioRawFrame(samples[start : start + 320].tobytes(), 16000, 1))
            await asyncio.sleep(0.02)

    async def leave(self) -> None:
        await self._call_event_handler("on_client_disconnected", self)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(BOUND):
            while not condition():
                self.news.clear()
                await self.news.wait()

    def spoken(self) -> str:
        """What the page would show as heard from the bot."""
        progress = [message["data"].get("spoken_progress", {}) for message in self.of("bot-output")]
        return " ".join(filter(None, (step.get("accumulated_text") for step in progress)))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message.get("type") == kind]

    def responses(self) -> list[str]:
        told = (message["data"] for message in self.of("server-message"))
        return [data["reason"] for data in told if data.get("event") == "done"]


@asynccontextmanager
async def call(*arguments: str) -> AsyncIterator[tuple[Browser, Avatar, asyncio.Task[None], Emulator]]:
    """A call that has been answered: the browser is ready, and the avatar is there."""
    async with Emulator(EmulatorOptions(latency=0.05)) as emulator:
        args = local.options().parse_args(arguments)
        browser = Browser(args.aspect)
        avatar = local.make_avatar(emulator.api_url, args.aspect)
        worker = await local.make_worker(browser, local.make_ears(args.ears), local.make_voice(args), avatar)
        running = await started(worker)
        try:
            session = await emulator.wait_for_session()
            await browser.until(lambda: "'status': 'here'" in str(browser.messages))
            await browser.send("client-ready", {"version": "2.2.0", "about": {"library": "test"}})
            assert session.avatar is not None
            yield browser, session.avatar, running, emulator
        finally:
            await worker.cancel()
            await asyncio.wait_for(running, BOUND)
        assert emulator.running == []


async def started(worker: PipelineWorker) -> asyncio.Task[None]:
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    return asyncio.create_task(runner.run())


async def test_a_call_from_greeting_to_goodbye() -> None:
    """It greets, is interrupted by typing and by speaking, acts, and ends the call after the last words."""
    async with call() as (browser, avatar, running, _):
        await avatar.wait_for(Kind.VOICE)
        await avatar.wait_for(Kind.POSE)
        await browser.type("tell me a story")
        await browser.until(lambda: "lighthouse" in browser.spoken())
        await browser.say("who are you")
        await browser.until(lambda: "who are you" in str(browser.of("user-input")))
        await browser.until(lambda: "I am Lem" in browser.spoken())
        await browser.type("goodbye")
        await asyncio.wait_for(running, BOUND)
        assert browser.responses()[:2] == ["interrupted", "interrupted"]
        assert "interrupted by you" in browser.spoken()
        assert [event.value for event in avatar.events_of(Kind.POSE)] == ["wave", "wave"]
        assert browser.pictures > 50


async def test_responses_end_though_the_voice_never_says_so() -> None:
    """Several sentences with pauses between them are one response."""
    async with call("--stop-events", "never", "--sentence-pause", "0.1") as (browser, avatar, _, _):
        await avatar.wait_for(Kind.VOICE)
        await browser.type("thank you")
        await browser.until(lambda: len(browser.responses()) == 2)
        assert browser.responses() == ["interrupted", "response_done_timeout"]
        await browser.until(lambda: "but I meant it" in browser.spoken())  # words queue behind audio, messages do not


@pytest.mark.parametrize(("aspect", "size"), [("9x16", (360, 640)), ("1x1", (512, 512))])
async def test_the_picture_has_the_shape_that_was_asked_for(aspect: str, size: tuple[int, int]) -> None:
    """The session is asked for it, and pictures leave for the browser in its size, the first one included."""
    async with call("--aspect", aspect) as (browser, avatar, _, emulator):
        await avatar.wait_for(Kind.VOICE)
        assert emulator.sessions[0].request.body["aspect_ratio"] == aspect
        assert browser.sizes == {size}


async def test_what_is_asked_for_is_done_with_functions_and_then_spoken_of() -> None:
    """By voice and in writing: a pose, clothes, sleep. The words follow the result, in a response of their own."""
    async with call() as (browser, avatar, _, emulator):
        await avatar.wait_for(Kind.VOICE)
        await browser.say("wave at me")
        await browser.until(lambda: "over here" in browser.spoken())
        emulator.fault("reject=400@update-image")
        await browser.type("change your clothes")
        await browser.until(lambda: "It did not work" in browser.spoken())
        await browser.type("change your clothes")
        await avatar.wait_for(Kind.IMAGE_CHANGED, timeout=BOUND)
        await browser.until(lambda: "How do I look" in browser.spoken())
        await browser.type("fall asleep")
        await browser.until(lambda: "Good night" in browser.spoken())
        assert [event.value for event in avatar.events_of(Kind.POSE)] == ["wave", "wave"]
        assert [event.value for event in avatar.events_of(Kind.IDLE_PROMPT)] == ["a person asleep, with closed eyes"]
        assert len(browser.of("llm-function-call-stopped")) == 4


async def test_the_call_ends_when_the_browser_goes() -> None:
    """No goodbye is needed: the pipeline ends, and with it the session."""
    async with call() as (browser, _, running, emulator):
        await browser.leave()
        await asyncio.wait_for(running, BOUND)
        assert emulator.terminated == 1


@pytest.mark.parametrize(
    "arguments", [("--ears", "whisper"), ("--ears", "moonshine"), ("--voice", "kokoro"), ("--voice", "piper")]
)
def test_a_missing_package_is_named_before_anybody_calls(
    arguments: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to install, for any of Pipecat's own local services."""
    monkeypatch.setattr(local, "find_spec", lambda _: None)
    [line] = local.missing_packages(local.options().parse_args(arguments))
    assert f"{arguments[0]} {arguments[1]} needs" in line
    assert f"pipecat-ai[{arguments[1]}]" in line


def test_the_offline_services_need_no_other_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The defaults pass on any machine."""
    monkeypatch.setattr(local, "find_spec", lambda _: None)
    assert local.missing_packages(local.options().parse_args([])) == []


async def test_the_page_is_served_at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files beside it, behind all other routes; the emulator lives as long as the server."""
    monkeypatch.delenv("LEMONSLICE_API_URL", raising=False)
    served = FastAPI()
    served.get("/")(local.page)
    served.get("/status")(lambda: {"status": "ready"})
    async with local.lifespan(served), httpx.AsyncClient(transport=httpx.ASGITransport(served)) as client:
        answers = [await client.get(f"http://bot/{path}") for path in ("", "main.js", "status", "nothing.js")]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 404]
        assert "<html" in answers[0].text
        assert answers[2].json() == {"status": "ready"}
        assert served.state.lemonslice_url.startswith("http://127.0.0.1:")


async def test_the_page_is_laid_out_for_the_shape_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows the shape before the first picture comes."""
    monkeypatch.setattr(local.app.state, "aspect", "9x16")
    served = FastAPI()
    served.get("/")(local.page)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(served)) as client:
        assert 'data-aspect="9x16"' in (await client.get("http://bot/")).text


async def test_another_lemonslice_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then no emulator is started."""
    monkeypatch.setenv("LEMONSLICE_API_URL", "http://elsewhere/api")
    served = FastAPI()
    async with local.lifespan(served):
        assert served.state.lemonslice_url == "http://elsewhere/api"
