"""What reaches LemonSlice from this package, beside what Pipecat's own LemonSlice transport sends, on one stand-in.

Nothing that the reference sends may be missing. Every difference is in `DIFFERENCES`, with its reason.
"""

import asyncio
import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from pipecat.frames.frames import InterruptionFrame
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.transports.lemonslice.transport import LemonSliceNewSessionRequest, LemonSliceParams, LemonSliceTransport

from pipecat_lemonslice import LemonSliceVideoService
from tests.fidelity.bots import ANSWER, Bot
from tests.fidelity.client import CallClient
from tests.fidelity.installed import URL, Native
from tests.fidelity.rooms import Person
from tests.fidelity.vendor import Vendor
from tests.support.stage import tone
from tests.support.waiting import until

KEY = "test-key-0123"
DIFFERENCES = {
    "request.response_done_timeout": "the vendor's own detection is the net below ours; the reference leaves it unset",
    "request.properties.daily_room_url": "the name in the API reference; `daily_url` is sent beside it",
    "messages.interrupt": "`interrupt` comes before `response_finished`, so that the avatar stops and is not wound up",
    "messages.idle interrupt": "nothing is interrupted while nothing is heard; the reference sends `interrupt` always",
    "messages.recipient": "messages go to the avatar alone once it is known, not to the people in the room",
    "audio.silence": "the last write is padded to 10 ms; the reference pads to its chunks of 40 ms",
    "audio.interrupted": "40 ms are left of an interrupted response, in the reference up to a chunk more",
}
if "audio_sample_rate" not in LemonSliceNewSessionRequest.model_fields:
    DIFFERENCES["request.audio_sample_rate"] = "the reference says it from Pipecat 1.14 on"


Processors = Callable[[Vendor, aiohttp.ClientSession], tuple[FrameProcessor, ...]]


@dataclass
class Sent:
    """What reached LemonSlice, and somebody else in the room, in a call of a bot's client."""

    vendor: Vendor
    client: CallClient
    somebody: Person

    @property
    def request(self) -> dict[str, Any]:
        """The request for a session, with its properties beside its fields."""
        [request] = self.vendor.created
        properties = {f"properties.{name}": value for name, value in request.get("properties", {}).items()}
        return {**{name: value for name, value in request.items() if name != "properties"}, **properties}


async def sent(native: Native, processors: Processors) -> Sent:
    """One script for both: a response that ends by itself, one that is interrupted, one after it, the end."""
    somebody = Person(native.world, URL, "Ann")
    somebody.join()
    async with (
        Vendor(native) as vendor,
        aiohttp.ClientSession() as session,
        Bot(vendor, processors=processors(vendor, session)) as bot,
    ):
        await until(lambda: bool(vendor.avatars) and "Pipecat" in vendor.avatar.present)
        await asyncio.sleep(0.3)
        await bot.speak(0.5, "a")
        await until(lambda: vendor.avatar.events.count("response_finished") == 1)
        await asyncio.sleep(0.3)
        await bot.speak(2.0, "b")
        await until(lambda: vendor.avatar.events.count("response_started") == 2)
        await asyncio.sleep(0.4)
        await bot.send(InterruptionFrame())
        await until(lambda: vendor.avatar.events.count("response_finished") == 2)
        await asyncio.sleep(0.2)
        await bot.speak(0.3, "c")
        await until(lambda: vendor.avatar.events.count("response_finished") == 3)
        await asyncio.sleep(0.6)
        await bot.send(InterruptionFrame())
        await asyncio.sleep(0.1)
        await bot.end()
    return Sent(vendor, native.bot, somebody)


def reference(vendor: Vendor, session: aiohttp.ClientSession) -> tuple[FrameProcessor, ...]:
    """Pipecat's own transport."""
    request = LemonSliceNewSessionRequest(agent_id="agent", idle_timeout=60, agent_prompt="a cheerful person")
    request.daily_room_url, request.daily_token = URL, "avatar-token"
    request.api_url = f"{vendor.url}/liveai/sessions"
    params = LemonSliceParams(audio_out_sample_rate=24000, audio_in_enabled=True, audio_out_end_silence_secs=0)
    transport = LemonSliceTransport("Pipecat", session, KEY, session_request=request, params=params)
    return transport.input(), transport.output()


def ours(vendor: Vendor, _session: aiohttp.ClientSession) -> tuple[FrameProcessor, ...]:
    """This package's service."""
    service = LemonSliceVideoService(
        api_key=KEY,
        api_url=vendor.url,
        agent_id="agent",
        settings=LemonSliceVideoService.Settings(agent_prompt="a cheerful person"),
        keep_alive=False,
        daily_room_url=URL,
        daily_token="avatar-token",
    )
    return (service,)


async def test_nothing_that_the_reference_sends_is_missing(native: Native) -> None:
    """Request, track, messages and audio are those of the reference, but for the documented differences."""
    theirs = await sent(native, reference)
    native.world.clients.clear()
    native.world.rooms.clear()
    # The reference lets go of its source wherever its last reference dies; its hazards are not ours to answer for.
    gc.collect()
    native.world.hazards.clear()
    mine = await sent(native, ours)
    # The request.
    assert mine.request.items() >= theirs.request.items()
    assert {f"request.{name}" for name in mine.request.keys() - theirs.request.keys()} <= DIFFERENCES.keys()
    # The track; neither camera nor microphone.
    for either in (mine, theirs):
        assert either.vendor.headers[0]["x-api-key"] == KEY
        assert either.client.custom_tracks == {"stream": (24000, 1, True)}
        assert either.client.published == [{"stream": True}]
        assert not either.client.camera
        assert either.client.tracks.keys() == {"stream"}
    # The messages.
    told, expected = mine.vendor.avatar, theirs.vendor.avatar
    assert {frozenset(message) for message in told.messages} == {frozenset(message) for message in expected.messages}
    assert {message["session_id"] for message in told.messages} == {"session-1"}
    assert told.events == [*ANSWER, "response_started", "interrupt", "response_finished", *ANSWER]
    assert expected.events == [*ANSWER, "response_started", "response_finished", "interrupt", *ANSWER, "interrupt"]
    assert (len(mine.somebody.messages), len(theirs.somebody.messages)) == (0, len(expected.messages))
    # The audio.
    first, last = tone(0.5), tone(0.3)
    for avatar in (told, expected):
        assert avatar.speech.startswith(first)
        assert last in avatar.speech[len(first) :]
    assert set(told.speech[told.speech.rindex(last) + len(last) :]) <= {0}
    cut = told.speech[len(first) : told.speech.rindex(last)]
    assert cut == tone(2.0)[: len(cut)]
    # The end.
    assert mine.vendor.controls == theirs.vendor.controls == [{"event": "terminate"}]
