"""Control requests of the application while the call runs: settings, pictures and actions, one after the other.

A running session is told the newest value of each setting. One that LemonSlice does not take is set back to what the
session was told before, so that the request for the next session does not carry it either. A new picture cuts the
avatar's voice: it waits until the avatar is silent. Without an avatar everything is kept for the next one: its request
has the newest settings, and each action is performed once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from loguru import logger
from pipecat.services.settings import ServiceSettings

from pipecat_lemonslice.api import PoseTrigger, ResetIdleTimeout
from pipecat_lemonslice.errors import LemonSliceError, SessionError, origin
from pipecat_lemonslice.media.playback import Playback
from pipecat_lemonslice.session.events import ControlFailed, SessionEvent, SessionState
from pipecat_lemonslice.session.session import AvatarSession
from pipecat_lemonslice.settings import PICTURE, SESSION_SETTINGS, Config, LemonSliceVideoSettings, control_event

T = TypeVar("T")

MAX_REQUESTS = 100
"""Control requests that wait or are under way. Further ones are refused, with one ErrorFrame until there is room."""

LOOK_SECONDS = 0.05
"""Time between two looks whether the avatar is silent, while a picture waits for that."""

MAX_KEPT_ACTIONS = 20
"""Different actions that wait for an avatar."""


class Outcome(Enum):
    """What has become of a control request that has not failed."""

    DONE = "done"
    """LemonSlice has taken it."""

    KEPT = "kept"
    """There is no avatar now; it is kept for the next one."""

    REPLACED = "replaced"
    """A newer change of the same setting has taken its place."""

    DROPPED = "dropped"
    """There will be no avatar in this call."""

    TOO_MANY = "too many"
    """It is dropped, because ``MAX_KEPT_ACTIONS`` others wait for the avatar."""


@dataclass(slots=True)
class _Change:
    """A change of settings whose outcome is not known yet.

    Attributes:
        wanted: The settings of a session that it set.
        outcome: What becomes of it.
    """

    wanted: dict[str, Any]
    outcome: asyncio.Future[Outcome]


@dataclass(slots=True)
class _Request:
    """What waits in the queue.

    Attributes:
        send: Sends it.
        outcome: What becomes of it.
    """

    send: Callable[[], Awaitable[Any]]
    outcome: asyncio.Future[Any]


class ControlRequests:
    """A queue of control requests, which :meth:`run` sends."""

    def __init__(
        self,
        session: AvatarSession,
        config: Config,
        settings: ServiceSettings,
        playback: Playback,
        emit: Callable[[SessionEvent], None],
    ) -> None:
        """Create an empty queue.

        Args:
            session: The session that gets them.
            config: What sessions are asked for beside the settings.
            settings: The settings; they change while the call runs.
            playback: Knows whether the avatar is silent.
            emit: Takes the events; must not block.
        """
        self._session = session
        self._config = config
        self._settings = settings
        self._playback = playback
        self._loop = asyncio.get_running_loop()
        self._emit = emit
        self._picture_before: tuple[dict[str, Any], dict[str, Any]] | None = None
        """What a session has been told, and the picture before the one that it has taken last."""
        self._changes: list[_Change] = []
        self._telling = False
        """Whether telling the settings waits in the queue."""
        self._look: asyncio.TimerHandle | None = None
        self._kept: dict[str, None] = {}
        self._waiting: asyncio.Queue[_Request] = asyncio.Queue()
        self._full = False

    # Settings.

    def session_created(self) -> None:
        """Tell the new session what has changed since it was asked for."""
        self._tell_soon()

    def settings_changed(self, names: Iterable[str]) -> asyncio.Future[Outcome]:
        """Tell the session what has changed in the settings.

        Args:
            names: The settings that were given a value.

        Returns:
            What becomes of it; raises a LemonSliceError if it was refused, which has been reported by then.
        """
        wanted = self._wanted()
        change = _Change({name: wanted[name] for name in names if name in SESSION_SETTINGS}, _promise())
        self._changes.append(change)
        self._tell_soon()
        return change.outcome

    def picture_refused(self, reason: str) -> None:
        """Go back to the picture before: the avatar cannot show the one that LemonSlice has taken."""
        self._emit(ControlFailed(reason))
        told, before = self._picture_before or ({}, {})
        self._picture_before = None
        if told is self._session.told:
            refused = {name: told[name] for name in before}
            told.update(before)
            self._go_back(refused)

    def _wanted(self) -> dict[str, Any]:
        return self._config.session_settings(self._settings)

    @property
    def _silent(self) -> bool:
        return self._playback.silent(self._loop.time())

    def _tell_soon(self) -> None:
        if not self._telling:
            self._telling = True
            self._waiting.put_nowait(_Request(self._tell_settings, _promise()))

    async def _tell_settings(self) -> None:
        """Tell the session what has changed in the settings, in its turn; what it refuses is one failure."""
        self._telling = False
        failures: list[str] = []
        try:
            for names in (("agent_prompt",), ("agent_idle_prompt",), PICTURE):
                try:
                    await self._tell(names)
                except LemonSliceError as error:
                    failures.append(str(error))
            if failures:
                self._emit(ControlFailed("; ".join(dict.fromkeys(failures))))
        finally:
            self._changes = [change for change in self._changes if not self._is_settled(change)]
            if self._look:
                self._look.cancel()
            if self._changes:  # a picture waits for the avatar to fall silent
                self._look = self._loop.call_later(LOOK_SECONDS, self._tell_soon)

    async def _tell(self, names: tuple[str, ...]) -> None:
        """Tell the session of one setting if it has changed. A picture waits while the avatar speaks.

        Raises:
            LemonSliceError: It was not taken; the setting is what it was before.
        """
        session_id, told, now = self._session.session_id, self._session.told, self._wanted()
        wanted = {name: now[name] for name in names}
        event = control_event(wanted, told)
        if event is None or session_id is None or (names is PICTURE and not self._silent):
            return
        try:
            await self._session.control(event)
        except LemonSliceError as error:
            if self._session.session_id != session_id:
                return  # the request for the next session says it
            self._go_back(wanted)
            for change in self._changes:
                named = any(change.wanted.get(name) is value for name, value in wanted.items() if value is not None)
                if named and not change.outcome.done():
                    change.outcome.set_exception(error)
            raise
        if names is PICTURE:
            self._picture_before = told, {name: told[name] for name in PICTURE}
        told.update(wanted)

    def _go_back(self, refused: dict[str, Any]) -> None:
        """Set a setting back to what the session has been told, unless it has been changed again."""
        now, told = self._wanted(), self._session.told
        if all(now[name] is value for name, value in refused.items()):
            self._settings.apply_update(LemonSliceVideoSettings(**{name: told[name] for name in refused}))

    def _is_settled(self, change: _Change) -> bool:
        """Settle a change whose outcome is known; returns whether it is."""
        if change.outcome.done():
            return True
        now = self._wanted()
        told = all(self._session.told[name] is value for name, value in change.wanted.items())
        if any(now[name] is not value for name, value in change.wanted.items()):
            change.outcome.set_result(Outcome.REPLACED)
        elif self._session.state is SessionState.FAILED:
            change.outcome.set_result(Outcome.DROPPED)
        elif self._session.session_id and told:
            change.outcome.set_result(Outcome.DONE)
        elif self._session.session_id and not self._silent and change.wanted.keys() & {*PICTURE}:
            return False
        else:
            change.outcome.set_result(Outcome.KEPT)
        return True

    # Everything else.

    def keep_alive(self) -> None:
        """Reset the idle timeout of the session, if there is one."""
        if self._session.session_id:
            self.add(lambda: self._session.control(ResetIdleTimeout()))

    def avatar_ready(self) -> None:
        """Have the avatar perform the actions that were kept for it."""
        actions, self._kept = self._kept, {}
        for action in actions:
            self.perform(action)

    def perform(self, action: str) -> asyncio.Future[Outcome]:
        """Have the avatar perform an action; without one, each action is kept once for the next one.

        Returns:
            What becomes of it; raises a LemonSliceError if it failed, which has been reported by then.
        """
        return self.add(lambda: self._perform(action))

    async def _perform(self, action: str) -> Outcome:
        if self._session.state is SessionState.READY:
            await self._session.control(PoseTrigger(action))
            return Outcome.DONE
        if self._session.state is SessionState.FAILED or len(self._kept) >= MAX_KEPT_ACTIONS:
            logger.debug(f"The action {action[:40]!r} is dropped: there is no avatar that could perform it")
            return Outcome.DROPPED if self._session.state is SessionState.FAILED else Outcome.TOO_MANY
        self._kept[action] = None
        return Outcome.KEPT

    # The queue.

    async def run(self) -> None:
        """Send what waits until cancelled. A failure is reported, and the next request is sent."""
        while True:
            request = await self._waiting.get()
            self._full = False
            error: Exception | None = None
            try:
                outcome = await request.send()
                if not request.outcome.done():
                    request.outcome.set_result(outcome)
            except LemonSliceError as failure:
                error = failure
                self._emit(ControlFailed(str(error)))
            except Exception as failure:
                error = SessionError(f"unexpected {type(failure).__name__}")
                logger.error(f"Failed unexpectedly: {origin(failure)}. Please report this.")
                self._emit(ControlFailed(str(error)))
            if error and not request.outcome.done():
                request.outcome.set_exception(error)

    def add(self, send: Callable[[], Awaitable[T]]) -> asyncio.Future[T]:
        """Queue a request.

        Returns:
            What sending it returns, or raises; nobody need wait for it.
        """
        outcome: asyncio.Future[T] = _promise()
        if self._waiting.qsize() < MAX_REQUESTS - 1:
            self._waiting.put_nowait(_Request(send, outcome))
            return outcome
        reason = f"{MAX_REQUESTS} requests wait for an answer, so further ones are dropped"
        outcome.set_exception(SessionError(reason))
        if not self._full:
            self._full = True
            self._emit(ControlFailed(reason))
        return outcome


def _promise() -> "asyncio.Future[Any]":
    """Return a future whose failure need not be looked at."""
    outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    outcome.add_done_callback(lambda done: done.cancelled() or done.exception())
    return outcome


def settled(outcome: Outcome | LemonSliceError) -> "asyncio.Future[Outcome]":
    """Return a future of what is known already."""
    future = _promise()
    if isinstance(outcome, Outcome):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)
    return future
