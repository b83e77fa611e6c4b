"""What the avatar was given to say, for as long as it may have to be said again. Pure; times are seconds on one clock.

Its law. What was played to the avatar and has not been heard of it is said again when it goes, each sample once. An
avatar that fell silent where a stretch of sound ended has said that stretch: its lag is not known to the millisecond,
and no last syllable is repeated for that. What was played too long ago to matter any more is forgotten.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from pipecat.frames.frames import TTSAudioRawFrame

REMEMBERED_SECONDS = 6.0
"""How long what was played can be said again: longer than it takes to find out that an avatar is mute."""

JITTER_SECONDS = 0.3
"""By how much an avatar's lag may have changed since it was seen."""

GRAIN_SECONDS = 0.06
"""Sound comes back in pieces: by so much less than what was heard is known to have been heard."""

GAP_SECONDS = 0.1
"""Sound that was played so much later than the sound before it begins a stretch of its own."""


@dataclass(frozen=True, slots=True)
class Heard:
    """How far the avatar has been heard.

    Parameters:
        until: Speech that was played until then has been heard.
        paused: Whether the avatar has been silent for a moment.
    """

    until: float
    paused: bool


ALL_HEARD = Heard(inf, paused=False)
"""Whatever was played has been heard."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What the TTS said of a piece of audio.

    Parameters:
        context_id: Its context.
        interruptible: Whether an interruption ends it.
        destination: Where it was to be played.
    """

    context_id: str | None
    interruptible: bool
    destination: str | None


def origin_of(frame: TTSAudioRawFrame) -> Origin:
    """Return the origin of a frame's audio."""
    return Origin(frame.context_id, frame.interruptible, frame.transport_destination)


@dataclass(frozen=True, slots=True)
class Passage:
    """Audio of one origin, at the room's rate."""

    pcm: bytes
    origin: Origin


def joined(passages: Iterable[Passage]) -> list[Passage]:
    """Return passages of which no two neighbours have the same origin, and none is empty."""
    whole: list[tuple[Origin, list[bytes]]] = []
    for passage in passages:
        if whole and whole[-1][0] == passage.origin:
            whole[-1][1].append(passage.pcm)
        elif passage.pcm:
            whole.append((passage.origin, [passage.pcm]))
    return [Passage(b"".join(parts), origin) for origin, parts in whole]


@dataclass(frozen=True, slots=True)
class _Played:
    begin: float
    end: float
    passage: Passage
    sounds: bool

    def continues(self, before: "_Played") -> bool:
        """Whether this goes on with a stretch of sound."""
        return self.sounds and before.sounds and self.begin - before.end <= GAP_SECONDS


class Spoken:
    """See the module."""

    def __init__(self) -> None:
        self._past: deque[_Played] = deque()
        self._sounding_since: float | None = None

    @property
    def sounding_since(self) -> float | None:
        """When the first sound of the response was played; None if none has been."""
        return self._sounding_since

    @property
    def sounded_until(self) -> float:
        """When the last sound was played that is remembered; minus infinity if there is none."""
        return next((played.end for played in reversed(self._past) if played.sounds), -inf)

    def begin(self) -> None:
        """A response begins."""
        self._sounding_since = None

    def add(self, passage: Passage, seconds: float, now: float, *, sounds: bool) -> None:
        """Take note that a passage has just been played.

        Args:
            passage: What.
            seconds: How long it was.
            now: The time.
            sounds: Whether there is sound in it.
        """
        played = _Played(now - seconds, now, passage, sounds)
        if self._sounding_since is None and played.sounds:
            self._sounding_since = played.begin
        self._past.append(played)
        while self._past[0].end < now - REMEMBERED_SECONDS:
            self._past.popleft()

    def forget(self) -> None:
        """Nothing of it is wanted back."""
        self._past.clear()
        self._sounding_since = None

    def unheard(self, heard: Heard, now: float, *, followed: bool) -> list[Passage]:
        """Return what has been played and not heard.

        Args:
            heard: How far the avatar has been heard.
            now: The time.
            followed: Whether more is to be said right behind it. Where nothing is, silence is not worth saying.
        """
        limit = max(heard.until, now - REMEMBERED_SECONDS)
        past = list(self._past)
        first = next((index for index, played in enumerate(past) if played.end > limit), len(past))
        if heard.paused:
            goes_on = followed and bool(past) and now - past[-1].end <= GAP_SECONDS
            first = _behind_the_stretch(past, first, heard.until, goes_on=goes_on)
        rest = past[first:]
        if not followed and not any(played.sounds for played in rest):
            return []
        return [played.passage for played in rest]


def _behind_the_stretch(past: list[_Played], first: int, heard_until: float, *, goes_on: bool) -> int:
    """Where to go on from `first`, seeing that the avatar has fallen silent: behind a stretch that ends near there."""
    begun = 0 < first < len(past) and past[first].continues(past[first - 1])
    index = first + 1
    while index < len(past) and past[index].continues(past[index - 1]):
        index += 1
    if index > len(past) or (index == len(past) and goes_on):
        return first
    nearly = past[index - 1].end - heard_until <= (JITTER_SECONDS if begun else GRAIN_SECONDS) + 1e-6
    return index if nearly and past[first].sounds else first
