"""App messages of the avatar's room: what the bot says to the avatar, and what the avatar says.

In self-managed sessions the avatar's messages are hints: the first picture and the participants are the truth.
Source: the vendor's API reference for hosted rooms. Unknown messages are ignored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast


class SpeechEvent(StrEnum):
    """What the bot tells the avatar about the speech on its track: ``{"event": …, "session_id": …}``."""

    RESPONSE_STARTED = "response_started"
    RESPONSE_FINISHED = "response_finished"
    INTERRUPT = "interrupt"


@dataclass(frozen=True, slots=True)
class IdleTimeout:
    """The vendor has ended the session, because nothing was said for its idle timeout."""


@dataclass(frozen=True, slots=True)
class AvatarTrouble:
    """The avatar reports an error; when fatal, it will not go on.

    Attributes:
        kind: The message's own type, such as ``daily_error``.
        detail: The vendor's words; may be empty.
        fatal: Whether the session is over.
    """

    kind: str
    detail: str
    fatal: bool


def parse_avatar_message(message: object) -> IdleTimeout | AvatarTrouble | None:
    """Understand an app message that the avatar sent.

    Args:
        message: Whatever came over the wire; nothing is assumed of its shape.

    Returns:
        Its meaning; None if it means nothing to the session, as ``bot_ready``, which is no proof of a picture. Never
        raises: an avatar cannot bring a call down with a message.
    """
    body = cast("Mapping[str, Any]", message if isinstance(message, Mapping) else {})
    match body.get("type"):
        case "idle_timeout":
            return IdleTimeout()
        case "daily_error":
            return AvatarTrouble("daily_error", _detail(body), fatal=body.get("fatal") is True)
        case "video_generation_error" | "image_change_error" as kind:
            return AvatarTrouble(kind, _detail(body), fatal=False)
        case _:
            return None


def _detail(body: Mapping[str, Any]) -> str:
    found = next((body[key] for key in ("detail", "error", "message", "reason") if body.get(key)), "")
    return str(found)[:300]
