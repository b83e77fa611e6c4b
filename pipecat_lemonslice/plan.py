"""How an avatar is to be had: made of the service's keywords, and turned into what the parts need to know."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from pipecat.services.settings import ServiceSettings

from pipecat_lemonslice.attendance import AttendanceTimeouts
from pipecat_lemonslice.avatar import AvatarOptions, Fallback
from pipecat_lemonslice.errors import ConfigurationError
from pipecat_lemonslice.lifecycle import SessionOptions
from pipecat_lemonslice.rooms import Room, RoomOptions
from pipecat_lemonslice.settings import setting_names, timeouts
from pipecat_lemonslice.still import StillPicture
from pipecat_lemonslice.venue import Venue
from pipecat_lemonslice.visit import VisitOptions

BASE_KEYWORDS = frozenset({"name", "enable_direct_mode", "metrics"})
"""Keywords of Pipecat's own base class that are passed on to it."""


@dataclass(frozen=True)
class AvatarPlan:
    """See the module.

    Parameters:
        venue: Where bot and avatar meet.
        avatar_name: The user name with which the avatar joins.
        bot_token: The bot's own token for the room.
        fallback: What becomes of speech without an avatar.
        keep_alive: Whether a quiet call is kept from ending.
    """

    venue: Venue
    avatar_name: str
    bot_token: str | None = field(repr=False)
    fallback: Fallback
    keep_alive: bool

    def options(
        self,
        settings: Callable[[], ServiceSettings],
        *,
        open_room: Callable[[str], Awaitable[Room]],
        pipeline_rate: int,
        pipeline_time: Callable[[], int],
    ) -> AvatarOptions:
        """Return what an avatar needs to know.

        Args:
            settings: Gives the settings as they are now.
            open_room: Joins the room of a session.
            pipeline_rate: Rate in Hz of what the output transport plays.
            pipeline_time: The pipeline clock, in nanoseconds.
        """
        return AvatarOptions(
            SessionOptions(lambda: self.venue.request(settings()), open_room, lambda: self._visit(settings())),
            settings,
            timeouts(settings()),
            sample_rate=self.venue.speech_rate(pipeline_rate),
            fallback=self.fallback,
            pipeline_time=pipeline_time,
            shared=self.venue.shared,
            still=self._still(settings),
        )

    async def open_room(self, url: str, pipeline_rate: int) -> Room:
        """Join the room of a session."""
        options = RoomOptions(
            speech_sample_rate=self.venue.speech_rate(pipeline_rate),
            voice_sample_rate=pipeline_rate,
            avatar_name=self.avatar_name,
            token=self.bot_token,
        )
        return await self.venue.open_room(url, options)

    def _visit(self, settings: ServiceSettings) -> VisitOptions:
        idle_timeout, given = self.venue.config.idle_timeout, timeouts(settings)
        return VisitOptions(
            self.avatar_name,
            keep_alive_after=idle_timeout / 3 if self.keep_alive and idle_timeout > 0 else None,
            idle_timeout=idle_timeout if idle_timeout > 0 else None,
            timeouts=AttendanceTimeouts(given.join, given.first_frame, given.frozen),
            voice_timeout=None if self.venue.shared else given.mute,
        )

    def _still(self, settings: Callable[[], ServiceSettings]) -> StillPicture | None:
        if self.venue.shared or self.fallback != "voice":
            return None
        config = self.venue.config
        return StillPicture(lambda: config.picture(settings()), config.aspect_ratio)


def check_keywords(
    given: Iterable[str], *, fallback: object, keep_alive: object, avatar_name: object, bot_token: object
) -> None:
    """Refuse settings that were given as keywords, keywords that nobody takes, and values that cannot be meant.

    Args:
        given: Keywords that the service does not know.
        fallback: As given, and so the others.
        keep_alive: A truth value.
        avatar_name: A text.
        bot_token: A text, or None.

    Raises:
        ConfigurationError: A setting, or a value; names the remedy.
        TypeError: There is no such keyword.
    """
    for name in sorted(set(given) - BASE_KEYWORDS):
        if name in setting_names().split(", "):
            raise ConfigurationError(f"{name} belongs in settings=LemonSliceVideoService.Settings({name}=…).")
        raise TypeError(f"LemonSliceVideoService.__init__() got an unexpected keyword argument {name!r}")
    if fallback not in ("voice", "silent", "fatal"):
        raise ConfigurationError(f"fallback must be 'voice', 'silent' or 'fatal', not {fallback!r}")
    if not isinstance(keep_alive, bool):
        raise ConfigurationError(f"keep_alive must be True or False, not of type {type(keep_alive).__name__}")
    if not isinstance(avatar_name, str) or not avatar_name.strip():
        raise ConfigurationError("avatar_name must be the user name with which the avatar joins")
    if bot_token is not None and (not isinstance(bot_token, str) or not bot_token):
        raise ConfigurationError("bot_token must be the bot's token for the room, a text, or left out")
