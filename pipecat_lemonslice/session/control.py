"""Control requests of the application while the call runs: settings, pictures and actions, one after the other.

Without a session they are kept for the next one: its request has the newest settings, and each action is performed
once.
"""

import asyncio
from collections.abc import Awaitable, Callable

from loguru import logger
from pipecat.services.settings import ServiceSettings

from pipecat_lemonslice.api import PoseTrigger, ResetIdleTimeout
from pipecat_lemonslice.errors import LemonSliceError, origin
from pipecat_lemonslice.session.events import ControlFailed, SessionEvent, SessionState
from pipecat_lemonslice.session.session import AvatarSession
from pipecat_lemonslice.settings import control_events, session_settings

MAX_REQUESTS = 100
"""Control requests that wait or are under way. Further ones are refused, with one ErrorFrame until there is room."""

MAX_KEPT_ACTIONS = 20
"""Different actions that wait for a session."""


class ControlRequests:
    """A queue of control requests, which :meth:`run` sends."""

    def __init__(
        self, session: AvatarSession, settings: Callable[[], ServiceSettings], emit: Callable[[SessionEvent], None]
    ) -> None:
        """Create an empty queue.

        Args:
            session: The session that gets them.
            settings: Gives the settings as they are now.
            emit: Takes the events; must not block.
        """
        self._session = session
        self._settings = settings
        self._emit = emit
        self._told = session_settings(settings())
        self._kept: dict[str, None] = {}
        self._waiting: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue(MAX_REQUESTS - 1)
        self._full = False

    def session_requested(self) -> None:
        """Note that a session is being created with the settings as they are now."""
        self._told = session_settings(self._settings())

    def session_created(self) -> None:
        """Send the new session what has changed since it was asked for, and the actions kept for it."""
        self.send_settings()
        actions, self._kept = self._kept, {}
        for action in actions:
            self.perform(action)

    def session_refused(self) -> None:
        """Drop what was kept: there will be no session."""
        self._kept.clear()

    def send_settings(self) -> None:
        """Tell the session what has changed in the settings. Without one, the next request says it."""
        if self._session.session_id:
            self.add(self.tell_settings)

    def keep_alive(self) -> None:
        """Reset the idle timeout of the session, if there is one."""
        if self._session.session_id:
            self.add(lambda: self._session.control(ResetIdleTimeout()))

    def perform(self, action: str) -> None:
        """Have the avatar perform an action; without a session, each action is kept once for the next one."""
        if self._session.session_id:
            self.add(lambda: self._perform(action))
        elif self._session.state is SessionState.FAILED or len(self._kept) >= MAX_KEPT_ACTIONS:
            logger.debug(f"The action {action[:40]!r} is dropped: there is no session that could perform it")
        else:
            self._kept[action] = None

    async def run(self) -> None:
        """Send what waits until cancelled. A failure is reported, and the next request is sent."""
        while True:
            request = await self._waiting.get()
            self._full = False
            try:
                await request()
            except LemonSliceError as error:
                self._emit(ControlFailed(str(error)))
            except Exception as error:
                logger.error(f"Failed unexpectedly: {origin(error)}. Please report this.")
                self._emit(ControlFailed(f"unexpected {type(error).__name__}"))

    def add(self, request: Callable[[], Awaitable[None]]) -> None:
        """Queue a request."""
        try:
            self._waiting.put_nowait(request)
        except asyncio.QueueFull:
            if not self._full:
                self._full = True
                reason = f"{MAX_REQUESTS} requests wait for an answer, so further ones are dropped"
                self._emit(ControlFailed(reason))

    async def _perform(self, action: str) -> None:
        if self._session.session_id:
            await self._session.control(PoseTrigger(action))
        else:  # the session has been lost meanwhile
            self.perform(action)

    async def tell_settings(self) -> None:
        """Tell the session what has changed in the settings, in its turn."""
        if self._session.session_id is None:
            return
        settings = self._settings()
        events = control_events(settings, self._told)
        self._told = session_settings(settings)
        for event in events:
            await self._session.control(event)
