"""Where the time goes from the user's last word to the avatar's lips."""

from dataclasses import dataclass
from typing import Any

from pipecat.frames.frames import (
    Frame,
    InterruptionFrame,
    LLMTextFrame,
    OutputImageRawFrame,
    SpeechOutputAudioRawFrame,
    TTSAudioRawFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed

from pipecat_lemonslice.frames import AvatarResponseDoneFrame
from pipecat_lemonslice.video import LemonSliceVideoService


@dataclass(frozen=True, slots=True)
class AvatarLatency:
    """One turn, in seconds from the ``UserStoppedSpeakingFrame`` on, by the pipeline clock.

    Attributes:
        first_token: The LLM's first text; None if there was none.
        first_tts_audio: The first audio of the TTS.
        first_sound: The first sound of the avatar, on its way to the output transport. None where the avatar was not
            heard, and in a shared room, where people have it straight from the room.
        first_picture: The avatar's first picture after that sound, likewise.
    """

    first_token: float | None = None
    first_tts_audio: float | None = None
    first_sound: float | None = None
    first_picture: float | None = None


class AvatarLatencyObserver(BaseObserver):
    """Measures each turn of a user that the bot answers.

    A turn is complete with the avatar's first picture after its first sound; without them, when the response is over.
    A turn that the user interrupts before that is not reported.

    Event handlers available:

    - on_latency_measured(observer, latency: AvatarLatency)

    Example::

        observer = AvatarLatencyObserver()
        worker = PipelineWorker(pipeline, observers=[observer])

        @observer.event_handler("on_latency_measured")
        async def on_latency_measured(observer, latency):
            logger.info(f"first sound after {latency.first_sound} s")
    """

    def __init__(self, **kwargs: Any) -> None:
        """Create an observer that has seen nothing.

        Args:
            **kwargs: For the base class.
        """
        super().__init__(**kwargs)  # pyright: ignore[reportUnknownMemberType]
        self._stopped_at: int | None = None
        self._seconds: dict[str, float] = {}
        self._register_event_handler("on_latency_measured")

    async def on_push_frame(self, data: FramePushed) -> None:
        """Note the first of each kind of frame since the user stopped speaking."""
        match data.frame:
            case UserStoppedSpeakingFrame() if self._stopped_at is None:
                self._stopped_at = data.timestamp
            case UserStartedSpeakingFrame() | InterruptionFrame():
                self._stopped_at, self._seconds = None, {}
            case AvatarResponseDoneFrame() if "first_tts_audio" in self._seconds:
                await self._report()
            case frame if self._stopped_at is not None and (kind := self._kind(frame, data)):
                self._seconds.setdefault(kind, (data.timestamp - self._stopped_at) / 1e9)
                if kind == "first_picture":
                    await self._report()
            case _:
                pass

    def _kind(self, frame: Frame, data: FramePushed) -> str:
        """Return what is measured by a frame; empty if nothing is."""
        avatar = isinstance(data.source, LemonSliceVideoService)
        match frame:
            case LLMTextFrame():
                return "first_token"
            case TTSAudioRawFrame():
                return "first_tts_audio"
            case SpeechOutputAudioRawFrame() if avatar:
                return "first_sound"
            case OutputImageRawFrame() if avatar and "first_sound" in self._seconds:
                return "first_picture"
            case _:
                return ""

    async def _report(self) -> None:
        latency = AvatarLatency(**self._seconds)
        self._stopped_at, self._seconds = None, {}
        await self._call_event_handler("on_latency_measured", latency)  # pyright: ignore[reportUnknownMemberType]
