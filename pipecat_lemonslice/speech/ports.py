"""What the output of speech needs of its surroundings, and what it reports to them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pipecat.frames.frames import Frame

from pipecat_lemonslice.media.playback import Playback
from pipecat_lemonslice.speech.response import ResponseDone
from pipecat_lemonslice.speech.route import ResponseBegan, WaitedInVain
from pipecat_lemonslice.speech.track import AvatarFailed

OutputEvent = ResponseBegan | ResponseDone | WaitedInVain | AvatarFailed


@dataclass(frozen=True, slots=True)
class SpeechPorts:
    """What the output needs of its surroundings.

    Attributes:
        forward: Passes a frame on, downstream.
        emit: Takes every event, in order; must not block.
        pipeline_time: The pipeline clock in nanoseconds; words are timed by it.
        playback: Knows how far the avatar has been heard.
    """

    forward: Callable[[Frame], Awaitable[None]]
    emit: Callable[[OutputEvent], None]
    pipeline_time: Callable[[], int]
    playback: Playback
