import asyncio
from uuid import UUID

import pytest

from pipecat_lemonslice.emulator.outbox import MOST_SOUNDS, MOST_TEXTS, Outbox, OutboxFull

ANN, BOB = UUID(int=1), UUID(int=2)


async def everything(outbox: Outbox) -> list[str | bytes | bytearray]:
    taken: list[str | bytes | bytearray] = []
    while True:
        try:
            async with asyncio.timeout(0.01):
                taken.append(await outbox.get())
        except TimeoutError:
            return taken


async def test_texts_and_sounds_keep_their_order():
    """What was put first leaves first; pictures leave after both."""
    outbox = Outbox()
    outbox.picture(ANN, bytearray(b"picture"))
    outbox.sound(ANN, b"1")
    outbox.text("a")
    outbox.sound(ANN, b"2")
    assert await everything(outbox) == [b"1", "a", b"2", b"picture"]


async def test_only_the_newest_picture_waits():
    """A slow reader never gets a picture older than one it could have had."""
    outbox = Outbox()
    for number in range(100):
        outbox.picture(ANN, bytearray([number]))
        outbox.picture(BOB, bytearray([number]))
    assert await everything(outbox) == [b"\x63", b"\x63"]


async def test_sound_is_bounded_and_texts_survive():
    """When too much sound waits the oldest goes, never a text."""
    outbox = Outbox()
    outbox.text("first")
    for number in range(MOST_SOUNDS + 3):
        outbox.sound(ANN, str(number).encode())
    taken = await everything(outbox)
    assert taken[:2] == ["first", b"3"]
    assert len(taken) == 1 + MOST_SOUNDS


async def test_too_many_texts_are_an_error():
    """Somebody who takes no texts at all is given up."""
    outbox = Outbox()
    for _ in range(MOST_TEXTS):
        outbox.text("x")
    with pytest.raises(OutboxFull):
        outbox.text("x")


async def test_hushing_takes_back_one_sender():
    """The waiting sound of one sender is forgotten, everything else stays."""
    outbox = Outbox()
    outbox.sound(ANN, b"ann")
    outbox.text("t")
    outbox.sound(BOB, b"bob")
    outbox.hush(ANN)
    assert await everything(outbox) == ["t", b"bob"]


async def test_waiting_ends_with_the_first_message():
    """`get` waits until something comes."""
    outbox = Outbox()
    waiting = asyncio.create_task(outbox.get())
    await asyncio.sleep(0)
    outbox.text("at last")
    assert await waiting == "at last"
