"""Frames with which a pipeline learns of the avatar and steers it, its usage metric, and the page's messages.

The service sends status and responses in both directions, so that processors before and after it can react. A bot
sends actions, images and keep-alives to the service, downstream from anywhere above it; they travel on after the
service has acted on them.
"""

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from enum import StrEnum
from os import PathLike
from typing import Any

from PIL.Image import Image
from pipecat.frames.frames import ControlFrame, SystemFrame
from pipecat.metrics.metrics import MetricsData

from pipecat_lemonslice.errors import redact


class AvatarStatus(StrEnum):
    """Where the avatar is, as a person watching the call would put it."""

    CALLING = "calling"
    """A session is being created."""

    JOINING = "joining"
    """The session exists; its room is being joined, or its first picture awaited."""

    HERE = "here"
    """The avatar's picture has arrived; it speaks from the next response on."""

    VOICE_ONLY = "voice_only"
    """There is no avatar; the bot is heard without it."""

    DORMANT = "dormant"
    """The session has ended because nobody spoke. A new one is created when somebody does."""

    LOST = "lost"
    """The avatar was here and has gone; a new session is on its way."""

    ENDED = "ended"
    """The session is over because the call is."""


@dataclass
class AvatarStatusFrame(SystemFrame):
    """Tells where the avatar is. Sent by the service, both ways, whenever that changes.

    Attributes:
        status: The new status.
        detail: A sentence for people; may be empty.
    """

    status: AvatarStatus
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.name}(status: {self.status}, detail: {self.detail!r})"


@dataclass
class AvatarResponseStartedFrame(SystemFrame):
    """The first audio of a response has been written. Sent by the service, both ways."""


@dataclass
class AvatarResponseDoneFrame(SystemFrame):
    """A response is complete. Sent by the service, both ways, once for every started one.

    Attributes:
        reason: Why it ended: ``stopped``, ``response_done_timeout``, ``response_hold_timeout``,
            ``interrupted``, ``avatar_lost`` or ``ended``.
        audio_seconds: Duration of the speech written, in seconds with three decimals.
    """

    reason: str
    audio_seconds: float

    def __str__(self) -> str:
        return f"{self.name}(reason: {self.reason!r}, audio_seconds: {self.audio_seconds})"


@dataclass
class AvatarImageFrame(ControlFrame):
    """Changes the avatar's picture once the response that it stands in has been heard. Sent by a bot.

    A new picture would cut the voice. Of several in one response the last is shown.

    Attributes:
        image_url: Address of the new picture; the vendor fetches it.
        image: The new picture itself (PIL image, bytes of a PNG or JPEG, or a path). Exactly one of
            the two is given.
    """

    interruptible: bool = field(default=False, init=False)

    image_url: str | None = None
    image: Image | bytes | str | PathLike[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.image_url is None) == (self.image is None):
            raise ValueError("AvatarImageFrame: give exactly one of image_url and image")

    def __str__(self) -> str:
        match self.image:
            case None:  # Pipecat logs what a frame prints, and the query of an address may be a signature
                shown = f"image_url: {redact(str(self.image_url))!r}"
            case Image():
                shown = f"image: {self.image.width}x{self.image.height} pixels"
            case str() | PathLike():
                shown = f"image: {str(self.image)!r}"
            case data:
                shown = f"image: {len(data)} bytes"
        return f"{self.name}({shown})"


@dataclass
class AvatarActionFrame(ControlFrame):
    """Makes the avatar perform a named action once the speech before it has been spoken. Sent by a bot.

    Without an avatar it is kept until one can be seen.

    The name is given as ``name`` and kept as ``action``: every frame has a ``name`` of its own, such as
    ``AvatarActionFrame#3``.

    Attributes:
        name: The action (``pose-trigger``), as defined for the agent at LemonSlice.
        action: The same, once the frame has been made.
    """

    name: InitVar[str]
    action: str = field(init=False)

    def __post_init__(self, name: str) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().__post_init__()
        self.action = name

    def __str__(self) -> str:
        return f"{super().__str__()}(action: {self.action!r})"


@dataclass
class AvatarKeepAliveFrame(SystemFrame):
    """Resets the session's idle timeout now. Sent by a bot that keeps ``keep_alive`` off."""


class AvatarUsageMetricsData(MetricsData):
    """The usage of one session, in a ``MetricsFrame`` when the session is over. Needs ``enable_usage_metrics``.

    Pipecat's own usage metrics count tokens and characters.

    Attributes:
        session_id: The session.
        seconds: How long it lasted, from its creation to its end.
        cost: Its cost in credits as LemonSlice says; None where unknown.
    """

    session_id: str
    seconds: float
    cost: float | None = None


def status_message(status: AvatarStatus, detail: str) -> Mapping[str, Any]:
    """Return the RTVI server message that tells a page of a status."""
    return {"type": "lemonslice-status", "status": str(status), "detail": detail}


def response_message(event: str, response_id: int, **facts: Any) -> Mapping[str, Any]:
    """Return the RTVI server message that tells a page of a response.

    Args:
        event: ``started``, ``voice`` (with ``ttfb_ms``) or ``done`` (with ``reason`` and ``audio_seconds``).
        response_id: Number of the response in this call, from 1.
        **facts: What else is known, JSON values.
    """
    return {"type": "lemonslice-response", "event": event, "id": response_id, **facts}
