"""The bots as they are, in processes of their own, with the emulator for LemonSlice: calls over WebRTC."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiortc import InvalidStateError, MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError

from pipecat_lemonslice.emulator import Emulator, EmulatorOptions

BOTS = Path(__file__).parents[2] / "bots"
NAMES = ("LEMONSLICE_", "DAILY_", "DEEPGRAM_", "OPENAI_", "CARTESIA_")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@asynccontextmanager
async def process(
    emulator: Emulator, log: Path, script: str, *arguments: str, **keys: str
) -> AsyncIterator[tuple[str, int]]:
    """The bot's address and process id, once it answers; it is ended by that id."""
    port = free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith(NAMES)}
    env |= {"LEMONSLICE_API_URL": emulator.api_url, "LEMONSLICE_API_KEY": "any", "PYTHONUNBUFFERED": "1", **keys}
    command = (sys.executable, str(BOTS / script), "--port", str(port), *arguments)
    with log.open("wb") as output:
        bot = await asyncio.create_subprocess_exec(*command, env=env, stdout=output, stderr=output, cwd=log.parent)
        try:
            await answering(f"http://localhost:{port}/status", bot)
            yield f"http://localhost:{port}", bot.pid
        finally:
            with suppress(ProcessLookupError):
                bot.terminate()
            await asyncio.wait_for(bot.wait(), 20)


async def answering(url: str, bot: asyncio.subprocess.Process) -> None:
    async with aiohttp.ClientSession() as http, asyncio.timeout(60):
        while bot.returncode is None:
            with suppress(aiohttp.ClientError):
                async with http.get(url) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.2)
    raise AssertionError("the bot has ended")


class Browser:
    """As much of a browser as a call needs: a silent microphone, and eyes and ears that count."""

    def __init__(self) -> None:
        self.peer = RTCPeerConnection()
        self.pictures = 0
        self.loudest = 0
        self.messages: list[dict[str, Any]] = []
        self._watching: set[asyncio.Task[None]] = set()
        self._channel = self.peer.createDataChannel("chat", ordered=True)
        self._channel.on("message", self._take)
        self.peer.addTrack(AudioStreamTrack())
        self.peer.addTransceiver("video", direction="recvonly")
        self.peer.on("track", self._watch)

    async def call(self, url: str) -> None:
        await self.peer.setLocalDescription(await self.peer.createOffer())
        offer = {"sdp": self.peer.localDescription.sdp, "type": self.peer.localDescription.type}
        async with aiohttp.ClientSession() as http, http.post(f"{url}/api/offer", json=offer) as response:
            answer = await response.json()
        await self.peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))

    def send(self, kind: str, data: object) -> None:
        message = {"label": "rtvi-ai", "type": kind, "id": kind, "data": data}
        self._channel.send(json.dumps(message))

    async def hang_up(self) -> None:
        await self.peer.close()
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)

    def _take(self, message: str) -> None:
        with suppress(ValueError):
            self.messages.append(json.loads(message))

    def _watch(self, track: MediaStreamTrack) -> None:
        self._watching.add(asyncio.create_task(self._receive(track)))

    async def _receive(self, track: MediaStreamTrack) -> None:
        with suppress(MediaStreamError):
            while True:
                frame: Any = await track.recv()
                if track.kind == "video":
                    self.pictures += 1
                else:
                    self.loudest = max(self.loudest, int(abs(frame.to_ndarray()).max()))


async def until(condition: Any, what: str, seconds: float = 40.0) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"never came true: {what}") from None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_the_relay_runs_unchanged_against_the_emulator(tmp_path: Path) -> None:
    """The avatar speaks the greeting, is seen and heard by the caller; the session ends with the call."""
    log = tmp_path / "bot.log"
    async with (
        Emulator(EmulatorOptions(latency=0.1)) as emulator,
        process(emulator, log, "relay.py", "-t", "webrtc") as (url, _),
    ):
        browser = Browser()
        try:
            await browser.call(url)
            session = await emulator.wait_for_session(timeout=30)
            await session.avatar.wait_for("response_started", timeout=60)
            await until(lambda: browser.pictures > 10, "pictures arrive")
            await until(lambda: browser.loudest > 500, "the voice is heard")
        finally:
            await browser.hang_up()
        await until(lambda: not emulator.running, "the session is over", 30)
        assert emulator.created == emulator.terminated == 1


async def errors_told(browser: Browser) -> str:
    """What the page is told of errors, once it is told anything; the page says that it is ready until then."""

    def told() -> str:
        return " ".join(one["data"]["error"] for one in browser.messages if one.get("type") == "error")

    async def announce() -> None:
        while True:
            with suppress(InvalidStateError):
                browser.send("client-ready", {"version": "2.2.0", "about": {"library": "test"}})
            await asyncio.sleep(0.5)

    announcing = asyncio.create_task(announce())
    try:
        await until(told, "the page is told of an error")
    finally:
        announcing.cancel()
    return told()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("script", "keys", "said"),
    [
        ("shared_room.py", {"DAILY_API_KEY": "key-of-daily"}, "webrtc"),
        ("relay.py", {"LEMONSLICE_API_KEY": "refused-key"}, "401"),
    ],
)
async def test_a_bot_that_fails_at_a_call_says_so_to_the_page(
    script: str, keys: dict[str, str], said: str, tmp_path: Path
) -> None:
    """A call of a kind that the bot does not take, which it hangs up, or a key that is refused; it shows no key."""
    log = tmp_path / "bot.log"
    async with Emulator(EmulatorOptions()) as emulator, process(emulator, log, script, **keys) as (url, _):
        emulator.fault("always*reject=401")
        browser = Browser()
        try:
            await browser.call(url)
            told = await errors_told(browser)
            if script == "shared_room.py":
                await until(lambda: "peerLeft" in str(browser.messages), "the bot hangs up")
        finally:
            await browser.hang_up()
    assert said in told
    assert not any(key in told or key in log.read_text() for key in keys.values())
