"""Pipecat's WebRTC output as if a browser were connected, though nobody reads its track."""

import pytest
from pipecat.transports.smallwebrtc.transport import RawVideoTrack, SmallWebRTCOutputTransport


def connected(
    output: SmallWebRTCOutputTransport, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> "RawVideoTrack":
    """Connect an output; returns its video track."""
    track = RawVideoTrack(*size)
    monkeypatch.setattr(output._client, "_can_send", lambda: True)
    output._client._video_output_track = track
    return track


def waiting(track: RawVideoTrack) -> int:
    """How many pictures wait in a track to be read."""
    return track._video_buffer.qsize()
