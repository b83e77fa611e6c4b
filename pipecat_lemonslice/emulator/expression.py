"""What the avatar's face does at each moment, pure: time comes in, a ``Look`` comes out.

Knows nothing of how a look is drawn: ``face`` makes pictures of looks.
"""

import math
import random
from dataclasses import dataclass, replace

REACH = 8
"""Places of the head on either side of the middle one."""

MOUTHS = ("mouth-parted", "mouth-small", "mouth-mid", "mouth-wide", "mouth-full")
"""The speaking mouths, one for each opening from 1 to 5."""

POSE_SECONDS = 1.5
"""How long a triggered pose lasts."""

_PICTURE_SECONDS = 0.04
_BLINK = ("eyes-half", "eyes-closed", "eyes-closed", "eyes-half")
"""The eyes in the pictures of one blink."""

_WAVE = ("hand-left", "hand-up", "hand-right", "hand-up")
_WAVING = ("wave", "hello", "greet", "bye")
"""Words in the name of a pose for which the avatar waves."""

_MOODS = {
    "happy": ("happ", "smil", "cheer", "joy", "laugh", "excit", "delight", "grin"),
    "asleep": ("sleep", "dozing", "closed eyes"),
    "serious": ("serious", "stern", "sad", "angry", "strict", "grave", "worr"),
}


@dataclass(frozen=True)
class Look:
    """What one picture shows: the place of the head, and groups of ``face.svg``.

    Attributes:
        sway: Where the head is: 0 is the middle, ``-REACH`` the far left and ``REACH`` the far right.
        eyes: Eyes with brows.
        mouth: The mouth.
        hand: The hand; empty for none.
    """

    sway: int = 0
    eyes: str = "eyes-open"
    mouth: str = "mouth-rest"
    hand: str = ""


class Expression:
    """The behaviour of one face: it blinks and sways, has a mood and makes gestures.

    Args:
        prompt: Demeanour while speaking; its first word that names a mood decides.
        idle_prompt: Likewise, while idle.
        now: Seconds; the first blink comes a moment later.

    Attributes:
        speaking: Whether the prompt for speaking counts.
    """

    def __init__(self, prompt: str = "", idle_prompt: str = "", now: float = 0.0) -> None:
        self.speaking = False
        self._moods = {True: _mood(prompt), False: _mood(idle_prompt)}
        self._start = now
        self._blink = now + 1.2
        self._pose = ""
        self._posed = -math.inf

    def prompt(self, text: str, *, speaking: bool) -> None:
        """Take a new prompt for speaking, or for being idle."""
        self._moods[speaking] = _mood(text)

    def pose(self, name: str, now: float) -> None:
        """Start a gesture. A name that is not known raises the brows, so that something is seen."""
        self._pose = name.lower()
        self._posed = now

    def look(self, now: float, opening: int) -> Look:
        """Return the look of the picture shown now, with the mouth opened from 0 to 5."""
        look = self._resting(now - self._start)
        if now < self._posed + POSE_SECONDS:
            look = _posing(look, self._pose, now - self._posed)
        mouth = MOUTHS[opening - 1] if opening else look.mouth
        blinking = self._blinking(now)
        return replace(look, mouth=mouth, eyes=look.eyes if look.eyes == "eyes-closed" else blinking or look.eyes)

    def _resting(self, t: float) -> Look:
        sway = round(REACH * (0.62 * math.sin(0.86 * t) + 0.38 * math.sin(1.53 * t)))
        mood = self._moods[self.speaking]
        if mood == "serious":
            return Look(sway, "eyes-serious", "mouth-serious")
        if mood == "asleep":
            return Look(sway, "eyes-half" if self.speaking else "eyes-closed")
        eyes = "eyes-lively" if self.speaking and math.sin(1.9 * t) > 0.55 else "eyes-open"
        # While it speaks, a smile between two words would open the mouth in every pause.
        return Look(sway, eyes, "mouth-smile" if mood == "happy" and not self.speaking else "mouth-rest")

    def _blinking(self, now: float) -> str:
        step = math.floor((now - self._blink) / _PICTURE_SECONDS + 1e-6)
        if 0 <= step < len(_BLINK):
            return _BLINK[step]
        if step >= len(_BLINK):
            self._blink = now + 2.2 + 2.8 * random.random()
        return ""


def _mood(text: str) -> str:
    """Return the mood of the first word that names one; empty if no word does."""
    text = text.lower()
    found = {text.find(word): mood for mood, words in _MOODS.items() for word in words if word in text}
    return found[min(found)] if found else ""


def _posing(look: Look, pose: str, elapsed: float) -> Look:
    if any(word in pose for word in _WAVING):
        return replace(look, mouth="mouth-smile", hand=_WAVE[int(elapsed / 0.12) % len(_WAVE)])
    match _mood(pose):
        case "happy":
            return replace(look, eyes="eyes-happy", mouth="mouth-smile")
        case "serious":
            return replace(look, eyes="eyes-serious", mouth="mouth-serious")
        case "asleep":
            return replace(look, eyes="eyes-closed", mouth="mouth-rest")
        case _:
            return replace(look, eyes="eyes-lively", mouth="mouth-parted")
