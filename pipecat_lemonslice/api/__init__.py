"""The client of LemonSlice's REST API: sessions, control events, and the images that go with them.

Owns what goes over HTTP, when it is repeated, and who gets the key. Knows nothing of rooms, frames and pipelines.
"""

from pipecat_lemonslice.api.client import LemonSliceApi
from pipecat_lemonslice.api.exit_hook import ExitHook
from pipecat_lemonslice.api.http import OnAnswer, OnRetry, Request
from pipecat_lemonslice.api.images import PictureSource, PreparedPicture, check_picture, prepare_picture
from pipecat_lemonslice.api.models import (
    ControlEvent,
    CreateSessionRequest,
    DailyProperties,
    LiveKitProperties,
    PoseTrigger,
    RecordingsBucket,
    ResetIdleTimeout,
    Terminate,
    UpdateAgentPrompt,
    UpdateIdlePrompt,
    UpdateImage,
)
from pipecat_lemonslice.api.responses import (
    CreatedSession,
    Pagination,
    Response,
    SessionInfo,
    SessionPage,
    SessionStatus,
    SessionSummary,
)

__all__ = [
    "ControlEvent",
    "CreateSessionRequest",
    "CreatedSession",
    "DailyProperties",
    "ExitHook",
    "LemonSliceApi",
    "LiveKitProperties",
    "OnAnswer",
    "OnRetry",
    "Pagination",
    "PictureSource",
    "PoseTrigger",
    "PreparedPicture",
    "RecordingsBucket",
    "Request",
    "ResetIdleTimeout",
    "Response",
    "SessionInfo",
    "SessionPage",
    "SessionStatus",
    "SessionSummary",
    "Terminate",
    "UpdateAgentPrompt",
    "UpdateIdlePrompt",
    "UpdateImage",
    "check_picture",
    "prepare_picture",
]
