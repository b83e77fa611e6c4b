"""Secrets that are easy to find, and a look for them in whatever an error shows."""

import traceback
from collections.abc import Iterator

from loguru import logger

from pipecat_lemonslice.api import CreateSessionRequest, DailyProperties

KEY = "lsk-S3CR3T-key-0123456789"
TOKEN = "S3CR3T-token-of-the-avatar"
SIGNED = "https://cdn.example/face.png?sig=S3CR3T-signature"
SECRETS = (KEY, TOKEN, "S3CR3T")
REQUEST = CreateSessionRequest(
    agent_image_url=SIGNED,
    properties=DailyProperties(daily_room_url="https://acme.daily.co/r?t=S3CR3T-room", daily_token=TOKEN),
    extra={"webhook": "https://hook.example/S3CR3T"},
)


def texts(error: BaseException | None) -> Iterator[str]:
    """What an error and its causes show: their texts, arguments and attributes."""
    while error is not None:
        yield from (repr(error), str(error), repr(error.args), repr(vars(error)))
        error = error.__cause__ or error.__context__


def check_no_secret(error: BaseException) -> None:
    """No secret in what can be seen of an error: its texts, its attributes, its causes, its traceback.

    The traceback is the worst that loguru can do, with the values in every line; it begins with the first
    frame of the package, as what callers write into their own lines is theirs.
    """
    lines: list[str] = []
    trace = error.__traceback__
    while trace and "pipecat_lemonslice" not in trace.tb_frame.f_code.co_filename:
        trace = trace.tb_next
    assert trace is not None
    sink = logger.add(lambda line: lines.append(str(line)), level="TRACE", diagnose=True, backtrace=False)
    logger.opt(exception=error.with_traceback(trace)).error("It failed")
    logger.remove(sink)
    lines += [*texts(error), *traceback.format_exception(error)]
    for secret in SECRETS:
        assert secret not in "\n".join(lines)
