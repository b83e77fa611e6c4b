"""The avatar: a participant that hears the bot, speaks its words a little later and moves its lips to them.

`Stage` knows what it looks and sounds like at each beat, this module what it does: come and go, obey
messages, misbehave when told to. All of it happens on the event loop without waiting; pictures that have to
be loaded or drawn first are loaded and drawn in tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from pipecat_lemonslice.emulator import face, pictures
from pipecat_lemonslice.emulator.ailments import Ailments
from pipecat_lemonslice.emulator.clock import IdleTimer, ResponseWatch, Ticks
from pipecat_lemonslice.emulator.expression import Expression
from pipecat_lemonslice.emulator.face import Face
from pipecat_lemonslice.emulator.faults import SessionFault
from pipecat_lemonslice.emulator.options import EmulatorOptions
from pipecat_lemonslice.emulator.pictures import PictureError
from pipecat_lemonslice.emulator.record import Kind, Record
from pipecat_lemonslice.emulator.room import Member, Room
from pipecat_lemonslice.emulator.stage import Stage
from pipecat_lemonslice.emulator.tasks import Tasks
from pipecat_lemonslice.emulator.voice import PACKET_SECONDS, NoiseFloor
from pipecat_lemonslice.emulator.wire import Sound, picture_header
from pipecat_lemonslice.emulator.witness import Witness

MOST_PICTURES = 8
"""Changes of the picture under way at once; more are refused."""

SPEECH_TRACK = "stream"
"""Name of the track on which a bot publishes the speech for the avatar."""


@dataclass(frozen=True)
class AvatarOrder:
    """What the creator of a session wants its avatar to be.

    Parameters:
        session_id: Session that its app messages must name.
        picture: Bytes or URL of its picture; None: the drawn face.
        aspect_ratio: Shape of the picture.
        prompt: Demeanour while speaking.
        idle_prompt: Demeanour while idle.
        response_done_timeout: Seconds without audio after which it ends a response itself; None: never.
        sample_rate: Rate in Hz of its voice until it hears speech of another.
    """

    session_id: str
    picture: bytes | str | None = None
    aspect_ratio: str = "2x3"
    prompt: str = ""
    idle_prompt: str = ""
    response_done_timeout: float | None = None
    sample_rate: int = 24000


class Avatar(Member, Witness):
    """The avatar of one session.

    Args:
        order: What it is to be.
        room: The room it belongs in.
        idle: The session's idle timer; speech resets it.
        options: The emulator's options.
        faults: What befalls it.
    """

    def __init__(
        self,
        order: AvatarOrder,
        room: Room,
        idle: IdleTimer,
        options: EmulatorOptions,
        faults: Collection[SessionFault] = (),
    ):
        Member.__init__(self, options.avatar_name)
        self._clock = asyncio.get_running_loop().time
        self._order = order
        self._room = room
        self._idle = idle
        self._options = options
        record = Record(self._clock, int(options.record_seconds * 2 * order.sample_rate))
        expression = Expression(order.prompt, order.idle_prompt, self._clock())
        response = ResponseWatch(order.response_done_timeout)
        stage = Stage(expression, response, record, options.latency, order.sample_rate)
        Witness.__init__(self, record, stage)
        self._picture_beats = round(1 / (PACKET_SECONDS * min(25.0, max(1.0, options.pictures_per_second))))
        self._prepared = asyncio.Event()
        self._face = Face(0, 0)
        self._changing = asyncio.Lock()
        self._tasks, self._changes = Tasks(), Tasks()
        self._stint: asyncio.Task[None] | None = None
        self._ailments = Ailments(faults, self.leave, room.drop_connections)
        self._beats = 0

    # Misbehaving

    def leave_after(self, seconds: float) -> None:
        """Leave the room once so much more speech has been heard."""
        self._ailments.leave_after(seconds)

    def freeze_video(self) -> None:
        """Send no more pictures."""
        self._ailments.video = False

    def thaw_video(self) -> None:
        """Send pictures again."""
        self._ailments.video = True

    def mute(self) -> None:
        """Send no more sound."""
        self._ailments.audio = False

    def unmute(self) -> None:
        """Send sound again."""
        self._ailments.audio = True

    def set_noise(self, dbfs: float | None) -> None:
        """Let its voice have a noise floor of this level, at most 0; None: digital silence between words."""
        self._ailments.noise = None if dbfs is None else NoiseFloor(dbfs)

    @property
    def present(self) -> bool:
        """Whether it is in its room."""
        return self in self._room.participants

    def leave(self, reason: str = "leftCall") -> None:
        """Leave the room, with everything unsaid; the session goes on."""
        if self._stint is not None:
            self._stint.cancel()
            self._stint = None
        if self.present:
            self._stage.drop()
            self._room.leave(self, reason)
            self._record.note(Kind.LEFT, reason)
            if self._ailments.returns_after is not None:
                self.rejoin(self._ailments.returns_after)

    def rejoin(self, after: float = 0.0) -> None:
        """Leave if it is there, and come (back) into the room so many seconds later with a new participant id."""
        if self.present:
            self.leave()
        if self._stint is not None:
            self._stint.cancel()
        self._stint = self._tasks.spawn(self._perform(after))

    # What its session tells it

    async def prepare(self) -> None:
        """Get the first face; a picture that cannot be had leaves the drawn one."""
        async with self._changing:
            self._face = await asyncio.to_thread(face.drawn, self._order.aspect_ratio)
            if self._order.picture is not None:
                try:
                    self._face = await self._photo(self._order.picture)
                except PictureError as error:
                    self._record.note(Kind.IMAGE_FAILED, str(error))
        self._prepared.set()

    def change_image(self, source: bytes | str) -> bool:
        """Begin to show another picture; app messages say when it is there, or that it failed.

        Returns:
            False if too many are on their way already: this one is not shown.
        """
        if len(self._changes) >= MOST_PICTURES:
            return False
        self._changes.spawn(self._change_image(source))
        return True

    def prompt(self, text: str) -> None:
        """Another demeanour for speaking."""
        self._stage.expression.prompt(text)
        self._record.note(Kind.PROMPT, text)

    def idle_prompt(self, text: str) -> None:
        """Another demeanour for being idle."""
        self._stage.expression.idle_prompt(text)
        self._record.note(Kind.IDLE_PROMPT, text)

    def pose(self, name: str) -> None:
        """Make a gesture."""
        self._stage.expression.pose(name, self._clock())
        self._record.note(Kind.POSE, name)

    def note(self, kind: Kind) -> None:
        """Something happened to its session."""
        self._record.note(kind)

    def send(self, kind: str, **more: Any) -> None:
        """An app message of LemonSlice to everybody in the room."""
        self._room.say(self, {"type": kind, "session_id": self._order.session_id, **more})

    async def close(self) -> None:
        """Leave, and end everything that it does."""
        self.leave()
        await self._changes.close()
        await self._tasks.close()
        self._face = Face(0, 0)

    # What the room tells it

    def on_sound(self, sender: Member, sound: Sound) -> None:
        """Hear the bot; what other participants say is not for the avatar."""
        if SPEECH_TRACK not in sender.tracks:
            return
        if self._stage.response.audio_until is None:
            self._stage.tune(sender.tracks[SPEECH_TRACK])
        now = self._clock()
        seconds = self._stage.hear(sound, now)
        if seconds:
            self._idle.reset(self._stage.response.audio_until or now)
            self._ailments.hear(seconds)

    def on_message(self, sender: Member, message: Mapping[str, Any]) -> None:
        """Obey the bot, if the message is for this session."""
        if message.get("session_id") != self._order.session_id:
            self._record.note(Kind.IGNORED, message)
            return
        match message.get("event"):
            case "response_started":
                self._record.note(Kind.RESPONSE_STARTED, message)
                self._stage.response.announce()
            case "response_finished":
                self._record.note(Kind.RESPONSE_FINISHED, message)
                self._stage.response.finish()
            case "interrupt":
                self._record.note(Kind.INTERRUPT, message)
                self._stage.interrupt(self._clock())
                self._room.hush(self)
            case _:
                self._record.note(Kind.APP_MESSAGE, message)

    async def _perform(self, after: float) -> None:
        await asyncio.sleep(after)
        await self._prepared.wait()
        self.id = uuid4()
        self._room.enter(self)
        self._idle.reset(self._clock())
        self._record.note(Kind.JOINED, str(self.id))
        self.send("bot_ready")
        for kind, more in self._ailments.complaints:
            self.send(kind, **more)
        ticks = Ticks(PACKET_SECONDS, self._clock())
        while True:
            for at in ticks.due(self._clock()):
                self._beat(at)
            await asyncio.sleep(max(0.0, ticks.next - self._clock()))

    def _beat(self, at: float) -> None:
        """20 ms of sound, and with every second of them, or fewer, a picture."""
        if self._ailments.video and self._beats % self._picture_beats == 0 and self._room.watched(self):
            header = picture_header(self.id, self._face.width, self._face.height)
            self._room.show(self, self._stage.picture(at, self._face, header))
        self._beats += 1
        speech = self._stage.speak(at)
        if self._ailments.audio:
            self._record.sound(speech)
            packet = speech.ljust(self._stage.packet_bytes, b"\0")
            if self._ailments.noise is not None:
                packet = self._ailments.noise.beneath(packet)
            self._room.play(self, Sound(packet, self._stage.sample_rate))

    async def _change_image(self, source: bytes | str) -> None:
        async with self._changing:
            try:
                self._face = await self._photo(source)
            except PictureError as error:
                self._record.note(Kind.IMAGE_FAILED, str(error))
                self.send("image_change_error", error=str(error))
                return
            if self._options.image_cuts_voice:
                self._stage.drop()
            self._record.note(Kind.IMAGE_CHANGED)
            self.send("image_change_complete")

    async def _photo(self, source: bytes | str) -> Face:
        picture = await pictures.load(source, private=self._options.allow_private_images)
        return await asyncio.to_thread(face.photo, picture, self._order.aspect_ratio)
