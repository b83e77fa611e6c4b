"""bots/relay.py as it is, in a process of its own, with nothing but LEMONSLICE_API_URL set: a call over WebRTC."""

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
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError

from pipecat_lemonslice.emulator import Emulator, EmulatorOptions

BOTS = Path(__file__).parents[2] / "bots"
KEYS = ("DEEPGRAM_API_KEY", "OPENAI_API_KEY", "CARTESIA_API_KEY", "LEMONSLICE_AGENT_ID", "LEMONSLICE_IMAGE_URL")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@asynccontextmanager
async def relay_process(emulator: Emulator, log: Path) -> AsyncIterator[tuple[str, int]]:
    """The bot's address and process id, once it answers; it is ended by that id."""
    port = free_port()
    env = {name: value for name, value in os.environ.items() if name not in KEYS}
    env |= {"LEMONSLICE_API_URL": emulator.api_url, "LEMONSLICE_API_KEY": "any", "PYTHONUNBUFFERED": "1"}
    arguments = (sys.executable, str(BOTS / "relay.py"), "-t", "webrtc", "--port", str(port))
    with log.open("wb") as output:
        bot = await asyncio.create_subprocess_exec(*arguments, env=env, stdout=output, stderr=output, cwd=log.parent)
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
    async with Emulator(EmulatorOptions(latency=0.1)) as emulator, relay_process(emulator, log) as (url, _):
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
