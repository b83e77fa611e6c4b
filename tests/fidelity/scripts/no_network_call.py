"""A call whose avatar's room cannot be reached, on daily-python itself; prints what came of it as JSON."""

import asyncio
import json
import sys
import time
from dataclasses import replace
from typing import Any, cast

from pipecat.frames.frames import ErrorFrame, TTSAudioRawFrame, TTSStartedFrame, TTSStoppedFrame

from pipecat_lemonslice import LemonSliceVideoService
from pipecat_lemonslice.rooms import Room, RoomOptions, open_room
from tests.fidelity.calls import Running
from tests.fidelity.vendor import Vendor
from tests.support.stage import speech, tone
from tests.support.waiting import until


async def hastily(url: str, options: RoomOptions) -> Room:
    """Join with less patience than the library's own 20 s."""
    return await open_room(url, replace(options, timeout=1.0))


class NoRoom(Vendor):
    def _bot_there(self) -> bool:
        return False


async def main() -> None:
    async with NoRoom(cast("Any", None), avatar_after=None) as vendor:
        service = LemonSliceVideoService(
            _open_room=hastily,
            api_key="test-key-0123",
            api_url=vendor.url,
            agent_id="agent",
            daily_room_url="https://nowhere.invalid/room",
            settings=LemonSliceVideoService.Settings(ready_timeout=0.3),
        )
        async with Running(service) as running:
            await running.send(TTSStartedFrame("a"), speech(0.4), TTSStoppedFrame("a"))
            await until(lambda: bool(running.first.of(ErrorFrame)), 5.0)
            await until(lambda: "terminate" in vendor.log, 5.0)
            started = time.monotonic()
            await running.end()
            plain = b"".join(frame.audio for frame in running.last.of(TTSAudioRawFrame))
            errors = [frame.error for frame in running.first.of(ErrorFrame)]
    result = {"errors": errors, "voice": plain == tone(0.4), "log": vendor.log, "end": time.monotonic() - started}
    sys.stdout.write(json.dumps(result))


asyncio.run(main())
