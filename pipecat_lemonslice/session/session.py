"""The life of the avatar's session: created, watched, replaced when lost, and always terminated.

One owner task holds everything that costs: the session at LemonSlice and the room. Its law: every session that was
created is terminated, whatever ends it, and a failure ends the session but never the call. A lost session is terminated
beside the creation of the next one; its room is left before the next one is joined. A session that ended because nobody
spoke is replaced when somebody does, and not before.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack
from typing import Any, TypeVar

from loguru import logger
from pipecat.services.settings import ServiceSettings

from pipecat_lemonslice.api import (
    ControlEvent,
    CreatedSession,
    ExitHook,
    LemonSliceApi,
    ResetIdleTimeout,
)
from pipecat_lemonslice.errors import ApiError, LemonSliceError, SessionError, origin
from pipecat_lemonslice.media.playback import Playback
from pipecat_lemonslice.rooms import Room
from pipecat_lemonslice.session.connection import AvatarConnection, IdleSessionError, Quiet
from pipecat_lemonslice.session.events import (
    AvatarJoined,
    AvatarReady,
    ControlSent,
    CreationDelayed,
    ErrorReported,
    SessionCreated,
    SessionEnded,
    SessionEvent,
    SessionState,
    StateChanged,
    trouble_event,
)
from pipecat_lemonslice.session.presence import Absent, Found, Over, Troubled, Visible
from pipecat_lemonslice.session.renewal import Outages
from pipecat_lemonslice.session.topology import Topology
from pipecat_lemonslice.settings import Timeouts

T = TypeVar("T")

RELEASE_TIMEOUT = 12.0
"""Seconds that the end of a session may take in all; what is left then ends by LemonSlice's idle timeout."""

COST_TIMEOUT = 1.0


class AvatarSession:
    """Owns the session and its room. :meth:`start` it once; :meth:`close` is idempotent."""

    def __init__(
        self,
        api: LemonSliceApi,
        topology: Topology,
        settings: ServiceSettings,
        timeouts: Timeouts,
        playback: Playback,
        *,
        open_room: Callable[[str], Awaitable[Room]],
        emit: Callable[[SessionEvent], None],
    ) -> None:
        """Create a session that has not been asked for yet.

        Args:
            api: Where sessions are created.
            topology: Makes the requests for them.
            settings: The settings; they change while the call runs.
            timeouts: How long the avatar is waited for.
            playback: Knows when the avatar was given speech.
            open_room: Joins the room at an address.
            emit: Takes every event, in order; must not block.
        """
        self._api, self._topology, self._settings, self._playback = api, topology, settings, playback
        self._config, self._timeouts, self._open_room, self._emit = topology.config, timeouts, open_room, emit
        self._loop = asyncio.get_running_loop()
        self.state = SessionState.CREATING
        """Only ``_to`` changes it."""
        self.told = self._config.session_settings(settings)
        """The settings that the newest session knows: those of its request, and what it has been told since."""
        self._created: CreatedSession | None = None
        self._room: Room | None = None
        self._connection: AvatarConnection | None = None
        self._resetting: asyncio.Task[None] | None = None
        self.woken = asyncio.Event()
        """To be set when somebody speaks: the next session is created now, if it waits for that."""
        self._leaving: asyncio.Task[None] | None = None
        self._exit_hooks: dict[str, tuple[ExitHook, float]] = {}
        self._outages = Outages()
        self._leak_reported = False
        self._asked_at = 0.0
        self._owner: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def session_id(self) -> str | None:
        """The id of the session that exists now."""
        return self._created.session_id if self._created else None

    def start(self) -> None:
        """Ask for the session; returns at once."""
        self._owner = asyncio.create_task(self._run_sessions(), name="lemonslice-session")

    def begin_close(self) -> None:
        """Begin to terminate the session and to leave its room; idempotent."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="lemonslice-session-close")

    async def close(self) -> None:
        """Terminate the session and leave its room, in bounded time; idempotent, never raises."""
        self.begin_close()
        if self._closing:
            await asyncio.shield(self._closing)

    def give_up(self, reason: str) -> None:
        """Replace the session that exists now, after a failure of something that depends on it.

        Args:
            reason: What has failed; it is reported unless the avatar was gone before.
        """
        if self._connection:
            self._connection.give_up(reason)
        elif not self._outages.reported:
            self._outages.reported = True
            self._emit(ErrorReported(SessionError(reason)))

    def configure(self, timeouts: Timeouts) -> None:
        """Change how long the avatar is waited for; the wait under way follows."""
        self._timeouts = timeouts
        if self._connection:
            self._connection.configure(timeouts)

    async def control(self, event: ControlEvent, *, once: bool = False) -> None:
        """Send a control event to the session that exists now.

        Args:
            event: What it is told.
            once: Whether it is not worth trying again.

        Raises:
            ApiError: It was refused, or did not arrive.
            SessionError: There is no session.
        """
        if self._created is None:
            raise SessionError("there is no session to control yet")
        created, began, failure = self._created, self._loop.time(), ""
        try:
            with logger.contextualize(session_id=created.session_id):
                await self._api.control(created.session_id, event, control_url=created.control_url, once=once)
        except LemonSliceError as error:
            failure = str(error)
            raise
        finally:
            self._emit(ControlSent(event, self._loop.time() - began, failure))

    # The owner.

    async def _run_sessions(self) -> None:
        try:
            while (pause := await self._run_session()) is not None:
                if self.state is SessionState.DORMANT:
                    await self.woken.wait()
                else:
                    await asyncio.sleep(pause)
        finally:
            # Also when a loop that ends cancels everything, without a call of close().
            await asyncio.shield(self._spawn(self._release()))

    async def _run_session(self) -> float | None:
        """Run one session; returns the pause before the next one, None if there is to be none."""
        with ExitStack() as log_lines:
            try:
                self._to(SessionState.CREATING, "once more" if self._outages.failures else "")
                created = await self._create()
                log_lines.enter_context(logger.contextualize(session_id=created.session_id))
                self._to(SessionState.JOINING, "joining the avatar's room")
                self._room = await self._join(created)
                self._to(SessionState.WAITING, "waiting for the avatar's first picture")
                await self._follow_avatar(self._room, created)
                pause: float | None = 0.0
            except IdleSessionError as error:
                pause = self._go_dormant(error)
            except LemonSliceError as error:
                pause = self._fail(error)
            except Exception as error:
                logger.error(f"The avatar's session failed unexpectedly: {origin(error)}")
                pause = self._fail(SessionError(f"unexpected {type(error).__name__} in the session"))
            lost, room, self._created, self._room = self._created, self._room, None, None
            self._connection = None
            self._leaving = self._spawn(room.close()) if room else None
            if lost:
                self._spawn(self._terminate(lost))
            return pause

    async def _create(self) -> CreatedSession:
        """Create a session. One that is accepted after the call was cancelled is terminated, not leaked."""
        request = await self._topology.request(self._settings)
        self.told = self._config.session_settings(self._settings)
        self._asked_at = self._loop.time()
        creation = self._spawn(self._api.create_session(request, on_retry=self._delayed))
        try:
            created = await asyncio.shield(creation)
        except asyncio.CancelledError:
            self._spawn(self._terminate_late(creation))
            raise
        self._created = created
        self._note_creation(created)
        return created

    def _note_creation(self, created: CreatedSession) -> None:
        hook = self._api.exit_hook(created.session_id, control_url=created.control_url)
        self._exit_hooks[created.session_id] = hook, self._loop.time()
        logger.info(f"LemonSlice session {created.session_id} was created")
        self._emit(SessionCreated(created.session_id))

    def _delayed(self, error: ApiError, again_in: float) -> None:
        """Report a failed attempt to create the session; the same request is sent again."""
        if not self._outages.warned:
            self._warn(error, again_in)
        self._emit(CreationDelayed(str(error), again_in))

    async def _join(self, created: CreatedSession) -> Room:
        if created.room_url is None:
            raise SessionError("LemonSlice created a session without saying where its room is (room_url)")
        if self._leaving:  # it may be the same room, in which the bot must not be twice
            await asyncio.wait({self._leaving})
        return await self._open_room(created.room_url)

    async def _follow_avatar(self, room: Room, created: CreatedSession) -> None:
        """Follow the avatar until this session ends.

        Raises:
            SessionError: Why.
        """
        self._connection = AvatarConnection(room, self._config, self._timeouts, self._playback)
        async for change in self._connection.changes():
            match change:
                case Found(participant):
                    self._emit(AvatarJoined(participant))
                case Visible():
                    self._note_ready()
                    self._emit(AvatarReady(room, created.session_id))
                case Absent(reason) if self.state is SessionState.READY:
                    self._to(SessionState.LOST, reason)
                case Troubled(trouble):
                    self._emit(trouble_event(trouble))
                case Quiet():
                    if self._resetting is None or self._resetting.done():
                        self._resetting = self._spawn(self._reset_idle_timer())
                case Absent() | Over():
                    pass

    def _note_ready(self) -> None:
        now = self._loop.time()
        self._outages.ready(now)
        logger.info(f"The avatar is ready, {now - self._asked_at:.1f} s after its session was asked for")
        self._to(SessionState.READY, "")

    async def _reset_idle_timer(self) -> None:
        """Reset it with one attempt: the next one follows soon. LemonSlice may refuse the event, which does no harm."""
        try:
            await self.control(ResetIdleTimeout(), once=True)
            if self._connection:
                self._connection.idle_timer_was_reset()
        except LemonSliceError as error:
            logger.debug(f"The session's idle timeout could not be reset: {error}")

    # How it ends.

    def _fail(self, error: LemonSliceError) -> float | None:
        """Report a failure; returns the pause before the next session, None if there is to be none."""
        pause = self._outages.failed(error, self._loop.time(), created=self._created is not None)
        self._to(SessionState.FAILED if pause is None else SessionState.LOST, str(error))
        self._warn(error, pause)
        if pause is None or not self._outages.reported:
            self._outages.reported = True
            self._emit(ErrorReported(error, final=pause is None))
        return pause

    def _go_dormant(self, error: IdleSessionError) -> float:
        """Go dormant until somebody speaks: silence costs nothing. This is not a failure."""
        logger.info(f"{error}. The next session is created when somebody speaks.")
        self._outages.ended_quietly()
        self.woken.clear()
        self._to(SessionState.DORMANT, "sleeping; it wakes when somebody speaks")
        return 0.0

    def _warn(self, error: LemonSliceError, again_in: float | None) -> None:
        """Log why there is no avatar: the first cause of an outage, and what ends all attempts, as a warning."""
        level = "DEBUG" if self._outages.warned and again_in is not None else "WARNING"
        self._outages.warned = True
        then = "No further attempt is made" if again_in is None else f"The next attempt is made in {again_in:.1f} s"
        logger.log(level, f"There is no avatar: {str(error).rstrip('.')}. {then}.")

    async def _terminate_late(self, creation: "asyncio.Task[CreatedSession]") -> None:
        try:
            created = await creation
        except LemonSliceError:
            return
        self._note_creation(created)
        await self._terminate(created)

    async def _release(self) -> None:
        """Terminate the session that exists now, then leave its room: the order at the end of the call."""
        created, room, self._created, self._room = self._created, self._room, None, None
        try:
            if created:
                with logger.contextualize(session_id=created.session_id):
                    await self._terminate(created)
        finally:
            if room:
                await room.close()

    async def _terminate(self, created: CreatedSession) -> None:
        hook, since = self._exit_hooks.pop(created.session_id)
        try:
            await self._api.terminate(created.session_id, control_url=created.control_url)
        except LemonSliceError as error:
            self._report_leak(created, error)
        except asyncio.CancelledError:
            hook.run_in_thread()
            raise
        except Exception as error:
            logger.error(f"The session could not be terminated, unexpectedly: {origin(error)}")
            hook.run_in_thread()
            self._report_leak(created, SessionError(f"unexpected {type(error).__name__}"))
        else:
            hook.cancel()
            self._leak_reported = False
        lasted = self._loop.time() - since
        cost = await self._cost(created)
        said = "unknown" if cost is None else f"{cost:g} credits"
        logger.info(f"LemonSlice session {created.session_id} is over after {lasted:.0f} s; its cost so far: {said}")
        self._emit(SessionEnded(created.session_id, cost, lasted))

    def _report_leak(self, created: CreatedSession, error: LemonSliceError) -> None:
        """Report the first session that cannot be terminated as an error, and log every one, as each costs."""
        timeout = self._config.idle_timeout
        ends = f"{timeout} s after the last speech" if timeout > 0 else "never by itself (idle_timeout)"
        leak = SessionError(f"the session could not be terminated, and ends {ends}: {error}", error.category)
        logger.warning(f"LemonSlice session {created.session_id}: {leak}")
        if not self._leak_reported:
            self._leak_reported = True
            self._emit(ErrorReported(leak))

    async def _cost(self, created: CreatedSession) -> float | None:
        try:
            async with asyncio.timeout(COST_TIMEOUT):
                return (await self._api.get_session(created.session_id)).cost
        except Exception:  # the call is over; nothing depends on it
            return None

    async def _close(self) -> None:
        give_up_at = self._loop.time() + RELEASE_TIMEOUT
        if self._owner:
            self._owner.cancel()
            await asyncio.wait({self._owner}, timeout=RELEASE_TIMEOUT)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=max(0.0, give_up_at - self._loop.time()))
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            if late:
                runs_on = "a session may go on there until its idle timeout ends it"
                said = f"LemonSlice did not answer within {RELEASE_TIMEOUT:g} s; {runs_on}"
                self._emit(ErrorReported(SessionError(said)))
        self._to(SessionState.ENDED, "")

    def _to(self, state: SessionState, detail: str) -> None:
        """Change the state; the only place that does."""
        if self.state is SessionState.ENDED:
            return
        self.state = state
        logger.debug(f"Avatar session: {state.value} ({detail})")
        self._emit(StateChanged(state, detail))

    def _spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run a coroutine in a task that closing waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
