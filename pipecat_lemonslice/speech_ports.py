"""What the line of speech needs of its surroundings, and what it tells them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pipecat.frames.frames import Frame

from pipecat_lemonslice.response import Decision
from pipecat_lemonslice.spoken import ALL_HEARD, Heard


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
        heard: How far the avatar has been heard, on the loop's clock.
    """

    forward: Callable[[Frame], Awaitable[None]]
    notify: Callable[[Notice], None]
    pipeline_time: Callable[[], int]
    avatar_sounds: Callable[[], bool] = lambda: False
    heard: Callable[[], Heard] = lambda: ALL_HEARD
