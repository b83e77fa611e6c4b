"""How the avatar behaves, pure: blinking, swaying, mood and gestures, as the look of each picture.

The mood comes from words in the prompts, gestures from `pose-trigger`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from pipecat_lemonslice.emulator.character import SPEAKING, Eyes, Hand, Mouth
from pipecat_lemonslice.emulator.face import Look

GESTURE_SECONDS = 1.5
"""How long a triggered pose lasts."""

_BLINK = (Eyes.HALF, Eyes.CLOSED, Eyes.CLOSED, Eyes.HALF)
_PICTURE_SECONDS = 0.04


class Mood(Enum):
    """What a prompt makes of the face."""

    FRIENDLY = "neither of the others"
    HAPPY = "smiling broadly"
    SERIOUS = "with a straight mouth"


_WORDS = {
    Mood.HAPPY: ("happ", "smil", "cheer", "joy", "laugh", "excit", "delight", "grin"),
    Mood.SERIOUS: ("serious", "stern", "sad", "angry", "strict", "grave", "worr"),
}

_RESTING = {Mood.FRIENDLY: Mouth.REST, Mood.HAPPY: Mouth.SMILE, Mood.SERIOUS: Mouth.SERIOUS}


def mood_of(prompt: str) -> Mood:
    """The mood that a prompt asks for; the first word that says one decides."""
    text = prompt.lower()
    found = {text.find(word): mood for mood, words in _WORDS.items() for word in words if word in text}
    return found[min(found)] if found else Mood.FRIENDLY


class Gesture(Enum):
    """Poses; a name that is none of these raises the brows, so that something is seen."""

    WAVE = "wave"
    SMILE = "smile"
    SERIOUS = "serious"
    NOTICE = "notice"


def gesture_of(name: str) -> Gesture:
    """The gesture for the name of a pose."""
    text = name.lower()
    if any(word in text for word in ("wave", "hello", "greet", "bye")):
        return Gesture.WAVE
    mood = mood_of(name)
    return {Mood.HAPPY: Gesture.SMILE, Mood.SERIOUS: Gesture.SERIOUS}.get(mood, Gesture.NOTICE)


@dataclass(frozen=True)
class _Acting:
    gesture: Gesture
    start: float


class Actor:
    """The behaviour of one avatar.

    Args:
        speaking: Prompt for the demeanour while speaking.
        idle: Prompt for the demeanour while idle.
        now: Seconds; the first blink comes a moment later.
        chance: Number from 0 to 1, asked for the pause before each blink.
    """

    def __init__(
        self, speaking: str = "", idle: str = "", now: float = 0.0, chance: Callable[[], float] = random.random
    ):
        self._moods = {True: mood_of(speaking), False: mood_of(idle)}
        self._chance = chance
        self._born = now
        self._blink = now + 1.2
        self._acting: _Acting | None = None
        self.speaking = False
        """Whether the demeanour is that of speaking."""

    def prompt(self, text: str) -> None:
        """A new prompt for speaking."""
        self._moods[True] = mood_of(text)

    def idle_prompt(self, text: str) -> None:
        """A new prompt for being idle."""
        self._moods[False] = mood_of(text)

    def pose(self, name: str, now: float) -> None:
        """Begin a gesture."""
        self._acting = _Acting(gesture_of(name), now)

    def look(self, now: float, opening: int) -> Look:
        """The look of the picture shown now, with the mouth opened from 0 to 5."""
        look = self._demeanour(now)
        if (acting := self._current(now)) is not None:
            look = _gestured(look, acting.gesture, now - acting.start)
        mouth = SPEAKING[opening - 1] if opening else look.mouth
        return Look(look.sway, mouth, self._blinking(now) or look.eyes, look.hand)

    def _demeanour(self, now: float) -> Look:
        mood = self._moods[self.speaking]
        eyes = Eyes.SERIOUS if mood is Mood.SERIOUS else Eyes.OPEN
        if self.speaking and mood is not Mood.SERIOUS and math.sin((now - self._born) * 1.9) > 0.55:
            eyes = Eyes.LIVELY
        mouth = Mouth.REST if self.speaking and mood is Mood.HAPPY else _RESTING[mood]
        return Look(self._sway(now - self._born), mouth, eyes)

    def _sway(self, t: float) -> int:
        return round(8 * (0.62 * math.sin(0.86 * t) + 0.38 * math.sin(1.53 * t)))

    def _current(self, now: float) -> _Acting | None:
        if self._acting is not None and now >= self._acting.start + GESTURE_SECONDS:
            self._acting = None
        return self._acting

    def _blinking(self, now: float) -> Eyes | None:
        step = math.floor((now - self._blink) / _PICTURE_SECONDS + 1e-6)
        if step < 0:
            return None
        if step < len(_BLINK):
            return _BLINK[step]
        self._blink = now + 2.2 + 2.8 * self._chance()
        return None


def _gestured(look: Look, gesture: Gesture, elapsed: float) -> Look:
    match gesture:
        case Gesture.WAVE:
            swing = (Hand.LEFT, Hand.UP, Hand.RIGHT, Hand.UP)[int(elapsed / 0.12) % 4]
            return Look(look.sway, Mouth.SMILE, look.eyes, swing)
        case Gesture.SMILE:
            return Look(look.sway, Mouth.SMILE, Eyes.HAPPY)
        case Gesture.SERIOUS:
            return Look(look.sway, Mouth.SERIOUS, Eyes.SERIOUS)
        case Gesture.NOTICE:
            return Look(look.sway, Mouth.PARTED, Eyes.LIVELY)
