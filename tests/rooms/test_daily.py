"""What is particular to the avatar's own Daily room, on the stand-in."""

import asyncio
import time

import pytest
from pipecat.utils.errors import ErrorCategory

from pipecat_lemonslice.errors import ConfigurationError, RoomError
from pipecat_lemonslice.rooms import Participant, ParticipantJoined, RoomLost, RoomOptions, open_room
from pipecat_lemonslice.rooms._daily_call import join_error
from pipecat_lemonslice.rooms._native import LoopBridge
from pipecat_lemonslice.rooms.daily import MAX_REFUSED_MESSAGES, DailyRoom
from tests.fidelity.installed import URL, Native
from tests.fidelity.rooms import AvatarPerson
from tests.rooms.places import Reader
from tests.support.waiting import until

OPTIONS = RoomOptions(24000, 16000, timeout=5.0)


async def test_the_bot_joins_silent_with_nothing_subscribed(native: Native) -> None:
    """Camera and microphone off, everything unsubscribed, a receive bitrate for a sharp picture, the track `stream`."""
    room = await DailyRoom.join(URL, OPTIONS)
    [client] = native.clients
    settings = client.join_arguments[2]
    assert settings["inputs"] == settings["publishing"] == {"camera": False, "microphone": False}
    assert settings["connection"]["initialReceiveBitrate"] > 1_000_000
    base = client.subscription_profiles()["base"]
    assert {base[media] for media in ("camera", "microphone", "screenVideo", "screenAudio")} == {"unsubscribed"}
    assert client.custom_tracks == {"stream": (24000, 1, True)}
    assert client.publishing_settings == [{"customAudio": {"stream": True}}]
    assert client.name == "Pipecat"
    await room.close()


async def test_watching_somebody_else_unsubscribes_from_the_first(native: Native) -> None:
    """Only the one who is watched now is subscribed to."""
    avatars = [AvatarPerson(native.world, URL) for _ in range(2)]
    for avatar in avatars:
        avatar.arrive()
    room = await DailyRoom.join(URL, OPTIONS)
    met = [await room.next_event() for _ in avatars]
    for event in met:
        assert isinstance(event, ParticipantJoined)
        room.watch(event.participant)
    first, second = [event.participant.id for event in met if isinstance(event, ParticipantJoined)]
    subscriptions = native.clients[0].subscriptions()
    assert subscriptions[first] == {"camera": "unsubscribed", "microphone": "unsubscribed"}
    assert subscriptions[second] == {"camera": "subscribed", "microphone": "subscribed"}
    await room.close()


async def test_a_participant_id_that_would_abort_the_process_is_refused(native: Native) -> None:
    """Ids that are no UUIDs never reach daily-python."""
    room = await DailyRoom.join(URL, OPTIONS)
    with pytest.raises(ValueError, match="UUID"):
        room.watch(Participant("nobody", "LemonSlice"))
    await room.close()


async def test_a_join_that_hangs_is_given_up_in_time_and_left_to_itself(native: Native) -> None:
    """RoomError after the timeout; the release, which blocks until the join has failed, holds nothing up."""
    native.room().refusal, native.room().hangs = "Connect", 1.0
    started = time.monotonic()
    with pytest.raises(RoomError, match=r"within 0.2 s"):
        await DailyRoom.join(URL, RoomOptions(24000, 24000, timeout=0.2))
    assert time.monotonic() - started < 0.8
    await until(lambda: native.clients[0].released)


async def test_a_cancelled_join_releases_the_call(native: Native) -> None:
    """Cancelling in mid-join leaves nobody in the room."""
    native.room().latency = 0.1
    joining = asyncio.create_task(DailyRoom.join(URL, OPTIONS))
    await asyncio.sleep(0.05)
    joining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joining
    await until(lambda: native.clients[0].released)
    assert native.room().members == {}


async def test_a_failed_request_does_not_lose_the_room(native: Native) -> None:
    """daily-python reports every failed request with `on_error`; only the call's state says that it is over."""
    room = await DailyRoom.join(URL, OPTIONS)
    native.world.later(lambda: native.clients[0].emit("on_error", "Error handling sendAppMessage: Signalling"))
    native.world.later(lambda: native.clients[0].emit("on_error", "Something"))
    room.append(bytes(480))
    await until(lambda: room.played == 240)
    avatar = AvatarPerson(native.world, URL)
    avatar.arrive()
    assert isinstance(await asyncio.wait_for(room.next_event(), 2), ParticipantJoined)
    await room.close()


async def test_a_rate_that_cannot_be_paced_is_refused(native: Native) -> None:
    """10 ms at 22050 Hz are no whole number of samples: refused before anything is joined."""
    with pytest.raises(ConfigurationError, match="22050"):
        await open_room(URL, RoomOptions(22050, 24000))
    assert native.clients == []


def test_a_closed_loop_is_of_no_consequence_to_native_threads() -> None:
    """Callbacks that come after the loop has gone are dropped."""

    async def make() -> LoopBridge:
        return LoopBridge()

    asyncio.run(make()).call(print, "never")


@pytest.mark.parametrize(
    ("said", "meaning", "category"),
    [
        ("Connection(Api(RoomLookup(RoomInfoFetchFailed(Get(Error(Connect, dns))))))", "network", "CONNECTIVITY"),
        ("Connection(Api(RoomLookup(RoomInfoError(Unauthorized))))", "bot_token", "AUTHENTICATION"),
        ("Connection(Api(RoomLookup(RoomInfoError(NoLongerAvailable))))", "expired", "INVALID_REQUEST"),
        ("Connection(Api(RoomLookup(RoomInfoError(NotYetAvailable))))", "not open yet", "INVALID_REQUEST"),
        ("no-room", "no such room", "INVALID_REQUEST"),
        ("something new", "something new", "CONNECTIVITY"),
    ],
)
def test_a_failed_join_says_why(said: str, meaning: str, category: str) -> None:
    """daily-python's words are translated where they are known, and always shown, without secrets."""
    error = join_error(f"{said} secret-token", "secret-token")
    assert meaning in str(error)
    assert said.split("(")[0] in str(error)
    assert "secret-token" not in str(error)
    assert error.category is ErrorCategory[category]


async def test_a_room_that_takes_no_messages_is_given_up(native: Native) -> None:
    """After three in a row; one that gets lost is no reason."""
    room, listener = await DailyRoom.join(URL, OPTIONS), AvatarPerson(native.world, URL)
    listener.join()
    joined = await room.next_event()
    assert isinstance(joined, ParticipantJoined)
    room.watch(joined.participant)
    reader = Reader(room)
    lost = RoomLost("the room takes no more messages")
    refusals = native.room().message_refusals
    for _ in range(2):
        refusals += ["AppMessage(TooLarge)"] * (MAX_REFUSED_MESSAGES - 1)
        for number in range(MAX_REFUSED_MESSAGES):
            room.send({"number": number})
        await until(lambda: not native.room().message_refusals)
    await until(lambda: len(listener.messages) == 2)
    assert lost not in reader.events
    refusals += ["AppMessage(Signalling(ChannelNotOpen))"] * MAX_REFUSED_MESSAGES
    for number in range(MAX_REFUSED_MESSAGES):
        room.send({"number": number})
    await until(lambda: lost in reader.events)
    await room.close()
    await reader.end()
