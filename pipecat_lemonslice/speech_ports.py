"""What the line of speech needs of its surroundings, and what it tells them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf

from pipecat.frames.frames import Frame

from pipecat_lemonslice.response import Decision


@dataclass(frozen=True, slots=True)
class WaitedInVain:
    """Notice: speech waited for the avatar as long as it may, and is heard without it.

    Parameters:
        seconds: How long it waited.
    """

    seconds: float


Notice = Decision | WaitedInVain


@dataclass(frozen=True, slots=True)
class SpeechPorts:
    """What the line needs of its surroundings.

    Parameters:
        forward: Passes a frame on, downstream.
        notify: Told of every decision, at once; must not block.
        pipeline_time: The pipeline clock in nanoseconds; words are timed by it.
        avatar_sounds: Whether the avatar's voice is still being heard.
        heard_until: Until when, on the loop's clock, speech must have been played for the avatar to have been heard
            saying it; given when the first sound of the response was played.
    """

    forward: Callable[[Frame], Awaitable[None]]
    notify: Callable[[Notice], None]
    pipeline_time: Callable[[], int]
    avatar_sounds: Callable[[], bool] = lambda: False
    heard_until: Callable[[float], float] = lambda sounding_since: inf
