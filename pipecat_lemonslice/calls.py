"""What is sent to the REST API, ready to go: the bodies of requests, and the calls of control events."""

import asyncio
from typing import Any

from yarl import URL

from pipecat_lemonslice.api_types import CreateSessionRequest, DailyProperties
from pipecat_lemonslice.controls import ControlEvent, UpdateImage
from pipecat_lemonslice.pictures import prepare_picture
from pipecat_lemonslice.rest import Body, Call, form_body, json_body

NOT_REPEATED = ("pose-trigger",)
"""Events that do more when they are carried out twice."""


async def creation_body(request: CreateSessionRequest) -> Body:
    """The body of a creation: JSON, or a form where there is a picture, which is scaled in a thread."""
    if request.agent_image is None:
        return json_body(request.payload())
    return form_body(request.payload(), await asyncio.to_thread(prepare_picture, request.agent_image))


def room_of(request: CreateSessionRequest) -> str | None:
    """The address of the Daily room that is asked for, if there is one."""
    return request.properties.daily_room_url if isinstance(request.properties, DailyProperties) else None


def event_call(payload: dict[str, Any], url: URL) -> Call:
    """The call of a control event."""
    return Call(
        operation=f"The event {payload['event']}",
        method="POST",
        url=url,
        idempotent=payload["event"] not in NOT_REPEATED,
        body=json_body(payload),
    )


async def payload_of(event: ControlEvent) -> dict[str, Any]:
    """What an event says on the wire; a picture is scaled in a thread."""
    return await asyncio.to_thread(event.payload) if isinstance(event, UpdateImage) else event.payload()
