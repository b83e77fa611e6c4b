"""The armed faults: who meets which of them, and how often."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Generic, TypeVar

from loguru import logger

from pipecat_lemonslice.emulator.faults import Change, Delay, Fault, Mishap, RefuseRooms, SessionFault
from pipecat_lemonslice.emulator.grammar import Spec

F = TypeVar("F", bound=Fault)


@dataclass(frozen=True)
class Encounter:
    """What a request meets.

    Parameters:
        delay: Seconds to wait first.
        changes: What alters its answer.
        mishap: What decides how it ends, if anything does.
    """

    delay: float
    changes: tuple[Change, ...]
    mishap: Mishap | None


@dataclass
class _Entry(Generic[F]):
    fault: F
    path: str
    left: float


class _Stock(Generic[F]):
    """Faults of one sort, in the order in which they were armed."""

    def __init__(self):
        self._entries: list[_Entry[F]] = []

    def add(self, fault: F, spec: Spec) -> None:
        """Let a fault happen as often as its spec says."""
        self._entries.append(_Entry(fault, spec.path, spec.times))

    def take(self, paths: Collection[str] | None = None, most: int | None = None) -> tuple[F, ...]:
        """The faults that happen now, all for these paths or the first of them; each happens once less from now on."""
        taken = [each for each in self._entries if paths is None or each.path in paths][:most]
        for each in taken:
            each.left -= 1
        self._entries = [each for each in self._entries if each.left > 0]
        return tuple(each.fault for each in taken)


class Armed:
    """The armed faults.

    A request meets all delays and changes that are armed for its path and the first of the mishaps, a new
    session everything that is armed for sessions, somebody at the door of a room the first refusal.
    """

    def __init__(self):
        self.clear()

    def clear(self) -> None:
        """Let everything go well from now on."""
        self._delays, self._changes, self._mishaps = _Stock[Delay](), _Stock[Change](), _Stock[Mishap]()
        self._ailments, self._refusals = _Stock[SessionFault](), _Stock[RefuseRooms]()

    def arm(self, spec: Spec) -> None:
        """Let a fault happen."""
        if spec.times <= 0:
            return
        logger.debug(f"Emulator: armed {spec}")
        fault = spec.fault
        if isinstance(fault, Delay):
            self._delays.add(fault, spec)
        elif isinstance(fault, Change):
            self._changes.add(fault, spec)
        elif isinstance(fault, Mishap):
            self._mishaps.add(fault, spec)
        elif isinstance(fault, RefuseRooms):
            self._refusals.add(fault, spec)
        else:
            self._ailments.add(fault, spec)

    def for_request(self, path: str, event: str = "") -> Encounter:
        """What a request for a path meets; a control request has an event, too."""
        paths = (path, event, "any")
        delays, changes = self._delays.take(paths), self._changes.take(paths)
        mishap = next(iter(self._mishaps.take(paths, most=1)), None)
        return Encounter(math.fsum(each.seconds for each in delays), changes, mishap)

    def for_session(self) -> tuple[SessionFault, ...]:
        """What befalls a new session."""
        return self._ailments.take()

    def refusal(self) -> str | None:
        """Why somebody is not let into a room; None: they are."""
        return next((each.reason for each in self._refusals.take(most=1)), None)
