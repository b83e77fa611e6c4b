"""The speech that reaches the avatar while something blocks the event loop, as tools and image libraries do."""

import asyncio
import time

from tests.fidelity.rooms import Slice
from tests.fidelity.shared_bots import Stage
from tests.support.stage import tone
from tests.support.waiting import until


async def block_the_loop() -> None:
    """Five times a second, for 150 ms."""
    while True:
        time.sleep(0.15)  # noqa: ASYNC251
        await asyncio.sleep(0.05)


def silences(heard: list[Slice], since: float = 0.0) -> list[float]:
    """The pauses within the speech that was played, in seconds."""
    written = [piece.written for piece in heard if piece.at >= since]
    begin, end = written.index(True), len(written) - written[::-1].index(True)
    runs = "".join("x" if one else "." for one in written[begin:end]).split("x")
    return [len(run) / 100 for run in runs if run]


async def test_a_shared_room_gets_as_much_ahead_as_the_loop_is_late(stage: Stage) -> None:
    """The first second teaches how late the loop is; the rest has no pause above 50 ms, and nothing is lost."""
    bot = await stage.bot()
    await asyncio.wait_for(bot.ready.wait(), 5)
    blocking = asyncio.create_task(block_the_loop())
    await bot.speak(4.0, "a")
    await until(lambda: bot.avatar.events == ["response_started", "response_finished"], 15.0)
    blocking.cancel()
    assert bot.avatar.speech == tone(4.0)
    begun = next(piece.at for piece in bot.avatar.heard if piece.written)
    assert max(silences(bot.avatar.heard, begun + 1.0), default=0.0) <= 0.05
