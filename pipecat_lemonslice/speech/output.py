"""The one ordered output of the bot's speech: what waits, where each response is heard, when it is over.

The laws: frames leave in the order in which they came. A frame behind audio leaves when that audio has been played, a
word with a time of its own when the audio that it is timed by has been. A response keeps the route on which it began:
to the avatar, or as TTS audio downstream. When the avatar is lost in mid-response, what it was not heard saying goes on
as TTS audio. Nothing is dropped but what an interruption drops.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from math import inf

from pipecat.frames.frames import (
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)

from pipecat_lemonslice.media.playback import Playback
from pipecat_lemonslice.messages import SpeechEvent
from pipecat_lemonslice.speech.response import (
    Aborted,
    AllPlayed,
    AudioAppended,
    BacklogChanged,
    DoneReason,
    Interrupted,
    LLMClosed,
    LLMOpened,
    ResponseDone,
    ResponseStarted,
    ResponseTracker,
    StopReached,
    TimePassed,
    TrackerInput,
    TrackerOutput,
)
from pipecat_lemonslice.speech.track import AvatarLink, Chunk, Played, SpeechTrack, duration
from pipecat_lemonslice.speech.words import InterruptedContexts, WordTimer

MAX_QUEUED_SECONDS = 1800.0
"""Speech that may wait. Beyond it the pipeline is held back until some has been spoken; nothing is dropped."""

MAX_QUEUED_FRAMES = 100_000
"""Frames that may wait, of any kind; likewise."""

FRAMES_PER_TURN = 32
"""Frames after which others have their turn on the event loop: forwarding a frame need not wait for anything."""

REMAINDER_SECONDS = 0.06
"""What the resampler holds back is flushed when no more than this is left to play, so that no hole comes before it."""

REMAINDER_GRACE = 0.04
"""Seconds without new audio before that: a TTS that paces itself sends a frame every 20 ms."""

LEFT_BEHIND = 0.0401
"""What an interruption may leave of the speech that it interrupts, in seconds: the writes in flight."""

CUT = (DoneReason.INTERRUPTED, DoneReason.AVATAR_LOST)
"""Reasons for which the avatar must not go on speaking, if it can."""


class Route(Enum):
    """Where the response under way is heard."""

    AVATAR = auto()
    """Spoken by the avatar."""

    VOICE = auto()
    """Passed on as TTS audio, to be played by the output transport."""


class _Avatar(Enum):
    COMING = auto()
    """Speech waits for it, within bounds."""

    HERE = auto()
    """It speaks from the next response on."""

    AWAY = auto()
    """Speech does not wait for it; it may come back."""


@dataclass(frozen=True, slots=True)
class WaitedInVain:
    """Speech waited for the avatar as long as it may, and is heard without it.

    Attributes:
        seconds: How long it waited.
    """

    seconds: float


OutputEvent = TrackerOutput | WaitedInVain


@dataclass(frozen=True, slots=True)
class SpeechPorts:
    """What the output needs of its surroundings.

    Attributes:
        forward: Passes a frame on, downstream.
        notify: Told of every output, at once; must not block.
        pipeline_time: The pipeline clock in nanoseconds; words are timed by it.
        playback: Knows how far the avatar has been heard.
    """

    forward: Callable[[Frame], Awaitable[None]]
    notify: Callable[[OutputEvent], None]
    pipeline_time: Callable[[], int]
    playback: Playback


@dataclass(frozen=True, slots=True, eq=False)
class _Drained:
    """A mark in the queue: everything before it has been heard."""

    done: "asyncio.Future[None]"


_Item = Frame | _Drained


class SpeechOutput:
    """The ordered output. Frames come in with :meth:`put` and leave through the ports; :meth:`run` moves them."""

    def __init__(
        self, ports: SpeechPorts, *, sample_rate: int, done_timeout: float, hold_timeout: float, ready_timeout: float
    ) -> None:
        """Create an output on which nothing has been said.

        Args:
            ports: The surroundings.
            sample_rate: Rate of the speech that the avatar takes, in Hz; a multiple of 100.
            done_timeout: Seconds without new audio before a response is complete.
            hold_timeout: The most seconds that an open LLM response may hold a response open.
            ready_timeout: Seconds that speech waits for an avatar that is coming.
        """
        self.ready_timeout = ready_timeout
        self.route: Route | None = None
        """Where the response under way is heard; None while there is none."""
        self._ports = ports
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._space = asyncio.Event()
        self._rate = sample_rate
        self._track = SpeechTrack(sample_rate)
        self._track.on_played = self._has_played
        self._tracker = ResponseTracker(done_timeout=done_timeout, hold_timeout=hold_timeout)
        self._timer: asyncio.TimerHandle | None = None
        self._words = WordTimer()
        self._contexts = InterruptedContexts()
        self._avatar = _Avatar.COMING
        self._waiting_since: float | None = None
        self._queue: deque[_Item] = deque()
        self._queued_audio, self._queued_seconds = 0, 0.0
        self._behind: deque[tuple[int, Frame]] = deque()
        """Frames behind audio on the track, each with the position that has to be played first."""
        self._released: list[Chunk | Frame] | None = None
        """What was taken off the track of an avatar that was lost; goes before everything that waits."""
        self._frames_in_turn = 0

    @property
    def has_avatar(self) -> bool:
        """Whether there is an avatar that can speak."""
        return self._track.link is not None

    @property
    def unheard_seconds(self) -> float:
        """Speech that has not been played yet, in seconds."""
        self._track.catch_up()
        released = self._track.seconds_of(self._released_speech())
        return self._queued_seconds + self._track.pending_seconds + released

    def configure(self, *, done_timeout: float, hold_timeout: float, ready_timeout: float) -> None:
        """Change the timeouts, in seconds; the response under way follows them."""
        self.ready_timeout = ready_timeout
        self._tracker.configure(done_timeout=done_timeout, hold_timeout=hold_timeout)
        self._note(TimePassed())
        self._wake.set()

    # Inputs.

    async def put(self, frame: Frame) -> None:
        """Take a frame in; waits only while as much waits as may."""
        while self.unheard_seconds > MAX_QUEUED_SECONDS or len(self._queue) >= MAX_QUEUED_FRAMES:
            self._space.clear()
            await self._space.wait()
        await self._breathe()
        match frame:
            case LLMFullResponseStartFrame():
                self._contexts.announce(None, by_tts=False)
            case TTSStartedFrame():
                self._contexts.announce(frame.context_id)
            case TTSAudioRawFrame() if not frame.audio:
                return
            case _:
                pass
        if isinstance(frame, TTSAudioRawFrame | TTSTextFrame):
            if frame.interruptible and not self._contexts.admits(frame.context_id):
                return
            self._words.arrived(frame, self._ports.pipeline_time())
        if not self._words.hold(frame):
            self._count(frame, 1)  # a frame that cannot be read raises here, and does not enter
            self._queue.append(frame)
        match frame:
            case LLMFullResponseStartFrame() if not frame.skip_tts:
                self._note(LLMOpened())
            case LLMFullResponseEndFrame():
                self._note(LLMClosed())
            case _:
                self._note()
        self._wake.set()

    def interrupt(self) -> bool:
        """Drop what waits, at once, except uninterruptible frames.

        Returns:
            Whether what was playing is cut off; False if it must be played to its end.
        """
        self._track.catch_up()
        unheard = self._track.unheard(self._ports.playback)
        sounding = bool(unheard) or self._ports.playback.sounds(self._loop.time())
        self._drop_interruptible()
        rest = self._track.cut()
        playing = [*unheard, *self._track.unplayed()]
        dropped = self._track.seconds_of(rest)
        again = [chunk for chunk in rest if not chunk.origin.interruptible]
        # An avatar that says hardly anything but what may not be interrupted is left alone. One that is told to stop
        # drops all of it, so that is said again.
        unwanted = self._track.seconds_of(chunk for chunk in playing if chunk.origin.interruptible)
        keeps_playing = self._track.seconds_of(playing) > unwanted and unwanted <= LEFT_BEHIND
        lasting = {chunk.origin.context_id for chunk in (*playing, *again) if not chunk.origin.interruptible}
        if keeps_playing:
            self._say_again([], again)
        else:
            in_flight = [chunk for chunk in self._track.unplayed() if not chunk.origin.interruptible]
            self._say_again([chunk for chunk in unheard if not chunk.origin.interruptible], [*in_flight, *again])
            self._track.forget()
        queued = {item.context_id for item in self._queue if isinstance(item, TTSAudioRawFrame)}
        self._contexts.interrupt(lasting | queued | {chunk.origin.context_id for chunk in self._released_speech()})
        self._words.interrupt()
        cut = self._note(Interrupted(keeps_playing, self._track.plays_on, dropped))
        if not keeps_playing:
            self.route = None
            if sounding and self._track.link and not _tells_cut(cut):
                self._track.link.tell(SpeechEvent.INTERRUPT)
        self._space.set()
        self._wake.set()
        return not keeps_playing

    async def drain(self) -> None:
        """Wait until everything that came before has been heard; ends the response under way."""
        mark = _Drained(self._loop.create_future())
        self._queue.append(mark)
        self._wake.set()
        await mark.done

    def close(self) -> None:
        """End the response under way; nothing is decided after that."""
        self._note(Aborted(DoneReason.ENDED, self._track.seconds_of(self._track.cut())))
        self._track.close()
        if self._timer:
            self._timer.cancel()
        for item in self._queue:
            if isinstance(item, _Drained) and not item.done.done():
                item.done.set_result(None)

    # The avatar.

    def avatar_here(self, link: AvatarLink) -> None:
        """From the next response on, the avatar speaks."""
        self._avatar = _Avatar.HERE
        self._track.open(link)
        self._wake.set()

    def avatar_coming(self) -> None:
        """The next response waits for the avatar, as at the start of a call."""
        self._avatar, self._waiting_since = _Avatar.COMING, None

    def avatar_gone(self) -> None:
        """No avatar speaks until there is one again; what it was not heard saying is heard as TTS audio."""
        self._track.catch_up()
        link, dropped = self._track.link, self._track.pending_seconds
        unheard, unplayed = self._track.unheard(self._ports.playback), self._track.unplayed()
        sounding = bool(unheard) or self._ports.playback.sounds(self._loop.time())
        self._track.close()
        self._say_again(unheard, unplayed)
        cut: list[TrackerOutput] = []
        if self.route is Route.AVATAR:
            cut = self._note(Aborted(DoneReason.AVATAR_LOST, dropped), link=link)
            self.route = None
        # If it is still there, it must not be heard beside the voice that goes on.
        if link and sounding and not _tells_cut(cut):
            link.tell(SpeechEvent.INTERRUPT)
        self._avatar = _Avatar.AWAY
        self._wake.set()

    def _say_again(self, unheard: list[Chunk], unplayed: list[Chunk]) -> None:
        """Take speech off the track, with the frames that stand in it; it goes in front of everything that waits."""
        for chunk in unheard:
            self._words.taken_back(chunk.origin.context_id, self._track.seconds_of((chunk,)))
        if not unheard and not unplayed and not self._behind:
            return
        items: list[Chunk | Frame] = []
        for chunk in (*unheard, *unplayed):
            while self._behind and self._behind[0][0] <= chunk.begin:
                items.append(self._behind.popleft()[1])
            items.append(chunk)
        items += [frame for _, frame in self._behind]
        self._behind.clear()
        self._released = [*items, *(self._released or ())]

    # The movement.

    async def run(self) -> None:
        """Move frames along until cancelled.

        Raises:
            Exception: A frame could not be moved. It has been dropped, and this can be called again.
        """
        while True:
            await self._breathe()
            head = self._queue[0] if self._queue else None
            try:
                wake_at = await self._move(head)
            except Exception:
                self._track.cut()
                if head and self._queue and self._queue[0] is head:
                    self._queue.popleft()
                    self._recount()
                raise
            if wake_at is not None:
                self._track.report_at(self._next_position())
                await self._sleep(wake_at)

    async def _move(self, head: _Item | None) -> float | None:
        """Make one step; returns until when to wait if there is none to make, None otherwise."""
        if await self._forward(self._words.due()):
            return None
        if self._behind and (self._track.link is None or self._behind[0][0] <= self._track.link.played):
            await self._reach(self._behind.popleft()[1])
            return None
        if self._released is not None:
            await self._requeue()
            return None
        match head:
            case TTSAudioRawFrame():
                return await self._speak(head)
            case TTSStoppedFrame() if self._ends_utterance(head):
                await self._flush()
                return None
            case Frame():
                self._pop()
                if self._track.link and (self._track.busy or self._behind):
                    self._behind.append((self._track.link.appended, head))
                else:
                    await self._reach(head)
                return None
            case _Drained():
                return await self._drain_to(head)
            case None:
                return await self._rest()

    async def _speak(self, frame: TTSAudioRawFrame) -> float | None:
        if self.route is None:
            if self._avatar is _Avatar.COMING:
                return self._await_avatar()
            self.route = Route.AVATAR if self._avatar is _Avatar.HERE else Route.VOICE
        if self.route is Route.VOICE:
            self._pop()
            await self._pass_on(frame)
            return None
        self._pop()
        self._note(AudioAppended(duration(frame, self._rate)))
        self._hold_released(await self._track.feed(frame))
        self._note()
        return None

    def _await_avatar(self) -> float | None:
        now = self._loop.time()
        if self._waiting_since is None:
            self._waiting_since = now
        give_up_at = self._waiting_since + self.ready_timeout
        if now < give_up_at:
            return give_up_at
        self._avatar = _Avatar.AWAY
        self._ports.notify(WaitedInVain(self.ready_timeout))
        return None

    async def _pass_on(self, frame: TTSAudioRawFrame) -> None:
        ahead = max(0.0, self._tracker.played_until - self._loop.time())
        self._note(AudioAppended(duration(frame, self._rate)))
        heard_from_ns = self._ports.pipeline_time() + round(ahead * 1e9)
        words = self._words.voiced(frame.context_id, duration(frame, self._rate), heard_from_ns)
        for each in (frame, *words):
            await self._ports.forward(each)

    async def _reach(self, frame: Frame) -> None:
        """Forward a frame of which everything in front has been played, or has no place on the track."""
        await self._forward(self._words.due_before(frame))
        self._words.restamp(frame, avatar=self.route is Route.AVATAR)
        await self._ports.forward(frame)
        if isinstance(frame, TTSStoppedFrame) and self._contexts.admits(frame.context_id) and not self._track.busy:
            self._note(StopReached())

    async def _requeue(self) -> None:
        """Put what the avatar was not heard saying in front of everything that waits."""
        self._hold_released(await self._track.take_remainder())
        items, self._released = self._released or [], None
        frames: list[Frame] = []
        parts: list[Chunk] = []
        for item in (*items, None):
            if parts and (not isinstance(item, Chunk) or item.origin != parts[0].origin):
                frames.append(parts[0].origin.frame(b"".join(part.pcm for part in parts), self._rate))
                parts = []
            if isinstance(item, Chunk):
                parts.append(item)
            elif item:
                frames.append(item)
        self._queue.extendleft(reversed(frames))
        self._recount()
        self._note()

    async def _drain_to(self, mark: _Drained) -> float | None:
        if self._track.holds_remainder:
            await self._flush()
        elif self._track.busy or self._behind:
            return inf
        else:
            self._pop()
            await self._forward(self._words.finish(None))
            self._note(LLMClosed(), StopReached())
            if not mark.done.done():
                mark.done.set_result(None)
        return None

    async def _rest(self) -> float | None:
        """With nothing to do: have what the resampler holds back follow before the rest has been played."""
        if self.route is None and await self._forward(self._words.overdue()):
            return None
        if not self._track.holds_remainder or self._track.pending_seconds > REMAINDER_SECONDS:
            return inf
        flush_at = self._track.fed_at + REMAINDER_GRACE
        if self._loop.time() < flush_at:
            return flush_at
        await self._flush()
        return None

    def _next_position(self) -> int:
        """Return the next position on the track at which something is to be done; 0 if there is none."""
        positions = [self._behind[0][0]] if self._behind else []
        if self._track.holds_remainder and self._track.link:
            positions.append(self._track.link.appended - round(REMAINDER_SECONDS * self._rate))
        if self._words.waiting:
            positions += self._track.first(self._words.remaining)
        return min((at for at in positions if at > self._track.position), default=0)

    # Helpers.

    def _has_played(self, pieces: Iterable[Played]) -> None:
        for piece in pieces:
            self._words.played(piece.chunk.origin.context_id, piece.end - piece.begin)
        if not self._audio_waits():
            self._note(AllPlayed())
        self._space.set()
        if self._behind or self._queue or self._words.waiting or self._track.holds_remainder:
            self._wake.set()

    def _audio_waits(self) -> bool:
        return self._track.busy or self._queued_audio > 0 or bool(self._released)

    def _note(self, *inputs: TrackerInput, link: AvatarLink | None = None) -> list[TrackerOutput]:
        """Tell the tracker what happened, with what waits now; returns what it decided.

        Args:
            inputs: What happened.
            link: The way to an avatar that has just been lost.
        """
        outputs: list[TrackerOutput] = []
        for what in (*inputs, BacklogChanged(self._audio_waits())):
            for output in self._tracker.handle(what, self._loop.time()):
                outputs.append(output)
                self._decide(output, link or self._track.link)
        if self._timer:
            self._timer.cancel()
        if (deadline := self._tracker.deadline) is not None:
            # A timer may fire a hair early, and a deadline may have passed: both settle at the next turn.
            self._timer = self._loop.call_at(max(deadline, self._loop.time()), self._note, TimePassed())
        return outputs

    def _decide(self, output: TrackerOutput, link: AvatarLink | None) -> None:
        """The avatar is told of responses that it speaks, and of no others; an interruption comes before the end."""
        if self.route is not Route.AVATAR:
            link = None
        match output:
            case ResponseStarted():
                if link:
                    self._ports.playback.response_began(self._loop.time())
                    link.tell(SpeechEvent.RESPONSE_STARTED)
            case ResponseDone(reason=reason):
                if link and reason in CUT:
                    link.tell(SpeechEvent.INTERRUPT)
                if link:
                    link.tell(SpeechEvent.RESPONSE_FINISHED)
                self._ports.playback.response_over(self._loop.time())
                self.route = None
                self._wake.set()
        self._ports.notify(output)

    def _ends_utterance(self, frame: TTSStoppedFrame) -> bool:
        origin = self._track.origin
        if origin is None or not self._track.holds_remainder or self.route is not Route.AVATAR:
            return False
        return frame.context_id is None or frame.context_id == origin.context_id

    async def _flush(self) -> None:
        self._hold_released(await self._track.flush())
        self._note()

    def _hold_released(self, chunks: list[Chunk]) -> None:
        """Keep what could not be appended, since the avatar went meanwhile."""
        if chunks:
            self._released = [*(self._released or ()), *chunks]

    def _released_speech(self) -> list[Chunk]:
        return [item for item in self._released or () if isinstance(item, Chunk)]

    def _drop_interruptible(self) -> None:
        self._queue = deque(item for item in self._queue if isinstance(item, _Drained) or not item.interruptible)
        self._behind = deque((at, frame) for at, frame in self._behind if not frame.interruptible)
        if self._released is not None:
            self._released = [
                item for item in self._released if not (item.origin if isinstance(item, Chunk) else item).interruptible
            ]
        self._recount()

    def _pop(self) -> None:
        item = self._queue.popleft()
        if isinstance(item, Frame):
            self._count(item, -1)
        self._space.set()

    def _count(self, frame: Frame, sign: int) -> None:
        """Keep the total, so that nothing has to look through the queue."""
        if isinstance(frame, TTSAudioRawFrame):
            self._queued_seconds += sign * duration(frame, self._rate)
            self._queued_audio += sign

    def _recount(self) -> None:
        self._queued_audio, self._queued_seconds = 0, 0.0
        for item in self._queue:
            if isinstance(item, Frame):
                self._count(item, 1)

    async def _forward(self, words: list[Frame]) -> bool:
        for word in words:
            word.pts = None
            await self._ports.forward(word)
        return bool(words)

    async def _breathe(self) -> None:
        self._frames_in_turn += 1
        if self._frames_in_turn >= FRAMES_PER_TURN:
            self._frames_in_turn = 0
            await asyncio.sleep(0)

    async def _sleep(self, until: float) -> None:
        """Sleep until something happens, or until a time."""
        self._wake.clear()
        timer = self._loop.call_at(until, self._wake.set) if until < inf else None
        try:
            await self._wake.wait()
        finally:
            if timer:
                timer.cancel()


def _tells_cut(outputs: Iterable[TrackerOutput]) -> bool:
    return any(isinstance(output, ResponseDone) and output.reason in CUT for output in outputs)
