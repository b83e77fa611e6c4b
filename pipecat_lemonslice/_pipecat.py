"""Names of Pipecat that are private, or that not every supported release has, and what replaces them.

Every other module uses public names of Pipecat alone, and those that ``tests/test_pipecat_names.py`` lists.
"""

import asyncio
import importlib
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from pipecat.processors.frame_processor import FrameProcessor
    from pipecat.transports.base_output import BaseOutputTransport
    from pipecat.transports.base_transport import BaseTransport, TransportParams

REDACTED = "[REDACTED]"
"""What stands in place of a credential, as in ``pipecat.utils.security.redaction``."""

_CREDENTIAL = re.compile(
    r"""(?ix)
    (?P<name> (?<![\w.-]) ["']? [\w.-]*
        (?: api[-_]?key | auth | authorization | cookie | credentials? | jwt | passw(?:or)?d | secret | sig(?:nature)?
          | token | (?<=[-_.])key ) ["']? \s* [:=]+>? \s* )
    (?P<scheme> (?: bearer | basic | token ) \s+ )?
    (?P<quote> ["']? ) (?P<value> \[REDACTED\] | [^\s,;&"'})\]\[]+ )
    """
)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")


def _redact_credentials(text: str) -> str:
    """Mask the values of credentials and JSON web tokens. Stands in for Pipecat's own before 1.13."""
    text = _JWT.sub(REDACTED, text)
    return _CREDENTIAL.sub(lambda found: f"{found['name']}{found['scheme'] or ''}{found['quote']}{REDACTED}", text)


def _redact_secrets() -> Callable[[str], str]:
    try:
        redaction = importlib.import_module("pipecat.utils.security.redaction")
    except ImportError:
        return _redact_credentials
    return cast("Callable[[str], str]", redaction.redact_secrets)


redact_secrets: Callable[[str], str] = _redact_secrets()
"""Masks the credentials in a text: Pipecat's own function from 1.13 on, which knows more kinds of them."""


def transport_params(transport: "BaseTransport | BaseOutputTransport") -> "TransportParams | None":
    """Return the parameters that a transport, or its output, was made with.

    Used to tell users which parameter an avatar needs, and to give pictures the size of the output's video. Pipecat has
    no public way to them.

    Returns:
        The parameters; None where a release keeps them elsewhere. Nothing is then checked.
    """
    return getattr(transport, "_params", None)


def output_behind(processor: "FrameProcessor") -> "BaseOutputTransport | None":
    """Return the first output transport behind a processor in its pipeline, and in those that this one is part of.

    Only the way out of an inner pipeline is private. In a release without that name, an output outside it is not found:
    pictures then keep the avatar's size, Pipecat stretches them to the transport's, and a processor that keeps more
    than 32 of them stops them.
    """
    at = processor.next
    while at is not None:
        if found := _output_in(at):
            return found
        # The sink of an inner pipeline has no next; it pushes by a method of that pipeline.
        owner = at if at.next else getattr(getattr(at, "_downstream_push_frame", None), "__self__", None)
        at = getattr(owner, "next", None)
    return None


def _output_in(processor: "FrameProcessor") -> "BaseOutputTransport | None":
    from pipecat.transports.base_output import BaseOutputTransport

    if isinstance(processor, BaseOutputTransport):
        return processor
    return next((found for part in processor.processors if (found := _output_in(part))), None)


LONG_QUEUE = 300
"""A queue with so many entries is not searched for pictures: its length is taken for their number."""


def queued_pictures(output: "BaseOutputTransport | None") -> int:
    """Return how many different pictures an output has not shown yet. Its queues have no bound of their own.

    Outputs that are not live put the same picture into their track again and again; it counts once. Without the names
    below the result is 0, and nothing bounds those queues: ``tests/test_video_pictures.py`` then fails.
    """
    sender = getattr(output, "_media_senders", {}).get(None)
    live = getattr(sender, "_video_queue", None)
    track = getattr(getattr(output, "_client", None), "_video_output_track", None)  # of SmallWebRTC
    queue = getattr(getattr(track, "_video_buffer", None), "_queue", ())
    # A live output has done with a picture when it has been written.
    count = getattr(live, "_unfinished_tasks", 0)
    return count + (len(queue) if len(queue) > LONG_QUEUE else len({id(picture) for picture in queue}))


async def wait_for_output(output: "BaseOutputTransport | None", seconds: float) -> None:
    """Wait until a live output has written the pictures that it has, or for so long; else for so long."""
    live = getattr(getattr(output, "_media_senders", {}).get(None), "_video_queue", None)
    if getattr(live, "_unfinished_tasks", 0):
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await cast("asyncio.Queue[object]", live).join()
    else:
        await asyncio.sleep(seconds)


def queued_voice(output: "BaseOutputTransport | None") -> float:
    """Return how many seconds of audio wait in an output to be written, as far as they matter to pictures.

    Without the names below the result is 0, and pictures are early where an output does not keep up with the voice:
    ``tests/test_video_lip_sync.py`` then fails.
    """
    from pipecat.frames.frames import OutputAudioRawFrame  # not above: what only asks the API does without it

    sender = getattr(output, "_media_senders", {}).get(None)
    queue: Iterable[object] = getattr(getattr(sender, "_audio_queue", None), "_queue", ())
    seconds = 0.0
    for frame in islice(queue, LONG_QUEUE):
        if isinstance(frame, OutputAudioRawFrame):
            seconds += frame.num_frames / frame.sample_rate
    return seconds


def claim_daily_initialization() -> bool:
    """Return whether the caller is the first in this process that has to call ``Daily.init``.

    A second call to it aborts the process, and Pipecat's Daily client calls it, too: both use Pipecat's own flag.
    In a release without that flag, Pipecat's client must not be used beside ours; the flag is then created here.
    """
    from pipecat.transports.daily.transport import DailyTransportClient

    if getattr(DailyTransportClient, "_daily_initialized", False):
        return False
    setattr(DailyTransportClient, "_daily_initialized", True)  # noqa: B010 - the type checker knows it as private
    return True
