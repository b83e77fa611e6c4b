"""The control events: what a session can be told while it runs.

A wrong value is a ConfigurationError when the event is made.
"""

import base64
from dataclasses import dataclass
from typing import Any, TypeAlias

from pipecat_lemonslice.checked import url_problem, visible
from pipecat_lemonslice.errors import ConfigurationError
from pipecat_lemonslice.pictures import PictureSource, picture_problem, prepare_picture

__all__ = [
    "ControlEvent",
    "PoseTrigger",
    "ResetIdleTimeout",
    "Terminate",
    "UpdateAgentPrompt",
    "UpdateIdlePrompt",
    "UpdateImage",
]

# As base64 inside JSON it is a third longer.
_MAX_PICTURE_BYTES = 700_000


@dataclass(frozen=True)
class Terminate:
    """End the session."""

    def payload(self) -> dict[str, Any]:
        """What goes on the wire."""
        return {"event": "terminate"}


@dataclass(frozen=True)
class ResetIdleTimeout:
    """Count the idle timeout from now."""

    def payload(self) -> dict[str, Any]:
        """What goes on the wire."""
        return {"event": "reset-idle-timeout"}


@dataclass(frozen=True)
class UpdateAgentPrompt:
    """Change the demeanour while speaking."""

    agent_prompt: str

    def __post_init__(self):
        _require_text("agent_prompt", self.agent_prompt)

    def payload(self) -> dict[str, Any]:
        """What goes on the wire."""
        return {"event": "update-agent-prompt", "agent_prompt": self.agent_prompt}


@dataclass(frozen=True)
class UpdateIdlePrompt:
    """Change the demeanour while idle."""

    idle_prompt: str

    def __post_init__(self):
        _require_text("idle_prompt", self.idle_prompt)

    def payload(self) -> dict[str, Any]:
        """What goes on the wire."""
        return {"event": "update-idle-prompt", "idle_prompt": self.idle_prompt}


@dataclass(frozen=True)
class PoseTrigger:
    """Let the avatar strike a pose. The only event that does more when it is sent twice."""

    name: str

    def __post_init__(self):
        _require_text("name", self.name)

    def payload(self) -> dict[str, Any]:
        """What goes on the wire."""
        return {"event": "pose-trigger", "pose_trigger": {"name": self.name}}


@dataclass(frozen=True, repr=False)
class UpdateImage:
    """Change the avatar's picture. Exactly one of the two is given."""

    image_url: str | None = None
    image: PictureSource | None = None

    def __post_init__(self):
        if problem := self._problem():
            raise ConfigurationError(problem)

    def _problem(self) -> str | None:
        if (self.image_url is None) == (self.image is None):
            return "Give exactly one of image_url and image"
        if self.image is not None:
            problem = picture_problem(self.image)
            return problem and f"image {problem}."
        problem = url_problem(self.image_url, ("https", "http"))
        return problem and f"image_url {problem}."

    def __repr__(self) -> str:
        source = f"image_url={visible(self.image_url)!r}" if self.image_url else "image=…"
        return f"UpdateImage({source})"

    def payload(self) -> dict[str, Any]:
        """What goes on the wire. A picture is opened and scaled here: call it through a thread."""
        if self.image is None:
            return {"event": "update-image", "image_url": self.image_url}
        picture = prepare_picture(self.image, max_bytes=_MAX_PICTURE_BYTES, name="image")
        return {"event": "update-image", "image_base64": base64.b64encode(picture.data).decode()}


ControlEvent: TypeAlias = (
    Terminate | ResetIdleTimeout | UpdateAgentPrompt | UpdateIdlePrompt | PoseTrigger | UpdateImage
)


def _require_text(name: str, text: object) -> None:
    if not isinstance(text, str) or not text.strip():
        raise ConfigurationError(f"{name} must be a text that is not empty")
