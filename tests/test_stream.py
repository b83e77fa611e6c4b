"""Speech on its way into a room: cut into writes, remembered until played, taken back when it is not."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from pipecat.frames.frames import TTSAudioRawFrame

from pipecat_lemonslice.errors import RoomError
from pipecat_lemonslice.messages import SpeechEvent
from pipecat_lemonslice.spoken import ALL_HEARD, REMEMBERED_SECONDS, Heard
from pipecat_lemonslice.stream import (
    STALLED_SECONDS,
    WRITES_IN_FLIGHT,
    AvatarStream,
    audio_format,
    duration,
)
from tests.support.stage import RATE, speech, tone
from tests.support.virtual_time import virtual_time

WRITE = 960
MUTE_TIMEOUT = 5.0
NOTHING_HEARD = Heard(float("-inf"), paused=False)


class Link:
    """Keeps what is written; plays when told to."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.futures: list[asyncio.Future[None]] = []
        self.stalls = 0

    def write(self, pcm: bytes, *, sounds: bool) -> "asyncio.Future[None]":
        self.written.append(pcm)
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]

    def tell(self, event: SpeechEvent) -> None:
        raise AssertionError(event)

    def stalled(self) -> None:
        self.stalls += 1

    async def play(self, count: int = 1) -> None:
        for _ in range(count):
            next(one for one in self.futures if not one.done()).set_result(None)
        await asyncio.sleep(0)

    async def lose(self) -> None:
        for future in self.futures:
            if not future.done():
                future.set_exception(RoomError("gone"))
                future.exception()
        await asyncio.sleep(0)


class Bench:
    def __init__(self) -> None:
        self.played = 0
        self.link = Link()
        self.stream = AvatarStream(RATE, self._note)

    def _note(self, wanted: bool) -> None:
        self.played += wanted

    async def back(self, heard: Heard = ALL_HEARD) -> list[TTSAudioRawFrame]:
        """What comes back when the room is lost."""
        self.stream.let_go(self.stream.unheard(heard))
        return (await self.stream.take_back())[0]

    def write_all(self) -> None:
        while self.stream.ready and not self.stream.full(self.link):
            self.stream.write(self.link)


def bench(test: Callable[[Bench], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    @virtual_time
    async def run() -> None:
        await test(Bench())

    run.__doc__, run.__name__ = test.__doc__, test.__name__
    return run


@bench
async def test_writes_are_twenty_milliseconds_and_two_in_flight(b: Bench) -> None:
    """No more is handed over than an interruption may leave behind."""
    await b.stream.feed(speech(1.0))
    b.write_all()
    assert [len(pcm) for pcm in b.link.written] == [WRITE] * WRITES_IN_FLIGHT
    assert b.stream.full(b.link)
    assert b.stream.in_flight_seconds == pytest.approx(0.04)
    assert b.stream.waiting_seconds == pytest.approx(0.96)
    await b.link.play()
    assert not b.stream.full(b.link)
    assert b.played == 1


@bench
async def test_less_than_a_write_waits_until_it_is_sealed(b: Bench) -> None:
    """Then it is filled up to the next 10 ms with silence."""
    await b.stream.feed(speech(0.013))
    assert not b.stream.ready
    assert b.stream.has_tail
    await b.stream.seal()
    assert b.stream.ready
    assert b.stream.next_seconds == pytest.approx(0.02)
    b.write_all()
    assert b.link.written == [tone(0.013) + bytes(WRITE - len(tone(0.013)))]
    assert not b.stream.has_tail


@bench
async def test_sealing_nothing_writes_nothing(b: Bench) -> None:
    """An empty stream stays empty."""
    await b.stream.seal()
    assert not b.stream.ready
    assert not b.stream.has_tail


@bench
async def test_what_was_not_played_is_taken_back(b: Bench) -> None:
    """In flight first, then what was to be written, as one frame that looks like the last one."""
    frame = speech(1.0, "ctx", interruptible=False)
    frame.transport_destination = "somewhere"
    await b.stream.feed(frame)
    b.write_all()
    await b.link.play()
    b.write_all()
    [back] = await b.back()
    assert back.audio == tone(1.0)[WRITE:]
    assert (back.context_id, back.interruptible, back.transport_destination) == ("ctx", False, "somewhere")
    assert (back.sample_rate, back.num_channels) == (RATE, 1)
    assert b.stream.in_flight_seconds == 0
    assert await b.back() == []


@bench
async def test_what_a_lost_room_did_not_play_stays_to_be_taken_back(b: Bench) -> None:
    """A failed write is kept, and does not count as played."""
    await b.stream.feed(speech(0.05))
    b.write_all()
    await b.link.lose()
    assert b.played == 0
    assert b.stream.full(b.link)
    [back] = await b.back()
    assert back.audio == tone(0.05)


@bench
async def test_what_was_played_and_not_heard_is_taken_back_too(b: Bench) -> None:
    """From the first write on that was played later than what was heard."""
    await b.stream.feed(speech(0.1))
    for _ in range(3):
        b.write_all()
        await asyncio.sleep(0.02)
        await b.link.play()
    b.write_all()
    heard = Heard(b.stream.sounding_since + 0.03, paused=False)
    b.stream.let_go(b.stream.unheard(heard))
    [back], written = await b.stream.take_back()
    assert back.audio == tone(0.1)[WRITE:]
    assert written == pytest.approx(0.08)
    assert b.stream.unheard(NOTHING_HEARD) == []


@bench
async def test_what_was_played_before_an_interruption_is_not_wanted_back(b: Bench) -> None:
    """An interruption lets it go; the response that follows does not."""
    await b.stream.feed(speech(0.04))
    b.write_all()
    await b.link.play(2)
    b.stream.interrupt(b.stream.unheard(NOTHING_HEARD))
    await b.stream.feed(speech(0.02, "b"))
    await b.stream.seal()
    b.write_all()
    await b.link.play()
    b.stream.begin()
    await b.stream.feed(speech(0.1, "c"))
    b.stream.let_go(b.stream.unheard(NOTHING_HEARD))
    frames, written = await b.stream.take_back()
    assert [(frame.context_id, frame.audio) for frame in frames] == [("b", tone(0.02)), ("c", tone(0.1))]
    assert written == pytest.approx(0.02)


@bench
async def test_what_was_played_is_remembered_in_bounds(b: Bench) -> None:
    """Of a long speech only the last seconds, which is more than an avatar may lag."""
    await b.stream.feed(speech(20.0))
    while b.stream.ready:
        b.write_all()
        await asyncio.sleep(0.02)
        await b.link.play()
    b.stream.let_go(b.stream.unheard(NOTHING_HEARD))
    _, written = await b.stream.take_back()
    assert MUTE_TIMEOUT < written <= REMEMBERED_SECONDS + 0.1


@bench
async def test_speech_of_two_kinds_is_taken_back_as_two(b: Bench) -> None:
    """What may be interrupted and what may not, each as it was."""
    await two_kinds(b)
    assert [(frame.context_id, frame.interruptible) for frame in await b.back(NOTHING_HEARD)] == [
        ("a", False),
        ("b", True),
    ]


@bench
async def test_of_two_kinds_an_interruption_leaves_one(b: Bench) -> None:
    """What may not be interrupted comes back, though the avatar drops it with the rest."""
    await two_kinds(b)
    b.stream.interrupt(b.stream.unheard(NOTHING_HEARD))
    assert b.stream.lasting_contexts == {"a"}
    assert b.stream.full(b.link), "what is in flight plays on"
    [[back], written] = await b.stream.take_back()
    assert (back.context_id, back.interruptible, back.audio) == ("a", False, tone(0.04))
    assert written == pytest.approx(0.04)


async def two_kinds(b: Bench) -> None:
    """What may not be interrupted has been played; what may is in flight."""
    await b.stream.feed(speech(0.04, "a", interruptible=False))
    b.write_all()
    await b.link.play(2)
    await b.stream.feed(speech(0.04, "b"))
    b.write_all()


@bench
async def test_what_was_hushed_is_not_wanted_back(b: Bench) -> None:
    """Neither what was to be written, nor what is in flight; but that holds its place until it has been played."""
    await b.stream.feed(speech(1.0))
    b.write_all()
    b.stream.interrupt(b.stream.unheard(NOTHING_HEARD))
    assert b.stream.waiting_seconds == 0
    assert b.stream.full(b.link)
    await b.stream.feed(speech(0.1, "b"))
    [back] = await b.back()
    assert back.audio == tone(0.1)


@pytest.mark.parametrize("how", ["play", "lose"])
@virtual_time
async def test_what_was_hushed_makes_way(how: str) -> None:
    """Played or lost: the next speech has room."""
    b = Bench()
    await b.stream.feed(speech(1.0))
    b.write_all()
    b.stream.interrupt(b.stream.unheard(NOTHING_HEARD))
    await (b.link.play(2) if how == "play" else b.link.lose())
    assert not b.stream.full(b.link)
    await b.stream.feed(speech(0.1, "b"))
    b.write_all()
    assert len(b.link.written) == 4


@bench
async def test_what_was_forgotten_is_of_no_concern(b: Bench) -> None:
    """A write that is played after it was taken back reports nothing."""
    await b.stream.feed(speech(1.0))
    b.write_all()
    b.stream.forget()
    await b.link.play(2)
    assert b.played == 0


@bench
async def test_a_room_that_stops_playing_is_noticed(b: Bench) -> None:
    """Once, after three seconds; not while it plays."""
    await b.stream.feed(speech(10.0))
    b.write_all()
    await asyncio.sleep(STALLED_SECONDS - 0.1)
    await b.link.play()
    b.write_all()
    await asyncio.sleep(STALLED_SECONDS - 0.1)
    assert b.link.stalls == 0
    await asyncio.sleep(0.2)
    assert b.link.stalls == 1


@bench
async def test_whether_it_may_be_interrupted(b: Bench) -> None:
    """Only while something of an uninterruptible frame is left."""
    assert not b.stream.uninterruptible
    await b.stream.feed(speech(0.02, interruptible=False))
    assert b.stream.uninterruptible
    b.write_all()
    assert b.stream.uninterruptible
    await b.link.play()
    assert not b.stream.uninterruptible


@bench
async def test_a_new_context_comes_behind_what_the_last_one_held_back(b: Bench) -> None:
    """Half a sample of one is completed; nothing of two is mixed."""
    await b.stream.feed(TTSAudioRawFrame(tone(0.01) + b"\x07", RATE, 1, context_id="a"))
    await b.stream.feed(speech(0.01, "b"))
    await b.stream.seal()
    b.write_all()
    assert b"".join(b.link.written).startswith(tone(0.01) + b"\x07\x00" + tone(0.01))


def test_how_audio_is_read_that_does_not_say() -> None:
    """As mono at the room's rate."""
    frame = speech(1.0)
    frame.sample_rate, frame.num_channels = 0, 0
    how = audio_format(frame, RATE)
    assert (how.sample_rate, how.channels) == (RATE, 1)
    assert duration(frame, RATE) == pytest.approx(1.0)
    assert duration(speech(1.0, "a", 8000), RATE) == pytest.approx(1.0)
