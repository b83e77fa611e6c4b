"""The avatar: a participant that hears the bot, speaks its words a little later and moves its lips to them.

It comes and leaves, obeys messages and control requests, and misbehaves as its faults say. All of that happens on the
event loop without waiting; a picture that has to be fetched and drawn first is fetched and drawn in a task.
"""

import asyncio
import math
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any
from uuid import uuid4

import aiohttp
import numpy as np
from loguru import logger

from pipecat_lemonslice.emulator import face
from pipecat_lemonslice.emulator.events import AvatarRecord, Kind
from pipecat_lemonslice.emulator.face import Expression
from pipecat_lemonslice.emulator.faults import Fault
from pipecat_lemonslice.emulator.models import ControlRequest, CreateRequest, EmulatorOptions
from pipecat_lemonslice.emulator.room import AppMessage, Member, Picture, Room, RoomEvent, Sound, picture_header
from pipecat_lemonslice.emulator.voice import PACKET_SECONDS, Converter, DelayLine, click, mouth_opening, with_noise

SPEECH_TRACK = "stream"
"""Name of the track on which a bot publishes the speech for the avatar."""

_MAX_BEHIND = 0.2
"""Seconds of missed beats that are made up for; earlier ones are left out."""


class Avatar(Member, AvatarRecord):
    """The avatar of one session.

    Args:
        session_id: The session that app messages must name.
        request: What was asked for.
        room: The room it belongs in.
        options: The emulator's options.
        faults: What is to go wrong with it.

    Attributes:
        sample_rate: Rate in Hz of its hearing and its voice.
        speaking: Whether it shows the demeanour of speaking.
        heard_until: When the last byte heard has been played, or cut off by an interrupt, on the loop's clock, not
            counting the latency of the avatar's own voice.
        active_until: Up to when nobody can call it idle.
        return_after: Seconds from leaving to coming back; None: it stays away.
        noise: Level in dB of its voice's noise floor, at most 0; None: digital silence between words.
    """

    def __init__(
        self, session_id: str, request: CreateRequest, room: Room, options: EmulatorOptions, faults: Collection[Fault]
    ) -> None:
        Member.__init__(self, options.avatar_name)
        self.sample_rate: int = request.audio_sample_rate
        AvatarRecord.__init__(self, int(options.record_seconds * 2 * self.sample_rate))
        self._clock = self._loop.time
        self._session_id, self._request, self._room, self._options = session_id, request, room, options
        self._response_done_timeout = request.response_done_timeout or math.inf
        self._responding = self.speaking = False
        self.heard_until = -math.inf
        self.active_until = self._clock()
        self._expression = Expression(request.agent_prompt or "", request.agent_idle_prompt or "", self._clock())
        self._line = DelayLine(self.sample_rate, options.latency)
        self._converters: dict[int, Converter] = {}
        self._packet_bytes = round(self.sample_rate * PACKET_SECONDS) * 2
        self._sends_pictures = self._sends_sound = True
        self.noise: float | None = None
        self._random = np.random.default_rng(7)
        self.return_after: float | None = None
        self._messages = list(options.messages)
        self._unsaid: list[tuple[float, Mapping[str, Any]]] = []
        self._joined_at = 0.0
        self._speech_seconds = 0.0
        self._after_speech: list[tuple[float, Callable[[], None]]] = []
        self._beats_per_picture = round(1 / (PACKET_SECONDS * min(25.0, max(1.0, options.pictures_per_second))))
        self._beats = 0
        self._next_mark = 0.0
        self._face = options.face
        self._has_face = asyncio.Event()
        self._images: asyncio.Queue[bytes | str] = asyncio.Queue()
        self._presence: asyncio.Task[None] | None = None
        self._drawing = start_task(self._draw())
        for fault in faults:
            self._add_fault(fault)

    # Misbehaving.

    def _add_fault(self, fault: Fault) -> None:
        value = fault.value
        later = {
            "leave_after": self.leave,
            "cut_after": self._room.drop_connections,
            "freeze_video": self.freeze_video,
            "mute": self.mute,
        }
        match fault.name:
            case "return_after":
                self.return_after = value
            case "noise":
                self.noise = value
            case "fatal":
                self._messages.append((0.0, {"type": "daily_error", "session_id": "", "error": value, "fatal": True}))
            case "trouble":
                self._messages.append((0.0, {"type": "video_generation_error", "session_id": "", "error": value}))
            case "freeze_video" | "mute" if value == 0:
                later[fault.name]()
            case name if name in later:
                self._after_speech.append((value, later[name]))
            case _:
                pass  # its session never tells it to come

    def freeze_video(self, on: bool = True) -> None:
        """Send no more pictures, or send them again."""
        self._sends_pictures = not on

    def mute(self, on: bool = True) -> None:
        """Send no more sound, or send it again."""
        self._sends_sound = not on

    def leave(self, reason: str = "leftCall") -> None:
        """Leave the room, with everything unsaid; the session goes on."""
        if self._presence:
            self._presence.cancel()
        if self.present:
            self._drop()
            self._room.leave(self, reason)
            self.note(Kind.LEFT, reason)
            if self.return_after is not None:
                self.rejoin(self.return_after)

    def rejoin(self, after: float = 0.0) -> None:
        """Leave if it is there, and come (back) into the room so many seconds later with a new participant id."""
        self.leave()
        if self._presence:
            self._presence.cancel()
        self._presence = start_task(self._be_present(after))

    # What its session tells it.

    @property
    def present(self) -> bool:
        """Whether it is in its room."""
        return self in self._room.participants

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
            case "pose-trigger":
                name = control.pose_trigger.name if control.pose_trigger else ""
                self._expression.pose(name, self._clock())
                self.note(Kind.POSE, name)
            case "reset-idle-timeout":
                self.active_until = max(self.active_until, self._clock())
                self.note(Kind.IDLE_RESET)
            case "terminate":
                self.note(Kind.TERMINATED)

    def send(self, kind: str, **fields: Any) -> None:
        """Send an app message of LemonSlice to everybody in the room."""
        self._room.send(self, AppMessage({"type": kind, "session_id": self._session_id, **fields}))

    def stop(self) -> asyncio.Task[None]:
        """Leave for good, and end everything that it does; returns the last task to end."""
        self.return_after = None
        self.leave()
        self._drawing.cancel()
        # A photo takes ten megabytes, and sessions are kept.
        self._face = None
        return self._drawing

    # What the room tells it.

    def on_event(self, sender: Member, event: RoomEvent) -> None:
        """Hear and obey the bot; what other participants say is not for the avatar."""
        match event:
            case Sound() if SPEECH_TRACK in sender.tracks:
                self._hear(event)
            case AppMessage(message):
                self._obey_message(message)
            case _:
                pass

    def _hear(self, sound: Sound) -> None:
        rate, begins = sound.sample_rate, self._clock() if sound.begins is None else sound.begins
        if rate not in self._converters:
            self._converters[rate] = Converter(rate, self.sample_rate)
        if not (pcm := b"".join(self._converters[rate].packets(sound.pcm))):
            return
        self._line.push(pcm, begins)
        seconds = len(pcm) / (2 * self.sample_rate)
        self.heard_until = max(self.heard_until, begins) + seconds
        self.active_until = max(self.active_until, self.heard_until)
        if not self._responding:
            self._responding = True
            self.note(Kind.FIRST_BYTE, len(self.heard))
        self._record(pcm, self.heard)
        self._speech_seconds += seconds
        due = [each for each in self._after_speech if each[0] <= self._speech_seconds + 1e-6]
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
            self.heard_until = min(self.heard_until, self._clock())
            self._drop()

    def _drop(self) -> None:
        if dropped := self._line.clear():
            self.note(Kind.DROPPED, dropped)

    # What it does in the room: 20 ms at a time.

    async def _be_present(self, after: float) -> None:
        await asyncio.sleep(after)
        await self._has_face.wait()
        self.id = uuid4()
        self._room.enter(self)
        due = self._joined_at = self._clock()
        self.active_until = max(self.active_until, due)
        self.note(Kind.JOINED, str(self.id))
        self._unsaid = sorted(self._messages, key=lambda message: message[0])
        while True:
            now = self._clock()
            due = max(due, now - _MAX_BEHIND)
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
            self._record(speech, self.sounded)
            packet = click(self.sample_rate) if marked else speech.ljust(self._packet_bytes, b"\0")
            packet = packet if self.noise is None else with_noise(packet, self.noise, self._random)
            self._room.send(self, Sound(packet, self.sample_rate))

    def _speech_at(self, now: float) -> bytes:
        """Return the speech of the packet that begins now; shorter or empty where there is none."""
        if self._responding and now >= self.heard_until + self._response_done_timeout:
            self._responding = False
            self.note(Kind.RESPONSE_DONE_TIMEOUT, self.heard_until)
        speech = self._line.pull(self._packet_bytes, now)
        if speech and not self.speaking:
            self.note(Kind.VOICE, len(self.sounded))
            self.speaking = True
        elif self.speaking and not speech and not self._responding and not self._line.waiting:
            self.note(Kind.IDLE, len(self.sounded))
            self.speaking = False
        return speech

    def _picture_at(self, now: float, *, white: bool) -> bytearray:
        """Return the picture for the 40 ms that begin now."""
        assert self._face is not None, "it does not join without a face"
        header = picture_header(self.id, self._face.width, self._face.height)
        if white:
            return bytearray(header) + b"\xff" * (self._face.width * self._face.height * 3)
        opening = mouth_opening(self._line.peek(2 * self._packet_bytes, now))
        return self._face.picture(self._expression.look(now, self.speaking, opening), header)

    # Its picture.

    async def _draw(self) -> None:
        """Draw the first face, then that of each new picture. One that cannot be had leaves the face as it is."""
        if self._face is None:
            self._face = await asyncio.to_thread(face.drawn, self._request.aspect_ratio)
        if first := self._request.image or self._request.agent_image_url:
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
            self._face = await asyncio.to_thread(face.photo, data, self._request.aspect_ratio)
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
