"""The local bot as it is wired, over a transport in memory, with the emulator; in real time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pipecat.frames.frames import InputAudioRawFrame, InputTransportMessageFrame, OutputImageRawFrame, StartFrame
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_transport import BaseTransport
from pipecat.workers.runner import WorkerRunner

import local
from pipecat_lemonslice.emulator import Avatar, Emulator, EmulatorOptions, Kind
from tests.support.speech import microphone
from tests.support.user import UserOutput
from tests.support.waiting import until

BOUND = 20.0


class Input(BaseInputTransport):
    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)


class Output(UserOutput):
    """Counts pictures and keeps messages."""

    def __init__(self, aspect: str) -> None:
        given = local.browser_params(aspect).model_dump(exclude_unset=True)
        super().__init__(**{name: value for name, value in given.items() if "_out_enabled" not in name})
        self.pictures: list[tuple[int, int]] = []
        self.messages: list[dict[str, Any]] = []

    def hear(self, at: float, samples: Any, sample_rate: int) -> None:
        pass

    def see(self, at: float, picture: OutputImageRawFrame) -> None:
        self.pictures.append(picture.size)

    async def send_message(self, frame: Any) -> None:
        self.messages.append(frame.message)


class Browser(BaseTransport):
    """Somebody in a call, without a network."""

    def __init__(self, aspect: str) -> None:
        super().__init__()
        self._ins, self._outs = Input(local.browser_params(aspect)), Output(aspect)
        self.pictures, self.messages = self._outs.pictures, self._outs.messages
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
async def call(*arguments: str) -> AsyncIterator[tuple[Browser, Avatar, "asyncio.Task[None]", Emulator]]:
    """A call that has been answered: the browser is ready, the avatar is there, and has begun to greet."""
    async with Emulator(EmulatorOptions(latency=0.05)) as emulator:
        args = local.options().parse_args(arguments)
        browser = Browser(args.aspect)
        avatar = local.make_avatar(emulator.api_url, args.aspect)
        worker = await local.make_worker(browser, local.make_ears(args.ears), local.make_voice(args), avatar)
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        running = asyncio.create_task(runner.run())
        try:
            session = await emulator.wait_for_session()
            await until(lambda: "'status': 'here'" in str(browser.messages), BOUND)
            await browser.send("client-ready", {"version": "2.2.0", "about": {"library": "test"}})
            await session.avatar.wait_for(Kind.VOICE)
            yield browser, session.avatar, running, emulator
        finally:
            await worker.cancel()
            await asyncio.wait_for(running, BOUND)
        assert emulator.running == []


async def test_a_call_from_greeting_to_goodbye() -> None:
    """It greets, is interrupted by typing and by speaking, acts, and ends the call after the last words."""
    async with call() as (browser, avatar, running, _):
        await avatar.wait_for(Kind.POSE)
        await browser.type("tell me a story")
        await until(lambda: "lighthouse" in browser.spoken(), BOUND)
        await browser.say("who are you")
        await until(lambda: "who are you" in str(browser.of("user-input")), BOUND)
        await until(lambda: "I am Lem" in browser.spoken(), BOUND)
        await browser.type("goodbye")
        await asyncio.wait_for(running, BOUND)
        assert browser.responses()[:2] == ["interrupted", "interrupted"]
        assert "interrupted by you" in browser.spoken()
        assert [event.value for event in avatar.events_of(Kind.POSE)] == ["wave", "wave"]
        assert len(browser.pictures) > 50


async def test_what_is_asked_for_is_done_with_functions_and_then_spoken_of() -> None:
    """By voice and in writing: a pose, clothes, sleep. The words follow the result, in a response of their own."""
    async with call() as (browser, avatar, _, emulator):
        await browser.say("wave at me")
        await until(lambda: "over here" in browser.spoken(), BOUND)
        emulator.fault("reject=400@update-image")
        await browser.type("change your clothes")
        await until(lambda: "It did not work" in browser.spoken(), BOUND)
        await browser.type("change your clothes")
        await avatar.wait_for(Kind.IMAGE_CHANGED, timeout=BOUND)
        await until(lambda: "How do I look" in browser.spoken(), BOUND)
        await browser.type("fall asleep")
        await until(lambda: "Good night" in browser.spoken(), BOUND)
        assert [event.value for event in avatar.events_of(Kind.POSE)] == ["wave", "wave"]
        assert [event.value for event in avatar.events_of(Kind.IDLE_PROMPT)] == ["a person asleep, with closed eyes"]
        assert len(browser.of("llm-function-call-stopped")) == 4


@pytest.mark.parametrize(("aspect", "size"), [("9x16", (360, 640)), ("1x1", (512, 512))])
async def test_the_options_are_obeyed_and_the_call_ends_when_the_browser_goes(
    aspect: str, size: tuple[int, int]
) -> None:
    """The picture has the shape that was asked for, the first one included.

    The voice never says that it stops: several sentences with pauses between them are one response.
    """
    options = ("--aspect", aspect, "--stop-events", "never", "--sentence-pause", "0.1")
    async with call(*options) as (browser, _, running, emulator):
        await browser.type("thank you")
        await until(lambda: browser.responses() == ["interrupted", "response_done_timeout"], BOUND)
        await until(lambda: "but I meant it" in browser.spoken(), BOUND)  # words queue behind audio, messages do not
        assert emulator.sessions[0].request.body["aspect_ratio"] == aspect
        assert set(browser.pictures) == {size}
        await browser.leave()
        await asyncio.wait_for(running, BOUND)
        assert emulator.terminated == 1


@pytest.mark.parametrize(
    ("option", "name"),
    [("--ears", "whisper"), ("--ears", "moonshine"), ("--voice", "kokoro"), ("--voice", "piper")],
)
def test_a_missing_package_is_named_before_anybody_calls(
    option: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to install, for any of Pipecat's own local services; the offline ones need none."""
    monkeypatch.setattr(local, "find_spec", lambda _: None)
    [line] = local.missing_packages(local.options().parse_args([option, name]))
    assert f"{option} {name} needs" in line
    assert f"pipecat-ai[{name}]" in line
    assert local.missing_packages(local.options().parse_args([])) == []


async def test_the_page_is_served_at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Laid out for the picture's shape, its files beside it, behind all other routes; with an emulator of its own.

    No emulator is started where another LemonSlice is named.
    """
    monkeypatch.delenv("LEMONSLICE_API_URL", raising=False)
    monkeypatch.setattr(local.app.state, "aspect", "9x16")
    served = FastAPI()
    served.get("/")(local.page)
    served.get("/status")(lambda: {"status": "ready"})
    async with local.lifespan(served), httpx.AsyncClient(transport=httpx.ASGITransport(served)) as client:
        answers = [await client.get(f"http://bot/{path}") for path in ("", "main.js", "status", "nothing.js")]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 404]
        assert 'data-aspect="9x16"' in answers[0].text
        assert answers[2].json() == {"status": "ready"}
        assert served.state.lemonslice_url.startswith("http://127.0.0.1:")
    monkeypatch.setenv("LEMONSLICE_API_URL", "http://elsewhere/api")
    async with local.lifespan(served):
        assert served.state.lemonslice_url == "http://elsewhere/api"
