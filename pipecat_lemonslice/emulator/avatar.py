"""The avatar: a participant that hears the bot, speaks its words a little later and moves its lips to them.

It comes and leaves, obeys messages and control requests, and misbehaves as its faults say. All of that happens on the
event loop without waiting; a picture that has to be fetched and drawn first is fetched and drawn in a task.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any
from uuid import uuid4

import aiohttp
from loguru import logger

from pipecat_lemonslice.emulator import face
from pipecat_lemonslice.emulator.events import AvatarRecord, Kind
from pipecat_lemonslice.emulator.face import Expression
from pipecat_lemonslice.emulator.faults import Fault
from pipecat_lemonslice.emulator.models import ControlRequest, CreateRequest, EmulatorOptions
from pipecat_lemonslice.emulator.room import (
    AppMessage,
    Member,
    Picture,
    Room,
    RoomEvent,
    Sound,
    picture_header,
)
from pipecat_lemonslice.emulator.voice import PACKET_SECONDS, DelayLine, NoiseFloor, click, mouth_opening

SPEECH_TRACK = "stream"
"""Name of the track on which a bot publishes the speech for the avatar."""

_MAX_BEHIND = 0.2
"""Seconds after which missed beats are left out instead of being made up for."""


class Avatar(Member, AvatarRecord):
    """The avatar of one session.

    Args:
        session_id: The session that app messages must name.
        request: What was asked for.
        room: The room it belongs in.
        options: The emulator's options.
        faults: What is to go wrong with it.

    Attributes:
        last_audio_time: When the last byte heard has been played, or cut off by an interrupt, on the loop's clock, not
            counting the latency of the avatar's own voice. None before the first.
        last_sounded_time: When the last speech given back has been played; None before it.
        active_until: Up to when nobody can call it idle.
        return_after: Seconds from leaving to coming back; None: it stays away.
    """

    def __init__(
        self, session_id: str, request: CreateRequest, room: Room, options: EmulatorOptions, faults: Iterable[Fault]
    ) -> None:
        Member.__init__(self, options.avatar_name)
        self._line = DelayLine(request.audio_sample_rate, options.latency)
        AvatarRecord.__init__(self, int(options.record_seconds * 2 * self.sample_rate))
        self._clock = self._loop.time
        self._session_id, self._room, self._options = session_id, room, options
        self._aspect_ratio = request.aspect_ratio
        self._response_done_timeout = request.response_done_timeout
        self._responding = False
        self.last_audio_time: float | None = None
        self.last_sounded_time: float | None = None
        self.active_until = self._clock()
        prompts = request.agent_prompt or "", request.agent_idle_prompt or ""
        self._expression = Expression(*prompts, now=self._clock())
        self._sends_pictures = self._sends_sound = True
        self._noise: NoiseFloor | None = None
        self.return_after: float | None = None
        self._messages = list(options.messages)
        self._joined_at = 0.0
        self._unsaid: list[tuple[float, Mapping[str, Any]]] = []
        self._speech_seconds = 0.0
        self._after_speech: list[tuple[float, Callable[[], None]]] = []
        self._beats_per_picture = round(1 / (PACKET_SECONDS * min(25.0, max(1.0, options.pictures_per_second))))
        self._beats = 0
        self._next_mark = 0.0
        self._face = options.face
        self._has_face = asyncio.Event()
        self._images: asyncio.Queue[bytes | str] = asyncio.Queue()
        self._presence: asyncio.Task[None] | None = None
        self._drawing = start_task(self._draw(request.image or request.agent_image_url))
        for fault in faults:
            self._add_fault(fault)

    # Misbehaving.

    def leave_after(self, seconds: float) -> None:
        """Leave the room once so much more speech has been heard."""
        self._after_speech.append((self._speech_seconds + seconds, self.leave))

    def freeze_video(self) -> None:
        """Send no more pictures."""
        self._sends_pictures = False

    def thaw_video(self) -> None:
        """Send pictures again."""
        self._sends_pictures = True

    def mute(self) -> None:
        """Send no more sound."""
        self._sends_sound = False

    def unmute(self) -> None:
        """Send sound again."""
        self._sends_sound = True

    def set_noise(self, dbfs: float | None) -> None:
        """Let its voice have a noise floor of this level, at most 0; None: digital silence between words."""
        self._noise = None if dbfs is None else NoiseFloor(dbfs)

    def leave(self, reason: str = "leftCall") -> None:
        """Leave the room, with everything unsaid; the session goes on."""
        if self._presence is not None:
            self._presence.cancel()
            self._presence = None
        if self.present:
            self._drop()
            self._room.leave(self, reason)
            self.note(Kind.LEFT, reason)
            if self.return_after is not None:
                self.rejoin(self.return_after)

    def rejoin(self, after: float = 0.0) -> None:
        """Leave if it is there, and come (back) into the room so many seconds later with a new participant id."""
        if self.present:
            self.leave()
        if self._presence is not None:
            self._presence.cancel()
        self._presence = start_task(self._be_present(after))

    def _add_fault(self, fault: Fault) -> None:
        said = {"session_id": "", "error": fault.value}
        match fault.name:
            case "return_after":
                self.return_after = fault.value
            case "noise":
                self.set_noise(fault.value)
            case "fatal":
                self._messages.append((0.0, {"type": "daily_error", **said, "fatal": True}))
            case "trouble":
                self._messages.append((0.0, {"type": "video_generation_error", **said}))
            case "leave_after":
                self.leave_after(fault.value)
            case "cut_after":
                self._after_speech.append((fault.value, self._room.drop_connections))
            case "freeze_video" | "mute":
                action = self.mute if fault.name == "mute" else self.freeze_video
                self._after_speech.append((fault.value, action))
                if fault.value == 0:
                    action()
            case _:
                pass  # its session never tells it to come

    # What its session tells it.

    @property
    def present(self) -> bool:
        """Whether it is in its room."""
        return self in self._room.participants

    @property
    def sample_rate(self) -> int:
        """Rate in Hz of its hearing and its voice: that declared for the track that it heard first."""
        return self._line.sample_rate

    @property
    def speaking(self) -> bool:
        """Whether it shows the demeanour of speaking."""
        return self._expression.speaking

    def obey(self, control: ControlRequest) -> None:
        """Do what a control request wants of it."""
        match control.event:
            case "update-image":
                self._images.put_nowait(control.image_url or f"data:;base64,{control.image_base64}")
            case "update-agent-prompt":
                self._expression.prompt(control.agent_prompt, speaking=True)
                self.note(Kind.PROMPT, control.agent_prompt)
            case "update-idle-prompt":
                self._expression.prompt(control.idle_prompt, speaking=False)
                self.note(Kind.IDLE_PROMPT, control.idle_prompt)
            case "pose-trigger" if control.pose_trigger:
                self._expression.pose(control.pose_trigger.name, self._clock())
                self.note(Kind.POSE, control.pose_trigger.name)
            case "reset-idle-timeout":
                self.active_until = max(self.active_until, self._clock())
                self.note(Kind.IDLE_RESET)
            case _:
                pass  # terminate concerns the session alone

    def send(self, kind: str, **fields: Any) -> None:
        """Send an app message of LemonSlice to everybody in the room."""
        self._room.send(self, AppMessage({"type": kind, "session_id": self._session_id, **fields}))

    async def close(self) -> None:
        """Leave for good, and end everything that it does."""
        self.return_after = None
        self.leave()
        self._drawing.cancel()
        await asyncio.gather(self._drawing, return_exceptions=True)
        # A photo takes ten megabytes, and sessions are kept.
        self._face = None

    # What the room tells it.

    def on_event(self, sender: Member, event: RoomEvent) -> None:
        """Hear and obey the bot; what other participants say is not for the avatar."""
        match event:
            case Sound() if SPEECH_TRACK in sender.tracks:
                self._hear(sender, event)
            case AppMessage(message):
                self._obey_message(message)
            case _:
                pass

    def _hear(self, sender: Member, sound: Sound) -> None:
        if self.last_audio_time is None and self.sample_rate != sender.tracks[SPEECH_TRACK]:
            self._line = DelayLine(sender.tracks[SPEECH_TRACK], self._options.latency)
        begins = self._clock() if sound.begins is None else sound.begins
        pcm = self._line.push(sound.pcm, sound.sample_rate, begins)
        if not pcm:
            return
        seconds = len(pcm) / (2 * self.sample_rate)
        self.last_audio_time = max(self.last_audio_time or begins, begins) + seconds
        self.active_until = max(self.active_until, self.last_audio_time)
        if not self._responding:
            self._responding = True
            self.note(Kind.FIRST_BYTE, len(self._heard))
        self._note_heard(pcm)
        self._speech_seconds += seconds
        due = [(at, action) for at, action in self._after_speech if at <= self._speech_seconds + 1e-6]
        self._after_speech = [each for each in self._after_speech if each not in due]
        for _, action in due:
            action()

    def _obey_message(self, message: Mapping[str, Any]) -> None:
        if message.get("session_id") != self._session_id:
            self.note(Kind.IGNORED, message)
            return
        known = (Kind.RESPONSE_STARTED, Kind.RESPONSE_FINISHED, Kind.INTERRUPT)
        kind = next((kind for kind in known if kind == message.get("event")), Kind.APP_MESSAGE)
        self.note(kind, message)
        if kind in (Kind.RESPONSE_FINISHED, Kind.INTERRUPT):
            self._responding = False
        if kind is Kind.INTERRUPT:
            if self.last_audio_time is not None:
                self.last_audio_time = min(self.last_audio_time, self._clock())
            self._drop()

    # What it does in the room: 20 ms at a time.

    async def _be_present(self, after: float) -> None:
        await asyncio.sleep(after)
        await self._has_face.wait()
        self.id = uuid4()
        self._room.enter(self)
        self.active_until = max(self.active_until, self._clock())
        self.note(Kind.JOINED, str(self.id))
        due = self._joined_at = self._clock()
        self._unsaid = sorted(self._messages, key=lambda message: message[0])
        while True:
            now = self._clock()
            if now > due + _MAX_BEHIND:
                due = now
            while due <= now:
                self._beat(due)
                due += PACKET_SECONDS
            await asyncio.sleep(due - now)

    def _beat(self, at: float) -> None:
        """Send the messages that are due, 20 ms of sound, and with every second of them, or fewer, a picture."""
        while self._unsaid and self._joined_at + self._unsaid[0][0] <= at:
            _, message = self._unsaid.pop(0)
            session = {"session_id": self._session_id} if "session_id" in message else {}
            self._room.send(self, AppMessage({**message, **session}))
        marked, shown = False, self._sends_pictures and at >= self._joined_at + self._options.first_picture_delay
        if shown and self._beats % self._beats_per_picture == 0:
            speaks = self.speaking and bool(self._line.peek(self._packet_bytes, at))
            if marked := bool(self._options.marks) and speaks and at >= self._next_mark:
                self._next_mark = at + self._options.marks - 1e-6
            self._room.send(self, Picture(self._picture_at(at, white=marked)))
        self._beats += 1
        speech = self._speech_at(at)
        if self._sends_sound:
            self._note_sounded(speech)
            packet = click(self.sample_rate) if marked else speech.ljust(self._packet_bytes, b"\0")
            self._room.send(self, Sound(self._noise.add_to(packet) if self._noise else packet, self.sample_rate))

    @property
    def _packet_bytes(self) -> int:
        return round(self.sample_rate * PACKET_SECONDS) * 2

    def _speech_at(self, now: float) -> bytes:
        """Return the speech of the packet that begins now; shorter or empty where there is none."""
        timeout, heard_until = self._response_done_timeout, self.last_audio_time
        overdue = timeout is not None and heard_until is not None and now >= heard_until + timeout
        if self._responding and overdue:
            self._responding = False
            self.note(Kind.RESPONSE_DONE_TIMEOUT, heard_until)
        speech = self._line.pull(self._packet_bytes, now)
        if speech:
            self.last_sounded_time = now + len(speech) / (2 * self.sample_rate)
        if speech and not self.speaking:
            self.note(Kind.VOICE, len(self._sounded))
            self._expression.speaking = True
        elif self.speaking and not speech and not self._responding and not self._line.waiting:
            self.note(Kind.IDLE, len(self._sounded))
            self._expression.speaking = False
        return speech

    def _picture_at(self, now: float, *, white: bool) -> bytearray:
        """Return the picture for the 40 ms that begin now."""
        assert self._face is not None, "it does not join without a face"
        header = picture_header(self.id, self._face.width, self._face.height)
        if white:
            return bytearray(header) + b"\xff" * (self._face.width * self._face.height * 3)
        return self._face.picture(
            self._expression.look(now, mouth_opening(self._line.peek(2 * self._packet_bytes, now))), header
        )

    def _drop(self) -> None:
        if dropped := self._line.clear():
            self.note(Kind.DROPPED, dropped)

    # Its picture.

    async def _draw(self, first: bytes | str | None) -> None:
        """Draw the first face, then that of each new picture. One that cannot be had leaves the face as it is."""
        if self._face is None:
            self._face = await asyncio.to_thread(face.drawn, self._aspect_ratio)
        if first:
            await self._show_image(first)
        self._has_face.set()
        while True:
            if reason := await self._show_image(await self._images.get()):
                self.send("image_change_error", error=reason)
                continue
            if self._options.image_cuts_voice:
                self._drop()
            self.note(Kind.IMAGE_CHANGED)
            self.send("image_change_complete")

    async def _show_image(self, source: bytes | str) -> str:
        """Take a picture for its face; returns why that cannot be done, or nothing."""
        try:
            data = source if isinstance(source, bytes) else await face.fetch(source)
            self._face = await asyncio.to_thread(face.photo, data, self._aspect_ratio)
        except (aiohttp.ClientError, OSError) as error:
            # Its text may contain a signed URL.
            reason = f"it could not be fetched: {type(error).__name__}"
        except ValueError as error:
            reason = str(error) or type(error).__name__
        else:
            return ""
        logger.warning(f"Emulator: the avatar keeps its face, the new picture is not shown: {reason}")
        self.note(Kind.IMAGE_FAILED, reason)
        return reason


def start_task(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task whose crash is logged."""

    def report(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("Emulator: a task crashed")

    task = asyncio.create_task(work)
    task.add_done_callback(report)
    return task
