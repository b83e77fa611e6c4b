"""How the futures of a room end: at most once, and without a complaint if nobody waits for them any more."""

import asyncio
from typing import TypeVar

from pipecat_lemonslice.errors import RoomError
from pipecat_lemonslice.rooms import RoomLost

T = TypeVar("T")


def resolve(answer: "asyncio.Future[T]", result: T) -> None:
    """Complete a future that may have been completed or cancelled meanwhile."""
    if not answer.done():
        answer.set_result(result)


def fail(played: "asyncio.Future[None]", lost: RoomLost) -> None:
    """Fail a write that the room will not play."""
    if not played.done():
        played.set_exception(RoomError(lost.reason))
        played.exception()
