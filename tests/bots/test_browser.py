"""What the browser is sent: pictures through a peer connection that never leaves this process, and portraits."""

import asyncio

import numpy as np
import pytest
from pipecat.frames.frames import OutputImageRawFrame
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection

from local import browser_params
from offline.browser import MOST_WAITING, BoundedOutput, BrowserTransport
from offline.portrait import FACES, SIZE, draw
from tests.support.webrtc import connected, waiting

PICTURE = OutputImageRawFrame(bytes(368 * 560 * 3), (368, 560), "RGB")


async def test_pictures_do_not_pile_up_before_a_slow_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are sent, no more than two wait; nothing is left out while each one is taken.

    They are not live: Pipecat's output would queue live ones without bound.
    """
    params = browser_params()
    assert (params.video_out_is_live, params.video_out_framerate) == (False, 30)
    assert (params.video_out_width, params.video_out_height) == PICTURE.size
    transport = BrowserTransport(SmallWebRTCConnection(), params)
    output = transport.output()
    assert isinstance(output, BoundedOutput)
    assert transport.output() is output
    track = connected(output, PICTURE.size, monkeypatch)
    for _ in range(5):
        assert await output.write_video_frame(PICTURE)
        await asyncio.wait_for(track.recv(), 5)
    taken = [await output.write_video_frame(PICTURE) for _ in range(100)]
    assert sum(taken) == waiting(track) == MOST_WAITING


def test_portraits_have_the_avatars_size_and_differ_at_a_glance() -> None:
    """Skin in the middle, the backdrop in the corners; from one to the other most of the picture changes."""
    portraits = [draw(face) for face in FACES.values()]
    for portrait in portraits:
        assert (portrait.size, portrait.mode) == (SIZE, "RGB")
        corner, cheek = portrait.getpixel((3, 3)), portrait.getpixel((140, 300))
        assert corner == portrait.getpixel((364, 3))
        assert corner != cheek
    one, other = (np.asarray(portrait).astype(int) for portrait in portraits)
    assert (np.abs(one - other).max(axis=2) > 60).mean() > 0.6
