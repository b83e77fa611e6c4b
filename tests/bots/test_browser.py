"""The WebRTC output, with a peer connection that never leaves this process."""

import asyncio

import pytest
from pipecat.frames.frames import OutputImageRawFrame
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.transports.smallwebrtc.transport import RawVideoTrack

from local import browser_params
from offline.browser import MOST_WAITING, BoundedOutput, BrowserTransport
from tests.support.webrtc import connected, waiting

PICTURE = OutputImageRawFrame(bytes(368 * 560 * 3), (368, 560), "RGB")


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> tuple[BoundedOutput, RawVideoTrack]:
    """An output that is connected, to an encoder that takes nothing by itself."""
    transport = BrowserTransport(SmallWebRTCConnection(), browser_params())
    made = transport.output()
    assert isinstance(made, BoundedOutput)
    assert transport.output() is made
    return made, connected(made, PICTURE.size, monkeypatch)


async def test_pictures_do_not_pile_up_before_a_slow_encoder(connection: tuple[BoundedOutput, RawVideoTrack]) -> None:
    """However many are sent, no more than two wait."""
    output, track = connection
    taken = [await output.write_video_frame(PICTURE) for _ in range(500)]
    assert sum(taken) == MOST_WAITING
    assert waiting(track) == MOST_WAITING


async def test_an_encoder_that_keeps_up_gets_every_picture(connection: tuple[BoundedOutput, RawVideoTrack]) -> None:
    """Nothing is left out while each one is taken."""
    output, track = connection
    for _ in range(5):
        assert await output.write_video_frame(PICTURE)
        await asyncio.wait_for(track.recv(), 5)


def test_pictures_are_not_live() -> None:
    """Live would queue every picture without bound in Pipecat's output."""
    params = browser_params()
    assert (params.video_out_is_live, params.video_out_framerate) == (False, 30)
    assert (params.video_out_width, params.video_out_height) == (368, 560)
