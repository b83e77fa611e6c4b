"""One call in Daily: a ``CallClient`` from its making to its release, as coroutines and events.

Knows daily-python and its words; knows nothing of avatars or speech. Requests are made on the event loop and never
wait there; what blocks, leaving and releasing, is done in a thread that is left alone if it takes too long.
"""

import asyncio
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

import daily
from loguru import logger
from pipecat.utils.errors import ErrorCategory

from pipecat_lemonslice.errors import RoomError, safe_line
from pipecat_lemonslice.rooms import (
    AvatarClaim,
    MessageReceived,
    Participant,
    ParticipantJoined,
    ParticipantLeft,
    RoomEvent,
    RoomLost,
)
from pipecat_lemonslice.rooms.daily_native import LoopBridge, in_thread

LEAVE_SECONDS = 1.0
"""How long leaving may take before the call is released anyway."""

RELEASE_SECONDS = 2.0
"""How long the end of a call is waited for. A release during a join takes until the join has failed, 20 s or so."""

MEDIA = ("camera", "microphone", "screenVideo", "screenAudio")
NOTHING = {
    **dict.fromkeys(MEDIA, "unsubscribed"),
    "customAudio": {"*": "unsubscribed"},
    "customVideo": {"*": "unsubscribed"},
}

Completion = Callable[..., None]


class Events(daily.EventHandler):
    """Turns daily-python's events into room events, on the event loop."""

    def __init__(self, bridge: LoopBridge, note: Callable[[RoomEvent], None]) -> None:
        """Create a handler.

        Args:
            bridge: Runs callbacks on the event loop.
            note: Called there with every event.
        """
        super().__init__()
        self._bridge = bridge
        self._note: Callable[[RoomEvent], None] | None = note
        self._last_error = ""

    def __new__(cls, bridge: LoopBridge, note: Callable[[RoomEvent], None]) -> "Events":
        """Keep the arguments from the native base, which takes none."""
        return super().__new__(cls)

    def mute(self) -> None:
        """Pass no more events on."""
        self._note = None

    def on_participant_joined(self, participant: Mapping[str, Any]) -> None:
        """A participant is in the room."""
        self._tell(ParticipantJoined(read_participant(participant)))

    def on_participant_left(self, participant: Mapping[str, Any], reason: str) -> None:
        """A participant has left."""
        self._tell(ParticipantLeft(read_participant(participant), str(reason)))

    def on_app_message(self, message: Any, sender: str) -> None:
        """An app message has come."""
        self._tell(MessageReceived(sender, message))

    def on_error(self, message: str) -> None:
        """Something failed. Not always the call: only its state tells whether that is over."""
        if not message.startswith("Error handling "):
            self._last_error = message
        self._bridge.call(logger.debug, f"Daily: {safe_line(message)}")

    def on_call_state_updated(self, state: str) -> None:
        """The call is over, whoever ended it."""
        if state in ("leaving", "left"):
            why = safe_line(self._last_error)
            self._tell(RoomLost(f"the bot is no longer in the room{f' ({why})' if why else ''}"))

    def on_network_connection_status_updated(self, status: Mapping[str, Any]) -> None:
        """Daily reconnects by itself, and ends the call if it cannot."""
        self._bridge.call(logger.debug, f"Daily: {status.get('connection')} {status.get('event')}")

    def _tell(self, event: RoomEvent) -> None:
        self._bridge.call(self._pass, event)

    def _pass(self, event: RoomEvent) -> None:
        if self._note:
            self._note(event)


class DailyCall:
    """A call. :meth:`join` it once, :meth:`end` it once."""

    def __init__(self, bridge: LoopBridge, note: Callable[[RoomEvent], None]) -> None:
        """Create a call that has not been joined."""
        self._bridge = bridge
        self._events = Events(bridge, note)
        self.client = daily.CallClient(event_handler=self._events)

    async def join(
        self, url: str, token: str | None, initial_receive_bitrate: int, avatar_since: float | None
    ) -> list[Participant]:
        """Join a room with camera and microphone off and nothing subscribed.

        Args:
            url: Address of the room.
            token: The bot's own; None for an open room.
            initial_receive_bitrate: What the room may begin to send, in bits per second.
            avatar_since: Time of the loop before which the avatar cannot have joined; None where it can.

        Returns:
            Who else is there; the names of those who joined before that time do not count.

        Raises:
            RoomError: Says why.
        """
        await self.ask(lambda done: self.client.update_subscription_profiles({"base": NOTHING}, completion=done))
        self.client.set_user_name("Pipecat")
        settings = {
            "inputs": {"camera": False, "microphone": False},
            "publishing": {"camera": False, "microphone": False},
            "connection": {"initialReceiveBitrate": initial_receive_bitrate},
        }
        try:
            data = await self.ask(lambda done: self.client.join(url, token, settings, completion=done))
        except RoomError as refusal:
            error = join_error(str(refusal), token)
        else:
            present = cast("dict[str, dict[str, Any]]", dict(data or {}).get("participants", {}))
            seconds = None if avatar_since is None else asyncio.get_running_loop().time() - avatar_since
            return _read_present(present, seconds)
        raise error

    async def ask(self, request: Callable[[Completion], None]) -> Any:
        """Make a request and wait for its answer.

        Args:
            request: Makes it, with the completion that it is given.

        Raises:
            RoomError: With daily-python's own words.
        """
        answer, done = self._bridge.future()
        request(done)
        *data, error = await answer
        if error:
            raise RoomError(str(error))
        return data[0] if data else None

    async def end(self) -> None:
        """Leave and release, in bounded time; never raises."""
        self._events.mute()
        client = self.client
        del self.client  # breaks a reference cycle: the native client holds callbacks that hold this
        ended = in_thread(lambda: _leave(client), self._bridge, "lemonslice-daily-leave")
        done, _ = await asyncio.wait({ended}, timeout=RELEASE_SECONDS)
        if not done:
            logger.warning("Leaving the Daily room takes long; it goes on in the background")


def _leave(client: daily.CallClient) -> None:
    left = threading.Event()
    with suppress(Exception):
        client.leave(completion=lambda _error: left.set())
        left.wait(LEAVE_SECONDS)
    with suppress(Exception):
        client.release()


def read_participant(entry: Mapping[str, Any]) -> Participant:
    """Understand one entry of Daily's participants."""
    return Participant(str(entry["id"]), str(entry.get("info", {}).get("userName", "")))


STAMP_SECONDS = 1.0
"""By how much the difference of two of Daily's times may be wrong, which are whole seconds."""


def _read_present(entries: Mapping[str, Mapping[str, Any]], seconds: float | None) -> list[Participant]:
    """Understand who is there when the bot has joined, some seconds after the first moment for the avatar to join.

    Both times are Daily's own, so that it does not matter how this machine's clock is set.
    """
    own = _joined_at(entries.get("local", {}))
    present: list[Participant] = []
    for key, entry in entries.items():
        if key == "local":
            continue
        who, joined = read_participant(entry), _joined_at(entry)
        if seconds is not None and own and joined and own - joined > seconds + STAMP_SECONDS:
            who = replace(who, claim=AvatarClaim.NONE)
        present.append(who)
    return present


def _joined_at(entry: Mapping[str, Any]) -> float | None:
    """When somebody joined, in seconds; None if Daily does not say. It has been a number and a text."""
    stamp = entry.get("info", {}).get("joinedAt")
    with suppress(TypeError, ValueError):
        return float(stamp)
    with suppress(TypeError, ValueError):
        return datetime.fromisoformat(stamp).timestamp()
    return None


_AUTHENTICATION, _REQUEST = ErrorCategory.AUTHENTICATION, ErrorCategory.INVALID_REQUEST
_JOIN_ERRORS = (
    (r"NotYetAvailable|nbf", _REQUEST, "it is not open yet"),
    (r"NoLongerAvailable|expired|\bexp-", _REQUEST, "it, or the token for it, has expired"),
    (r"no-room|not.?found|does not exist", _REQUEST, "there is no such room"),
    (r"unauthori[sz]ed|not.?allowed|token|forbidden", _AUTHENTICATION, "it does not let the bot in; check bot_token"),
    (r"\bfull\b|meeting-full", ErrorCategory.QUOTA, "it is full"),
    (r"meeting URL|invalid.?url|relative URL", _REQUEST, "its address is wrong"),
    (
        r"Connect|lookup address|timed? ?out|dns",
        ErrorCategory.CONNECTIVITY,
        "Daily cannot be reached; check the network",
    ),
)


def join_error(said: str, token: str | None) -> RoomError:
    """Return the error that says why a room could not be joined.

    Args:
        said: daily-python's words; not a stable interface, so they are always shown, too.
        token: What must not be shown.
    """
    words = safe_line(said, token)
    for pattern, category, meaning in _JOIN_ERRORS:
        if re.search(pattern, words, re.IGNORECASE):
            return RoomError(f"the room could not be joined: {meaning} (Daily says: {words})", category)
    return RoomError(f"the room could not be joined (Daily says: {words})")
