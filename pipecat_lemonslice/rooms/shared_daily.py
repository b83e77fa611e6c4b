"""The user's own Daily room, in which the avatar and the people meet, through the bot's ``DailyTransport``.

Owns who is there, the track ``stream`` on that transport, and that the bot hears people and not the avatar. Uses
public methods and events of the transport alone.
"""

import asyncio
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, cast

from loguru import logger
from pipecat.transports.daily.transport import DailyTransport

from pipecat_lemonslice.errors import ConfigurationError, RoomError, safe_line
from pipecat_lemonslice.rooms import (
    MessageReceived,
    ParticipantJoined,
    ParticipantLeft,
    RoomEvent,
    RoomLost,
)
from pipecat_lemonslice.rooms.daily_call import read_participant
from pipecat_lemonslice.rooms.shared_avatars import Avatars
from pipecat_lemonslice.rooms.shared_room import TRACK, SharedRoom

UNHEARD = {"media": {"microphone": "unsubscribed", "camera": "unsubscribed"}}
CHECKS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between looks at whether the bot hears the avatar after all: the transport subscribes at its own time."""

JOIN_SECONDS = 25.0
"""How long a session waits for the transport to join its room."""

VISIBLE = frozenset({"sendable", "loading", "playable"})
"""States of a camera that can be seen by whoever subscribes to it."""

Entry = Mapping[str, Any]


class _Presence(Enum):
    OUTSIDE = auto()
    INSIDE = auto()
    GONE = auto()


class SharedDaily:
    """The room for as long as the service lives: who is in it, and which of them are avatars."""

    def __init__(self, transport: DailyTransport, avatar_name: str) -> None:
        """Begin to follow a transport that has not joined yet.

        Args:
            transport: The bot's.
            avatar_name: User name that avatars go by.
        """
        self.transport = transport
        self._presence = _Presence.OUTSIDE
        self._error = ""
        self._changed = asyncio.Event()
        self._people: dict[str, Entry] = {}
        self._avatars = Avatars(avatar_name)
        self._cameras: set[str] = set()
        self._room: SharedRoom | None = None
        self._registered = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._handlers = {
            "on_joined": self._on_joined,
            "on_error": self._on_error,
            "on_left": self._on_left,
            "on_call_state_updated": self._on_call_state_updated,
            "on_participant_joined": self._on_participant_joined,
            "on_participant_updated": self._on_participant_updated,
            "on_participant_left": self._on_participant_left,
            "on_app_message": self._on_app_message,
        }
        for event, handler in self._handlers.items():
            transport.add_event_handler(event, handler)  # pyright: ignore[reportUnknownMemberType]

    def is_avatar(self, participant: Entry | str) -> bool:
        """Whether a participant, as in the transport's events or by its id, is an avatar and no person."""
        if isinstance(participant, str):
            return self._avatars.knows(participant)
        return self._avatars.includes(participant)

    def check_open(self) -> None:
        """Refuse to go on when the transport has left its room, which it does not join again.

        Raises:
            ConfigurationError: The transport has left its room.
        """
        if self._presence is _Presence.GONE:
            raise ConfigurationError("transport: it has left its room, so no further session is created")

    async def expect_avatar(self, user_id: str | None) -> None:
        """Wait until the transport has joined, and note who is there before the session is created.

        Args:
            user_id: The id that is in the token of the session's avatar; None if that is not known.

        Raises:
            RoomError: The transport has not joined, or has left the room.
        """
        await self._joined(JOIN_SECONDS)
        self._avatars.expect(user_id, self._people.keys())

    async def open_room(self, speech_sample_rate: int) -> SharedRoom:
        """Return the room for the next session.

        Args:
            speech_sample_rate: Rate in Hz of the speech that will be appended.

        Raises:
            RoomError: The transport has not joined, or has left the room.
        """
        await self._joined(JOIN_SECONDS)
        try:
            async with asyncio.timeout(JOIN_SECONDS):
                await self._register()
        except TimeoutError:
            raise RoomError(f"the transport has not published {TRACK!r} within {JOIN_SECONDS:g} s") from None
        self._room = SharedRoom(self.transport.output(), speech_sample_rate)
        for participant_id, entry in self._people.items():
            self._room.note(ParticipantJoined(self._avatars.recognize(entry)))
            self._room.note_camera(participant_id, visible=_visible(entry))
        return self._room

    def started(self) -> None:
        """Subscribe again: the transport subscribes to earlier participants when the pipeline starts."""
        for participant_id in filter(self._avatars.knows, list(self._people)):
            self._silence(participant_id)

    async def close(self) -> None:
        """Stop following the transport."""
        for event, handler in self._handlers.items():
            self.transport.remove_event_handler(event, handler)  # pyright: ignore[reportUnknownMemberType]
        tasks = [*self._tasks, *self._watches.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Helpers.

    def _silence(self, participant_id: str) -> None:
        """Keep the bot from hearing an avatar, now and later."""
        if _subscribed(self._people.get(participant_id, {}), "camera"):
            self._cameras.add(participant_id)
        watch = self._watches.get(participant_id)
        if watch is None or watch.done():
            self._watches[participant_id] = asyncio.create_task(self._keep_silent(participant_id))

    async def _joined(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while self._presence is _Presence.OUTSIDE:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            why = f" ({self._error})" if self._error else ""
            raise RoomError(f"the transport has not joined its room within {seconds:g} s{why}") from None
        if self._presence is _Presence.GONE:
            raise RoomError("the transport has left its room")

    async def _register(self) -> None:
        if self._registered:
            return
        self._registered = True
        try:
            await self.transport.output().register_audio_destination(TRACK)
        except Exception as error:
            self._registered = False
            said = safe_line(str(error))
            raise RoomError(f"the transport cannot publish the track {TRACK!r} ({said})") from None

    def _hear(self, participant_id: str) -> None:
        """Let the bot hear a person again who was taken for an avatar."""
        if watch := self._watches.pop(participant_id, None):
            watch.cancel()
        camera = {"camera": "subscribed"} if participant_id in self._cameras else {}
        task = asyncio.create_task(self._subscribe(participant_id, {"media": {"microphone": "subscribed", **camera}}))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_silent(self, participant_id: str) -> None:
        await self._subscribe(participant_id, UNHEARD)
        for pause in CHECKS:
            await asyncio.sleep(pause)
            if _subscribed(self._people.get(participant_id, {}), "microphone"):
                await self._subscribe(participant_id, UNHEARD)

    async def _subscribe(self, participant_id: str, settings: Mapping[str, Any]) -> None:
        if self._presence is _Presence.GONE:
            return
        try:
            error = await self.transport.update_subscriptions({participant_id: settings})  # pyright: ignore[reportUnknownMemberType]
        except Exception as failure:
            error = str(failure)
        if error:
            wish = "The bot may hear its avatar" if settings is UNHEARD else "The bot may not hear a person"
            logger.warning(f"{wish}: Daily refused to change a subscription ({safe_line(error)})")

    def _tell(self, event: RoomEvent) -> None:
        if self._room:
            self._room.note(event)

    def _add(self, entry: Entry) -> None:
        participant_id = str(entry["id"])
        new = participant_id not in self._people
        self._people[participant_id] = entry
        for mistaken in self._avatars.add(entry) if new else ():
            self._hear(mistaken)
        if self._avatars.knows(participant_id) and (new or _subscribed(entry, "microphone")):
            self._silence(participant_id)
        if new:
            self._tell(ParticipantJoined(self._avatars.recognize(entry)))
        if self._room:
            self._room.note_camera(participant_id, visible=_visible(entry))

    # The transport's events. Plain functions: they run in the order in which things happened.

    def _on_joined(self, _transport: DailyTransport, data: Any) -> None:
        self._presence = _Presence.INSIDE
        present = cast("dict[str, Entry]", dict(data or {}).get("participants", {}))
        for key, entry in present.items():
            if key != "local":
                self._add(entry)
        self._changed.set()

    def _on_error(self, _transport: DailyTransport, error: Any) -> None:
        """Something failed; not always the call. Only joining and leaving tell where the bot is."""
        self._error = safe_line(str(error))

    def _on_left(self, _transport: DailyTransport) -> None:
        self._presence = _Presence.GONE
        self._changed.set()
        self._tell(RoomLost("the bot has left the room"))

    def _on_call_state_updated(self, transport: DailyTransport, state: str) -> None:
        if state == "left" and self._presence is _Presence.INSIDE:
            self._on_left(transport)

    def _on_participant_joined(self, _transport: DailyTransport, participant: Entry) -> None:
        self._add(participant)

    def _on_participant_updated(self, _transport: DailyTransport, participant: Entry) -> None:
        if participant["id"] in self._people:
            self._add(participant)

    def _on_participant_left(self, _transport: DailyTransport, participant: Entry, reason: str) -> None:
        who = read_participant(participant)
        self._people.pop(who.id, None)
        self._cameras.discard(who.id)
        if watch := self._watches.pop(who.id, None):
            watch.cancel()
        self._tell(ParticipantLeft(who, str(reason)))

    def _on_app_message(self, _transport: DailyTransport, message: Any, sender: str) -> None:
        self._tell(MessageReceived(sender, message))


def _visible(entry: Entry) -> bool:
    return _media(entry, "camera").get("state") in VISIBLE


def _subscribed(entry: Entry, name: str) -> bool:
    return _media(entry, name).get("subscribed") == "subscribed"


def _media(entry: Entry, name: str) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", entry.get("media", {}).get(name) or {})
