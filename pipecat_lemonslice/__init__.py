"""A LemonSlice talking avatar for any Pipecat bot.

Names are imported when they are first used: the emulator, which lives in this package, needs none of Pipecat.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
        AvatarUsageMetricsData,
    )
    from pipecat_lemonslice.observer import AvatarLatency, AvatarLatencyObserver
    from pipecat_lemonslice.speech.response import DoneReason
    from pipecat_lemonslice.tools import lemonslice_tools
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
    "AvatarLatency",
    "AvatarLatencyObserver",
    "AvatarResponseDoneFrame",
    "AvatarResponseStartedFrame",
    "AvatarStatus",
    "AvatarStatusFrame",
    "AvatarUsageMetricsData",
    "ConfigurationError",
    "DoneReason",
    "LemonSliceError",
    "LemonSliceVideoService",
    "RoomError",
    "SessionError",
    "lemonslice_tools",
]

_HOMES = ("errors", "frames", "observer", "speech.response", "video", "tools")


def __getattr__(name: str) -> object:
    if name in __all__:
        for home in _HOMES:
            module = import_module(f"pipecat_lemonslice.{home}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
