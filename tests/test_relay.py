"""The relay in virtual time: pictures give way, voice does not."""

import asyncio

from pipecat.frames.frames import Frame, OutputImageRawFrame, SpeechOutputAudioRawFrame

from pipecat_lemonslice.media import PICTURES_ON_THEIR_WAY
from pipecat_lemonslice.relay import AvatarRelay
from pipecat_lemonslice.rooms import PictureReceived, RoomLost, VoiceReceived
from tests.support.stage import RATE, tone
from tests.support.virtual_time import virtual_time


class Listener:
    """Takes what the relay pushes; may be slow, may keep pictures, may not want the voice."""

    def __init__(self, *, slow: float = 0.0, keeps: bool = False, wants_voice: bool = True) -> None:
        self.slow, self.keeps, self.wants_voice = slow, keeps, wants_voice
        self.voice = b""
        self.sounding_since = asyncio.get_running_loop().time()
        self.voiced = 0
        self.pictures: list[int] = []
        self.kept: list[Frame] = []
        self.relay = AvatarRelay(
            self._push,
            voice_wanted=lambda: self.wants_voice,
            on_voice=self._voiced,
            sounding_since=lambda: self.sounding_since,
        )
        self.running = asyncio.create_task(self.relay.run())

    async def _push(self, frame: Frame) -> None:
        await asyncio.sleep(self.slow)
        match frame:
            case SpeechOutputAudioRawFrame():
                self.voice += frame.audio
            case OutputImageRawFrame():
                self.pictures.append(frame.image[0])
                if self.keeps:
                    self.kept.append(frame)
            case _:
                raise AssertionError(frame)

    def _voiced(self) -> None:
        self.voiced += 1

    def show(self, number: int) -> None:
        self.relay.feed(PictureReceived(bytes([number]) + bytes(11), 2, 2))

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


@virtual_time
async def test_voice_is_passed_on_and_its_beginning_is_told() -> None:
    """Every sample, and once that it began."""
    listener = Listener()
    for _ in range(50):
        listener.relay.feed(VoiceReceived(tone(0.02), RATE))
        await asyncio.sleep(0.02)
    assert listener.voice == tone(0.02) * 50
    assert listener.voiced == 1
    assert listener.relay.sounds()
    await listener.stop()


@virtual_time
async def test_voice_that_is_not_wanted_is_neither_passed_on_nor_told() -> None:
    """While the plain voice speaks, the avatar is not heard, and does not count as its answer."""
    listener = Listener(wants_voice=False)
    for _ in range(50):
        listener.relay.feed(VoiceReceived(tone(0.02), RATE))
        await asyncio.sleep(0.02)
    assert listener.voice == b""
    assert listener.voiced == 0
    await listener.stop()


@virtual_time
async def test_a_listener_that_keeps_pictures_gets_a_few_and_then_the_newest() -> None:
    """No more than are finished with; when one is, the newest picture goes, not the oldest."""
    listener = Listener(keeps=True)
    for number in range(100):
        listener.show(number)
        await asyncio.sleep(0.04)
    assert listener.pictures == list(range(PICTURES_ON_THEIR_WAY))
    listener.kept.pop()
    await asyncio.sleep(0.1)
    assert listener.pictures[PICTURES_ON_THEIR_WAY:] == [99]
    await listener.stop()


@virtual_time
async def test_a_slow_listener_sees_the_newest_and_hears_everything() -> None:
    """Pictures are left out, in order; voice is not."""
    listener = Listener(slow=0.1)
    for number in range(100):
        listener.show(number)
        if number % 10 == 0:
            listener.relay.feed(VoiceReceived(tone(0.04), RATE))
        await asyncio.sleep(0.04)
    await asyncio.sleep(5.0)
    assert listener.pictures == sorted(set(listener.pictures))
    assert listener.pictures[-1] == 99
    assert 20 < len(listener.pictures) < 50
    assert listener.voice == tone(0.04) * 10
    await listener.stop()


@virtual_time
async def test_waiting_for_quiet() -> None:
    """It waits for the voice to come, as long as that is not known, and to fall silent; and not for ever."""
    listener, loop = Listener(), asyncio.get_running_loop()
    started = loop.time()
    await listener.relay.wait_until_quiet(0.0)
    assert loop.time() == started
    listener.relay.expect_voice(0.0)
    waiting = asyncio.create_task(listener.relay.wait_until_quiet(0.0))
    await asyncio.sleep(0.25)
    for _ in range(50):
        listener.relay.feed(VoiceReceived(tone(0.02), RATE))
        await asyncio.sleep(0.02)
    await waiting
    assert 1.25 + 0.3 <= loop.time() - started <= 1.25 + 0.45
    started = loop.time()
    waiting = asyncio.create_task(listener.relay.wait_until_quiet(100.0))
    for _ in range(200):
        listener.relay.feed(VoiceReceived(tone(0.02), RATE))
        await asyncio.sleep(0.02)
    await waiting
    assert loop.time() - started <= 4.0
    await listener.stop()


@virtual_time
async def test_the_end_of_the_room_ends_it() -> None:
    """Nothing comes after a lost room."""
    listener = Listener()
    listener.relay._inbox.put(RoomLost("gone"))
    await asyncio.wait_for(listener.running, 1.0)
