"""What the pipeline is told of an avatar that speaks in a shared room."""

import asyncio

from pipecat.frames.frames import BotSpeakingFrame, BotStartedSpeakingFrame, BotStoppedSpeakingFrame, Frame

from pipecat_lemonslice.shared_voice import MAX_NEWS, SharedVoice
from pipecat_lemonslice.speech.track import ALL_HEARD
from tests.support.virtual_time import virtual_time


class Pipeline:
    """Keeps what is broadcast, and runs a voice."""

    def __init__(self, *, avatar_speaks: bool = True) -> None:
        self.told: list[tuple[float, type[Frame]]] = []
        self.voice = SharedVoice(self._broadcast, avatar_speaks=lambda: avatar_speaks)
        self._start = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self.voice.run())

    async def _broadcast(self, kind: type[Frame]) -> None:
        self.told.append((asyncio.get_running_loop().time() - self._start, kind))

    def kinds(self) -> list[type[Frame]]:
        return [kind for _, kind in self.told]

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@virtual_time
async def test_a_response_is_one_start_one_stop_and_a_frame_each_fifth_of_a_second() -> None:
    """Started at once, BotSpeakingFrame every 0.2 s, stopped when the response is over."""
    pipeline = Pipeline()
    pipeline.voice.expect_voice(0.0)
    await asyncio.sleep(0.5)
    pipeline.voice.response_over()
    await asyncio.sleep(1.0)
    assert pipeline.kinds() == [BotStartedSpeakingFrame, *[BotSpeakingFrame] * 3, BotStoppedSpeakingFrame]
    assert [round(at, 6) for at, _ in pipeline.told] == [0.0, 0.0, 0.2, 0.4, 0.5]
    await pipeline.end()


@virtual_time
async def test_speech_that_the_output_transport_plays_is_not_told_of_here() -> None:
    """On the plain voice's route the output transport tells by itself."""
    pipeline = Pipeline(avatar_speaks=False)
    pipeline.voice.expect_voice(0.0)
    await asyncio.sleep(0.5)
    pipeline.voice.response_over()
    await asyncio.sleep(0.5)
    assert pipeline.told == []
    await pipeline.end()


@virtual_time
async def test_what_has_happened_is_told_to_the_end() -> None:
    """Starts and stops that came in one moment, or right before the end, are all told, in order."""
    pipeline = Pipeline()
    await asyncio.sleep(0)
    for _ in range(2):
        pipeline.voice.expect_voice(0.0)
        pipeline.voice.response_over()
    await pipeline.end()
    told = [kind for kind in pipeline.kinds() if kind is not BotSpeakingFrame]
    assert told == [BotStartedSpeakingFrame, BotStoppedSpeakingFrame] * 2


@virtual_time
async def test_the_avatar_may_be_heard_for_a_moment_after_its_response_unless_interrupted() -> None:
    """Nobody listens here, so a second is allowed for its last words; none after an interruption."""
    pipeline = Pipeline()
    loop = asyncio.get_running_loop()
    pipeline.voice.expect_voice(0.0)
    assert pipeline.voice.sounds()
    pipeline.voice.response_over()
    assert pipeline.voice.sounds()
    before = loop.time()
    await pipeline.voice.wait_until_quiet(0.0)
    assert loop.time() - before == 1.0
    assert not pipeline.voice.sounds()
    pipeline.voice.expect_voice(0.0)
    pipeline.voice.response_over()
    pipeline.voice.interrupt()
    assert not pipeline.voice.sounds()
    await pipeline.end()


@virtual_time
async def test_the_avatar_may_be_heard_while_its_response_is_open() -> None:
    """Also when everything has been played and more may come: its last words lag behind."""
    pipeline = Pipeline()
    pipeline.voice.expect_voice(0.0)
    await asyncio.sleep(5.0)
    assert pipeline.voice.sounds()
    pipeline.voice.response_over()
    await asyncio.sleep(2.0)
    assert not pipeline.voice.sounds()
    await pipeline.end()


@virtual_time
async def test_news_that_nobody_takes_do_not_pile_up() -> None:
    """Beyond the limit responses are told of no more; what is told still alternates."""
    pipeline = Pipeline()
    await asyncio.sleep(0)
    for _ in range(MAX_NEWS):
        pipeline.voice.expect_voice(0.0)
        pipeline.voice.response_over()
    await pipeline.end()
    told = [kind for kind in pipeline.kinds() if kind is not BotSpeakingFrame]
    assert told == [BotStartedSpeakingFrame, BotStoppedSpeakingFrame] * (MAX_NEWS // 2)


@virtual_time
async def test_what_was_played_counts_as_heard() -> None:
    """Nobody knows here what the avatar was heard saying; nothing is said twice on a guess."""
    pipeline = Pipeline()
    pipeline.voice.expect_voice(0.0)
    assert pipeline.voice.heard() == ALL_HEARD
    await pipeline.end()
