"""The one ordered output of the bot's speech: what waits, where each response is heard, when it is over.

Its laws. Frames leave in the order in which they came. A frame behind audio leaves when that audio has been played, a
word with a time of its own when the audio that it is timed by has been. A response keeps the route on which it began:
to the avatar, or as TTS audio downstream. When the avatar is lost in mid-response, what it was not heard saying goes on
as TTS audio. Nothing is dropped but what an interruption drops.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from math import inf

from pipecat.frames.frames import (
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)

from pipecat_lemonslice.media.playback import Playback
from pipecat_lemonslice.messages import SpeechEvent
from pipecat_lemonslice.rooms import Room
from pipecat_lemonslice.settings import Timeouts
from pipecat_lemonslice.speech.queue import MAX_QUEUED_FRAMES, MAX_QUEUED_SECONDS, Drained, SpeechQueue
from pipecat_lemonslice.speech.replay import Cut, Played
from pipecat_lemonslice.speech.response import (
    Aborted,
    AllPlayed,
    AudioAppended,
    DoneReason,
    Interrupted,
    LLMClosed,
    LLMOpened,
    ResponseDone,
    ResponseStarted,
    ResponseTracker,
    Route,
    RouteChooser,
    StopReached,
    TimePassed,
    TrackerInput,
    WaitedInVain,
)
from pipecat_lemonslice.speech.track import AvatarFailed, SpeechTrack
from pipecat_lemonslice.speech.words import InterruptedContexts, WordTimer

FRAMES_PER_TURN = 32
"""Frames after which others have their turn on the event loop: forwarding a frame need not wait for anything."""

REMAINDER_SECONDS = 0.06
"""What the resampler holds back is flushed when no more than this is left to play, so that no hole comes before it."""

REMAINDER_GRACE = 0.04
"""Seconds without new audio before that: a TTS that paces itself sends a frame every 20 ms."""

OutputEvent = ResponseStarted | ResponseDone | WaitedInVain | AvatarFailed


class SpeechOutput:
    """The ordered output of speech. Frames come in with :meth:`put`; :meth:`run` moves them along."""

    def __init__(
        self,
        forward: Callable[[Frame], Awaitable[None]],
        emit: Callable[[OutputEvent], None],
        pipeline_time: Callable[[], int],
        playback: Playback,
        *,
        sample_rate: int,
        timeouts: Timeouts,
    ) -> None:
        """Create an output on which nothing has been said.

        Args:
            forward: Passes a frame on, downstream.
            emit: Takes every event, in order; must not block.
            pipeline_time: Reads the pipeline clock, in nanoseconds; words are timed by it.
            playback: Knows how far the avatar has been heard.
            sample_rate: Rate of the speech that the avatar takes, in Hz; a multiple of 100.
            timeouts: How long a response is waited for.
        """
        self._forward, self._emit = forward, emit
        self._pipeline_time, self._playback = pipeline_time, playback
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._space = asyncio.Event()
        self._rate = sample_rate
        self._track = SpeechTrack(sample_rate, playback, on_played=self._has_played, emit=emit)
        self._timer: asyncio.TimerHandle | None = None
        self._words = WordTimer()
        self._contexts = InterruptedContexts()
        self._routes = RouteChooser(timeouts.ready)
        self._tracker = ResponseTracker(done_timeout=timeouts.response_done, hold_timeout=timeouts.response_hold)
        self._queue = SpeechQueue(sample_rate)
        self._frames_in_turn = 0

    @property
    def has_avatar(self) -> bool:
        """Whether there is an avatar that can speak."""
        return self._track.room is not None

    @property
    def unheard_seconds(self) -> float:
        """Speech that has not been played yet, in seconds."""
        return self._queue.seconds + self._track.speech.pending_seconds

    def configure(self, timeouts: Timeouts) -> None:
        """Change the timeouts; the response under way follows them."""
        self._routes.ready_timeout = timeouts.ready
        self._tracker.done_timeout, self._tracker.hold_timeout = timeouts.response_done, timeouts.response_hold
        self._note(TimePassed())
        self._wake.set()

    # What comes in.

    async def put(self, frame: Frame) -> None:
        """Take a frame in; waits only while as much waits as may."""
        while len(self._queue.items) >= MAX_QUEUED_FRAMES or self.unheard_seconds > MAX_QUEUED_SECONDS:
            self._space.clear()
            await self._space.wait()
        await self._breathe()
        if not self._contexts.admit(frame):
            return
        if isinstance(frame, TTSAudioRawFrame | TTSTextFrame):
            self._words.arrived(frame, self._pipeline_time())
        if not self._words.hold(frame):
            self._queue.put(frame)
        match frame:
            case LLMFullResponseStartFrame() if not frame.skip_tts:
                self._note(LLMOpened())
            case LLMFullResponseEndFrame():
                self._note(LLMClosed())
            case _:
                pass
        self._wake.set()

    def interrupt(self) -> bool:
        """Drop what may be interrupted, at once. Returns False if what plays may not be, and plays to its end."""
        self._queue.drop_interruptible()
        cut = self._track.interrupt()
        self._say_again(cut)
        self._contexts.interrupt(cut.contexts | self._queue.contexts)
        self._words.interrupt()
        told = self._note(Interrupted(cut.keeps_playing, self._track.plays_on, cut.dropped))
        if cut.sounding and not (told or cut.keeps_playing):
            self._track.tell(SpeechEvent.INTERRUPT)
        self._space.set()
        self._wake.set()
        return not cut.keeps_playing

    async def drain(self) -> None:
        """Wait until everything that came before has been heard; ends the response under way."""
        mark = Drained(asyncio.Event())
        self._queue.put(mark)
        self._wake.set()
        await mark.reached.wait()

    def close(self) -> None:
        """End the response under way; nothing is decided after that."""
        self._note(Aborted(DoneReason.ENDED, self._track.interrupt().dropped))
        self._track.close()
        if self._timer:
            self._timer.cancel()
        self._queue.close()

    # The avatar.

    def avatar_here(self, room: Room, session_id: str) -> None:
        """From the next response on, the avatar in a room speaks; messages to it carry the id of its session."""
        self._routes.avatar_here()
        self._track.open(room, session_id)
        self._wake.set()

    def avatar_coming(self) -> None:
        """The next response waits for the avatar, as at the start of a call."""
        self._routes.avatar_coming()

    def avatar_gone(self) -> bool:
        """No avatar speaks until there is one again; what it was not heard saying is heard as TTS audio.

        Returns:
            Whether there was one.
        """
        present = self.has_avatar
        cut = self._track.lose()
        self._say_again(cut)
        told = self._tracker.route is Route.AVATAR and self._note(Aborted(DoneReason.AVATAR_LOST, cut.dropped))
        # If it is still there, it must not be heard beside the voice that goes on.
        if cut.sounding and not told:
            self._track.tell(SpeechEvent.INTERRUPT)
        self._track.close()
        self._routes.avatar_gone()
        self._wake.set()
        return present

    def _say_again(self, cut: Cut) -> None:
        """Take speech off the track, with the frames that stand in it; it goes in front of everything that waits."""
        for chunk in cut.unheard:
            self._words.taken_back(chunk.origin.context_id, (chunk.end - chunk.begin) / self._rate)
        self._queue.release([*cut.unheard, *cut.unplayed])

    # The movement.

    async def run(self) -> None:
        """Move frames along until cancelled.

        Raises:
            Exception: A frame could not be moved. It has been dropped, and this can be called again.
        """
        while True:
            await self._breathe()
            try:
                wake_at = await self._move()
            except Exception:
                self._note(TimePassed())
                raise
            if wake_at is not None:
                if self._queue.behind or self._words.waiting or self._track.converter.holds_audio:
                    self._track.report_at(self._next_position())
                self._wake.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(wake_at if wake_at < inf else None):
                        await self._wake.wait()

    async def _move(self) -> float | None:
        """Make one step; returns until when to wait if there is none to make, None otherwise."""
        if self._words.moved and await self._forward_words(self._words.due()):
            return None
        behind = self._queue.behind
        if behind and (self._track.room is None or behind[0][0] <= self._track.room.played):
            await self._reach(behind.popleft()[1])
            return None
        if self._queue.released is not None:
            if self._track.converter.holds_audio:
                self._queue.release_remainder(await self._track.take_remainder())
            self._queue.requeue()
            self._note(TimePassed())
            return None
        head = self._queue.items[0] if self._queue.items else None
        try:
            return await self._take(head)
        except Exception:
            self._queue.drop(head)
            raise

    async def _take(self, head: Frame | Drained | None) -> float | None:
        """Move what comes next in the queue; returns as :meth:`_move` does."""
        match head:
            case TTSAudioRawFrame():
                return await self._speak(head)
            case TTSStoppedFrame() if self._tracker.route is Route.AVATAR and self._track.ends_with(head.context_id):
                await self._flush()
            case Frame():
                self._pop()
                if self._track.room and (self._track_busy or self._queue.behind):
                    self._queue.behind.append((self._track.room.appended, head))
                else:
                    await self._reach(head)
            case Drained():
                return await self._drain_to(head)
            case None:
                return await self._rest()
        return None

    async def _speak(self, frame: TTSAudioRawFrame) -> float | None:
        match self._tracker.route or self._routes.choose(self._loop.time()):
            case None:
                self._emit(WaitedInVain(self._routes.ready_timeout))
            case Route.VOICE:
                await self._pass_on(frame, self._pop())
            case Route.AVATAR:
                self._note(AudioAppended(self._pop(), Route.AVATAR))
                if lost := await self._track.feed(frame):
                    self._queue.release_remainder(lost)
            case wait_until:
                return wait_until
        return None

    async def _pass_on(self, frame: TTSAudioRawFrame, seconds: float) -> None:
        ahead = max(0.0, self._tracker.played_until - self._loop.time())
        self._note(AudioAppended(seconds, Route.VOICE))
        heard_from_ns = self._pipeline_time() + round(ahead * 1e9)
        words = self._words.voiced(frame.context_id, seconds, heard_from_ns)
        for each in (frame, *words):
            await self._forward(each)

    async def _reach(self, frame: Frame) -> None:
        """Forward a frame of which everything in front has been played, or has no place on the track."""
        await self._forward_words(self._words.due_before(frame))
        self._words.restamp(frame, avatar=self._tracker.route is Route.AVATAR)
        await self._forward(frame)
        if isinstance(frame, TTSStoppedFrame) and self._contexts.admits(frame.context_id) and not self._track_busy:
            self._note(StopReached())

    async def _drain_to(self, mark: Drained) -> float | None:
        if self._track.converter.holds_audio:
            await self._flush()
        elif self._track_busy or self._queue.behind:
            return inf
        else:
            if self._words.waiting:
                await self._forward_words(self._words.finish(None))
            self._pop()
            self._note(LLMClosed(), StopReached())
            mark.reached.set()
        return None

    async def _rest(self) -> float | None:
        """With nothing to do: have what the resampler holds back follow before the rest has been played."""
        if self._words.waiting and self._tracker.route is None and await self._forward_words(self._words.overdue()):
            return None
        if not self._track.converter.holds_audio or self._track.speech.pending_seconds > REMAINDER_SECONDS:
            return inf
        flush_at = self._track.fed_at + REMAINDER_GRACE
        if self._loop.time() < flush_at:
            return flush_at
        await self._flush()
        return None

    def _next_position(self) -> int:
        """Return the next position on the track at which something is to be done; 0 if there is none."""
        speech = self._track.speech
        positions = [self._queue.behind[0][0]] if self._queue.behind else []
        if self._track.converter.holds_audio and self._track.room:
            positions.append(self._track.room.appended - round(REMAINDER_SECONDS * self._rate))
        if self._words.waiting:
            positions += speech.first(self._words.remaining)
        return min((at for at in positions if at > speech.position), default=0)

    # Small steps.

    def _has_played(self, pieces: Iterable[Played]) -> None:
        for piece in pieces:
            self._words.played(piece.chunk.origin.context_id, piece.end - piece.begin)
        if not self._audio_waits():
            self._note(AllPlayed())
        self._space.set()
        if self._queue.behind or self._queue.items or self._words.waiting or self._track.converter.holds_audio:
            self._wake.set()

    @property
    def _track_busy(self) -> bool:
        """Whether there is speech on the track that has not been played."""
        return bool(self._track.speech.pending) or self._track.converter.holds_audio

    def _audio_waits(self) -> bool:
        return self._track_busy or self._queue.pieces > 0

    def _note(self, *facts: TrackerInput) -> bool:
        """Tell the tracker what happened; returns whether the avatar has been told to fall silent."""
        now, waiting = self._loop.time(), self._audio_waits()
        outputs = [output for fact in facts for output in self._tracker.handle(fact, now, waiting=waiting)]
        deadline = self._tracker.deadline
        if self._timer:
            self._timer.cancel()
        if deadline is not None:
            # A timer may fire a hair early, and a deadline may have passed: both settle at the next turn.
            self._timer = self._loop.call_at(max(deadline, now), self._note, TimePassed())
        silenced = False
        for output in outputs:
            match output:
                case ResponseStarted(route=Route.AVATAR):
                    self._playback.response_began(now)
                    self._track.tell(SpeechEvent.RESPONSE_STARTED)
                case ResponseDone(route=Route.AVATAR, reason=reason):
                    if reason in (DoneReason.INTERRUPTED, DoneReason.AVATAR_LOST):
                        silenced = True  # if it is still there, it must not go on speaking
                        self._track.tell(SpeechEvent.INTERRUPT)
                    self._track.tell(SpeechEvent.RESPONSE_FINISHED)
                    self._playback.response_over(now)
                case _:
                    pass
            self._emit(output)
        if outputs:
            self._wake.set()
        return silenced

    async def _flush(self) -> None:
        self._queue.release_remainder(await self._track.flush())
        self._note(TimePassed())

    def _pop(self) -> float:
        self._space.set()
        return self._queue.pop()

    async def _forward_words(self, words: list[Frame]) -> bool:
        for word in words:
            word.pts = None
            await self._forward(word)
        return bool(words)

    async def _breathe(self) -> None:
        self._frames_in_turn += 1
        if self._frames_in_turn >= FRAMES_PER_TURN:
            self._frames_in_turn = 0
            await asyncio.sleep(0)
