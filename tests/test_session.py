"""The life of a session: its states in order, and every one that was created terminated, whatever ends it."""

import asyncio
from typing import Any, cast

import pytest

from pipecat_lemonslice.api import CreateSessionRequest, LemonSliceApi, PoseTrigger
from pipecat_lemonslice.errors import (
    ApiConnectionError,
    ApiStatusError,
    ConfigurationError,
    LemonSliceError,
    SessionError,
)
from pipecat_lemonslice.lifecycle import SessionOptions, SessionState
from pipecat_lemonslice.rooms import PictureReceived, Room, VoiceReceived
from pipecat_lemonslice.session import RELEASE_TIMEOUT, AvatarSession
from pipecat_lemonslice.visit import SessionLink
from tests.support.memory import MemoryRoom, MemoryVendor
from tests.support.virtual_time import virtual_time


class Life:
    """A session with its vendor and rooms in memory, and all that it reports."""

    def __init__(self, vendor: MemoryVendor | None = None, *, request_error: Exception | None = None) -> None:
        self.vendor = vendor or MemoryVendor()
        self.rooms: list[MemoryRoom] = []
        self.join_latency = 0.0
        self.request_error = request_error
        self.states: list[SessionState] = []
        self.events: list[Any] = []
        self.errors: list[LemonSliceError] = []
        self.loop = asyncio.get_running_loop()
        self.started = self.loop.time()
        self.session = AvatarSession(
            cast("LemonSliceApi", self.vendor), SessionOptions(self._request, self._open_room), self
        )

    async def _request(self) -> CreateSessionRequest:
        if self.request_error:
            raise self.request_error
        return CreateSessionRequest(agent_id="agent")

    async def _open_room(self, url: str) -> Room:
        await asyncio.sleep(self.join_latency)
        self.rooms.append(MemoryRoom())
        return cast("Room", self.rooms[-1])

    def session_state(self, state: SessionState, detail: str) -> None:
        assert detail or state in (SessionState.CREATING, SessionState.READY, SessionState.ENDED)
        self.states.append(state)

    def session_delayed(self, reason: str, again_in: float) -> None:
        pass

    def session_created(self, session_id: str) -> None:
        self.events.append(("created", session_id))

    def session_ended(self, session_id: str, cost: float | None) -> None:
        self.events.append(("ended", session_id, cost))

    def session_error(self, error: LemonSliceError) -> None:
        self.errors.append(error)

    def avatar_joined(self) -> None:
        self.events.append("joined")

    def avatar_ready(self, link: SessionLink) -> None:
        self.events.append("ready")

    def avatar_gone(self, reason: str) -> None:
        self.events.append("gone")

    def avatar_media(self, media: VoiceReceived | PictureReceived) -> None:
        pass

    async def run(self, seconds: float = 0.1) -> "Life":
        self.session.start()
        await asyncio.sleep(seconds)
        return self

    @property
    def now(self) -> float:
        return self.loop.time() - self.started


CREATING, JOINING, WAITING, READY, LOST, ENDED, FAILED = (
    SessionState.CREATING,
    SessionState.JOINING,
    SessionState.WAITING,
    SessionState.READY,
    SessionState.LOST,
    SessionState.ENDED,
    SessionState.FAILED,
)


@virtual_time
async def test_the_states_of_a_good_life() -> None:
    """Created, joined, waited, ready, ended; and its cost is told."""
    life = await Life().run()
    life.rooms[0].arrive()
    await asyncio.sleep(1.0)
    assert life.session.session_id == "session-1"
    await life.session.close()
    assert life.states == [CREATING, JOINING, WAITING, READY, ENDED]
    assert life.events == [("created", "session-1"), "joined", "ready", ("ended", "session-1", 1.5)]
    assert life.session.session_id is None
    assert life.errors == []
    assert life.vendor.wills == ["revoked"]


@pytest.mark.parametrize("ticks", range(0, 30, 2))
@virtual_time
async def test_closed_at_any_moment_nothing_is_left(ticks: int) -> None:
    """Created equals terminated, and each room that was joined has been left, wherever it was cut off."""
    life = Life(MemoryVendor(latency=0.25))
    life.join_latency = 0.25
    life.session.start()
    for _ in range(ticks):
        await asyncio.sleep(0.03125)
        if life.rooms and not life.rooms[-1].closed:
            life.rooms[-1].arrive()
    await life.session.close()
    assert life.vendor.created == life.vendor.terminated
    assert life.vendor.created == ["session-1"]
    assert all(room.closed for room in life.rooms)
    assert life.session.state is ENDED


@virtual_time
async def test_closing_is_idempotent_and_may_be_cancelled() -> None:
    """Whoever waits for it may go; the session ends once."""
    life = await Life(MemoryVendor(terminate_latency=1.0)).run()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(life.session.close(), 0.5)
    await asyncio.gather(life.session.close(), life.session.close())
    await life.session.close()
    assert life.vendor.terminated == ["session-1"]
    assert life.states.count(ENDED) == 1


@virtual_time
async def test_closing_before_it_was_started() -> None:
    """There is nothing to end."""
    life = Life()
    await life.session.close()
    assert life.states == [ENDED]
    assert life.vendor.requests == []


@virtual_time
async def test_an_end_while_the_last_session_is_being_released() -> None:
    """A terminate under way is not cut off by the end of the call, nor repeated."""
    life = await Life(MemoryVendor(terminate_latency=1.0)).run()
    life.rooms[0].lose("gone")
    await asyncio.sleep(0.25)
    await life.session.close()
    assert life.vendor.terminated == ["session-1"]
    assert life.rooms[0].closed
    assert life.now == pytest.approx(1.1)


@virtual_time
async def test_a_vendor_that_does_not_answer_at_the_end_is_bounded_and_told() -> None:
    """Twelve seconds in all; the room is left, the last will hastened, and one error says it."""
    life = await Life(MemoryVendor(terminate_latency=10_000.0)).run()
    await life.session.close()
    assert life.now == pytest.approx(0.1 + RELEASE_TIMEOUT)
    assert life.rooms[0].closed
    assert len(life.errors) == 1
    assert life.vendor.wills == ["hastened"]


@virtual_time
async def test_sessions_that_fail_are_replaced_with_growing_pauses() -> None:
    """Until one succeeds; they are told as one."""
    vendor = MemoryVendor()
    vendor.refuse(ApiConnectionError("no way", False), times=3)
    life = await Life(vendor).run(0.4)
    assert len(vendor.requests) == 1
    await asyncio.sleep(0.2)
    assert len(vendor.requests) == 2
    await asyncio.sleep(1.0)
    assert len(vendor.requests) == 3
    await asyncio.sleep(2.0)
    assert vendor.created == ["session-1"]
    assert len(life.errors) == 1
    assert life.events.count("gone") == 3
    assert life.states == [CREATING, LOST] * 3 + [CREATING, JOINING, WAITING]
    await life.session.close()


@pytest.mark.parametrize(
    "error",
    [ApiStatusError(401, "no"), ApiStatusError(402, "no"), ApiStatusError(404, "no"), ConfigurationError("wrong")],
)
@virtual_time
async def test_what_would_be_answered_the_same_is_final(error: LemonSliceError) -> None:
    """Failed, told once, never asked again; and the speech does not wait for it."""
    vendor = MemoryVendor()
    vendor.refuse(error, times=9)
    life = await Life(vendor).run(1000.0)
    assert len(vendor.requests) == 1
    assert life.states == [CREATING, FAILED]
    assert life.errors == [error]
    assert life.events == ["gone"]
    await life.session.close()


@virtual_time
async def test_a_request_that_cannot_be_made_is_a_failure_of_its_own() -> None:
    """Nothing is sent."""
    life = await Life(request_error=ConfigurationError("agent_id: wrong")).run()
    assert life.session.state is FAILED
    assert life.vendor.requests == []
    await life.session.close()


@virtual_time
async def test_an_unforeseen_error_is_told_without_its_words() -> None:
    """It might hold a secret; its name is enough, and the session is tried again."""
    life = await Life(request_error=RuntimeError("token=secret")).run()
    assert [str(error) for error in life.errors] == ["unexpected RuntimeError in the session"]
    life.request_error = None
    await asyncio.sleep(1.0)
    assert life.vendor.created == ["session-1"]
    await life.session.close()


@virtual_time
async def test_an_avatar_that_is_lost_is_gone_once() -> None:
    """Left, not come back, replaced: one loss, one error, one new session."""
    life = await Life().run()
    life.rooms[0].arrive()
    await asyncio.sleep(0.1)
    life.rooms[0].leave()
    await asyncio.sleep(3.0)
    assert life.events.count("gone") == 1
    assert len(life.errors) == 1
    assert life.vendor.created == ["session-1", "session-2"]
    assert life.vendor.terminated == ["session-1"]
    await life.session.close()


@virtual_time
async def test_control_needs_a_session() -> None:
    """Before one exists, and after it has ended, it is an error that says so."""
    life = Life()
    with pytest.raises(SessionError, match="no session"):
        await life.session.control(PoseTrigger("wave"))
    await life.run()
    await life.session.control(PoseTrigger("wave"))
    assert life.vendor.controls == [PoseTrigger("wave")]
    await life.session.close()
    with pytest.raises(SessionError, match="no session"):
        await life.session.control(PoseTrigger("wave"))
