import asyncio

import pytest

from pipecat_lemonslice.emulator.record import AvatarEvent, Kind, Record


async def test_events_have_their_time_and_order():
    """Events are kept as they come, with the time of the clock; kinds compare with plain strings."""
    times = iter([1.0, 2.0, 3.0])
    record = Record(lambda: next(times), most=100)
    record.note(Kind.JOINED, "id")
    record.hear(b"1234")
    record.hear(b"56")
    assert record.events == [
        AvatarEvent(1.0, Kind.JOINED, "id"),
        AvatarEvent(2.0, Kind.AUDIO, range(4)),
        AvatarEvent(3.0, Kind.AUDIO, range(4, 6)),
    ]
    assert record.of("audio") == record.events[1:]


async def test_speech_is_kept_up_to_a_limit():
    """Beyond the limit speech is counted, not kept: a long call does not fill the memory."""
    record = Record(lambda: 0.0, most=4)
    for _ in range(1000):
        record.hear(b"1234")
        record.sound(b"1234")
    assert (bytes(record.heard), record.heard_bytes) == (b"1234", 4000)
    assert (bytes(record.sounded), record.sounded_bytes) == (b"1234", 4000)
    assert len(record.events) == 1


async def test_waiting_finds_the_past_and_the_future():
    """What has happened is found at once, what has not is waited for."""
    record = Record(lambda: 0.0, most=0)
    record.note(Kind.JOINED)
    assert await record.wait(lambda: record.of("joined") or None, "joined", 1.0)
    waiting = asyncio.create_task(record.wait(lambda: record.of("left") or None, "left", 1.0))
    await asyncio.sleep(0)
    record.note(Kind.LEFT, "leftCall")
    assert (await waiting)[0].value == "leftCall"


async def test_a_wait_in_vain_says_what_there_was():
    """The error names the events that happened instead."""
    record = Record(lambda: 0.0, most=0)
    record.note(Kind.JOINED)
    with pytest.raises(TimeoutError, match=r"no interrupt .* saw: joined"):
        await record.wait(lambda: None, "interrupt", 0.01)
