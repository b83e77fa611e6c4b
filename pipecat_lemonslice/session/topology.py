"""Where bot and avatar meet: in a room of the avatar's own, or in the room of the bot's transport."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from uuid import uuid4

from pipecat.services.settings import ServiceSettings

from pipecat_lemonslice.api import CreateSessionRequest
from pipecat_lemonslice.errors import ConfigurationError
from pipecat_lemonslice.rooms import PictureSink, Room, RoomOptions, VoiceSink, open_room
from pipecat_lemonslice.settings import Config

if TYPE_CHECKING:
    from pipecat.transports.daily.transport import DailyTransport


JoinRoom: TypeAlias = Callable[[str, RoomOptions], Awaitable[Room]]


class Topology(Protocol):
    """The room of all sessions of a service: how it is requested and joined."""

    @property
    def shared(self) -> bool:
        """Whether people have the avatar straight from the room."""
        ...

    @property
    def config(self) -> Config:
        """The configuration, with the room if it is known before the session."""
        ...

    def speech_rate(self, pipeline_rate: int) -> int:
        """Return the rate in Hz of the speech that the room takes."""
        ...

    async def request(self, settings: ServiceSettings) -> CreateSessionRequest:
        """Return the request for the session that is about to be created."""
        ...

    async def open_room(self, url: str, pipeline_rate: int, on_voice: VoiceSink, on_picture: PictureSink) -> Room:
        """Join the room of a session.

        Args:
            url: Its address.
            pipeline_rate: Rate in Hz of what the output transport plays.
            on_voice: Takes the avatar's voice, where the bot brings it to the user.
            on_picture: Takes its pictures, likewise.
        """
        ...

    def is_avatar(self, participant: Mapping[str, Any] | str) -> bool:
        """Whether a participant of the transport's room is an avatar."""
        ...

    def started(self) -> None:
        """Take note that the pipeline has started."""
        ...

    async def close(self) -> None:
        """Release everything."""
        ...


class Relay:
    """Each session has a room of its own; the service brings the avatar's voice and picture to the user."""

    shared = False

    def __init__(self, config: Config, join: JoinRoom = open_room) -> None:
        """Create it for what sessions are asked for.

        Args:
            config: What that is.
            join: Joins a room.
        """
        self.config = config
        self._join = join
        self._asked_at = 0.0

    def speech_rate(self, pipeline_rate: int) -> int:
        """As the session was asked for."""
        return self.config.audio_sample_rate

    async def request(self, settings: ServiceSettings) -> CreateSessionRequest:
        """As configured."""
        self._asked_at = asyncio.get_running_loop().time()
        return self.config.request(settings)

    async def open_room(self, url: str, pipeline_rate: int, on_voice: VoiceSink, on_picture: PictureSink) -> Room:
        """Join it. In a room that was given, participants may be older than the session, whatever their names."""
        options = RoomOptions(
            speech_sample_rate=self.speech_rate(pipeline_rate),
            voice_sample_rate=pipeline_rate,
            avatar_name=self.config.avatar_name,
            token=self.config.bot_token,
            avatar_since=self._asked_at if self.config.daily_room_url else None,
            on_voice=on_voice,
            on_picture=on_picture,
        )
        return await self._join(url, options)

    def is_avatar(self, participant: Mapping[str, Any] | str) -> bool:
        """Return False: the avatar is not in the transport's room."""
        return False

    def started(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


class SharedTransport:
    """All sessions are in the room of the bot's own ``DailyTransport``."""

    shared = True

    def __init__(self, transport: "DailyTransport", config: Config) -> None:
        """Check the transport, and begin to follow it.

        Raises:
            ConfigurationError: It cannot carry an avatar; says which line to write.
        """
        from pipecat_lemonslice.rooms.shared_daily import SharedDaily
        from pipecat_lemonslice.rooms.shared_setup import check_params, check_transport

        check_transport(transport)
        check_params(transport, tts_audio=config.fallback == "voice")
        if config.bot_token is not None:
            raise ConfigurationError("bot_token: leave it out, the transport has a token of its own")
        if config.daily_room_url not in (None, transport.room_url):
            raise ConfigurationError("daily_room_url: leave it out, the avatar joins the room of the transport")
        self.config = replace(config, daily_room_url=transport.room_url)
        self._transport = transport
        self._room = SharedDaily(transport, config.avatar_name)

    def speech_rate(self, pipeline_rate: int) -> int:
        """That of the transport's track; WebRTC makes of it what the avatar wants."""
        from pipecat_lemonslice.rooms.shared_setup import track_sample_rate

        return track_sample_rate(self._transport, pipeline_rate)

    async def request(self, settings: ServiceSettings) -> CreateSessionRequest:
        """With the transport's room, and a token for it where one is given or can be minted.

        Waits until the bot is in that room: who is there before the avatar can be is known then, and no session runs
        for a room in which there is no bot.
        """
        from pipecat_lemonslice.rooms.shared_setup import mint_token

        self._room.check_open()
        url, token, user_id = self._transport.room_url, self.config.daily_token, None
        if token is None:
            user_id = str(uuid4())
            token = await mint_token(url, self.config.avatar_name, user_id)
        await self._room.expect_avatar(user_id if token else None)
        return self.config.request(settings, room=self.config.properties(url, token))

    async def open_room(self, url: str, pipeline_rate: int, on_voice: VoiceSink, on_picture: PictureSink) -> Room:
        """The transport joins it, whatever the session says. People have the avatar from there."""
        return await self._room.open_room(self.speech_rate(pipeline_rate))

    def is_avatar(self, participant: Mapping[str, Any] | str) -> bool:
        """Whether it is the avatar of this session or of an earlier one."""
        return self._room.is_avatar(participant)

    def started(self) -> None:
        """The transport subscribes to who was there before; not to the avatar."""
        self._room.started()

    async def close(self) -> None:
        """Stop following the transport."""
        await self._room.close()
