"""The user's own room for the length of one session, as a :class:`~pipecat_lemonslice.rooms.Room`.

Speech and messages leave through the bot's transport, each in a task of its own: tasks begin in the order of the calls,
and a transport hands both over in their first step. A transport reports a refused message only by its event
``on_error``, inside that very task, and only for the first of several refused in a row.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from loguru import logger
from pipecat.frames.frames import ErrorFrame, OutputAudioRawFrame
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.transports.daily.transport import DailyOutputTransport, DailyOutputTransportMessageUrgentFrame

from pipecat_lemonslice.errors import safe_line
from pipecat_lemonslice.rooms import AvatarSeen, Participant, ParticipantLeft, RoomEvent, RoomInbox, RoomLost
from pipecat_lemonslice.rooms.playout import SAMPLE_BYTES, SLICE_SECONDS, WRITE_SECONDS, PlayoutBuffer

TRACK = "stream"
"""Name of the custom audio track that LemonSlice listens to."""

LEAST_AHEAD, MOST_AHEAD = 0.04, 0.16
"""Seconds of speech in flight: the more, the later the loop has been to hand over the next, and within these bounds."""

LATENESS_SECONDS = 5.0
"""Seconds for which the loop's worst lateness is remembered."""

LAST_SECONDS = 0.3
"""How long writes and messages in flight are waited for at the end: their source must not be dropped before."""


class SharedRoom:
    """The shared room for the length of one session. Closing it leaves the bot where it is."""

    def __init__(self, output: DailyOutputTransport, sample_rate: int) -> None:
        """Enter; use ``SharedDaily.open_room`` instead."""
        self._output = output
        self._rate = sample_rate
        self._loop = asyncio.get_running_loop()
        self._inbox = RoomInbox()
        self._watched: Participant | None = None
        self.pictured_at: float | None = None
        self._visible: set[str] = set()
        self._seen: str | None = None
        self._sends: set[asyncio.Task[None]] = set()
        self._output.add_event_handler("on_error", self._on_output_error)  # pyright: ignore[reportUnknownMemberType]
        self.on_played: Callable[[int], None] | None = None
        self._buffer = PlayoutBuffer(sample_rate)
        self._writes: set[asyncio.Task[None]] = set()
        self._in_flight = 0.0
        self._due = 0.0
        self._late: deque[tuple[float, float]] = deque()

    @property
    def appended(self) -> int:
        """See :attr:`pipecat_lemonslice.rooms.Room.appended`."""
        return self._buffer.appended

    @property
    def played(self) -> int:
        """See :attr:`pipecat_lemonslice.rooms.Room.played`."""
        return self._buffer.played

    def report_at(self, position: int) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.report_at`."""
        self._buffer.report_at = position

    def append(self, pcm: bytes) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.append`."""
        if self._inbox.lost:
            return
        self._buffer.append(pcm)
        self._hand_over(pad=False)
        if not self._writes and self._buffer:
            self._loop.call_later(WRITE_SECONDS, lambda: self._hand_over(pad=not self._writes))

    def clear(self) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.clear`."""
        self._buffer.clear()

    def send(self, message: Mapping[str, Any]) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.send`."""
        if self._inbox.lost or self._watched is None:
            return
        frame = DailyOutputTransportMessageUrgentFrame(message=dict(message), participant_id=self._watched.id)
        send = asyncio.create_task(self._send(frame))
        self._sends.add(send)
        send.add_done_callback(self._sends.discard)

    def watch(self, participant: Participant) -> None:
        """Set the recipient of messages. People see and hear the avatar from the room; the bot does not."""
        self._watched = participant
        self._look()

    async def next_event(self) -> RoomEvent:
        """See :meth:`pipecat_lemonslice.rooms.Room.next_event`."""
        return await self._inbox.get()

    async def close(self) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.close`."""
        self._output.remove_event_handler("on_error", self._on_output_error)  # pyright: ignore[reportUnknownMemberType]
        self._buffer.clear()
        self._inbox.put(RoomLost("the session is over"))
        rest = self._writes | self._sends
        try:
            if rest:
                await asyncio.wait(rest, timeout=LAST_SECONDS)
        finally:
            for task in rest:
                task.cancel()

    def note(self, event: RoomEvent) -> None:
        """Take note of what happened in the room."""
        match event:
            case ParticipantLeft(participant):
                self._visible.discard(participant.id)
                if self._watched and participant.id == self._watched.id:
                    self._watched = self._seen = None
            case _:
                pass
        self._inbox.put(event)

    def note_camera(self, participant_id: str, *, visible: bool) -> None:
        """Take note whether a participant can be seen."""
        if visible:
            self._visible.add(participant_id)
        else:
            self._visible.discard(participant_id)
        self._look()

    def _look(self) -> None:
        """Report that the watched participant can be seen, once."""
        watched = self._watched
        if watched and self._seen != watched.id and watched.id in self._visible:
            self._seen = watched.id
            self._inbox.put(AvatarSeen(watched))

    async def _send(self, frame: DailyOutputTransportMessageUrgentFrame) -> None:
        try:
            await self._output.send_message(frame)
        except Exception as error:
            self._refused(str(error))

    def _on_output_error(self, _output: FrameProcessor, error: ErrorFrame) -> None:
        if asyncio.current_task() in self._sends:
            self._refused(error.error)

    def _refused(self, said: str) -> None:
        """Give up at the first refusal: the transport does not report the next ones, and messages stop the avatar."""
        self._inbox.put(RoomLost(f"the transport takes no messages ({safe_line(said)})"))

    def _hand_over(self, *, pad: bool) -> None:
        """Keep as much in flight as bridges the loop's lateness. Tasks begin in order, and so do their writes."""
        now = self._loop.time()
        while self._late and self._late[0][0] < now - LATENESS_SECONDS:
            self._late.popleft()
        ahead = min(LEAST_AHEAD + max((late for _, late in self._late), default=0.0), MOST_AHEAD)
        while (
            not self._inbox.lost
            and self._in_flight < ahead - 1e-6
            and (write := self._buffer.take(idle=not self._writes, pad=pad))
        ):
            pcm, samples = write
            seconds = len(pcm) / (SAMPLE_BYTES * self._rate)
            self._in_flight += seconds
            self._due = max(self._due, now) + seconds
            task = asyncio.create_task(self._write(pcm, samples, self._due))
            self._writes.add(task)
            task.add_done_callback(self._writes.discard)

    async def _write(self, pcm: bytes, samples: int, due: float) -> None:
        frame = OutputAudioRawFrame(pcm, self._rate, 1)
        frame.transport_destination = TRACK
        try:
            taken = await self._output.write_audio_frame(frame)
        except Exception as error:
            logger.debug(f"The transport takes no audio: {safe_line(str(error))}")
            taken = False
        self._in_flight -= len(pcm) / (SAMPLE_BYTES * self._rate)
        if not taken:
            self._inbox.put(RoomLost("the transport takes no audio"))
            return
        now = self._loop.time()
        # The transport's grid may make a write 10 ms late; more is the loop's doing.
        if now - due > SLICE_SECONDS:
            self._late.append((now, now - due))
            self._due = now + self._in_flight
        reported = self._buffer.has_played(samples)
        self._hand_over(pad=self._in_flight < SLICE_SECONDS / 2)
        if self.on_played and reported and not self._inbox.lost:
            self.on_played(self.played)
