"""A person in a room and requests to the API, written by hand from the descriptions of both."""

import asyncio
import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aiohttp

from pipecat_lemonslice.emulator import Emulator

KEY = {"X-API-Key": "key-of-a-test"}
CREATE = {"agent_id": "agent_1", "transport_type": "daily"}


@dataclass
class Person:
    """One WebSocket in a room, and everything that came over it."""

    socket: aiohttp.ClientWebSocketResponse
    id: str
    others: list[dict[str, str]]
    rate: int
    texts: list[dict[str, Any]] = field(default_factory=list)
    sounds: list[bytes] = field(default_factory=list)
    pictures: list[bytes] = field(default_factory=list)
    sound_times: list[float] = field(default_factory=list)
    open: bool = True
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def voice(self) -> bytes:
        return b"".join(sound[22:] for sound in self.sounds)

    async def say(self, pcm: bytes, rate: int | None = None, channels: int = 1) -> None:
        """Send speech in 20 ms packets all at once."""
        rate = rate or self.rate
        size = rate // 50 * 2 * channels
        head = struct.pack("<B16sBI", 1, UUID(self.id).bytes, channels, rate)
        for start in range(0, len(pcm), size):
            await self.socket.send_bytes(head + pcm[start : start + size])

    async def tell(self, message: dict[str, Any], recipient: str | None = None) -> None:
        await self.socket.send_json({"type": "app_message", "message": message, "recipient": recipient})

    async def until(self, condition: Callable[[], Any], timeout: float = 5.0) -> None:
        """Wait until a condition holds, looking again whenever something came."""
        async with asyncio.timeout(timeout):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def read(self) -> None:
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self.texts.append(json.loads(message.data))
            elif message.data[0] == 1:
                self.sounds.append(message.data)
                self.sound_times.append(asyncio.get_running_loop().time())
            else:
                self.pictures.append(message.data)
            self._news.set()
        self.open = False
        self._news.set()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [text for text in self.texts if text["type"] == kind]

    def app_messages(self) -> list[dict[str, Any]]:
        return [text["message"] for text in self.of("app_message")]


class Town:
    """An emulator's outside: requests to its API and people in its rooms."""

    def __init__(self, emulator: Emulator, http: aiohttp.ClientSession) -> None:
        self.emulator = emulator
        self.http = http
        self._readers: list[asyncio.Task[None]] = []

    async def post(self, path: str, body: Any, **kwargs: Any) -> tuple[int, Any]:
        url = path if path.startswith("http") else self.emulator.api_url + path
        async with self.http.post(url, json=body, headers=KEY, **kwargs) as response:
            return response.status, await response.json()

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.http.get(self.emulator.api_url + path, headers=KEY) as response:
            return response.status, await response.json()

    async def create(self, **fields: Any) -> dict[str, Any]:
        status, answer = await self.post("/liveai/sessions", {**CREATE, **fields})
        assert status == 201, answer
        return answer

    async def control(self, session_id: str, **body: Any) -> tuple[int, Any]:
        return await self.post(f"/liveai/sessions/{session_id}/control", body)

    async def join(self, url: str, **fields: Any) -> Person:
        """Somebody comes into a room; by default the bot."""
        join: dict[str, Any] = {
            "type": "join",
            "user_name": "Pipecat",
            "token": None,
            "tracks": [{"name": "stream", "sample_rate": 24000, "channels": 1}],
            "voice_sample_rate": 24000,
            "subscribe": "LemonSlice",
            **fields,
        }
        socket = await self.http.ws_connect(url, max_msg_size=0)
        await socket.send_json(join)
        answer = json.loads(await socket.receive_str(timeout=5))
        assert answer["type"] == "joined", answer
        rate = join["tracks"][0]["sample_rate"] if join["tracks"] else 24000
        person = Person(socket, answer["id"], answer["participants"], rate)
        self._readers.append(asyncio.create_task(person.read()))
        return person

    async def close(self) -> None:
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)


def tone(seconds: float, rate: int = 24000, amplitude: int = 9000) -> bytes:
    """Speech: no two of its neighbouring samples are equal and none is zero for long."""
    samples = [round(amplitude * math.sin(i * 0.21) + 7 * math.sin(i * 1.7)) for i in range(round(seconds * rate))]
    return struct.pack(f"<{len(samples)}h", *samples)
