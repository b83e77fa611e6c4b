"""The bots as they are, in processes of their own, with the emulator for LemonSlice: calls over WebRTC."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from aiortc import InvalidStateError, MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError

from pipecat_lemonslice.emulator import Emulator, EmulatorOptions
from tests.bots.process import Bot
from tests.support.waiting import until

SECONDS = 40.0


class Browser:
    """As much of a browser as a call needs: a silent microphone, and eyes and ears that count.

    Args:
        bot: The bot that is called.
    """

    def __init__(self, bot: Bot) -> None:
        self.pictures = 0
        self.loudest = 0
        self.messages: list[dict[str, Any]] = []
        self._url = bot.url
        self._peer = RTCPeerConnection()
        self._tasks: list[asyncio.Task[None]] = []
        self._channel = self._peer.createDataChannel("chat", ordered=True)
        self._channel.on("message", self._take)
        self._peer.addTrack(AudioStreamTrack())
        self._peer.addTransceiver("video", direction="recvonly")
        self._peer.on("track", lambda track: self._tasks.append(asyncio.create_task(self._receive(track))))

    async def __aenter__(self) -> Self:
        await self._peer.setLocalDescription(await self._peer.createOffer())
        offer = {"sdp": self._peer.localDescription.sdp, "type": self._peer.localDescription.type}
        async with aiohttp.ClientSession() as http, http.post(f"{self._url}api/offer", json=offer) as response:
            answer = await response.json()
        await self._peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        self._tasks.append(asyncio.create_task(self._announce()))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._peer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _announce(self) -> None:
        """Say that the page is ready, which may be missed, until an error is told."""
        ready = {"version": "2.2.0", "about": {"library": "test"}}
        message = json.dumps({"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": ready})
        while not self.errors:
            with suppress(InvalidStateError):
                self._channel.send(message)
            await asyncio.sleep(0.5)

    @property
    def errors(self) -> list[str]:
        """What the page is told of errors."""
        return [one["data"]["error"] for one in self.messages if one.get("type") == "error"]

    def _take(self, message: str) -> None:
        with suppress(ValueError):
            self.messages.append(json.loads(message))

    async def _receive(self, track: MediaStreamTrack) -> None:
        with suppress(MediaStreamError):
            while True:
                frame: Any = await track.recv()
                if track.kind == "video":
                    self.pictures += 1
                else:
                    self.loudest = max(self.loudest, int(abs(frame.to_ndarray()).max()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_the_relay_runs_unchanged_against_the_emulator(tmp_path: Path) -> None:
    """The avatar speaks the greeting, is seen and heard by the caller; the session ends with the call."""
    async with Emulator(EmulatorOptions(latency=0.1)) as emulator:
        keys = {"LEMONSLICE_API_URL": emulator.api_url, "LEMONSLICE_API_KEY": "any"}
        async with Bot(tmp_path / "bot.log", "-t", "webrtc", program=("relay.py",), **keys) as bot:
            async with Browser(bot) as browser:
                session = await emulator.wait_for_session(timeout=SECONDS)
                await session.avatar.wait_for("response_started", timeout=SECONDS)
                await until(lambda: browser.pictures > 10 and browser.loudest > 500, SECONDS)
            await until(lambda: not emulator.running, SECONDS)
        assert emulator.created == emulator.terminated == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("script", "keys", "said"),
    [
        ("shared_room.py", {"LEMONSLICE_API_KEY": "any", "DAILY_API_KEY": "key-of-daily"}, "webrtc"),
        ("relay.py", {"LEMONSLICE_API_KEY": "refused-key"}, "401"),
    ],
)
async def test_a_bot_that_fails_at_a_call_says_so_to_the_page(
    script: str, keys: dict[str, str], said: str, tmp_path: Path
) -> None:
    """A call of a kind that the bot does not take, which it hangs up, or a key that is refused; it shows no key."""
    log = tmp_path / "bot.log"
    async with Emulator(EmulatorOptions()) as emulator:
        emulator.fault("always*reject=401")
        async with (
            Bot(log, program=(script,), LEMONSLICE_API_URL=emulator.api_url, **keys) as bot,
            Browser(bot) as browser,
        ):
            await until(lambda: bool(browser.errors), SECONDS)
            told = " ".join(browser.errors)
            if script == "shared_room.py":
                await until(lambda: "peerLeft" in str(browser.messages), SECONDS)
    assert said in told
    assert not any(key in told or key in log.read_text() for key in keys.values() if key != "any")
