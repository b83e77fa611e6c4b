"""What is to go wrong, and for how many requests: armed by tests or the command line, taken by the server."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Path = Literal["create", "list", "get", "control", "any"]
"""Which requests a fault is for."""

When = Literal["before", "after"]
"""Whether a fault comes before the request is looked at, or after it has been carried out."""


@dataclass(frozen=True)
class Reject:
    """Answer with an error.

    Parameters:
        status: HTTP status.
        detail: Text of the JSON answer.
        retry_after: Value of the Retry-After header, in seconds or as a date.
        body: HTML to answer with instead of JSON, as a gateway would.
    """

    status: int
    detail: str
    retry_after: float | str | None = None
    body: str | None = None


@dataclass(frozen=True)
class Delay:
    """Answer later, in seconds."""

    seconds: float


@dataclass(frozen=True)
class Hang:
    """Never answer."""

    when: When = "before"


@dataclass(frozen=True)
class Malform:
    """Carry the request out and answer with half of the JSON."""


@dataclass(frozen=True)
class Truncate:
    """Carry the request out, promise the whole answer, and break the connection in the middle of it."""


@dataclass(frozen=True)
class Reset:
    """Break the connection."""

    when: When = "before"


Fault = Reject | Delay | Hang | Malform | Truncate | Reset


@dataclass
class _Armed:
    fault: Fault
    path: Path
    left: float


class Faults:
    """The armed faults, and the standing ones.

    A request meets all delays that are armed for its path and the first of the other faults.
    """

    def __init__(self):
        self._armed: list[_Armed] = []
        self.dropped_keys: frozenset[str] = frozenset()
        """Keys left out of the answers to create."""
        self.room_refusal: str | None = None
        """Why rooms let nobody in; None: they do."""
        self.never_join = False
        """Whether the avatars of new sessions stay away."""

    def arm(self, fault: Fault, path: Path = "any", times: float = 1) -> None:
        """Let a fault happen to the next `times` requests for a path; `math.inf`: to all."""
        self._armed.append(_Armed(fault, path, times))

    def clear(self) -> None:
        """Let everything go well from now on."""
        self._armed.clear()
        self.dropped_keys, self.room_refusal, self.never_join = frozenset(), None, False

    def take(self, path: str) -> tuple[float, Fault | None]:
        """Seconds to wait, and the fault for this request."""
        armed = [each for each in self._armed if each.path in (path, "any")]
        delays = [each for each in armed if isinstance(each.fault, Delay)]
        others = [each for each in armed if not isinstance(each.fault, Delay)][:1]
        for each in (*delays, *others):
            each.left -= 1
        self._armed = [each for each in self._armed if each.left > 0]
        seconds = math.fsum(each.fault.seconds for each in delays if isinstance(each.fault, Delay))
        return seconds, others[0].fault if others else None
