"""Where a response is heard: chosen once, when it begins. Pure; the time is an argument."""

from enum import Enum, auto

from pipecat_lemonslice.stream import AvatarLink


class Route(Enum):
    """Where the response under way is heard."""

    AVATAR = auto()
    """Spoken by the avatar."""

    VOICE = auto()
    """Passed through, to be played by the output transport."""


class _Avatar(Enum):
    COMING = auto()
    """Speech waits for it, within bounds."""

    HERE = auto()
    """It speaks."""

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
        self.link: AvatarLink | None = None
        """The way to the avatar while there is one."""
        self._avatar = _Avatar.COMING
        self._waiting_since: float | None = None

    def avatar_here(self, link: AvatarLink) -> None:
        """The avatar speaks from the next response on."""
        self._avatar, self.link = _Avatar.HERE, link

    def avatar_gone(self) -> None:
        """There is no avatar; a response on its way to it must change over."""
        self._avatar, self.link = _Avatar.AWAY, None
        if self.current is Route.AVATAR:
            self.current = None

    def avatar_coming(self) -> None:
        """The avatar will be here soon, or will be called by the next speech, which waits for it."""
        self._avatar, self._waiting_since = _Avatar.COMING, None

    def choose(self) -> Route | None:
        """Return the route of the response under way, or of the one that begins; None to wait for the avatar."""
        if self.current is None and self._avatar is not _Avatar.COMING:
            self.current = Route.AVATAR if self._avatar is _Avatar.HERE else Route.VOICE
        return self.current

    def give_up_at(self, now: float) -> float:
        """Return until when speech that begins to wait now, or began before, waits for the avatar."""
        if self._waiting_since is None:
            self._waiting_since = now
        return self._waiting_since + self.ready_timeout

    def give_up(self) -> None:
        """Wait no more."""
        if self._avatar is _Avatar.COMING:
            self._avatar = _Avatar.AWAY
