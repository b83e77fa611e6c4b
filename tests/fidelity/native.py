"""A stand-in for daily-python's native side: one thread, audio in 10 ms slices, and its hazards as records.

Where daily-python would hang, abort or lose audio in silence, the world notes a hazard and goes on; a test that ends
with any has failed. Source of the rules: measurements of daily-python 0.36 without a network.
"""

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

SLICE = 0.010
STUCK = 1.0
"""Seconds after which a callback has waited for something that only its own thread could bring."""


@dataclass(eq=False)
class Write:
    """One write on its way through a source."""

    slices: deque[bytes]
    completion: Callable[[int], None] | None
    frames: int
    silent: bool


@dataclass(eq=False)
class Source:
    """What the native side knows of a custom audio source, or of a person's microphone.

    Attributes:
        sample_rate: In Hz.
        channels: Interleaved.
        auto_silence: Whether there is silence where nothing is written.
        writes: What has not been played.
        heard: Gets the time of every slice, the slice, and whether it was written; None while nobody could hear it.
    """

    sample_rate: int
    channels: int = 1
    auto_silence: bool = True
    writes: deque[Write] = field(default_factory=deque)
    heard: Callable[[float, bytes, bool], None] | None = None

    @property
    def slice_bytes(self) -> int:
        return self.sample_rate // 100 * 2 * self.channels

    def write(self, pcm: bytes, completion: Callable[[int], None] | None = None, *, silent: bool = False) -> None:
        """Have whole slices played behind what was written before."""
        size = self.slice_bytes
        slices = deque(pcm[at : at + size] for at in range(0, len(pcm), size))
        self.writes.append(Write(slices, completion, len(pcm) // 2 // self.channels, silent))


class World:
    """The native side of one process: all callbacks come from its one thread."""

    def __init__(self) -> None:
        self.hazards: list[str] = []
        self.sources: list[Source] = []
        self.tracks: dict[str, Source] = {}
        self.rooms: dict[str, Any] = {}
        self.clients: list[Any] = []
        self.initialized = False
        self._jobs: list[tuple[float, int, Callable[[], None]]] = []
        self._counter = itertools.count()
        self._wake = threading.Condition()
        self._running = True
        self._schedule(self._tick, time.monotonic())
        self.thread = threading.Thread(target=self._run, name="daily-native", daemon=True)
        self.thread.start()

    def later(self, job: Callable[[], None], seconds: float = 0.0) -> None:
        """Run something on the native thread; jobs of equal time keep their order."""
        self._schedule(job, time.monotonic() + seconds)

    @property
    def on_native_thread(self) -> bool:
        return threading.current_thread() is self.thread

    def stop(self) -> None:
        self._running = False
        self.thread.join(5.0)
        if self.thread.is_alive():
            self.hazards.append("a callback never returns")

    def _schedule(self, job: Callable[[], None], at: float) -> None:
        with self._wake:
            heapq.heappush(self._jobs, (at, next(self._counter), job))
            self._wake.notify()

    def _run(self) -> None:
        while self._running:
            with self._wake:
                at = self._jobs[0][0]
                if at > time.monotonic():
                    self._wake.wait(at - time.monotonic())
                    continue
                _, _, job = heapq.heappop(self._jobs)
            if job == self._tick:
                self._tick()
                self._schedule(self._tick, at + SLICE)
            else:
                self._call(job)

    def _call(self, callback: Callable[..., object], *args: object) -> None:
        begun = time.monotonic()
        try:
            callback(*args)
        except Exception as error:
            self.hazards.append(f"a callback raised {error!r}")
        if time.monotonic() - begun > STUCK:
            self.hazards.append("a callback waited for what only its own thread could bring")

    def _tick(self) -> None:
        """Complete the writes whose last slice has been played, and play the next slice of each source."""
        now = time.monotonic()
        for source in list(self.sources):
            done = source.writes.popleft() if source.writes and not source.writes[0].slices else None
            write = source.writes[0] if source.writes else None
            pcm = write.slices.popleft() if write else bytes(source.slice_bytes)
            if done and done.completion:
                self._call(done.completion, done.frames)
            if source.heard and (write or source.auto_silence):
                self._call(source.heard, now, pcm, write is not None and not write.silent)


class CustomAudioSource:
    """As in the module ``daily``; the world is bound to a subclass."""

    world: World

    def __init__(self, sample_rate: int, channels: int, auto_silence: bool = True) -> None:
        self.state = Source(sample_rate, channels, auto_silence)
        self.world.sources.append(self.state)

    def write_frames(self, frame: bytes, completion: Callable[[int], None] | None = None) -> int:
        state = self.state
        if len(frame) % 2:
            raise ValueError("frames bytestring should contain 16-bit samples")
        if completion is None:
            self.world.hazards.append("a write that blocks its thread")
        if len(frame) % state.slice_bytes or state.sample_rate % 100:
            self.world.hazards.append(f"{len(frame)} bytes at {state.sample_rate} Hz are written without back-pressure")
        state.write(frame, completion)
        return len(frame) // 2 // state.channels

    def __del__(self) -> None:
        if self.state.writes:
            self.world.hazards.append("a source was dropped with writes pending")
        if self.world.on_native_thread:
            self.world.hazards.append("a source was dropped on the native thread")
        self.world.sources.remove(self.state)


class CustomAudioTrack:
    """Likewise."""

    world: World

    def __init__(self, audio_source: CustomAudioSource) -> None:
        self.state = audio_source.state
        self.id = str(uuid4())
        self.world.tracks[self.id] = self.state


class Daily:
    """Likewise."""

    world: World

    @classmethod
    def init(cls) -> None:
        if cls.world.initialized:
            cls.world.hazards.append("Daily.init was called twice")
        cls.world.initialized = True
