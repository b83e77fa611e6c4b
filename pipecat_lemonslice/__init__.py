"""A LemonSlice talking avatar for any Pipecat bot."""

from pipecat_lemonslice.errors import (
    ApiConnectionError,
    ApiError,
    ApiResponseError,
    ApiStatusError,
    ApiTimeoutError,
    ConfigurationError,
    LemonSliceError,
    RoomError,
    SessionError,
)
from pipecat_lemonslice.frames import (
    AvatarActionFrame,
    AvatarImageFrame,
    AvatarKeepAliveFrame,
    AvatarResponseDoneFrame,
    AvatarResponseStartedFrame,
    AvatarStatus,
    AvatarStatusFrame,
)
from pipecat_lemonslice.response import DoneReason
from pipecat_lemonslice.video import LemonSliceVideoService

__all__ = [
    "ApiConnectionError",
    "ApiError",
    "ApiResponseError",
    "ApiStatusError",
    "ApiTimeoutError",
    "AvatarActionFrame",
    "AvatarImageFrame",
    "AvatarKeepAliveFrame",
    "AvatarResponseDoneFrame",
    "AvatarResponseStartedFrame",
    "AvatarStatus",
    "AvatarStatusFrame",
    "ConfigurationError",
    "DoneReason",
    "LemonSliceError",
    "LemonSliceVideoService",
    "RoomError",
    "SessionError",
]
