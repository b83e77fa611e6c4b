"""What has happened in a room and has not been looked at yet."""

from pipecat_lemonslice.rooms import MessageReceived, PictureReceived, RoomLost, VoiceReceived
from pipecat_lemonslice.rooms.inbox import MAX_EVENTS, RoomInbox
from tests.support.virtual_time import virtual_time

RATE = 24000


def voice(number: int) -> VoiceReceived:
    return VoiceReceived(number.to_bytes(4, "little"), RATE)


def picture(number: int) -> PictureReceived:
    return PictureReceived(bytes([number]), 1, 1)


@virtual_time
async def test_events_come_in_order_with_the_newest_picture_behind_them() -> None:
    """Old pictures are gone, and the loss of the room comes last, for ever."""
    inbox, message = RoomInbox(), MessageReceived("a", "hello")
    for event in (picture(1), voice(1), picture(2), message, RoomLost("gone"), voice(2)):
        inbox.put(event)
    assert [await inbox.get() for _ in range(5)] == [voice(1), message, picture(2), RoomLost("gone"), RoomLost("gone")]


@virtual_time
async def test_a_reader_that_is_stuck_does_not_make_it_grow() -> None:
    """The oldest voice makes way; what is said and who comes and goes does not, while there is any voice."""
    inbox, message = RoomInbox(), MessageReceived("a", "hello")
    inbox.put(message)
    for number in range(MAX_EVENTS + 10):
        inbox.put(voice(number))
    events = [await inbox.get() for _ in range(MAX_EVENTS)]
    assert events == [message, *(voice(number) for number in range(11, MAX_EVENTS + 10))]


@virtual_time
async def test_messages_without_end_do_not_make_it_grow() -> None:
    """Where there is no voice, the oldest event makes way."""
    inbox = RoomInbox()
    for number in range(MAX_EVENTS + 10):
        inbox.put(MessageReceived("a", number))
    inbox.put(RoomLost("gone"))
    events = [await inbox.get() for _ in range(MAX_EVENTS + 1)]
    assert events == [*(MessageReceived("a", number) for number in range(10, MAX_EVENTS + 10)), RoomLost("gone")]
