"""The way of the bot's speech to its listener: one ordered line, played at the speed at which it is heard.

Its laws. Frames leave in the order in which they came. Frames that travel with audio leave when the audio before them
has been written, words that carry a time of their own when the audio that they are timed by has been. A response keeps
the route it started on: the avatar, or the plain voice downstream. When the avatar goes in mid-response, what it has
not been heard saying goes on as plain voice. Nothing is dropped but what an interruption drops.

Owns the movement; knows nothing of sessions, HTTP or Pipecat's processors.
"""

import asyncio

from pipecat.frames.frames import (
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)

from pipecat_lemonslice.response import AudioWritten, LLMClosed, LLMOpened, ResponseTracker, StopReached
from pipecat_lemonslice.response_teller import ResponseTeller
from pipecat_lemonslice.routes import Route, RouteChooser
from pipecat_lemonslice.speech_ports import SpeechPorts, WaitedInVain
from pipecat_lemonslice.speech_queue import Drained, Item, SpeechQueue, TakenBack
from pipecat_lemonslice.speech_words import SpeechWords
from pipecat_lemonslice.spoken import GRAIN_SECONDS, Passage
from pipecat_lemonslice.stream import AvatarLink, AvatarStream, duration

TAIL_GRACE = 0.1
"""Seconds that less than a write waits for more audio, once everything before it has been played."""

FRAMES_PER_TURN = 32
"""Frames after which others have their turn on the event loop: forwarding a frame need not wait for anything."""


class SpeechLine:
    """See the module. Frames come in with :meth:`put` and leave through the ports; :meth:`run` moves them."""

    def __init__(self, tracker: ResponseTracker, ports: SpeechPorts, *, sample_rate: int, ready_timeout: float) -> None:
        """Create a line on which nothing has been said.

        Args:
            tracker: Decides when responses start and end.
            ports: The surroundings.
            sample_rate: Rate of the speech that the avatar takes, in Hz; a multiple of 100.
            ready_timeout: Seconds that speech waits for an avatar that is coming.
        """
        self._ports = ports
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._rate = sample_rate
        self._routes = RouteChooser(ready_timeout)
        self._queue = SpeechQueue(sample_rate)
        self._stream = AvatarStream(sample_rate, lambda wanted: self._responses.played(wanted=wanted))
        self._responses = ResponseTeller(
            tracker, ports, queue=self._queue, stream=self._stream, routes=self._routes, wake=self._wake.set
        )
        self._words = SpeechWords(ports, sample_rate)
        self._frames_in_turn = 0

    @property
    def route(self) -> Route | None:
        """Where the response under way is heard; None while there is none."""
        return self._routes.current

    @property
    def has_avatar(self) -> bool:
        """Whether there is an avatar that can speak."""
        return self._routes.link is not None

    @property
    def unheard_seconds(self) -> float:
        """Speech that has not been played yet, in seconds."""
        return self._queue.seconds + self._stream.waiting_seconds + self._stream.in_flight_seconds

    @property
    def sounding_since(self) -> float:
        """When the first sound of the response was played to the avatar, on the loop's clock; now if none has been."""
        return self._stream.sounding_since

    @property
    def sounded_until(self) -> float:
        """Until when the avatar was given sound to say, on the loop's clock; minus infinity if it owes nothing."""
        return self._stream.sounded_until

    def configure(self, *, done_timeout: float, hold_timeout: float, ready_timeout: float) -> None:
        """Change the timeouts, in seconds; the response under way follows them."""
        self._routes.ready_timeout = ready_timeout
        self._responses.configure(done_timeout=done_timeout, hold_timeout=hold_timeout)
        self._wake.set()

    # What comes in.

    async def put(self, frame: Frame) -> None:
        """Add a frame to the line; waits only while the line is full."""
        await self._queue.wait_for_space()
        await self._breathe()
        if not self._queue.admit(frame):
            return
        self._note(frame)
        if not self._words.keep(frame):
            self._queue.put(frame)
        self._responses.settle_backlog()
        self._wake.set()

    def interrupt(self) -> bool:
        """Drop what is not wanted any more, at once; what may not be interrupted stays.

        Returns:
            Whether what was playing is cut off; False if it must be played to its end.
        """
        unheard = self._stream.unheard(self._ports.heard())
        sounding = bool(unheard) or self._ports.avatar_sounds()
        keeps_playing = self._keeps_playing(unheard, sounding)
        plays_on = self._stream.in_flight_seconds
        if not keeps_playing:
            self._stream.interrupt(unheard)
            self._await_return()
        self._queue.interrupt(self._stream.lasting_contexts)
        self._words.interrupt()
        self._responses.interrupt(plays_on, keeps_playing=keeps_playing, sounding=sounding)
        self._wake.set()
        return not keeps_playing

    async def drain(self) -> None:
        """Wait until everything that came before has been heard; ends the response under way."""
        mark = Drained(self._loop.create_future())
        self._queue.mark(mark)
        self._wake.set()
        await mark.done

    def close(self) -> None:
        """End the response under way; nothing is decided after that."""
        self._responses.close()
        self._stream.forget()
        self._queue.release()

    # The avatar.

    def avatar_here(self, link: AvatarLink) -> None:
        """From the next response on, the avatar speaks."""
        self._routes.avatar_here(link)
        self._wake.set()

    def avatar_coming(self) -> None:
        """The next response waits for the avatar, as at the start of a call."""
        self._routes.avatar_coming()

    def avatar_gone(self) -> None:
        """No avatar speaks until there is one again; what it was not heard saying is heard as plain voice."""
        unheard = self._stream.unheard(self._ports.heard())
        sounding = bool(unheard) or self._ports.avatar_sounds()
        self._stream.let_go(unheard)
        self._await_return()
        self._responses.avatar_lost(sounding=sounding)
        self._wake.set()

    # The movement.

    async def run(self) -> None:
        """Move frames along until cancelled.

        Raises:
            Exception: A frame could not be moved. It has been dropped, and this can be called again.
        """
        while True:
            await self._breathe()
            head = self._queue.head
            try:
                await self._move(head)
            except Exception:
                self._stream.drop_unwritten()
                if head and self._queue.head is head:
                    self._queue.drop()
                raise

    async def _move(self, head: Item | None) -> None:
        link = self._routes.link
        if await self._words.forward_due():
            return
        if link and self._routes.current is Route.AVATAR and self._stream.ready:
            await self._write(link)
        elif head:
            await self._advance(head)
        else:
            await self._rest()

    async def _write(self, link: AvatarLink) -> None:
        if self._stream.full(link):
            await self._sleep()
            return
        context_id = self._stream.frame.context_id if self._stream.frame else None
        self._responses.apply(AudioWritten(self._stream.next_seconds))
        seconds = self._stream.write(link)
        self._words.written(context_id, seconds)
        self._responses.settle_backlog()

    async def _advance(self, head: Item) -> None:
        match head:
            case TTSAudioRawFrame():
                await self._speak(head)
            case TTSStoppedFrame() if self._ends_stretch(head):
                await self._seal()
            case Frame():
                self._queue.pop()
                await self._reach(head)
            case TakenBack():
                await self._take_back(head)
            case Drained():
                await self._drain_to(head)

    async def _speak(self, frame: TTSAudioRawFrame) -> None:
        match self._routes.choose():
            case None:
                await self._await_avatar()
            case Route.AVATAR if frame.interruptible and self._stream.uninterruptible:
                await self._finish_stretch()
            case Route.AVATAR:
                self._queue.pop()
                await self._stream.feed(frame)
                self._responses.settle_backlog()
            case Route.VOICE:
                self._queue.pop()
                await self._pass_voice(frame)

    async def _finish_stretch(self) -> None:
        """What may be interrupted does not mix with what may not: the one has been played before the other begins."""
        await (self._seal() if self._stream.has_tail else self._sleep())

    async def _pass_voice(self, frame: TTSAudioRawFrame) -> None:
        heard_in = self._responses.ahead
        self._responses.apply(AudioWritten(duration(frame, self._rate)))
        self._responses.settle_backlog()
        await self._words.forward_voice(frame, heard_in)

    async def _await_avatar(self) -> None:
        give_up_at = self._routes.give_up_at(self._loop.time())
        if self._loop.time() < give_up_at:
            await self._sleep(give_up_at)
        else:
            self._routes.give_up()
            self._ports.notify(WaitedInVain(self._routes.ready_timeout))

    async def _reach(self, frame: Frame) -> None:
        await self._words.forward_before(frame)
        self._words.restamp(frame, avatar=self._routes.current is Route.AVATAR)
        await self._ports.forward(frame)
        if isinstance(frame, TTSStoppedFrame) and self._queue.lives(frame.context_id):
            self._responses.apply(StopReached())

    async def _take_back(self, mark: TakenBack) -> None:
        frames, written = await self._stream.take_back()
        self._queue.replace(mark, frames)
        self._words.taken_back(frames, written)
        self._responses.settle_backlog()

    async def _drain_to(self, mark: Drained) -> None:
        if self._stream.has_tail:
            await self._seal()
        elif self._stream.in_flight_seconds:
            await self._sleep()
        else:
            self._queue.pop()
            await self._words.forward_all()
            self._responses.drained()
            if not mark.done.done():
                mark.done.set_result(None)

    async def _rest(self) -> None:
        """With nothing to do: wait, and let a tail that nothing follows go after a grace."""
        if self._routes.current is None and await self._words.forward_overdue():
            return
        if not self._stream.has_tail or self._stream.in_flight_seconds:
            await self._sleep()
        elif not await self._sleep(self._loop.time() + TAIL_GRACE):
            await self._seal()

    # Small steps.

    def _keeps_playing(self, unheard: list[Passage], sounding: bool) -> bool:
        """Whether the avatar must be left alone: all that it is still to be heard saying may not be interrupted."""
        last = self._stream.frame
        if last is None or last.interruptible or self._routes.link is None:
            return False
        if self._stream.seconds_of(passage for passage in unheard if passage.origin.interruptible) > GRAIN_SECONDS:
            return False
        return sounding or self._stream.uninterruptible

    def _await_return(self) -> None:
        if self._stream.lets_go:
            self._queue.mark(TakenBack())

    def _note(self, frame: Frame) -> None:
        match frame:
            case LLMFullResponseStartFrame() if not frame.skip_tts:
                self._responses.apply(LLMOpened())
            case LLMFullResponseEndFrame():
                self._responses.apply(LLMClosed())
            case _:
                pass

    def _ends_stretch(self, frame: TTSStoppedFrame) -> bool:
        last = self._stream.frame
        if last is None or not self._stream.has_tail or self._routes.current is not Route.AVATAR:
            return False
        return frame.context_id is None or frame.context_id == last.context_id

    async def _seal(self) -> None:
        await self._stream.seal()
        self._responses.settle_backlog()

    async def _breathe(self) -> None:
        self._frames_in_turn += 1
        if self._frames_in_turn >= FRAMES_PER_TURN:
            self._frames_in_turn = 0
            await asyncio.sleep(0)

    async def _sleep(self, until: float | None = None) -> bool:
        """Sleep until something happens; False if only time passed."""
        self._wake.clear()
        try:
            async with asyncio.timeout_at(until):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True
