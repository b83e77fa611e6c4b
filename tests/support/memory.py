"""A LemonSlice in memory, for tests in virtual time: an API, a room and an avatar that obey the vendor's rules.

Faults are asked of the doubles: ``vendor.refuse(error)``, ``room.lose("…")``, ``avatar.leave()``.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pipecat_lemonslice.api import ControlEvent, CreatedSession, OnRetry, SessionInfo, prepare_picture
from pipecat_lemonslice.errors import ApiStatusError, LemonSliceError
from pipecat_lemonslice.rooms import (
    AvatarSeen,
    MessageReceived,
    Participant,
    ParticipantJoined,
    ParticipantLeft,
    Picture,
    RoomEvent,
    RoomInbox,
    RoomLost,
    RoomOptions,
)
from pipecat_lemonslice.rooms.playout import WRITE_SECONDS, WRITES_IN_FLIGHT, PlayoutBuffer
from tests.support.noise import mixed, noise

AVATAR_ID = "11111111-1111-4111-8111-111111111111"


@dataclass
class Heard:
    """One thing that reached the room, in order.

    Attributes:
        at: Virtual time in seconds.
        what: Speech, or the event of an app message.
    """

    at: float
    what: bytes | str


class MemoryRoom:
    """A room that plays writes one after the other, as daily-python does, and remembers what reached it.

    Its avatar says what it is given ``latency`` seconds later. With ``track`` it also sounds in between, as a real
    track does, with silence in packets of 20 ms; with ``obedient`` it drops what it has not said when interrupted;
    ``forgetful`` rooms keep no speech, only count it. Its avatar may be mute (``echo``), or say only every so many
    writes (``echo_every``), which is enough for it not to be taken for mute and costs less. ``noise_dbfs`` lays a noise
    floor under its track, of a kind of :mod:`tests.support.noise`. Leaving it takes ``close_latency`` seconds.
    """

    def __init__(
        self,
        sample_rate: int = 24000,
        options: RoomOptions | None = None,
        *,
        latency: float = 0.25,
        close_latency: float = 0.0,
        echo: bool = True,
        echo_every: int = 1,
        track: bool = False,
        obedient: bool = False,
        forgetful: bool = False,
        noise_dbfs: float | None = None,
        noise_kind: str = "white",
    ) -> None:
        self.sample_rate = sample_rate
        self._options = options or RoomOptions(sample_rate, sample_rate)
        self.pictured_at: float | None = None
        self._unseen: Picture | None = None
        self.write_error: Exception | None = None
        self.written_seconds = 0.0
        self._obedient = obedient
        self._forgetful = forgetful
        self._sounding_until = 0.0
        self._showing: asyncio.TimerHandle | None = None
        self.log: list[Heard] = []
        self.messages: list[dict[str, Any]] = []
        self.watched: Participant | None = None
        self.closed = False
        self.frozen = False
        self._latency = latency
        self._close_latency = close_latency
        self._echo_every = echo_every if echo else 0
        self._writes = 0
        self._loop = asyncio.get_running_loop()
        self._inbox = RoomInbox()
        self.played_until = 0.0
        self.on_played: Callable[[int], None] | None = None
        self._buffer = PlayoutBuffer(sample_rate)
        self._in_flight = 0
        self._lost = False
        self._voices: deque[asyncio.TimerHandle] = deque()
        self._ticker: asyncio.TimerHandle | None = None
        if track or noise_dbfs is not None:
            self._ticker = self._loop.call_later(0.02, self._tick)
        self._noise_kind, self._noise_at = noise_kind, 0
        self.noise_dbfs = noise_dbfs
        self.said: list[bytes] = []

    # What the service uses.

    @property
    def appended(self) -> int:
        return self._buffer.appended

    @property
    def played(self) -> int:
        return self._buffer.played

    def report_at(self, position: int) -> None:
        self._buffer.report_at = position

    def append(self, pcm: bytes) -> None:
        assert pcm, "an empty append"
        assert len(pcm) % 2 == 0, "half a sample"
        if self.write_error:
            raise self.write_error
        if self._lost:
            return
        self._buffer.append(pcm)
        self._hand_over(pad=False)
        if not self._in_flight and self._buffer:
            self._loop.call_later(WRITE_SECONDS, lambda: self._hand_over(pad=not self._in_flight))

    def clear(self) -> None:
        self._buffer.clear()

    def _hand_over(self, *, pad: bool) -> None:
        while self._in_flight < WRITES_IN_FLIGHT and (write := self._buffer.take(idle=self._in_flight == 0, pad=pad)):
            pcm, samples = write
            now = self._loop.time()
            self.written_seconds += len(pcm) / (2 * self.sample_rate)
            if not self._forgetful:
                self.log.append(Heard(now, pcm))
            started = max(self.played_until, now)
            self.played_until = started + len(pcm) / (2 * self.sample_rate)
            self._in_flight += 1
            self._loop.call_at(self.played_until, self._finish, samples)
            self._writes += 1
            if self._echo_every and self._writes % self._echo_every == 0:
                self._voices.append(self._loop.call_at(self.played_until + self._latency, self._sound, pcm))

    def send(self, message: Mapping[str, Any]) -> None:
        if self.watched is None or self._lost:
            return
        if self._obedient and message["event"] == "interrupt":
            while self._voices:
                self._voices.pop().cancel()
        if not self._forgetful:
            self.messages.append(dict(message))
            self.log.append(Heard(self._loop.time(), str(message["event"])))

    def watch(self, participant: Participant) -> None:
        self.watched, self.pictured_at = participant, None
        if self._unseen:
            self._loop.call_soon(self.see, self._unseen)

    async def next_event(self) -> RoomEvent:
        return await self._inbox.get()

    async def close(self) -> None:
        await asyncio.sleep(self._close_latency)
        self.closed = True
        self.freeze_video()
        if self._ticker:
            self._ticker.cancel()
        self.lose("the bot has left")

    # What a test asks for.

    def put(self, event: RoomEvent) -> None:
        self._inbox.put(event)

    def join(self, name: str = "LemonSlice", participant_id: str = AVATAR_ID) -> None:
        self.put(ParticipantJoined(Participant(participant_id, name)))

    def show(self) -> None:
        self.see(Picture(bytes(2 * 3 * 3), 2, 3))

    def see(self, picture: Picture) -> None:
        """A picture of the avatar comes, as soon as it is watched."""
        self._unseen = None if self.watched else picture
        if self.watched is None:
            return
        if self.pictured_at is None:
            self.put(AvatarSeen(self.watched))
        self.pictured_at = self._loop.time()
        self._options.on_picture(picture)

    def hear(self, pcm: bytes, sample_rate: int | None = None) -> None:
        """Voice of the avatar comes, if it is there and watched."""
        if self.watched:
            self._options.on_voice(pcm, sample_rate or self.sample_rate)

    def arrive(self) -> None:
        """Join, and show a picture every few seconds from then on."""
        self.join()
        self.keep_showing()

    def utter(self, pcm: bytes) -> None:
        """Have the avatar say something that it was not given, in packets of 20 ms."""
        size, begin = self.sample_rate // 50 * 2, self._loop.time() + 0.02
        for number, start in enumerate(range(0, len(pcm), size)):
            packet = pcm[start : start + size]
            self._voices.append(self._loop.call_at(begin + number * 0.02, self._sound, packet))

    def freeze_video(self) -> None:
        if self._showing:
            self._showing.cancel()

    def keep_showing(self) -> None:
        """Show a picture every few seconds from now on."""
        self.freeze_video()
        self.show()
        self._showing = self._loop.call_later(5.0, self.keep_showing)

    def leave(self, name: str = "LemonSlice", participant_id: str = AVATAR_ID) -> None:
        self.freeze_video()
        if self.watched and self.watched.id == participant_id:
            self.watched = self._unseen = None
        self.put(ParticipantLeft(Participant(participant_id, name), "leftCall"))

    def say(self, message: object, sender: str = AVATAR_ID) -> None:
        self.put(MessageReceived(sender, message))

    def lose(self, reason: str) -> None:
        self._lost = True
        self.put(RoomLost(reason))

    @property
    def speech(self) -> bytes:
        return b"".join(entry.what for entry in self.log if isinstance(entry.what, bytes))

    @property
    def events(self) -> list[str]:
        return [entry.what for entry in self.log if isinstance(entry.what, str)]

    def time_of(self, event: str) -> float:
        return next(entry.at for entry in self.log if entry.what == event)

    def _sound(self, pcm: bytes) -> None:
        if self._voices:
            self._voices.popleft()
        self._sounding_until = self._loop.time() + 0.019
        packet = self._over_noise(pcm)
        if not self._forgetful:
            self.said.append(packet)
        self.hear(packet)

    def _tick(self) -> None:
        next_sound = self._voices[0].when() if self._voices else float("inf")
        if self._sounding_until < self._loop.time() <= next_sound - 0.0199:
            self.hear(self._over_noise(bytes(self.sample_rate // 50 * 2)))
        self._ticker = self._loop.call_later(0.02, self._tick)

    def _over_noise(self, pcm: bytes) -> bytes:
        if self.noise_dbfs is None:
            return pcm
        floor = noise(self._noise_kind, self.noise_dbfs, self.sample_rate)
        count = len(pcm) // 2
        self._noise_at = (self._noise_at + count) % (len(floor) - count)
        return mixed(pcm, floor[self._noise_at : self._noise_at + count])

    def _finish(self, samples: int) -> None:
        if self.frozen or self._lost:
            return
        self._in_flight -= 1
        reported = self._buffer.has_played(samples)
        self._hand_over(pad=not self._in_flight)
        if self.on_played and reported:
            self.on_played(self.played)


@dataclass
class MemoryHook:
    """Stands in for an exit hook; counts itself at the vendor's."""

    vendor: "MemoryVendor"

    def cancel(self) -> None:
        self.vendor.exit_hooks.append("cancelled")

    def run_in_thread(self) -> None:
        self.vendor.exit_hooks.append("run")


@dataclass
class MemoryVendor:
    """Stands in for the API client. Sessions come after ``latency`` seconds, unless refused."""

    latency: float = 0.0
    refusals: deque[LemonSliceError] = field(default_factory=deque)
    terminations_refused: deque[LemonSliceError] = field(default_factory=deque)
    created: list[str] = field(default_factory=list)
    terminated: list[str] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    request_times: list[float] = field(default_factory=list)
    controls: list[ControlEvent] = field(default_factory=list)
    control_refusal: LemonSliceError | None = None
    refused_controls: tuple[ControlEvent, ...] = ()
    control_times: list[float] = field(default_factory=list)
    terminate_latency: float = 0.0
    control_latency: float = 0.0
    exit_hooks: list[str] = field(default_factory=list)
    closed: bool = False
    reads_pictures: bool = False
    _ids: Any = field(default_factory=lambda: itertools.count(1))

    async def create_session(self, request: Any, *, on_retry: OnRetry | None = None) -> CreatedSession:
        self.requests.append(request)
        if self.reads_pictures and request.agent_image is not None:
            await asyncio.to_thread(prepare_picture, request.agent_image)
        self.request_times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.latency)
        if self.refusals:
            raise self.refusals.popleft()
        session_id = f"session-{next(self._ids)}"
        self.created.append(session_id)
        return CreatedSession(session_id=session_id, room_url=f"ws://room/{session_id}", control_url="")

    async def terminate(self, session_id: str, *, control_url: str | None = None) -> None:
        assert not self.closed, "the API is closed while a session runs"
        await asyncio.sleep(self.terminate_latency)
        if self.terminations_refused:
            raise self.terminations_refused.popleft()
        self.terminated.append(session_id)

    def exit_hook(self, session_id: str, *, control_url: str | None = None) -> "MemoryHook":
        return MemoryHook(self)

    async def control(
        self, session_id: str, event: ControlEvent, *, control_url: str | None = None, once: bool = False
    ) -> None:
        await asyncio.sleep(self.control_latency)
        self.control_times.append(asyncio.get_running_loop().time())
        if self.control_refusal:
            raise self.control_refusal
        if event in self.refused_controls:
            raise ApiStatusError(400, "refused by the test")
        self.controls.append(event)

    async def get_session(self, session_id: str) -> SessionInfo:
        return SessionInfo.model_validate({"session_id": session_id, "session_status": "COMPLETED", "cost": 1.5})

    async def close(self) -> None:
        self.closed = True

    def refuse_controls(self, status: int) -> None:
        self.control_refusal = ApiStatusError(status, "refused by the test")

    def refuse(self, error: LemonSliceError | int, times: int = 1) -> Self:
        """Refuse so many creations, after those that are to be refused already."""
        if isinstance(error, int):
            error = ApiStatusError(error, "refused by the test")
        self.refusals.extend([error] * times)
        return self
