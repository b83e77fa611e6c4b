"""Requests to an emulator's API and people in its rooms, written by hand from the descriptions of both."""

import asyncio
import io
import json
import math
import struct
from collections import deque
from collections.abc import Callable
from typing import Any
from uuid import UUID

import aiohttp
import numpy as np
import pytest
from PIL import Image

from pipecat_lemonslice.emulator import Emulator, Session

KEY = {"X-API-Key": "key-of-a-test"}
CREATE = {"agent_id": "agent_1", "transport_type": "daily"}
JOIN = {
    "type": "join",
    "user_name": "Pipecat",
    "token": None,
    "tracks": [{"name": "stream", "sample_rate": 24000, "channels": 1}],
    "voice_sample_rate": 24000,
    "subscribe": "LemonSlice",
}
PICTURE_HEAD = 21
"""Bytes before the pixels: type, participant, width and height of 16 bits each."""


class Person:
    """A WebSocket in a room, and what came over it: all texts and sounds, and the newest pictures."""

    def __init__(self, http: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse, joined: Any) -> None:
        self.socket = socket
        self.joined = joined
        self.texts: list[dict[str, Any]] = []
        self.sounds: list[bytes] = []
        self.sound_times: list[float] = []
        self.pictures: deque[bytes] = deque(maxlen=3)
        self.shown = 0
        self.open = True
        self._http = http
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @property
    def id(self) -> str:
        return self.joined["id"]

    @property
    def voice(self) -> bytes:
        return b"".join(sound[22:] for sound in self.sounds)

    @property
    def picture(self) -> np.ndarray:
        """The pixels of the newest picture."""
        _, _, width, height = struct.unpack_from("<B16sHH", self.pictures[-1])
        return np.frombuffer(self.pictures[-1], np.uint8, offset=PICTURE_HEAD).reshape(height, width, 3)

    @property
    def app_messages(self) -> list[dict[str, Any]]:
        return [text["message"] for text in self.of("app_message")]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [text for text in self.texts if text["type"] == kind]

    async def say(self, pcm: bytes, rate: int = 24000, channels: int = 1) -> None:
        """Send speech all at once."""
        await self.socket.send_bytes(struct.pack("<B16sBI", 1, UUID(self.id).bytes, channels, rate) + pcm)

    async def tell(self, message: dict[str, Any], recipient: str | None = None) -> None:
        await self.socket.send_json({"type": "app_message", "message": message, "recipient": recipient})

    async def until(self, condition: Callable[[], Any], timeout: float = 5.0) -> None:
        """Wait until a condition holds, looking again whenever something came."""
        async with asyncio.timeout(timeout):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def see(self, pictures: int = 1) -> None:
        """Wait for so many more pictures."""
        goal = self.shown + pictures
        await self.until(lambda: self.shown >= goal, timeout=pictures + 5.0)

    async def hear(self, packets: int) -> list[bytes]:
        """Wait for so many more packets of sound, and return them."""
        begin = len(self.sounds)
        await self.until(lambda: len(self.sounds) >= begin + packets, timeout=packets + 5.0)
        return self.sounds[begin : begin + packets]

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self.socket.close()
        await self._http.close()

    async def _read(self) -> None:
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self.texts.append(json.loads(message.data))
            elif message.data[0] == 1:
                self.sounds.append(message.data)
                self.sound_times.append(asyncio.get_running_loop().time())
            else:
                self.pictures.append(message.data)
                self.shown += 1
            self._news.set()
        self.open = False
        self._news.set()


class Client:
    """Everybody who talks to one emulator."""

    def __init__(self, emulator: Emulator, http: aiohttp.ClientSession) -> None:
        self.emulator = emulator
        self.http = http
        self._people: list[Person] = []

    async def ask(
        self, method: str, path: str = "", headers: dict[str, str] = KEY, **kwargs: Any
    ) -> tuple[int, dict[str, Any]]:
        """Send a request about sessions, or to an address; returns status and JSON."""
        url = path if path.startswith("http") else f"{self.emulator.api_url}/liveai/sessions{path}"
        async with self.http.request(method, url, headers=headers, **kwargs) as response:
            return response.status, await response.json()

    async def create(self, **fields: Any) -> Session:
        """Create a session that is expected to be accepted."""
        status, answer = await self.ask("POST", json={**CREATE, **fields})
        assert status == 201, answer
        return self.emulator.sessions[-1]

    async def control(self, session: Session, **body: Any) -> tuple[int, dict[str, Any]]:
        return await self.ask("POST", f"/{session.id}/control", json=body)

    async def join(self, url: str, **fields: Any) -> Person:
        """Come into a room, by default as the bot."""
        http = aiohttp.ClientSession()
        socket = await http.ws_connect(url, max_msg_size=0)
        await socket.send_json({**JOIN, **fields})
        joined = json.loads(await socket.receive_str(timeout=5))
        assert joined["type"] == "joined", joined
        self._people.append(Person(http, socket, joined))
        return self._people[-1]

    async def meet(self, **fields: Any) -> tuple[Session, Person]:
        """A session whose avatar is there, and a bot that came first."""
        url = self.emulator.room_url(self.emulator.open_room())
        bot = await self.join(url)
        session = await self.create(properties={"daily_url": url}, **fields)
        await session.avatar.wait_for("joined")
        return session, bot

    async def refused(self, url: str, first: str) -> str:
        """Join in vain; returns what is said before the connection is closed."""
        socket = await self.http.ws_connect(url)
        await socket.send_str(first)
        answer = json.loads(await socket.receive_str(timeout=5))
        assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
        await socket.close()
        assert answer["type"] == "error"
        return answer["error"]

    async def close(self) -> None:
        for person in self._people:
            await person.close()


def set_up(**options: Any) -> pytest.MarkDecorator:
    """Give the emulator of a test these options."""
    return pytest.mark.parametrize("client", [options], indirect=True)


def event(name: str, session: Session) -> dict[str, str]:
    """An app message of the bot."""
    return {"event": name, "session_id": session.id}


def tone(seconds: float, rate: int = 24000, amplitude: int = 9000) -> bytes:
    """Speech: no two of its neighbouring samples are equal and none is zero for long."""
    samples = [round(amplitude * math.sin(i * 0.21) + 7 * math.sin(i * 1.7)) for i in range(round(seconds * rate))]
    return struct.pack(f"<{len(samples)}h", *samples)


def png(width: int = 60, height: int = 90, colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def form(payload: Any, image: bytes) -> aiohttp.FormData:
    """A create request with an uploaded picture."""
    data = aiohttp.FormData()
    data.add_field("payload", json.dumps(payload), content_type="application/json")
    data.add_field("image", image, content_type="image/png", filename="face.png")
    return data
