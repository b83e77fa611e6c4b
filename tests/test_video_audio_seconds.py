"""How long a response was, as frames, event handlers and the page are told. In virtual time."""

import pytest
from pipecat.frames.frames import TTSStoppedFrame
from pipecat.processors.frameworks.rtvi.frames import RTVIServerMessageFrame

from pipecat_lemonslice import AvatarResponseDoneFrame
from tests.support.stage import Stage, speech
from tests.support.virtual_time import virtual_time


@pytest.mark.parametrize("pieces", [93, 186])
@virtual_time
async def test_everybody_is_told_the_same_three_decimals(pieces: int) -> None:
    """Speech in many small pieces adds up to no tail of digits."""
    async with Stage() as stage:
        await stage.arrive()
        for _ in range(pieces):
            await stage.send(speech(0.02))
        await stage.send(TTSStoppedFrame("a"))
        await stage.settle(pieces * 0.02 + 1.0)
        seconds = pieces * 2 / 100
        assert [frame.audio_seconds for frame in stage.down(AvatarResponseDoneFrame)] == [seconds]
        assert [frame.audio_seconds for frame in stage.up(AvatarResponseDoneFrame)] == [seconds]
        assert ("on_response_done", "stopped", seconds) in stage.events
        messages = [frame.data for frame in stage.down(RTVIServerMessageFrame)]
        assert [data["audio_seconds"] for data in messages if data.get("event") == "done"] == [seconds]
