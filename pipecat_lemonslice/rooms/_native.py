"""What daily-python asks of whoever uses it, in one place, so that nothing else has to know.

Its laws. `Daily.init` is called once in a process; a second call aborts it. Whatever comes from a native thread
crosses to the event loop here. An audio source is let go of only when all that was written to it has been played, and
never on a native thread: anything else hangs the process, or aborts it.
"""

import asyncio
import atexit
import ctypes
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ParamSpec

import daily

from pipecat_lemonslice._pipecat import claim_daily_initialization
from pipecat_lemonslice.rooms._futures import resolve

SETTLE_SECONDS = 0.5
"""How long after its last completion a source is kept: the native thread may still be on its way out of it."""

P = ParamSpec("P")


_lock = threading.Lock()


def initialize() -> None:
    """Set daily-python up, unless Pipecat or an earlier call has."""
    with _lock:
        if claim_daily_initialization():
            daily.Daily.init()


class Crossing:
    """The way from native threads to the event loop. A loop that has been closed is of no consequence."""

    def __init__(self) -> None:
        """Create a crossing to the running loop."""
        self._loop = asyncio.get_running_loop()

    def call(self, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call a function on the loop; from any thread."""
        with suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(lambda: function(*args, **kwargs))

    def future(self) -> "tuple[asyncio.Future[Any], Callable[..., None]]":
        """Return a future, and the callback that completes it from any thread with a tuple of its arguments."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        return answer, lambda *args: self.call(resolve, answer, args)


class NewestOnly:
    """A slot on the way to the loop: what comes while it is taken displaces what is there."""

    def __init__(self, crossing: Crossing, deliver: Callable[[str, daily.VideoFrame], None]) -> None:
        """Create an empty slot.

        Args:
            crossing: The way to the loop.
            deliver: Called on the loop with a participant id and its picture.
        """
        self._crossing = crossing
        self._deliver = deliver
        self._lock = threading.Lock()
        self._waiting: tuple[str, daily.VideoFrame] | None = None

    def put(self, participant_id: str, frame: daily.VideoFrame, _source: str) -> None:
        """Take a picture in; from any thread."""
        with self._lock:
            on_its_way = self._waiting is not None
            self._waiting = (participant_id, frame)
        if not on_its_way:
            self._crossing.call(self._land)

    def _land(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting:
            self._deliver(*waiting)


@dataclass(slots=True, eq=False)
class _Ledger:
    """What a source owes. Completions hold this and not the source, which must not be let go of in one."""

    pending: int = 0
    quiet_since: float = 0.0
    retired: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def wrote(self) -> None:
        with self.lock:
            self.pending += 1

    def completed(self) -> None:
        with self.lock:
            self.pending -= 1
            self.quiet_since = time.monotonic()

    def settled(self, now: float) -> bool:
        with self.lock:
            return self.retired and self.pending == 0 and now - self.quiet_since >= SETTLE_SECONDS


_kept: dict[_Ledger, tuple[daily.CustomAudioSource, daily.CustomAudioTrack]] = {}


def sources_kept() -> int:
    """Let go of every source that has been retired and has settled; return how many are left."""
    now = time.monotonic()
    for ledger in [ledger for ledger in _kept if ledger.settled(now)]:
        del _kept[ledger]
    return len(_kept)


@atexit.register
def _keep_for_good() -> None:
    """Keep what is left beyond the end of the interpreter, which would let go of it with audio unplayed."""
    for pair in _kept.values():
        for kept in pair:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))


class SpeechSource:
    """A source of speech and its track.

    The process keeps them, and nothing else does: until :meth:`retire`, and then as long as need be.
    """

    def __init__(self, sample_rate: int) -> None:
        """Create a source.

        Args:
            sample_rate: In Hz; a multiple of 100.
        """
        if sample_rate % 100:
            raise ValueError(f"daily-python paces whole slices of 10 ms, which {sample_rate} Hz does not have")
        sources_kept()
        source = daily.CustomAudioSource(sample_rate, 1, True)
        self._slice_bytes = sample_rate // 100 * 2
        self._ledger = _Ledger()
        _kept[self._ledger] = (source, daily.CustomAudioTrack(source))

    @property
    def track(self) -> daily.CustomAudioTrack:
        """The track to be published; not to be kept."""
        return _kept[self._ledger][1]

    def write(self, pcm: bytes, on_played: Callable[[], None]) -> None:
        """Hand speech over to be played.

        Args:
            pcm: Mono samples, whole slices of 10 ms; a write of anything else would be done before it was played.
            on_played: Called from a native thread when it has been played.
        """
        if len(pcm) % self._slice_bytes:
            raise ValueError(f"{len(pcm)} bytes are not whole slices of 10 ms ({self._slice_bytes} bytes)")
        ledger = self._ledger
        source, _ = _kept[ledger]

        def completed(_frames: int) -> None:
            ledger.completed()
            on_played()

        ledger.wrote()
        try:
            source.write_frames(pcm, completion=completed)
        except BaseException:
            ledger.completed()
            raise

    def retire(self) -> None:
        """Nothing more will be written: the source may go when all has been played."""
        self._ledger.retired = True
        asyncio.get_running_loop().call_later(SETTLE_SECONDS * 2, sources_kept)


def in_thread(work: Callable[[], None], crossing: Crossing, name: str) -> "asyncio.Future[Any]":
    """Do blocking work in a thread of its own, which nothing waits for when the process ends.

    Returns:
        A future that is done when the work is, however it ended.
    """
    answer, done = crossing.future()

    def run() -> None:
        try:
            work()
        finally:
            done()

    threading.Thread(target=run, name=name, daemon=True).start()
    return answer
