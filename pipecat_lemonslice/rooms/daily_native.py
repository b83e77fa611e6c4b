"""The rules of daily-python, in one place, so that nothing else has to know them.

The laws: ``Daily.init`` is called once in a process; a second call aborts it. Whatever comes from a native thread
goes to the event loop here. An audio source is released only when all that was written to it has been played, and
never on a native thread: anything else hangs the process, or aborts it.
"""

import asyncio
import atexit
import ctypes
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec

import daily

from pipecat_lemonslice._pipecat import claim_daily_initialization
from pipecat_lemonslice.rooms.playout import WRITE_SECONDS, WRITES_IN_FLIGHT, PlayoutBuffer

SETTLE_SECONDS = 0.5
"""How long after its last completion a source is kept: the native thread may still be on its way out of it."""

P = ParamSpec("P")


_lock = threading.Lock()


def initialize() -> None:
    """Set daily-python up, unless Pipecat or an earlier call has."""
    with _lock:
        if claim_daily_initialization():
            daily.Daily.init()


class LoopBridge:
    """Runs callbacks of native threads on the event loop; does nothing once the loop is closed."""

    def __init__(self) -> None:
        """Create a bridge to the running loop."""
        self._loop = asyncio.get_running_loop()

    def call(self, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call a function on the loop; from any thread."""
        with suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(lambda: function(*args, **kwargs))

    def future(self) -> "tuple[asyncio.Future[Any], Callable[..., None]]":
        """Return a future, and the callback that completes it from any thread with a tuple of its arguments."""
        answer: asyncio.Future[Any] = self._loop.create_future()

        def resolve(args: tuple[Any, ...]) -> None:
            if not answer.done():  # it may have been cancelled meanwhile
                answer.set_result(args)

        return answer, lambda *args: self.call(resolve, args)


class NewestOnly:
    """Passes pictures to the loop, and of those that come meanwhile only the newest."""

    def __init__(self, bridge: LoopBridge, deliver: Callable[[str, daily.VideoFrame], None]) -> None:
        """Create an empty slot.

        Args:
            bridge: Runs callbacks on the event loop.
            deliver: Called on the loop with a participant id and its picture.
        """
        self._bridge = bridge
        self._deliver = deliver
        self._lock = threading.Lock()
        self._waiting: tuple[str, daily.VideoFrame] | None = None

    def put(self, participant_id: str, frame: daily.VideoFrame, _source: str) -> None:
        """Take a picture in; from any thread."""
        with self._lock:
            on_its_way = self._waiting is not None
            self._waiting = (participant_id, frame)
        if not on_its_way:
            self._bridge.call(self._land)

    def _land(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting:
            self._deliver(*waiting)


class NativeTrack:
    """The custom track that speech is played on. The native thread paces it, whatever the event loop does.

    Each completion hands over the next write, on the native thread; the loop only appends, clears and is told how far
    it has been played. The process keeps source and track until :meth:`retire`, and then as long as need be.
    """

    def __init__(
        self, sample_rate: int, bridge: LoopBridge, *, on_played: Callable[[], None], on_failed: Callable[[str], None]
    ) -> None:
        """Create the source and its track.

        Args:
            sample_rate: In Hz; a multiple of 100.
            bridge: Runs callbacks on the event loop.
            on_played: Called there as :attr:`pipecat_lemonslice.rooms.Room.on_played` says.
            on_failed: Called there with the reason when the source takes no more audio.
        """
        if sample_rate % 100:
            raise ValueError(f"daily-python paces whole slices of 10 ms, which {sample_rate} Hz does not have")
        sources_kept()
        self._bridge = bridge
        self._on_played = on_played
        self._on_failed = on_failed
        self._lock = threading.Lock()
        self._buffer = PlayoutBuffer(sample_rate)
        self._in_flight = 0
        self._quiet_since = 0.0
        self._retired = False
        # Neither a completion nor this object holds the source itself: it must not be released in a completion.
        source = daily.CustomAudioSource(sample_rate, 1, True)
        _kept[self] = (source, daily.CustomAudioTrack(source))

    @property
    def track(self) -> daily.CustomAudioTrack:
        """The track to be published; not to be kept."""
        return _kept[self][1]

    @property
    def appended(self) -> int:
        """See :attr:`pipecat_lemonslice.rooms.Room.appended`."""
        return self._buffer.appended

    @property
    def played(self) -> int:
        """See :attr:`pipecat_lemonslice.rooms.Room.played`."""
        return self._buffer.played

    def report_at(self, position: int) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.report_at`."""
        self._buffer.report_at = position

    def append(self, pcm: bytes) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.append`."""
        with self._lock:
            self._buffer.append(pcm)
            self._hand_over(pad=False)
            lonely = self._in_flight == 0 and len(self._buffer) > 0
        if lonely:
            asyncio.get_running_loop().call_later(WRITE_SECONDS, self._pad)

    def clear(self) -> None:
        """See :meth:`pipecat_lemonslice.rooms.Room.clear`."""
        with self._lock:
            self._buffer.clear()

    def retire(self) -> None:
        """End the track: drop what waits, and release the source when the rest has been played."""
        with self._lock:
            self._buffer.clear()
            self._retired = True
        asyncio.get_running_loop().call_later(SETTLE_SECONDS * 2, sources_kept)

    def settled(self, now: float) -> bool:
        """Whether the source may be released."""
        with self._lock:
            return self._retired and self._in_flight == 0 and now - self._quiet_since >= SETTLE_SECONDS

    def _pad(self) -> None:
        with self._lock:
            if self._in_flight == 0:
                self._hand_over(pad=True)

    def _hand_over(self, *, pad: bool) -> None:
        """Keep two writes in flight. The lock is held: writes leave in the order of the speech."""
        while self._in_flight < WRITES_IN_FLIGHT and (write := self._buffer.take(idle=self._in_flight == 0, pad=pad)):
            pcm, samples = write
            source, _ = _kept[self]
            self._in_flight += 1
            try:
                source.write_frames(pcm, completion=partial(self._completed, samples))
            except Exception as error:
                self._in_flight -= 1
                self._bridge.call(self._on_failed, f"the room takes no audio ({type(error).__name__})")
                return

    def _completed(self, samples: int, _frames: int) -> None:
        """A write has been played; on the native thread, which must not wait."""
        with self._lock:
            self._in_flight -= 1
            reported = self._buffer.has_played(samples)
            self._quiet_since = time.monotonic()
            # What is left after the last whole slice is padded now: nothing has followed it in time.
            self._hand_over(pad=self._in_flight == 0)
        if reported:
            self._bridge.call(self._on_played)


_kept: dict[NativeTrack, tuple[daily.CustomAudioSource, daily.CustomAudioTrack]] = {}


def sources_kept() -> int:
    """Release every source that has been retired and has settled; return how many are left."""
    now = time.monotonic()
    for track in [track for track in _kept if track.settled(now)]:
        del _kept[track]
    return len(_kept)


@atexit.register
def _keep_for_good() -> None:
    """Keep the rest beyond the end of the interpreter, which would release it with audio unplayed."""
    for pair in _kept.values():
        for kept in pair:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))


def in_thread(work: Callable[[], None], bridge: LoopBridge, name: str) -> "asyncio.Future[Any]":
    """Do blocking work in a thread of its own, which nothing waits for when the process ends.

    Returns:
        A future that is done when the work is, however it ended.
    """
    answer, done = bridge.future()

    def run() -> None:
        try:
            work()
        finally:
            done()

    threading.Thread(target=run, name=name, daemon=True).start()
    return answer
