"""What the users, the developers and the operators of a bot may get to see of a call."""

import traceback
from collections.abc import Iterator

from pipecat.frames.frames import ErrorFrame, StartFrame
from pipecat.processors.frameworks.rtvi.frames import RTVIServerMessageFrame

from pipecat_lemonslice import AvatarImageFrame
from tests.faults.vendor import SECRET
from tests.faults.world import World


def secrets_seen(world: World) -> list[str]:
    """Texts with a secret in them: logs, frames, events, errors, their causes, and tracebacks with local variables."""
    return [text for text in _seen(world) if SECRET in text]


def _seen(world: World) -> Iterator[str]:
    yield from world.journal.logs
    for end in (world.source, world.sink):
        for _, frame in end.frames:
            # The frame that a bot makes of a signed address is its own.
            if not isinstance(frame, StartFrame | AvatarImageFrame) and not hasattr(frame, "audio"):
                yield from (repr(frame), str(frame))
    yield from (str(frame.data) for frame in world.down(RTVIServerMessageFrame))
    yield from (repr(event) for event in world.events)
    for error in world.errors:
        yield from _all_of(error)
    yield repr(world.service)


def _all_of(frame: ErrorFrame) -> Iterator[str]:
    error: BaseException | None = frame.exception
    while error is not None:
        yield from (repr(error), str(error), repr(error.args), repr(vars(error)))
        yield "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        error = error.__cause__ or error.__context__
