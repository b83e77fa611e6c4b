"""A whole call in virtual time: the service with its real API client, over a LemonSlice and rooms in memory.

Only the wire is replaced: what `RestClient` would send is answered here, status by status, so that its retries, the
reading of its answers and the hiding of secrets are the real ones. The bot's speech is coded, each 20 ms of it another
constant, so that what the user hears can be compared with what was said, piece by piece.
"""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from aiohttp import BytesPayload
from loguru import logger
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    SpeechOutputAudioRawFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from yarl import URL

from pipecat_lemonslice.api import LemonSliceApi
from pipecat_lemonslice.errors import ApiConnectionError, ApiError, ApiTimeoutError
from pipecat_lemonslice.rest import Answer, Call, RestClient
from pipecat_lemonslice.rooms import Participant, ParticipantLeft, Room, VoiceReceived
from tests.support.memory import AVATAR_ID, MemoryRoom, MemoryWill
from tests.support.stage import RATE, Stage, StagedService

LAG = 0.25
"""By how much the avatar's voice follows its speech, in seconds."""

LOOK = 0.1
"""Seconds between two looks whether the end has come."""

TURNS = 15
"""Turns of the loop in which a frame has gone through the pipeline."""

SLICE = 0.02
SLICE_SAMPLES = round(SLICE * RATE)
FIRST_CODE = 100
LAST_CODE = 30_000

KEY = "lsk-S3CR3T-key-0123456789abcdef"
BOT_TOKEN = "S3CR3T-token-of-the-bot"
AVATAR_TOKEN = "S3CR3T-token-of-the-avatar"
ROOM = "wss://rooms.test/lobby?t=S3CR3T-room"
IMAGE = "https://cdn.test/face.png?sig=S3CR3T-picture"
CONTROL = "https://api.test/api/liveai/sessions/{id}/control?sig=S3CR3T-control"
FOREIGN = "https://elsewhere.test/control/{id}?sig=S3CR3T-foreign"
SECRET = "S3CR3T"
"""In everything that must not be seen."""


# The API, answered from memory.


@dataclass(frozen=True)
class Refuse:
    """Answer with a status; nothing is carried out."""

    status: int
    body: str = json.dumps({"detail": f"refused by the test, {KEY}, {AVATAR_TOKEN}"})
    retry_after: float | None = None
    location: str | None = None


@dataclass(frozen=True)
class Break:
    """Break the connection, before or after the request was carried out; or never let it come about."""

    when: str = "before"


@dataclass(frozen=True)
class Hang:
    """Carry out or not, and never answer: the client's patience ends it."""

    acts: bool = False


@dataclass(frozen=True)
class Slow:
    """Answer so many seconds later."""

    seconds: float


@dataclass(frozen=True)
class Spoil:
    """Carry out, and answer with what becomes of the text."""

    change: Callable[[str], str]


Fault = Refuse | Break | Hang | Slow | Spoil


@dataclass(frozen=True)
class Sent:
    """A request that reached the server."""

    at: float
    event: str
    url: str
    headers: dict[str, str]


class MemoryLemonSlice:
    """The vendor: sessions that are created and terminated, and what is to go wrong with the requests."""

    def __init__(self, latency: float = 1.0) -> None:
        self.latency = latency
        self.created: list[str] = []
        self.terminated: list[str] = []
        self.requests: list[Sent] = []
        self.wills: list[str] = []
        self.control_url = CONTROL
        self._faults: dict[str, deque[Fault]] = {}
        self._ids = itertools.count(1)

    @property
    def running(self) -> list[str]:
        """The sessions that were created and not terminated."""
        return [name for name in self.created if name not in self.terminated]

    def arm(self, event: str, *faults: Fault) -> None:
        """Let the next requests of a kind (create, terminate, reset-idle-timeout, cost) go wrong, one by one."""
        self._faults.setdefault(event, deque()).extend(faults)

    def fault(self, event: str) -> Fault | None:
        armed = self._faults.get(event)
        return armed.popleft() if armed else None

    def carry_out(self, event: str, url: URL) -> tuple[int, str]:
        match event:
            case "create":
                name = f"session-{next(self._ids)}"
                self.created.append(name)
                control = self.control_url.format(id=name)
                answer = {"session_id": name, "room_url": ROOM, "control_url": control}
                return 201, json.dumps(answer)
            case "terminate":
                return self._terminate(next(part for part in url.parts if part.startswith("session-")))
            case "cost":
                return 200, json.dumps({"session_status": "COMPLETED", "cost": 1.5})
            case _:
                return 200, json.dumps({"success": True})

    def _terminate(self, name: str) -> tuple[int, str]:
        if name in self.terminated:
            return 404, json.dumps({"detail": "not found"})
        self.terminated.append(name)
        return 200, json.dumps({"success": True})


class MemoryRest(RestClient):
    """The REST client, with its requests answered from memory."""

    def __init__(self, server: MemoryLemonSlice) -> None:
        super().__init__(KEY, URL("https://api.test/api"), None, timeout=30.0)
        self._server = server

    async def _exchange(self, call: Call) -> Answer | ApiError:
        event, seconds = _event_of(call), call.timeout or self._timeout
        now = asyncio.get_running_loop().time()
        self._server.requests.append(Sent(now, event, str(call.url), self.headers(call.url)))
        fault = self._server.fault(event)
        if isinstance(fault, Break) and fault.when == "connect":
            return ApiConnectionError("Cannot connect to host api.test", False, call.operation)
        await asyncio.sleep(min(seconds, self._server.latency + (fault.seconds if isinstance(fault, Slow) else 0.0)))
        match fault:
            case Refuse(status, body, retry_after, location):
                return Answer(status, body, True, retry_after, location)
            case Hang(acts):
                return await self._hang(call, seconds, acts)
            case Slow(late) if late + self._server.latency >= seconds:
                return ApiTimeoutError(f"no complete answer in {seconds:g} s", True, call.operation)
            case Break("before"):
                return ApiConnectionError("Connection reset by peer", True, call.operation)
            case _:
                return self._answer(call, event, fault)

    async def _hang(self, call: Call, seconds: float, acts: bool) -> ApiError:
        if acts:
            self._server.carry_out(_event_of(call), call.url)
        await asyncio.sleep(seconds - self._server.latency)
        return ApiTimeoutError(f"no complete answer in {seconds:g} s", True, call.operation)

    def _answer(self, call: Call, event: str, fault: Fault | None) -> Answer | ApiError:
        status, text = self._server.carry_out(event, call.url)
        match fault:
            case Break():
                return ApiConnectionError("Connection reset by peer", True, call.operation)
            case Spoil(change):
                return Answer(status, change(text), True, None, None)
            case _:
                return Answer(status, text, True, None, None)


def _event_of(call: Call) -> str:
    body = call.body()
    if call.method == "GET":
        return "cost"
    payload = json.loads(bytes(cast("Any", body)._value)) if isinstance(body, BytesPayload) else {}
    return str(payload.get("event", "create"))


class MemoryApi(LemonSliceApi):
    """The real client over `MemoryRest`; its last wills are noted, not sent."""

    def __init__(self, server: MemoryLemonSlice) -> None:
        super().__init__(api_key=KEY, api_url="https://api.test/api")
        self._rest = MemoryRest(server)
        self._server = server

    def last_will(self, session_id: str, *, control_url: str | None = None) -> Any:
        return MemoryWill(cast("Any", self._server))


# Rooms that misbehave.


class WorldRoom(MemoryRoom):
    """A room whose avatar falls silent when it has gone, and whose parts can fail one by one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(RATE, **{"obedient": True, **options})
        self.message_error: Exception | None = None
        self.left = False
        self._muted = False

    def send(self, message: Any) -> None:
        if self.message_error:
            raise self.message_error
        super().send(message)

    def leave(self, name: str = "LemonSlice", participant_id: str = AVATAR_ID) -> None:
        self.left = True
        self.fall_silent()
        super().leave(name, participant_id)

    def _sound(self, pcm: bytes) -> None:
        """As a track that never ends: what was said is followed by silence."""
        if self._muted:
            self._voices.popleft()
            return
        super()._sound(pcm)
        if not self._voices:
            self._voices.append(self._loop.call_later(SLICE, self._sound_nothing))

    def _sound_nothing(self) -> None:
        self._voices.popleft()
        self.put(VoiceReceived(bytes(4 * SLICE_SAMPLES), RATE))

    def mute(self) -> None:
        """No sound of the avatar's from now on, though it can be seen."""
        self._muted = True
        self.fall_silent()

    def fall_silent(self) -> None:
        while self._voices:
            self._voices.pop().cancel()

    def put_left(self, participant_id: str) -> None:
        """Somebody else under the avatar's name goes."""
        self.put(ParticipantLeft(Participant(participant_id, "LemonSlice"), "leftCall"))

    def put_later(self, message: object) -> None:
        """The avatar says something once it is there."""
        self._loop.call_later(2.0, self.say, message)

    async def close(self) -> None:
        self.fall_silent()
        await super().close()


# What is said, and what is heard.


@dataclass
class Utterance:
    """Something the bot says.

    Parameters:
        at: When it was sent.
        codes: Its slices of 20 ms.
        interruptible: Whether an interruption ends it.
    """

    at: float
    codes: range
    interruptible: bool = True

    @property
    def seconds(self) -> float:
        return len(self.codes) * SLICE


@dataclass(frozen=True)
class Sounding:
    """A stretch of one code, as the user hears it."""

    begin: float
    end: float
    code: int
    by: str


@dataclass
class Journal:
    """What went by that nobody asked for: logs, and what the loop could not place."""

    logs: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)


class WorldService(StagedService):
    """The staged service; joining takes its time."""

    join_latency = 0.5

    async def _open_room(self, url: str) -> Room:
        await asyncio.sleep(self.join_latency)
        return await super()._open_room(url)


class World(Stage):
    """A call that can be driven through faults; see the module. Logs are kept of one that is ``observed``."""

    lemonslice_class = MemoryLemonSlice

    def __init__(self, *, observed: bool = True, **kwargs: Any) -> None:
        self.lemonslice = self.lemonslice_class()
        self.journal = Journal()
        self.said: list[Utterance] = []
        self.coming: float | None = 1.0
        self.on_room: list[Callable[[WorldRoom], None]] = []
        self._codes = itertools.count(FIRST_CODE)
        self._heard: tuple[int, list[Sounding]] | None = None
        secrets = {
            "agent_id": None,
            "agent_image_url": IMAGE,
            "bot_token": BOT_TOKEN,
            "daily_token": AVATAR_TOKEN,
            "daily_room_url": ROOM,
        }
        super().__init__(cast("Any", MemoryApi(self.lemonslice)), **{**secrets, **kwargs})
        cast("Any", self.service).__class__ = WorldService
        self._sinks = [self._listen_in()] if observed else []

    async def __aenter__(self) -> "World":
        asyncio.get_running_loop().set_exception_handler(self._note_stray)
        await super().__aenter__()
        return self

    async def __aexit__(self, *details: Any) -> None:
        try:
            await super().__aexit__(*details)
            await self.settle()
        finally:
            for sink in self._sinks:
                logger.remove(sink)

    @property
    def errors(self) -> list[ErrorFrame]:
        return self.up(ErrorFrame)

    async def settle(self, seconds: float = 0.0) -> None:
        """Let time pass, and everything happen that is due; in fewer turns than the stage takes, as there are many."""
        await asyncio.sleep(seconds)
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def end(self) -> None:
        """End the call and wait until the EndFrame has come through."""
        await self.send(EndFrame())
        while not any(isinstance(frame, EndFrame) for _, frame in self.sink.frames[-20:]):  # noqa: ASYNC110
            await asyncio.sleep(LOOK)

    async def say(
        self, seconds: float, *, chunk: float = 0.2, stop: bool = True, llm: bool = True, interruptible: bool = True
    ) -> Utterance:
        """Have the bot say something coded, in chunks that come at once."""
        utterance = Utterance(self.now, self._next_codes(round(seconds / SLICE)), interruptible)
        self.said.append(utterance)
        for frame in _spoken(utterance.codes, max(1, round(chunk / SLICE)), stop, llm):
            frame.interruptible = interruptible
            await self.send(frame)
        return utterance

    def heard(self) -> list[Sounding]:
        """What the user hears: an output transport plays what it gets in order, at the speed of sound."""
        if self._heard is None or self._heard[0] != len(self.sink.frames):
            self._heard = (len(self.sink.frames), list(self._play()))
        return self._heard[1]

    def _play(self) -> Iterator[Sounding]:
        playhead = 0.0
        for at, frame in self.sink.frames:
            if not isinstance(frame, SpeechOutputAudioRawFrame | TTSAudioRawFrame):
                continue
            by = "avatar" if isinstance(frame, SpeechOutputAudioRawFrame) else "voice"
            playhead = max(playhead, at)
            for code, samples in runs(frame.audio):
                end = playhead + samples / RATE
                if code:
                    yield Sounding(playhead, end, code, by)
                playhead = end

    def _next_codes(self, count: int) -> range:
        first = next(self._codes)
        if first + count > LAST_CODE:
            first = FIRST_CODE
        self._codes = itertools.count(first + count)
        return range(first, first + count)

    def _open(self, url: str) -> Room:
        if self.join_refusals:
            raise self.join_refusals.popleft()
        room = WorldRoom(**self._room_options)
        self.rooms.append(room)
        if self.coming is not None:
            asyncio.get_running_loop().call_later(self.coming, self._arrive, room)
        for change in self.on_room:
            change(room)
        self.on_room.clear()
        return cast("Room", room)

    def _arrive(self, room: WorldRoom) -> None:
        if not room.closed:
            room.arrive()

    def _listen_in(self) -> int:
        return logger.add(self._note_log, level="TRACE", diagnose=True, backtrace=True, format="{name} {message}")

    def _note_log(self, message: Any) -> None:
        self.journal.logs.append(str(message))
        if message.record["exception"] is not None:
            self.journal.tracebacks.append(str(message))

    def _note_stray(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.journal.strays.append(f"{context.get('message')}: {context.get('exception')!r}")


def _spoken(codes: range, chunk: int, stop: bool, llm: bool) -> Iterator[Frame]:
    context = f"context-{codes.start}"
    if llm:
        yield LLMFullResponseStartFrame()
    yield TTSStartedFrame(context)
    for start in range(0, len(codes), chunk):
        yield TTSAudioRawFrame(coded(codes[start : start + chunk]), RATE, 1, context_id=context)
    if stop:
        yield TTSStoppedFrame(context)
    if llm:
        yield LLMFullResponseEndFrame()


def coded(codes: range) -> bytes:
    """Speech in which each slice of 20 ms is its own code."""
    return np.repeat(np.array(codes, dtype="<i2"), SLICE_SAMPLES).tobytes()


def runs(pcm: bytes) -> Iterator[tuple[int, int]]:
    """The codes in a piece of sound, with the number of samples of each."""
    samples = np.frombuffer(pcm, dtype="<i2")
    if not len(samples):
        return
    edges = np.flatnonzero(np.diff(samples)) + 1
    for part in np.split(samples, edges):
        yield int(part[0]), len(part)
