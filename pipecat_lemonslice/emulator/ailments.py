"""What is wrong with one avatar: from the start, or once it has heard so much speech."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pipecat_lemonslice.emulator.clock import Countdown
from pipecat_lemonslice.emulator.faults import (
    CutAfter,
    Fatal,
    FreezeVideo,
    LeaveAfter,
    Mute,
    NeverJoin,
    Noise,
    ReturnAfter,
    SessionFault,
    Trouble,
)
from pipecat_lemonslice.emulator.voice import NoiseFloor


class Ailments:
    """The ailments of one avatar.

    Parameters:
        video: Whether it sends pictures.
        audio: Whether it sends sound.
        noise: What sounds beneath its voice; None: nothing.
        returns_after: Seconds from leaving to coming back; None: it stays away.
        complaints: App messages that it sends when it has joined, by their type.

    Args:
        faults: What befalls it.
        leave: Makes it leave its room.
        cut: Breaks every connection to its room.
    """

    def __init__(self, faults: Iterable[SessionFault], leave: Callable[[], None], cut: Callable[[], None]):
        self.video = self.audio = True
        self.noise: NoiseFloor | None = None
        self.returns_after: float | None = None
        self.complaints: list[tuple[str, dict[str, Any]]] = []
        self._leave = leave
        self._cut = cut
        self._countdown = Countdown()
        for fault in faults:
            self._befall(fault)

    def hear(self, seconds: float) -> None:
        """So much speech was heard: what is due happens."""
        self._countdown.spend(seconds)

    def leave_after(self, seconds: float) -> None:
        """Make it leave once so much more speech has been heard."""
        self._countdown.start(seconds, self._leave)

    def _befall(self, fault: SessionFault) -> None:
        match fault:
            case NeverJoin():
                pass  # Its session never tells it to come.
            case LeaveAfter(seconds):
                self.leave_after(seconds)
            case ReturnAfter(seconds):
                self.returns_after = seconds
            case FreezeVideo(seconds):
                self._after(seconds, self._freeze)
            case Mute(seconds):
                self._after(seconds, self._silence)
            case Noise(dbfs):
                self.noise = NoiseFloor(dbfs)
            case Fatal(error):
                self.complaints.append(("daily_error", {"fatal": True, "error": error}))
            case Trouble(error):
                self.complaints.append(("video_generation_error", {"error": error}))
            case CutAfter(seconds):
                self._countdown.start(seconds, self._cut)

    def _after(self, seconds: float, what: Callable[[], None]) -> None:
        if seconds == 0:
            what()
        else:
            self._countdown.start(seconds, what)

    def _freeze(self) -> None:
        self.video = False

    def _silence(self) -> None:
        self.audio = False
