"""What has happened in a room and has not been looked at yet."""

from pipecat_lemonslice.rooms import MessageReceived, RoomLost
from pipecat_lemonslice.rooms.inbox import MAX_EVENTS, RoomInbox
from tests.support.virtual_time import virtual_time


@virtual_time
async def test_events_come_in_order_and_the_loss_of_the_room_last() -> None:
    """Whatever follows the loss is dropped, and the loss is told again and again."""
    inbox, message = RoomInbox(), MessageReceived("a", "hello")
    for event in (message, RoomLost("gone"), message):
        inbox.put(event)
    assert [await inbox.get() for _ in range(3)] == [message, RoomLost("gone"), RoomLost("gone")]


@virtual_time
async def test_a_reader_that_is_stuck_does_not_make_it_grow() -> None:
    """The oldest events make way."""
    inbox = RoomInbox()
    for number in range(MAX_EVENTS + 10):
        inbox.put(MessageReceived("a", number))
    inbox.put(RoomLost("gone"))
    events = [await inbox.get() for _ in range(MAX_EVENTS + 1)]
    assert events == [*(MessageReceived("a", number) for number in range(10, MAX_EVENTS + 10)), RoomLost("gone")]
