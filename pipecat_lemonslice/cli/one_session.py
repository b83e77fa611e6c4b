"""One session from its creation to its end: the avatar comes, says something, and everything is measured.

The law: a session that was created is terminated, whatever ends the trial, also a Ctrl-C while it is being created.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from math import log10
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from pipecat.frames.frames import TTSAudioRawFrame

from pipecat_lemonslice.api import CreatedSession, CreateSessionRequest, ExitHook, LemonSliceApi, SessionStatus
from pipecat_lemonslice.cli.report import Log, Measured, Reached, measure
from pipecat_lemonslice.errors import ApiError, LemonSliceError, SessionError
from pipecat_lemonslice.media.playback import Playback, Sound
from pipecat_lemonslice.messages import SpeechEvent
from pipecat_lemonslice.rooms import Picture, Room, RoomOptions, open_room
from pipecat_lemonslice.session.presence import AvatarPresence, Found, Over, Visible
from pipecat_lemonslice.settings import default_settings, timeouts
from pipecat_lemonslice.speech.replay import Played
from pipecat_lemonslice.speech.track import AvatarFailed, SpeechTrack

if TYPE_CHECKING:
    from pipecat_lemonslice.cli.recording import Recording

SAMPLE_RATE = 24000
"""Of the speech that is sent and of the voice that is taken, in Hz."""

AVATAR_NAME = "LemonSlice"

LISTEN_SECONDS = 1.0
"""From the first picture to the speech: the avatar's track is silent, and LemonSlice may not take speech at once."""

HEARD_TIMEOUT = 5.0
"""Seconds after the speech has been played in which the avatar must be heard."""

MARGIN_SECONDS = 0.5
"""How long the avatar is listened to after it should have said its last word."""

COST_TIMEOUT = 3.0
SILENCE_DBFS = -90.0
"""A level below is that of digital silence."""


@dataclass(frozen=True)
class Speech:
    """What the avatar is to say: interleaved signed 16-bit samples."""

    pcm: bytes
    sample_rate: int
    channels: int = 1


class OneSession:
    """Runs one session, once. What it has measured is there also if it fails."""

    def __init__(self, log: Log, show: Callable[[str], None], recording: "Recording | None") -> None:
        """Prepare it.

        Args:
            log: Told of everything that happens.
            show: Told what is waited for now.
            recording: Where picture and voice go.
        """
        self._log, self._show, self._recording = log, show, recording
        self._playback = Playback()
        self._visible = asyncio.Event()
        self._ending, self._idle_until = False, 0.0
        self._pictured: list[float] = []
        self._powers: list[float] = []
        """Mean square of each piece of voice before there was anything to say."""
        self._sounded_at: float | None = None
        self._figures: dict[str, Any] = {}

    @property
    def measured(self) -> Measured:
        """What has been measured so far."""
        figures = {**self._figures, "lag": self._playback.lag}
        if len(self._pictured) > 1:
            figures["fps"] = round((len(self._pictured) - 1) / (self._pictured[-1] - self._pictured[0]), 1)
        return measure(self._log.entries, figures)

    async def run(self, request: CreateSessionRequest, speech: Speech, wait: float) -> None:
        """Create the session, let the avatar speak, terminate the session.

        Args:
            request: What is asked for.
            speech: What the avatar is to say.
            wait: The most seconds for the avatar to join its room.

        Raises:
            LemonSliceError: It failed. The session is terminated, unless the error says otherwise.
        """
        self._show("creating the session")
        async with LemonSliceApi(on_answer=self._log.answered) as api, AsyncExitStack() as leaving:
            creation = asyncio.create_task(self._create(api, request))
            try:
                session, _ = await asyncio.shield(creation)
                self._log.reached("created")
                await self._meet(api, session, leaving, speech, wait)
            finally:
                self._show("terminating the session")
                await self._end(api, creation)

    async def _create(self, api: LemonSliceApi, request: CreateSessionRequest) -> tuple[CreatedSession, ExitHook]:
        """Create the session; if nothing else can, the hook terminates it as the process ends."""
        session = await api.create_session(request, on_retry=self._put_off)
        return session, api.exit_hook(session.session_id, control_url=session.control_url)

    def _put_off(self, error: ApiError, seconds: float) -> None:
        """Take note that there is no session yet, and nothing on its way until the next attempt."""
        if self._ending:
            raise error
        self._idle_until = self._now() + seconds
        self._log.reached("create_failed")
        self._show(f"creating the session again in {seconds:.1f} s ({error})")

    async def _meet(
        self, api: LemonSliceApi, session: CreatedSession, leaving: AsyncExitStack, speech: Speech, wait: float
    ) -> None:
        """Meet the avatar in its room and let it speak.

        Raises:
            LemonSliceError: The room cannot be joined, or no avatar comes, or it is lost.
        """
        if session.room_url is None:
            raise SessionError("LemonSlice created a session without saying where its room is (room_url)")
        self._show("joining the avatar's room")
        options = RoomOptions(SAMPLE_RATE, SAMPLE_RATE, AVATAR_NAME, on_voice=self._hear, on_picture=self._see)
        try:
            async with asyncio.TaskGroup() as tasks:
                polling = tasks.create_task(self._poll(api, session.session_id))
                room = await open_room(session.room_url, options)
                leaving.push_async_callback(room.close)
                self._log.reached("room_joined")
                self._show("waiting for the avatar")
                watching = tasks.create_task(self._watch(room, wait))
                await self._visible.wait()
                polling.cancel()
                self._show("listening to its silence")
                await asyncio.sleep(LISTEN_SECONDS)
                await self._speak(room, session.session_id, speech)
                watching.cancel()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _poll(self, api: LemonSliceApi, session_id: str) -> None:
        """Find out when the session becomes active: often in the first seconds, then ever less."""
        began_at = self._now()
        with suppress(ApiError):  # it is in the log
            while True:
                match (await api.get_session(session_id)).status:
                    case SessionStatus.QUEUED:
                        await asyncio.sleep(min(2.0, max(0.1, (self._now() - began_at) / 10)))
                    case SessionStatus.ACTIVE:
                        self._log.reached("active")
                        return
                    case SessionStatus.UNKNOWN:
                        return
                    case ended:
                        raise SessionError(f"LemonSlice has ended the session: it is {ended}")

    async def _watch(self, room: Room, wait: float) -> None:
        """Follow what happens in the room until the avatar is lost.

        Raises:
            SessionError: It is.
        """
        # An avatar that leaves has failed the trial, also if it would come back.
        given = replace(timeouts(default_settings()), join=wait)
        presence = AvatarPresence(AVATAR_NAME, given, self._now(), rejoin=0.0)
        while True:
            try:
                async with asyncio.timeout_at(presence.deadline):
                    event = await room.next_event()
                self._log.happened(event, AVATAR_NAME)
                changes = presence.handle(event, self._now())
            except TimeoutError:
                changes = presence.handle_timer(self._now(), room.pictured_at)
            for change in changes:
                match change:
                    case Found(participant):
                        room.watch(participant)
                        self._log.reached("avatar_joined")
                        self._show("waiting for its first picture")
                    case Visible():
                        self._log.reached("first_picture")
                        self._visible.set()
                    case Over(reason):
                        raise SessionError(reason)
                    case _:
                        pass

    async def _speak(self, room: Room, session_id: str, speech: Speech) -> None:
        """Say something through the avatar, and wait until it has been heard.

        Raises:
            SessionError: The room plays nothing, or the avatar is not heard.
        """
        self._measure_noise()
        events: asyncio.Queue[list[Played] | AvatarFailed] = asyncio.Queue()
        track = SpeechTrack(SAMPLE_RATE, self._playback, on_played=events.put_nowait, emit=events.put_nowait)
        track.open(room, session_id)
        self._tell(track, SpeechEvent.RESPONSE_STARTED, "speaking")
        self._playback.response_began(self._now())
        await track.feed(TTSAudioRawFrame(speech.pcm, speech.sample_rate, speech.channels))
        await track.flush()
        track.report_at(room.appended)
        while track.speech.pending:
            self._show(f"speaking: {track.speech.position / SAMPLE_RATE:.0f} of {room.appended / SAMPLE_RATE:.0f} s")
            if isinstance(event := await events.get(), AvatarFailed):
                raise SessionError(event.reason)
        self._tell(track, SpeechEvent.RESPONSE_FINISHED, "response_ended")
        ended_at = self._now()
        self._playback.response_over(ended_at)
        self._show("listening to its last words")
        while (lag := self._playback.lag) is None:
            if self._now() > ended_at + HEARD_TIMEOUT:
                raise SessionError(f"the avatar was not heard within {HEARD_TIMEOUT:g} s after its speech was played")
            await asyncio.sleep(0.02)
        await asyncio.sleep(ended_at + lag + MARGIN_SECONDS - self._now())
        if self._sounded_at is not None:
            self._figures["last_sound"] = self._sounded_at - ended_at
        track.close()

    def _tell(self, track: SpeechTrack, event: SpeechEvent, reached: Reached) -> None:
        self._log.sent(track.tell(event))
        self._log.reached(reached)

    async def _end(self, api: LemonSliceApi, creation: "asyncio.Task[tuple[CreatedSession, ExitHook]]") -> None:
        """Terminate the session that was, or is being, created, and ask what it has cost.

        Raises:
            SessionError: It may still be running.
        """
        self._ending = True
        if self._now() < self._idle_until:
            creation.cancel()
        try:
            session, hook = await creation
        except (LemonSliceError, asyncio.CancelledError):
            return
        try:
            await api.terminate(session.session_id, control_url=session.control_url)
        except LemonSliceError as error:
            doubt = f"session {session.session_id} could not be terminated and may run until its idle timeout"
            raise SessionError(f"{doubt}: {error}") from None
        hook.cancel()
        self._log.reached("terminated")
        with suppress(LemonSliceError, TimeoutError):
            async with asyncio.timeout(COST_TIMEOUT):
                self._figures["cost"] = (await api.get_session(session.session_id)).cost

    # What comes from the avatar.

    def _see(self, picture: Picture) -> None:
        self._pictured.append(self._now())
        self._figures |= {"width": picture.width, "height": picture.height}
        if self._recording:
            self._recording.show(picture)

    def _hear(self, pcm: bytes, sample_rate: int) -> None:
        self._figures["sample_rate"] = sample_rate
        samples = np.frombuffer(pcm, "<i2").astype(np.float64)
        self._powers.append(float(np.mean(samples**2)))
        if self._playback.heard(pcm, sample_rate, self._now()) in (Sound.FIRST, Sound.ONGOING):
            if self._sounded_at is None:
                self._log.reached("first_sound")
            self._sounded_at = self._now()
        if self._recording:
            self._recording.hear(pcm)

    def _measure_noise(self) -> None:
        """Measure the level of the avatar's track before it was given anything to say."""
        dbfs = 10 * log10(max(median(self._powers or [0.0]), 1e-3) / 32768**2)
        if dbfs > SILENCE_DBFS:
            self._figures["noise"] = round(dbfs, 1)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
