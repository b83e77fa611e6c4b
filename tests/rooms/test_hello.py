"""Hellos of a room that cannot be read: refused, and nothing is left of the attempt."""

import asyncio
import gc
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from pipecat_lemonslice.errors import RoomError
from pipecat_lemonslice.rooms import RoomOptions, open_room

OWN_ID = "22222222-2222-4222-8222-222222222222"
JOINED = {"type": "joined", "id": OWN_ID, "participants": []}


def text(body: object) -> Callable[[web.WebSocketResponse], Any]:
    said = body if isinstance(body, str) else json.dumps(body)
    return lambda socket: socket.send_str(said)


HELLOS: dict[str, Callable[[web.WebSocketResponse], Any]] = {
    "no JSON": text("hello"),
    "binary": lambda socket: socket.send_bytes(b"\x01\x02"),
    "a list": text([]),
    "a number": text(5),
    "no type": text({"id": OWN_ID}),
    "no id": text({key: value for key, value in JOINED.items() if key != "id"}),
    "an id that is no UUID": text({**JOINED, "id": "me"}),
    "a number for an id": text({**JOINED, "id": 7}),
    "no participants": text({key: value for key, value in JOINED.items() if key != "participants"}),
    "participants of another shape": text({**JOINED, "participants": [5]}),
    "participants without names": text({**JOINED, "participants": [{"id": OWN_ID}]}),
    "a refusal": text({"type": "refused", "error": "no such meeting"}),
    "a goodbye": lambda socket: socket.close(),
}


@pytest.mark.parametrize("hello", HELLOS)
async def test_a_hello_that_cannot_be_read_leaves_nothing_behind(hello: str) -> None:
    """Joining raises RoomError; the connection is closed, and no task goes on."""
    gone = asyncio.Event()

    async def room(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await HELLOS[hello](socket)
        while (await socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING):
            pass
        gone.set()
        return socket

    app = web.Application()
    app.router.add_get("/room", room)
    tasks = asyncio.all_tasks()
    async with TestServer(app) as server:
        with pytest.raises(RoomError):
            await open_room(f"ws://127.0.0.1:{server.port}/room", RoomOptions(24000, 24000, timeout=5.0))
        async with asyncio.timeout(5.0):
            await gone.wait()
        gc.collect()  # a session that is still open warns as it goes, which is an error
    assert asyncio.all_tasks() == tasks
