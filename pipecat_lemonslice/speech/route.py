"""Where a response is heard: chosen once, when it begins. Pure; time is an argument."""

from dataclasses import dataclass
from enum import Enum, auto


class Route(Enum):
    """Where the response under way is heard."""

    AVATAR = auto()
    """Spoken by the avatar."""

    VOICE = auto()
    """Passed on as TTS audio, to be played by the output transport."""


@dataclass(frozen=True, slots=True)
class ResponseBegan:
    """A response has begun.

    Attributes:
        id: Its number, from 1.
        route: Where it is heard.
    """

    id: int
    route: Route


@dataclass(frozen=True, slots=True)
class WaitedInVain:
    """Speech waited for the avatar as long as it may, and is heard without it.

    Attributes:
        seconds: How long it waited.
    """

    seconds: float


class _Avatar(Enum):
    COMING = auto()
    """Speech waits for it, within bounds."""

    HERE = auto()
    """It speaks from the next response on."""

    AWAY = auto()
    """Speech does not wait for it; it may come back."""


class RouteChooser:
    """Knows whether there is an avatar, and on which route the response under way has been put."""

    def __init__(self, ready_timeout: float) -> None:
        """Create a chooser that waits for an avatar.

        Args:
            ready_timeout: Seconds that speech waits for an avatar that is coming.
        """
        self.ready_timeout = ready_timeout
        self.current: Route | None = None
        """The route of the response under way; None between responses."""
        self._avatar = _Avatar.COMING
        self._waiting_since: float | None = None

    def avatar_here(self) -> None:
        """The avatar speaks from the next response on."""
        self._avatar = _Avatar.HERE

    def avatar_coming(self) -> None:
        """The next response waits for the avatar."""
        self._avatar, self._waiting_since = _Avatar.COMING, None

    def avatar_gone(self) -> None:
        """There is no avatar; a response on its way to it changes over."""
        self._avatar = _Avatar.AWAY
        if self.current is Route.AVATAR:
            self.current = None

    def choose(self, now: float) -> Route | float | None:
        """Return the route of the response that is under way or begins.

        Args:
            now: The time.

        Returns:
            The route; or until when it is to be waited for the avatar; or None if that time is over. The next call
            then returns a route.
        """
        if self.current is None and self._avatar is _Avatar.COMING:
            if self._waiting_since is None:
                self._waiting_since = now
            give_up_at = self._waiting_since + self.ready_timeout
            if now < give_up_at:
                return give_up_at
            self._avatar = _Avatar.AWAY
            return None
        if self.current is None:
            self.current = Route.AVATAR if self._avatar is _Avatar.HERE else Route.VOICE
        return self.current
