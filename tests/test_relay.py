"""The relay of the voice, in virtual time."""

import asyncio

from pipecat.frames.frames import Frame, SpeechOutputAudioRawFrame

from pipecat_lemonslice.relay import AvatarRelay
from pipecat_lemonslice.rooms import RoomLost, VoiceReceived
from tests.support.stage import RATE, tone
from tests.support.virtual_time import virtual_time


class Listener:
    """Takes what the relay pushes; may not want the voice."""

    def __init__(self, *, wants_voice: bool = True) -> None:
        self.voice = b""
        self.sounding_since = asyncio.get_running_loop().time()
        self.voiced = 0
        self.relay = AvatarRelay(
            self._push,
            voice_wanted=lambda: wants_voice,
            on_voice=self._voiced,
            sounding_since=lambda: self.sounding_since,
        )
        self.running = asyncio.create_task(self.relay.run())

    async def _push(self, frame: Frame) -> None:
        assert isinstance(frame, SpeechOutputAudioRawFrame)
        self.voice += frame.audio

    def _voiced(self) -> None:
        self.voiced += 1

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
