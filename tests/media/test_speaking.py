"""What the pipeline is told of an avatar that speaks in a shared room."""

import asyncio

import pytest
from pipecat.frames.frames import BotSpeakingFrame, BotStartedSpeakingFrame, BotStoppedSpeakingFrame, Frame

from pipecat_lemonslice.media.speaking import MAX_WAITING, SpeakingFrames
from tests.support.virtual_time import virtual_time


class Pipeline:
    """Keeps what is broadcast."""

    def __init__(self) -> None:
        self.told: list[tuple[float, type[Frame]]] = []
        self.speaking = SpeakingFrames(self._broadcast)
        self._begun_at = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self.speaking.run())

    async def _broadcast(self, kind: type[Frame]) -> None:
        self.told.append((asyncio.get_running_loop().time() - self._begun_at, kind))

    def edges(self) -> list[type[Frame]]:
        return [kind for _, kind in self.told if kind is not BotSpeakingFrame]

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@virtual_time
async def test_a_response_is_one_start_one_stop_and_a_frame_each_fifth_of_a_second() -> None:
    """Started at once, BotSpeakingFrame every 0.2 s, stopped when the response is over; a stop alone is none."""
    pipeline = Pipeline()
    pipeline.speaking.stopped()
    pipeline.speaking.started()
    await asyncio.sleep(0.5)
    pipeline.speaking.stopped()
    await asyncio.sleep(1.0)
    kinds = [BotStartedSpeakingFrame, *[BotSpeakingFrame] * 3, BotStoppedSpeakingFrame]
    assert [kind for _, kind in pipeline.told] == kinds
    assert [at for at, _ in pipeline.told] == pytest.approx([0.0, 0.0, 0.2, 0.4, 0.5])
    await pipeline.end()


@virtual_time
async def test_what_has_happened_is_told_to_the_end() -> None:
    """Starts and stops that came in one moment, or right before the end, are all told, in order."""
    pipeline = Pipeline()
    await asyncio.sleep(0)
    for _ in range(2):
        pipeline.speaking.started()
        pipeline.speaking.stopped()
    await pipeline.end()
    assert pipeline.edges() == [BotStartedSpeakingFrame, BotStoppedSpeakingFrame] * 2


@virtual_time
async def test_what_nobody_takes_does_not_pile_up() -> None:
    """Beyond the limit responses are not told of; what is told still alternates."""
    pipeline = Pipeline()
    await asyncio.sleep(0)
    for _ in range(MAX_WAITING):
        pipeline.speaking.started()
        pipeline.speaking.stopped()
    await pipeline.end()
    assert pipeline.edges() == [BotStartedSpeakingFrame, BotStoppedSpeakingFrame] * (MAX_WAITING // 2)
