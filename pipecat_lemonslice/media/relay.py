"""Brings the avatar's voice and picture from its room to the user's transport.

Voice goes on in order and none of its sound is dropped. A picture goes on when the voice that came with it is heard; of
those that are due the newest does, in the size that the transport has. What the avatar is saying, and whether it is
wanted, is asked of the :class:`Playback`.

Pictures do not carry Pipecat's ``sync_with_audio``: live outputs never show such pictures, interruptions drop them, and
they leave when the voice before them is written, which may be long before it is heard.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from loguru import logger
from pipecat.frames.frames import Frame, OutputImageRawFrame
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.transports.base_output import BaseOutputTransport

from pipecat_lemonslice._pipecat import queued_pictures, queued_voice, transport_params, wait_for_output
from pipecat_lemonslice.media.pictures import KEPT_PICTURES, VideoThrottle, letterboxed
from pipecat_lemonslice.media.playback import Playback
from pipecat_lemonslice.media.voice import HANGOVER_SECONDS, VoiceGate
from pipecat_lemonslice.rooms import Picture

MAX_WAITING_PIECES = 750
"""Half a minute of voice that nobody downstream takes. The oldest is then dropped."""

RETRY_SECONDS = 0.01
"""Time between two looks at whether a picture that waits may go."""

MAX_HELD_SECONDS = 0.6
"""The longest that a picture waits for the voice that it came with."""

MAX_HELD_PICTURES = 16
"""Pictures that may wait for it, as many as come in that time."""

BLOCKED_SECONDS = 5.0
"""How long no picture may go before this is logged."""


@dataclass(frozen=True, slots=True)
class VoiceReturned:
    """The avatar's voice begins to sound after silence.

    Attributes:
        at: When, on the loop's clock.
    """

    at: float


@dataclass(frozen=True, slots=True)
class MediaRefused:
    """What came from the room is not what it should be; the session is to be replaced.

    Attributes:
        error: What is wrong with it.
    """

    error: Exception


RelayEvent = VoiceReturned | MediaRefused


class MediaRelay:
    """Takes voice and pictures in with :meth:`on_voice` and :meth:`on_picture`, and passes them on in two tasks."""

    def __init__(
        self, push: Callable[[Frame], Awaitable[None]], emit: Callable[[RelayEvent], None], playback: Playback
    ) -> None:
        """Create a relay with nothing on its way.

        Args:
            push: Passes a frame on, downstream.
            emit: Takes every event, in order; must not block.
            playback: Measures the avatar.
        """
        self._push = push
        self._emit = emit
        self._playback = playback
        self._started = False
        self._loop = asyncio.get_running_loop()
        self._gate = VoiceGate(playback)
        self._voice: deque[Frame] = deque(maxlen=MAX_WAITING_PIECES)
        self._voice_came = asyncio.Event()
        self._output: BaseOutputTransport | None = None
        self._throttle = VideoThrottle()
        self._pictures: deque[tuple[float, Picture]] = deque(maxlen=MAX_HELD_PICTURES)
        self._picture_seconds = 0.0
        self._picture_came = asyncio.Event()
        self._picture_at = self._loop.time()
        self.bot_silent = asyncio.Event()
        """Set while the bot does not speak, as the output says."""
        self.bot_silent.set()
        self._told_dropped = self._told_blocked = self._told_kept = self._told_size = False

    def show_on(self, output: BaseOutputTransport | None) -> None:
        """Take voice and pictures from now on, and adapt pictures to an output transport; to be called once.

        Args:
            output: The output transport that shows them; None if there is none.
        """
        self._started, self._output = True, output
        if output:
            if params := transport_params(output):
                self._gate.adapt(params.audio_out_10ms_chunks / 100)
                self._picture_seconds = 0.5 / params.video_out_framerate
                if params.video_out_is_live:
                    self._throttle.most_queued = 1  # it shows each of them, one after the other
            output.add_event_handler("on_after_process_frame", self._processed)  # pyright: ignore[reportUnknownMemberType]

    # Voice.

    def on_voice(self, pcm: bytes, sample_rate: int) -> None:
        """Take the avatar's voice in; dropped until the pipeline has started. Never blocks and never raises.

        Args:
            pcm: Signed 16-bit little-endian mono samples.
            sample_rate: In Hz.
        """
        if not self._started:
            return
        now = self._loop.time()
        try:
            frames, begins = self._gate.feed(pcm, sample_rate, queued_voice(self._output), now)
        except Exception as error:
            self._emit(MediaRefused(error))
            return
        if begins:
            self._emit(VoiceReturned(now))
        if len(self._voice) + len(frames) > MAX_WAITING_PIECES and not self._told_dropped:
            self._told_dropped = True
            logger.warning("The pipeline does not take the avatar's voice: the oldest that waits is being dropped.")
        if frames:
            self._voice += frames
            self._voice_came.set()

    def interrupt(self) -> None:
        """Drop what the avatar was saying, and pass on no more of it."""
        now = self._loop.time()
        self._playback.interrupted(now)
        self._gate.clear(now)
        self._voice.clear()

    def avatar_changed(self) -> None:
        """Drop what the old avatar still says: it has left, or is another one."""
        self._playback.avatar_changed()
        self._gate.clear(self._loop.time())
        self._voice.clear()

    async def wait_until_finished(self) -> None:
        """Wait until the avatar has said all that was played to it, and the output has noticed; in bounded time."""
        while True:
            seconds = self._playback.speaks_for(self._loop.time())
            if not seconds:
                break
            await asyncio.sleep(max(0.01, seconds))  # the clock may not see a shorter time pass
        # An output that has ended says nothing any more. It notices by the silence that the gate passes on.
        seconds = HANGOVER_SECONDS - self._playback.quiet_for(self._loop.time())
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self.bot_silent.wait()

    async def run_voice(self) -> None:
        """Pass voice on until cancelled."""
        while True:
            await self._voice_came.wait()
            while self._voice:
                await self._push(self._voice.popleft())
            self._told_dropped = False
            self._voice_came.clear()

    # Pictures.

    def on_picture(self, picture: Picture) -> None:
        """Take a picture in, to be seen when the voice that came with it is heard; never blocks and never raises."""
        if self._started:
            now = self._loop.time()
            due = min(max(now, self._gate.heard_at - self._picture_seconds), now + MAX_HELD_SECONDS)
            while self._pictures and self._pictures[-1][0] > due:  # they waited for voice that was dropped
                self._pictures.pop()
            self._pictures.append((due, picture))
            self._picture_came.set()

    async def run_pictures(self) -> None:
        """Pass pictures on until cancelled. Of those that are due the newest goes on."""
        while True:
            await self._picture_came.wait()
            now = self._loop.time()
            while len(self._pictures) > 1 and self._pictures[1][0] <= now:
                self._pictures.popleft()
            if not self._pictures:
                self._picture_came.clear()
            elif (due := self._pictures[0][0]) > now:
                await asyncio.sleep(min(due - now, RETRY_SECONDS))
            elif not self._throttle.is_open(queued_pictures(self._output), now):
                self._complain()
                await wait_for_output(self._output, RETRY_SECONDS)
            else:
                picture = await self._in_output_size(self._pictures.popleft()[1])
                frame = OutputImageRawFrame(picture.rgb, (picture.width, picture.height), "RGB")
                self._picture_at, self._told_blocked = self._loop.time(), False
                self._throttle.sent(frame, self._picture_at)
                await self._push(frame)

    def _processed(self, _: FrameProcessor, frame: Frame) -> None:
        if isinstance(frame, OutputImageRawFrame):
            self._throttle.arrived(frame)

    async def _in_output_size(self, picture: Picture) -> Picture:
        """Return the picture as large as the output's video, which would otherwise stretch it."""
        params = transport_params(self._output) if self._output else None
        if params is None or not params.video_out_enabled:
            return picture
        size = params.video_out_width, params.video_out_height
        if size == (picture.width, picture.height):
            return picture
        if not self._told_size:
            self._told_size = True
            logger.warning(
                f"The avatar's picture has {picture.width}x{picture.height} pixels and the video of the output "
                f"transport {size[0]}x{size[1]}, so the picture is scaled and the rest of the video is black. "
                "To send it as it is, write in the parameters of the transport:\n"
                f"    video_out_width={picture.width},\n"
                f"    video_out_height={picture.height},"
            )
        return await asyncio.to_thread(letterboxed, picture, size)

    def _complain(self) -> None:
        if self._throttle.kept >= KEPT_PICTURES:
            if not self._told_kept:
                self._told_kept = True
                logger.warning(
                    f"A processor keeps more than {KEPT_PICTURES} OutputImageRawFrame objects of the avatar, so it "
                    "gets one a second. Let it keep fewer, or copies that are smaller."
                )
        elif not self._told_blocked and self._loop.time() - self._picture_at > BLOCKED_SECONDS:
            self._told_blocked = True
            logger.warning(
                "The avatar's pictures are not being taken: the user's browser is gone, the output transport is stuck, "
                "or a processor in front of it is. The newest picture is sent when they are taken again."
            )
