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
"""Seconds after which a callback is taken to wait for something that only its own thread could bring."""


@dataclass(frozen=True)
class AudioData:
    audio_frames: bytes
    sample_rate: int
    num_channels: int = 1
    bits_per_sample: int = 16

    @property
    def num_audio_frames(self) -> int:
        return len(self.audio_frames) // 2 // self.num_channels


@dataclass(frozen=True)
class VideoFrame:
    buffer: bytes
    width: int
    height: int
    color_format: str = "RGB"
    timestamp_us: int = 0


@dataclass(eq=False)
class Write:
    """One write on its way through a source."""

    slices: deque[bytes]
    completion: Callable[[int], None] | None
    frames: int
    silent: bool = False


@dataclass(eq=False)
class Source:
    """What the native side knows of a custom audio source; listeners get every slice, and whether it was written."""

    sample_rate: int
    channels: int
    auto_silence: bool
    writes: deque[Write] = field(default_factory=deque)
    listeners: dict[object, Callable[[float, bytes, bool], None]] = field(default_factory=dict)
    dropped: bool = False

    @property
    def slice_bytes(self) -> int:
        return self.sample_rate // 100 * 2 * self.channels


class World:
    """The native side of one process: all callbacks come from its one thread."""

    def __init__(self) -> None:
        self.hazards: list[str] = []
        self.lock = threading.RLock()
        self.sources: list[Source] = []
        self.initialized = 0
        self.rooms: dict[str, Any] = {}
        self._jobs: list[tuple[float, int, Callable[[], None]]] = []
        self._counter = itertools.count()
        self._wake = threading.Condition(self.lock)
        self._busy_since: float | None = None
        self._stopping = False
        self.thread = threading.Thread(target=self._run, name="daily-native", daemon=True)
        self._watch = threading.Thread(target=self._watch_thread, name="daily-watch", daemon=True)
        self.thread.start()
        self._watch.start()

    def hazard(self, what: str) -> None:
        with self.lock:
            self.hazards.append(what)

    def later(self, job: Callable[[], None], seconds: float = 0.0) -> None:
        """Run something on the native thread; jobs of equal time keep their order."""
        with self._wake:
            heapq.heappush(self._jobs, (time.monotonic() + seconds, next(self._counter), job))
            self._wake.notify()

    @property
    def on_native_thread(self) -> bool:
        return threading.current_thread() is self.thread

    def stop(self) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self.thread.join(5.0)
        self._watch.join(5.0)

    def _run(self) -> None:
        tick = time.monotonic()
        while not self._stopping:
            with self._wake:
                due = min([tick, *(job[0] for job in self._jobs[:1])])
                self._wake.wait(max(0.0, due - time.monotonic()))
            self._run_jobs()
            if time.monotonic() >= tick:
                self._tick()
                tick += SLICE

    def _run_jobs(self) -> None:
        while True:
            with self.lock:
                if not self._jobs or self._jobs[0][0] > time.monotonic():
                    return
                _, _, job = heapq.heappop(self._jobs)
            self._call(job)

    def _call(self, callback: Callable[..., object], *args: object) -> None:
        self._busy_since = time.monotonic()
        try:
            callback(*args)
        except Exception as error:
            self.hazard(f"a callback raised {error!r}")
        finally:
            self._busy_since = None

    def _watch_thread(self) -> None:
        reported = None
        while not self._stopping:
            since = self._busy_since
            if since is not None and since != reported and time.monotonic() - since > STUCK:
                reported = since
                self.hazard("a callback waits for what only its own thread could bring")
            time.sleep(0.05)

    def _tick(self) -> None:
        now = time.monotonic()
        with self.lock:
            sources = list(self.sources)
        for source in sources:
            self._play(source, now)

    def _play(self, source: Source, now: float) -> None:
        """Complete the write whose last slice has been played, then play the next slice."""
        with self.lock:
            done = source.writes.popleft() if source.writes and not source.writes[0].slices else None
            written = bool(source.writes)
            if written:
                written = not source.writes[0].silent
                pcm = source.writes[0].slices.popleft()
            else:
                pcm = bytes(source.slice_bytes) if source.auto_silence else b""
            listeners = list(source.listeners.values())
        if done and done.completion:
            self._call(done.completion, done.frames)
        if pcm:
            for listener in listeners:
                self._call(listener, now, pcm, written)


class Classes:
    """daily-python's classes for media, bound to a world; the names are those of the module ``daily``."""

    def __init__(self, world: World) -> None:
        native = world

        class CustomAudioSource:
            def __init__(self, sample_rate: int, channels: int, auto_silence: bool = True) -> None:
                self._state = Source(sample_rate, channels, auto_silence)
                self._carry = b""
                with native.lock:
                    native.sources.append(self._state)

            @property
            def sample_rate(self) -> int:
                return self._state.sample_rate

            @property
            def channels(self) -> int:
                return self._state.channels

            def write_frames(self, frame: bytes, completion: Callable[[int], None] | None = None) -> int:
                if len(frame) % 2:
                    raise ValueError("frames bytestring should contain 16-bit samples")
                frames = len(frame) // 2 // self._state.channels
                done = threading.Event()
                if completion is None and frames:
                    if native.on_native_thread:
                        native.hazard("a blocking write on the native thread")
                    self._queue(frame, lambda _: done.set())
                    done.wait(10.0)
                elif not frames:
                    if completion:
                        native.later(lambda: completion(0))
                else:
                    self._queue(frame, completion)
                return frames

            def _queue(self, frame: bytes, completion: Callable[[int], None] | None) -> None:
                state = self._state
                frames = len(frame) // 2 // state.channels
                pcm = self._carry + frame
                size = state.slice_bytes
                whole = len(pcm) // size * size
                self._carry = pcm[whole:]
                slices = deque(pcm[at : at + size] for at in range(0, whole, size))
                paced = whole == len(pcm)
                if not paced or state.sample_rate % 100:
                    native.hazard(f"a write of {len(frame)} bytes at {state.sample_rate} Hz loses its back-pressure")
                with native.lock:
                    state.writes.append(Write(slices, completion if paced else None, frames))
                if not paced and completion:
                    native.later(lambda: completion(frames))

            def __del__(self) -> None:
                state = self._state
                with native.lock:
                    if state.writes:
                        native.hazard("a source was dropped with writes pending")
                    if native.on_native_thread:
                        native.hazard("a source was dropped on the native thread")
                    state.dropped = True
                    if state in native.sources:
                        native.sources.remove(state)

        class CustomAudioTrack:
            def __init__(self, audio_source: CustomAudioSource) -> None:
                self.state = audio_source._state
                self._id = str(uuid4())
                tracks[self._id] = self.state

            @property
            def id(self) -> str:
                return self._id

        class CustomVideoSource:
            def __init__(self, width: int, height: int, color_format: str = "RGBA") -> None:
                self.width, self.height, self.color_format = width, height, color_format
                self.pictures = 0

            def write_frame(self, frame: bytes) -> None:
                self.pictures += 1

        class CustomVideoTrack:
            def __init__(self, video_source: CustomVideoSource) -> None:
                self.source = video_source
                self.id = str(uuid4())

        class Daily:
            @staticmethod
            def init(worker_threads: int = 2, log_level: Any = None) -> None:
                native.initialized += 1
                if native.initialized > 1:
                    native.hazard("Daily.init was called twice")

            @staticmethod
            def set_log_level(log_level: Any) -> None:
                pass

        tracks: dict[str, Source] = {}
        self.tracks = tracks
        self.named = {
            "AudioData": AudioData,
            "VideoFrame": VideoFrame,
            "CustomAudioSource": CustomAudioSource,
            "CustomAudioTrack": CustomAudioTrack,
            "CustomVideoSource": CustomVideoSource,
            "CustomVideoTrack": CustomVideoTrack,
            "Daily": Daily,
        }
