"""Brings the avatar's voice and picture from its room to the user's transport.

Voice goes on in order and none of its sound is dropped; of pictures the newest goes on, in the size that the transport
has. What the avatar is saying, and whether it is wanted, is asked of the :class:`Playback`.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from loguru import logger
from pipecat.frames.frames import Frame, OutputImageRawFrame, SpeechOutputAudioRawFrame
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.transports.base_output import BaseOutputTransport

from pipecat_lemonslice._pipecat import queued_pictures, transport_params
from pipecat_lemonslice.media.pictures import KEPT_PICTURES, VideoThrottle, letterboxed
from pipecat_lemonslice.media.playback import Playback, Sound
from pipecat_lemonslice.rooms import Picture

PIECE_SECONDS = 0.04
"""Voice is passed on in pieces that output transports take whole, so that nothing of it waits in their buffers."""

UNCHANGED_SECONDS = 0.32
"""So long after sound, the track is passed on as it is, with its noise floor and the last breath of a word."""

HANGOVER_SECONDS = 0.8
"""Silence that is passed on after sound. After ``UNCHANGED_SECONDS`` it is digital silence, long enough for output
transports to see that the bot has stopped: to them, a noise floor is speech."""

ONSET_PIECES = 4
"""Faint pieces that wait in silence for the sound that may follow, 160 ms of them: a soft beginning is noticed late,
and must be heard."""

MAX_LEAD_SECONDS = 0.12
"""How far the voice may run ahead of real time before silence in it is left out: a stall must not delay it for good."""

MAX_WAITING_PIECES = 750
"""Half a minute of voice that nobody downstream takes. The oldest is then dropped."""

MAX_LAG_SECONDS = 3.0
"""The most that the avatar's voice may lag behind the speech it was given at the end of a call."""

RETRY_SECONDS = 0.02
"""Time between two looks at whether a picture that waits may go."""

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


class VoiceGate:
    """Turns the continuous sound of the avatar's track into speech frames. Pure.

    The track sounds without end, mostly of silence and its noise floor; passing that on would get in the way of
    everything else that is to be heard, and would never let a delay shrink.
    """

    def __init__(self, playback: Playback) -> None:
        """Create a gate that has passed nothing on.

        Args:
            playback: Says what each piece of voice is.
        """
        self._playback = playback
        self._buffer = bytearray()
        self._rate = 0
        self._onset: deque[bytes] = deque(maxlen=ONSET_PIECES)
        self._passed_until = 0.0

    def clear(self, now: float) -> None:
        """Drop what has come and has not been passed on, and forget what has been."""
        self._buffer.clear()
        self._onset.clear()
        self._passed_until = now

    def feed(self, pcm: bytes, sample_rate: int, now: float) -> tuple[list[SpeechOutputAudioRawFrame], bool]:
        """Take voice in.

        Args:
            pcm: Signed 16-bit little-endian mono samples.
            sample_rate: In Hz.
            now: The time.

        Returns:
            What is to be passed on, and whether it holds the first sound after a pause.

        Raises:
            ValueError: It is not 16-bit audio.
        """
        if sample_rate < 1 / PIECE_SECONDS or len(pcm) % 2:
            raise ValueError(f"{len(pcm)} bytes at {sample_rate} Hz are not 16-bit audio")
        if sample_rate != self._rate:
            self.clear(now)
            self._rate = sample_rate
        self._buffer += pcm
        size = round(sample_rate * PIECE_SECONDS) * 2
        frames: list[SpeechOutputAudioRawFrame] = []
        begins = False
        while len(self._buffer) >= size:
            piece = bytes(self._buffer[:size])
            del self._buffer[:size]
            quiet_for = self._playback.quiet_for(now)
            sound = self._playback.heard(piece, sample_rate, now)
            begins = begins or sound is Sound.FIRST
            pieces = self._passed(piece, sound, quiet_for, now)
            self._passed_until = max(self._passed_until, now) + PIECE_SECONDS * len(pieces)
            frames += [SpeechOutputAudioRawFrame(each, sample_rate, 1) for each in pieces]
        return frames, begins

    def _passed(self, piece: bytes, sound: Sound, quiet_for: float, now: float) -> list[bytes]:
        """Return what is passed on when a piece has come.

        Args:
            piece: The piece.
            sound: What it is.
            quiet_for: Seconds without sound before it.
            now: The time.
        """
        left_out = quiet_for > HANGOVER_SECONDS or self._passed_until - now > MAX_LEAD_SECONDS
        match sound:
            case Sound.UNWANTED:
                return []
            case Sound.SILENT | Sound.FAINT if left_out or quiet_for > UNCHANGED_SECONDS:
                if sound is Sound.FAINT:
                    self._onset.append(piece)
                else:
                    self._onset.clear()
                return [] if left_out else [bytes(len(piece))]
            case _:
                pieces = [*self._onset, piece]
                self._onset.clear()
                return pieces


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
        self._picture: Picture | None = None
        self._picture_came = asyncio.Event()
        self._picture_at = self._loop.time()
        self._told_dropped = self._told_blocked = self._told_kept = self._told_size = False

    def show_on(self, output: BaseOutputTransport | None) -> None:
        """Take voice and pictures from now on, and adapt pictures to an output transport; to be called once.

        Args:
            output: The output transport that shows them; None if there is none.
        """
        self._started, self._output = True, output
        if output:
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
            frames, begins = self._gate.feed(pcm, sample_rate, now)
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
        """Wait until the avatar has said all that was played to it, in bounded time."""
        give_up_at = self._loop.time() + MAX_LAG_SECONDS
        await asyncio.sleep(min(self._playback.lag or 0.0, MAX_LAG_SECONDS))
        while (now := self._loop.time()) < give_up_at:
            seconds = self._playback.speaks_for(now)
            if not seconds:
                return
            await asyncio.sleep(max(0.01, seconds))  # the clock may not see a shorter time pass

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
        """Take a picture in, in place of one that has not been passed on yet; never blocks and never raises."""
        if self._started:
            self._picture = picture
            self._picture_came.set()

    async def run_pictures(self) -> None:
        """Pass pictures on until cancelled."""
        while True:
            await self._picture_came.wait()
            if not self._throttle.is_open(queued_pictures(self._output), self._loop.time()):
                self._complain()
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._picture_came.clear()
            picture, self._picture = self._picture, None
            if picture:
                picture = await self._in_output_size(picture)
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
