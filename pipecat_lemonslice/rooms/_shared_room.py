"""The user's own room for the length of one session, as a :class:`~pipecat_lemonslice.rooms.Room`.

Speech and messages leave through the bot's transport, each in a task of its own: tasks begin in the order of the calls,
and a transport hands both over in their first step. A transport says that the room refused a message in no other way
than by its event ``on_error``, inside of that very task, and only of the first of several refused in a row.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, Protocol

from loguru import logger
from pipecat.frames.frames import ErrorFrame, OutputAudioRawFrame
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.transports.daily.transport import DailyOutputTransportMessageUrgentFrame, DailyTransport

from pipecat_lemonslice.errors import safe_line
from pipecat_lemonslice.rooms import AvatarSeen, Participant, ParticipantLeft, RoomEvent, RoomLost
from pipecat_lemonslice.rooms._futures import fail
from pipecat_lemonslice.rooms.inbox import RoomInbox

TRACK = "stream"
"""Name of the custom audio track that LemonSlice listens to."""

LAST_WRITES = 0.3
"""Seconds that writes in flight are waited for at the end: their source must not be dropped before."""


class Ground(Protocol):
    """What such a room stands on; see :class:`pipecat_lemonslice.rooms.shared_daily.SharedDaily`."""

    transport: DailyTransport

    def silence(self, participant_id: str) -> None:
        """See to it that the bot does not hear a participant."""
        ...

    def visible(self, participant_id: str) -> bool:
        """Whether a participant's camera can be seen."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Do something beside."""
        ...

    def detach(self, room: "SharedRoom") -> None:
        """Tell the room nothing more."""
        ...


class SharedRoom:
    """The shared room for the length of one session. Closing it leaves the bot where it is."""

    def __init__(self, shared: Ground, sample_rate: int) -> None:
        """Enter; use ``SharedDaily.open_room`` instead."""
        self._shared = shared
        self._output = shared.transport.output()
        self._rate = sample_rate
        self._loop = asyncio.get_running_loop()
        self._inbox = RoomInbox()
        self._watched: Participant | None = None
        self._seen: str | None = None
        self._sends: set[asyncio.Task[None]] = set()
        self._output.add_event_handler("on_error", self._on_output_error)  # pyright: ignore[reportUnknownMemberType]
        self._writes: dict[asyncio.Future[None], asyncio.Task[None]] = {}
        self._lost: RoomLost | None = None

    def write(self, pcm: bytes) -> "asyncio.Future[None]":
        """See :meth:`pipecat_lemonslice.rooms.Room.write`."""
        played: asyncio.Future[None] = self._loop.create_future()
        if self._lost:
            fail(played, self._lost)
            return played
        self._writes[played] = self._shared.spawn(self._write(pcm, played))
        return played

    def send(self, message: Mapping[str, Any]) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.send`."""
        if self._lost or self._watched is None:
            return
        frame = DailyOutputTransportMessageUrgentFrame(message=dict(message), participant_id=self._watched.id)
        send = self._shared.spawn(self._send(frame))
        self._sends.add(send)
        send.add_done_callback(self._sends.discard)

    def watch(self, participant: Participant) -> None:
        """Know whom to speak to. The people see and hear the avatar by themselves; the bot does not."""
        self._watched = participant
        if not self._lost:
            self._shared.silence(participant.id)
            self.look()

    async def next_event(self) -> RoomEvent:
        """See :meth:`pipecat_lemonslice.rooms.Room.next_event`."""
        return await self._inbox.get()

    async def close(self) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.close`."""
        self._shared.detach(self)
        self._output.remove_event_handler("on_error", self._on_output_error)  # pyright: ignore[reportUnknownMemberType]
        writes = set(self._writes.values())
        self._lose(RoomLost("the session is over"))
        if writes:
            await asyncio.wait(writes, timeout=LAST_WRITES)

    def note(self, event: RoomEvent) -> None:
        """Take note of what happened in the room."""
        match event:
            case RoomLost():
                self._lose(event)
                return
            case ParticipantLeft(participant) if participant.id == self._seen:
                self._seen = None
            case _:
                pass
        self._inbox.put(event)

    def look(self) -> None:
        """Look whether the watched participant can be seen now, and was not before."""
        watched = self._watched
        if watched and self._seen != watched.id and self._shared.visible(watched.id):
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
        """The first counts: of those after it the transport tells nothing, and an avatar must be told to stop."""
        self._lose(RoomLost(f"the transport takes no messages ({safe_line(said)})"))

    async def _write(self, pcm: bytes, played: "asyncio.Future[None]") -> None:
        frame = OutputAudioRawFrame(pcm, self._rate, 1)
        frame.transport_destination = TRACK
        try:
            taken = await self._output.write_audio_frame(frame)
        except Exception as error:
            logger.debug(f"The transport takes no audio: {safe_line(str(error))}")
            taken = False
        self._writes.pop(played, None)
        if not taken:
            self._lose(RoomLost("the transport takes no audio"))
            fail(played, RoomLost("the transport takes no audio"))
        elif not played.done():
            played.set_result(None)

    def _lose(self, lost: RoomLost) -> None:
        if self._lost:
            return
        self._lost = lost
        self._inbox.put(lost)
        for played in self._writes:
            fail(played, lost)
