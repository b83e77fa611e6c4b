"""The avatar's own Daily room, joined with daily-python.

Owns what is published and subscribed there: the custom track ``stream`` out, one participant's camera and microphone
in. The rules of daily-python itself are in ``daily_call`` and ``daily_native``.
"""

import asyncio
from array import array
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import daily
from loguru import logger

from pipecat_lemonslice.errors import ConfigurationError, RoomError, safe_line
from pipecat_lemonslice.rooms import (
    AvatarSeen,
    Participant,
    ParticipantJoined,
    ParticipantLeft,
    Picture,
    RoomEvent,
    RoomInbox,
    RoomLost,
    RoomOptions,
)
from pipecat_lemonslice.rooms.daily_call import DailyCall
from pipecat_lemonslice.rooms.daily_native import LoopBridge, NativeTrack, NewestOnly, initialize

TRACK = "stream"
"""Name of the custom audio track that LemonSlice listens to."""

INITIAL_RECEIVE_BITRATE = 4_000_000
"""Bits per second that Daily may send from the first moment, so that the picture is sharp early. Its default is 1e6."""

MAX_REFUSED_MESSAGES = 3
"""Messages refused in a row after which the room is given up."""

VOICE_MILLISECONDS = 40
"""Duration of one callback with voice: it is passed on in pieces of that length."""

WATCHED = {"media": {"camera": "subscribed", "microphone": "subscribed"}}
UNWATCHED = {"media": {"camera": "unsubscribed", "microphone": "unsubscribed"}}

_closing: set[asyncio.Task[None]] = set()


class DailyRoom:
    """A joined Daily room. Obtain one with :meth:`join`."""

    def __init__(self, options: RoomOptions) -> None:
        """Prepare a room; use :meth:`join` instead."""
        initialize()
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._bridge = LoopBridge()
        self._pictures = NewestOnly(self._bridge, self._saw)
        self._inbox = RoomInbox()
        self._call = DailyCall(self._bridge, self._note)
        self.on_played: Callable[[int], None] | None = None
        self._lost_at: int | None = None
        self._speech = NativeTrack(
            options.speech_sample_rate,
            self._bridge,
            on_played=self._has_played,
            on_failed=lambda reason: self._lose(RoomLost(reason)),
        )
        self._present: set[str] = set()
        self._early: dict[str, RoomEvent] | None = {}
        self._watched: Participant | None = None
        self.pictured_at: float | None = None
        self._refused = 0
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    async def join(cls, url: str, options: RoomOptions) -> "DailyRoom":
        """Join the room at an ``https://`` address.

        Raises:
            RoomError: The room could not be joined; says why.
            ConfigurationError: Speech at this rate cannot be sent to a Daily room.
        """
        if options.speech_sample_rate % 100:
            raise ConfigurationError(
                f"speech at {options.speech_sample_rate} Hz cannot be paced; use a multiple of 100"
            )
        room = cls(options)
        try:
            async with asyncio.timeout(options.timeout):
                await room._enter(url)
        except TimeoutError:
            error = RoomError(f"the room could not be joined within {options.timeout:g} s; check the network")
        except RoomError as refusal:
            error = refusal
        except BaseException:
            room._begin_close()
            raise
        else:
            return room
        room._begin_close()
        raise error

    async def _enter(self, url: str) -> None:
        call, options = self._call, self._options
        present = await call.join(url, options.token, INITIAL_RECEIVE_BITRATE, options.avatar_since)
        early, self._early = self._early or {}, None
        for event in (*map(ParticipantJoined, present), *early.values()):
            self._note(event)
        await call.ask(
            lambda done: call.client.add_custom_audio_track(TRACK, self._speech.track, True, completion=done)
        )
        await call.ask(lambda done: call.client.update_publishing({"customAudio": {TRACK: True}}, completion=done))
        if self._inbox.lost:
            raise RoomError(self._inbox.lost.reason)

    @property
    def appended(self) -> int:
        """See :attr:`pipecat_lemonslice.rooms.Room.appended`."""
        return self._speech.appended

    @property
    def played(self) -> int:
        """See :attr:`pipecat_lemonslice.rooms.Room.played`."""
        return self._speech.played if self._lost_at is None else self._lost_at

    def report_at(self, position: int) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.report_at`."""
        self._speech.report_at(position)

    def append(self, pcm: bytes) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.append`."""
        if not self._inbox.lost:
            self._speech.append(pcm)

    def clear(self) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.clear`."""
        self._speech.clear()

    def send(self, message: Mapping[str, Any]) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.send`."""
        if self._inbox.lost or self._watched is None:
            return
        self._call.client.send_app_message(dict(message), self._watched.id, completion=self._sent)

    def watch(self, participant: Participant) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.watch`."""
        UUID(participant.id)  # anything else would abort the process
        if self._inbox.lost:
            return
        before, self._watched, self.pictured_at = self._watched, participant, None
        settings: dict[str, Any] = {participant.id: WATCHED}
        if before and before.id != participant.id:
            settings[before.id] = UNWATCHED
        client, rate = self._call.client, self._options.voice_sample_rate
        client.update_subscriptions(participant_settings=settings, completion=self._answered)
        client.set_audio_renderer(
            participant.id, self._receive_voice, sample_rate=rate, callback_interval_ms=VOICE_MILLISECONDS
        )
        client.set_video_renderer(participant.id, self._pictures.put, color_format="RGB")

    async def next_event(self) -> RoomEvent:
        """See :meth:`pipecat_lemonslice.rooms.Room.next_event`."""
        return await self._inbox.get()

    async def close(self) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.close`."""
        await asyncio.shield(self._begin_close())

    def _begin_close(self) -> "asyncio.Task[None]":
        if self._closing is None:
            self._lose(RoomLost("the bot has left the room"))
            self._speech.retire()
            self._closing = self._loop.create_task(self._call.end(), name="lemonslice-daily-close")
            _closing.add(self._closing)
            self._closing.add_done_callback(_closing.discard)
        return self._closing

    def _has_played(self) -> None:
        if self.on_played and not self._inbox.lost:
            self.on_played(self._speech.played)

    # What comes from the room: on native threads the first three, all else on the loop.

    def _answered(self, error: str | None) -> None:
        if error:
            self._bridge.call(logger.warning, f"Daily refused a request: {safe_line(error)}")

    def _sent(self, error: str | None) -> None:
        self._answered(error)
        self._bridge.call(self._count_refusals, error is not None)

    def _receive_voice(self, participant_id: str, audio: daily.AudioData, _source: str) -> None:
        self._bridge.call(self._heard, participant_id, audio)

    def _count_refusals(self, refused: bool) -> None:
        """Give the room up after several refusals in a row: one message may get lost."""
        self._refused = self._refused + 1 if refused else 0
        if self._refused >= MAX_REFUSED_MESSAGES:
            self._lose(RoomLost("the room takes no more messages"))

    def _heard(self, participant_id: str, audio: daily.AudioData) -> None:
        if self._watched and participant_id == self._watched.id:
            pcm = audio.audio_frames
            if audio.num_channels > 1:
                pcm = array("h", pcm)[:: audio.num_channels].tobytes()
            self._options.on_voice(pcm, audio.sample_rate)

    def _saw(self, participant_id: str, frame: daily.VideoFrame) -> None:
        if self._watched and participant_id == self._watched.id:
            if self.pictured_at is None:
                self._inbox.put(AvatarSeen(self._watched))
            self.pictured_at = self._loop.time()
            self._options.on_picture(Picture(frame.buffer, frame.width, frame.height))

    def _note(self, event: RoomEvent) -> None:
        match event:
            case ParticipantJoined(participant) | ParticipantLeft(participant) if self._early is not None:
                self._early[participant.id] = event  # whose names count is known once the bot has joined
            case ParticipantJoined(participant) if participant.id in self._present:
                pass
            case ParticipantJoined(participant):
                self._present.add(participant.id)
                self._inbox.put(event)
            case ParticipantLeft(participant):
                self._present.discard(participant.id)
                if self._watched and participant.id == self._watched.id:
                    self._watched = None
                self._inbox.put(event)
            case RoomLost():
                self._lose(event)
            case _:
                self._inbox.put(event)

    def _lose(self, lost: RoomLost) -> None:
        if not self._inbox.lost:
            self._lost_at = self._speech.played
        self._inbox.put(lost)
