"""What the avatar looks and sounds like, beat by beat: voice, face and demeanour kept in step.

Time comes in; sound and pictures come out. Knows nothing of rooms and tasks.
"""

from __future__ import annotations

from pipecat_lemonslice.emulator.clock import Response, ResponseWatch
from pipecat_lemonslice.emulator.expression import Expression, Look
from pipecat_lemonslice.emulator.face import Face
from pipecat_lemonslice.emulator.record import Kind, Record
from pipecat_lemonslice.emulator.voice import PACKET_SECONDS, Converter, LatencyLine, mono, opening
from pipecat_lemonslice.emulator.wire import Sound

_PICTURE_PACKETS = 2
"""Packets of sound for each picture: 40 ms, 25 pictures a second."""


class Stage:
    """The performance of one avatar.

    Args:
        expression: What its face does.
        response: Its sense of responses.
        record: Where everything is noted.
        latency: Seconds from hearing to sounding.
        sample_rate: Rate in Hz of its voice until it hears speech of another.
    """

    def __init__(
        self, expression: Expression, response: ResponseWatch, record: Record, latency: float, sample_rate: int
    ):
        self.expression = expression
        self.response = response
        self._record = record
        self._latency = latency
        self._converters: dict[int, Converter] = {}
        self._shown: tuple[Look, bytes, Face] | None = None
        self._picture = bytearray()
        self.sounded_until: float | None = None
        """When the last speech given back has been played; None before the first."""
        self.tune(sample_rate)

    def tune(self, sample_rate: int) -> None:
        """Hear and speak at this rate from now on."""
        self.sample_rate = sample_rate
        self.packet_bytes = round(sample_rate * PACKET_SECONDS) * 2
        self._line = LatencyLine(sample_rate, self._latency)
        self._converters = {}

    def hear(self, sound: Sound, now: float) -> float:
        """Speech for the avatar; returns how many seconds it lasts."""
        converter = self._converters.get(sound.sample_rate)
        if converter is None:
            converter = self._converters[sound.sample_rate] = Converter(sound.sample_rate, self.sample_rate)
        pcm = converter.feed(mono(sound.pcm, sound.channels))
        if not pcm:
            return 0.0
        seconds = len(pcm) / (2 * self.sample_rate)
        if self.response.hear(now, seconds):
            self._record.note(Kind.FIRST_BYTE, self._record.heard_bytes)
        self._record.hear(pcm)
        if not self._line.push(pcm, now):
            self._record.note(Kind.DROPPED, len(pcm))
        return seconds

    def interrupt(self, now: float) -> None:
        """Fall silent: the response is over, and so is everything heard."""
        self.response.cut(now)
        self.drop()

    def drop(self) -> None:
        """Forget at once what has been heard and not yet sounded."""
        self._converters.clear()
        if dropped := self._line.clear():
            self._record.note(Kind.DROPPED, dropped)

    def speak(self, now: float) -> bytes:
        """The speech of the packet that begins now; shorter or empty where there is none."""
        if self.response.expired(now):
            self._record.note(Kind.RESPONSE_DONE_TIMEOUT, self.response.audio_until)
        speech = self._line.pull(self.packet_bytes, now)
        if speech:
            self.sounded_until = now + len(speech) / (2 * self.sample_rate)
            self._become(True)
        elif self.response.state is Response.NONE and not self._line.waiting:
            self._become(False)
        return speech

    def picture(self, now: float, face: Face, header: bytes) -> bytearray:
        """The picture for the 40 ms that begin now; an unchanged one is the same object as before."""
        sounding = self._line.peek(_PICTURE_PACKETS * self.packet_bytes, now)
        look = self.expression.look(now, opening(sounding))
        if self._shown != (look, header, face):
            self._shown = (look, header, face)
            self._picture = face.picture(look, header)
        return self._picture

    def _become(self, speaking: bool) -> None:
        if speaking is not self.expression.speaking:
            self.expression.speaking = speaking
            self._record.note(Kind.VOICE if speaking else Kind.IDLE, self._record.sounded_bytes)
