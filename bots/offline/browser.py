"""The WebRTC transport, with a bound on the pictures that wait for a slow encoder."""

from pipecat.frames.frames import OutputImageRawFrame
from pipecat.transports.smallwebrtc.transport import SmallWebRTCOutputTransport, SmallWebRTCTransport

MOST_WAITING = 2


class BoundedOutput(SmallWebRTCOutputTransport):
    """Leaves a picture out while earlier ones have not been taken.

    Pipecat's track takes any number: with a busy processor its queue, and with it the delay, grows for ever.
    """

    async def write_video_frame(self, frame: OutputImageRawFrame) -> bool:
        """Send a picture, unless too many wait already; the next one comes in a moment.

        Args:
            frame: The picture.

        Returns:
            Whether it was taken.
        """
        track = self._client._video_output_track
        if track is not None and track._video_buffer.qsize() >= MOST_WAITING:
            return False
        return await super().write_video_frame(frame)


class BrowserTransport(SmallWebRTCTransport):
    """A ``SmallWebRTCTransport`` whose delay cannot grow."""

    def output(self) -> SmallWebRTCOutputTransport:
        """Return the output, the same one each time."""
        if self._output is None:
            self._output = BoundedOutput(self._client, self._params, name=self._output_name)
        return self._output
