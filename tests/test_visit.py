"""A visit to the avatar's room: who is watched, what is reported, and why it ends."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from pipecat_lemonslice.attendance import AttendanceTimeouts
from pipecat_lemonslice.errors import SessionError
from pipecat_lemonslice.messages import SpeechEvent
from pipecat_lemonslice.rooms import PictureReceived, Room, VoiceReceived
from pipecat_lemonslice.visit import RoomVisit, SessionLink, VisitOptions
from tests.support.memory import MemoryRoom
from tests.support.stage import tone
from tests.support.virtual_time import virtual_time

TWIN = "22222222-2222-4222-8222-222222222222"


class Visit:
    """A visit under way, and what it reports."""

    def __init__(self, *, echo: bool = True, **options: Any) -> None:
        self.room = MemoryRoom(echo=echo)
        self.told: list[str] = []
        self.quiet: list[float] = []
        self.media: list[VoiceReceived | PictureReceived] = []
        self.link: SessionLink | None = None
        self.at_loss: Callable[[], None] = lambda: None
        self._loop = asyncio.get_running_loop()
        self.started = self._loop.time()
        visit = RoomVisit(cast("Room", self.room), "session-1", VisitOptions(**options), self)
        self.attending: asyncio.Task[None] = asyncio.create_task(visit.attend())

    def visit_joined(self) -> None:
        self.told.append("joined")

    def visit_ready(self, link: SessionLink) -> None:
        self.told.append("ready")
        self.link = link

    def visit_lost(self, reason: str) -> None:
        self.told.append("lost")
        self.at_loss()

    def visit_trouble(self, error: SessionError) -> None:
        self.told.append(str(error))

    def visit_media(self, media: VoiceReceived | PictureReceived) -> None:
        self.media.append(media)

    def visit_quiet(self) -> None:
        self.quiet.append(self._loop.time() - self.started)

    async def ready(self) -> SessionLink:
        self.room.arrive()
        await asyncio.sleep(0.01)
        assert self.link is not None
        return self.link

    async def end(self) -> tuple[float, str]:
        """When it ended, and why."""
        with pytest.raises(SessionError) as caught:
            await asyncio.wait_for(self.attending, 1000.0)
        return self._loop.time() - self.started, str(caught.value)

    async def stop(self) -> None:
        self.attending.cancel()
        await asyncio.gather(self.attending, return_exceptions=True)
        await self.room.close()


@virtual_time
async def test_the_avatar_is_watched_and_reported() -> None:
    """Joined, ready, and everything that is heard and seen."""
    visit = Visit()
    await visit.ready()
    assert visit.told == ["joined", "ready"]
    assert visit.room.watched is not None
    visit.room.put(VoiceReceived(tone(0.02), 24000))
    await asyncio.sleep(0.01)
    assert [type(one).__name__ for one in visit.media] == ["PictureReceived", "VoiceReceived"]
    await visit.stop()


async def say(link: SessionLink, pcm: bytes, *, sounds: bool) -> None:
    """Append 20 ms of speech, and report it as played."""
    link.append(pcm)
    begun = asyncio.get_running_loop().time()
    await asyncio.sleep(0.02)
    link.was_played(at=begun, sounds=sounds)


@virtual_time
async def test_the_link_speaks_for_its_session() -> None:
    """Speech goes to the room, events carry the session's id."""
    visit = Visit()
    link = await visit.ready()
    await say(link, tone(0.02), sounds=True)
    link.tell(SpeechEvent.INTERRUPT)
    assert visit.room.speech == tone(0.02)
    assert visit.room.messages == [{"event": "interrupt", "session_id": "session-1"}]
    await visit.stop()


@pytest.mark.parametrize(
    ("how", "told"), [("leave", False), ("replaced", False), ("lost", False), ("fatal", True), ("idle", True)]
)
@virtual_time
async def test_nobody_is_told_who_is_not_there(how: str, told: bool) -> None:
    """Not an avatar that has left, nor the one after it for what the first was told; one that is given up is."""
    visit = Visit()
    link = await visit.ready()
    match how:
        case "leave":
            visit.room.leave()
        case "replaced":
            visit.room.join(participant_id=TWIN)
            visit.room.leave()
        case "lost":
            visit.room.lose("gone")
        case "fatal":
            visit.room.say({"type": "daily_error", "fatal": True})
        case _:
            visit.room.say({"type": "idle_timeout"})
    visit.at_loss = lambda: link.tell(SpeechEvent.INTERRUPT)
    await asyncio.sleep(0.01)
    if how != "replaced":  # whoever has taken its place may be told by then
        link.tell(SpeechEvent.INTERRUPT)
    assert bool(visit.room.messages) == told
    await visit.stop()


@virtual_time
async def test_trouble_is_reported_and_ends_nothing() -> None:
    """With the avatar's own words."""
    visit = Visit()
    await visit.ready()
    visit.room.say({"type": "video_generation_error", "error": "no face"})
    await asyncio.sleep(0.01)
    assert visit.told[2:] == ["the avatar reports video_generation_error: no face"]
    assert not visit.attending.done()
    await visit.stop()


@virtual_time
async def test_an_avatar_that_leaves_is_lost_and_ends_the_visit_after_a_grace() -> None:
    """Two seconds to come back."""
    visit = Visit()
    await visit.ready()
    visit.room.leave()
    at, reason = await visit.end()
    assert at == pytest.approx(2.01)
    assert visit.told[-1] == "lost"
    assert "left" in reason
    await visit.stop()


@virtual_time
async def test_a_room_that_is_lost_ends_it_at_once() -> None:
    """With the room's reason."""
    visit = Visit()
    await visit.ready()
    visit.room.lose("the socket is gone")
    assert await visit.end() == (pytest.approx(0.01), "the socket is gone")
    await visit.stop()


@pytest.mark.parametrize("how", ["write", "tell", "stalled"])
@virtual_time
async def test_a_room_that_refuses_is_given_up_at_once(how: str) -> None:
    """Nothing raises into the speech; the write fails, and the visit ends, also while nothing happens there."""
    visit = Visit()
    link = await visit.ready()
    visit.room.write_error = ValueError("released")
    match how:
        case "write":
            link.append(tone(0.02))
        case "tell":
            visit.room.send = cast("Any", None)
            link.tell(SpeechEvent.INTERRUPT)
        case _:
            link.stalled()
    at, reason = await visit.end()
    assert at == pytest.approx(0.01)
    assert "room" in reason
    await visit.stop()


@virtual_time
async def test_quiet_is_reported_at_intervals_counted_from_the_last_speech() -> None:
    """Speech puts it off; without it, each interval once."""
    visit = Visit(keep_alive_after=20.0)
    link = await visit.ready()
    await asyncio.sleep(15.0)
    await say(link, tone(0.02), sounds=True)
    await asyncio.sleep(58.0)
    assert visit.quiet == pytest.approx([35.01, 55.01])
    await visit.stop()


@virtual_time
async def test_patience_with_an_avatar_that_never_comes() -> None:
    """As long as the timeouts say."""
    visit = Visit(timeouts=AttendanceTimeouts(join=10.0))
    at, reason = await visit.end()
    assert at == pytest.approx(10.0)
    assert "not joined within 10 s" in reason
    await visit.stop()


@pytest.mark.parametrize(("timeout", "over"), [(5.0, True), (None, False)])
@virtual_time
async def test_an_avatar_that_stays_mute_is_given_up(timeout: float | None, over: bool) -> None:
    """Given speech and not heard within the timeout; not where it is heard elsewhere."""
    visit = Visit(echo=False, voice_timeout=timeout)
    link = await visit.ready()
    for _ in range(500):
        await say(link, tone(0.02), sounds=True)
    assert visit.attending.done() is over
    if over:
        assert "not heard" in (await visit.end())[1]
    await visit.stop()


@virtual_time
async def test_an_avatar_that_is_given_silence_need_not_be_heard() -> None:
    """Nor one that was interrupted before it could be."""
    visit = Visit(echo=False)
    link = await visit.ready()
    for _ in range(500):
        await say(link, bytes(960), sounds=False)
    await say(link, tone(0.02), sounds=True)
    link.tell(SpeechEvent.INTERRUPT)
    await asyncio.sleep(10.0)
    assert not visit.attending.done()
    await visit.stop()
