"""A picture with sound on its way to an MP4 file, in a thread of its own: encoding would block the event loop."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast

import av
import numpy as np

from pipecat_lemonslice.errors import LemonSliceError
from pipecat_lemonslice.rooms import Picture

MOST_WAITING = 50
"""Pieces that may wait for the encoder before it gets no further pictures. The voice is never left out."""

GAP_SECONDS = 0.1
"""Voice that comes so much later than the voice before it comes behind silence."""

_MILLISECOND = Fraction(1, 1000)


class RecordingError(LemonSliceError):
    """The file could not be written."""


class Recording(AbstractContextManager["Recording"]):
    """Writes a file from the first picture on; without a picture there is none."""

    def __init__(self, path: Path, sample_rate: int, clock: Callable[[], float]) -> None:
        """Prepare for a file.

        Args:
            path: Where it goes.
            sample_rate: Of the voice, in Hz.
            clock: Returns the time in seconds.
        """
        self._path, self._rate, self._clock = path, sample_rate, clock
        self._waiting: SimpleQueue[tuple[float, Picture | bytes] | None] = SimpleQueue()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._write, name="lemonslice-recording", daemon=True)

    def __enter__(self) -> "Recording":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Complete the file.

        Raises:
            RecordingError: It could not be written; not in place of another error.
        """
        self._waiting.put(None)
        self._thread.join()
        if self._error and kind is None:
            raise RecordingError(f"The recording failed: {self._error}")

    def show(self, picture: Picture) -> None:
        """Take a picture that is seen now."""
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put((self._clock(), picture))

    def hear(self, pcm: bytes) -> None:
        """Take the next piece of the voice: 16-bit mono samples."""
        if self._thread.is_alive():
            self._waiting.put((self._clock(), pcm))

    def _write(self) -> None:
        try:
            while (first := self._waiting.get()) and not isinstance(first[1], Picture):
                pass
            if first:
                self._record(first[0], cast("Picture", first[1]))
        except Exception as error:  # told when the recording is closed
            self._error = error

    def _record(self, began_at: float, first: Picture) -> None:
        with cast("Any", av.open(str(self._path), "w", format="mp4")) as file:
            video = file.add_stream("libx264", rate=25, options={"preset": "veryfast"})
            video.width, video.height = first.width // 2 * 2, first.height // 2 * 2
            video.pix_fmt, video.codec_context.time_base = "yuv420p", _MILLISECOND
            audio = file.add_stream("aac", rate=self._rate, layout="mono")
            shown, heard = -1, 0
            item: tuple[float, Picture | bytes] | None = (began_at, first)
            while item:
                seconds, piece = item[0] - began_at, item[1]
                if isinstance(piece, Picture):
                    shown = max(shown + 1, round(seconds * 1000))
                    file.mux(video.encode(_video_frame(piece, shown, video)))
                else:
                    missing = round(seconds * self._rate) - len(piece) // 2 - heard
                    if missing > GAP_SECONDS * self._rate:
                        piece = bytes(2 * missing) + piece
                    file.mux(audio.encode(_audio_frame(piece, heard, audio)))
                    heard += len(piece) // 2
                item = self._waiting.get()
            file.mux(video.encode())
            file.mux(audio.encode())


def _video_frame(picture: Picture, milliseconds: int, stream: Any) -> av.VideoFrame:
    pixels = np.frombuffer(picture.rgb, np.uint8).reshape(picture.height, picture.width, 3)
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(stream.width, stream.height, "yuv420p")
    frame.pts, frame.time_base = milliseconds, _MILLISECOND
    return frame


def _audio_frame(pcm: bytes, position: int, stream: Any) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, "<i2").reshape(1, -1), "s16", "mono")
    frame.sample_rate, frame.pts, frame.time_base = stream.rate, position, Fraction(1, stream.rate)
    return frame
