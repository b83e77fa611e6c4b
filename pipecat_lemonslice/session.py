"""The life of the avatar's session: created, attended, replaced when lost, and always terminated.

One owner task holds everything that costs: the session at LemonSlice and the room. Its law: every session that was
created is terminated, whatever ends it, and a failure ends the session but never the call. A lost session is terminated
beside the creation of the next one; its room is left before the next one is joined. A session that ended because
nobody spoke is replaced when somebody does, and not before. Owns the states and their order;
knows nothing of pipelines, speech or pictures.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from loguru import logger

from pipecat_lemonslice.api import ControlEvent, CreatedSession, LemonSliceApi, ResetIdleTimeout
from pipecat_lemonslice.errors import ApiError, LemonSliceError, SessionError, origin
from pipecat_lemonslice.last_will import LastWill
from pipecat_lemonslice.lifecycle import SessionListener, SessionOptions, SessionState
from pipecat_lemonslice.renewal import pause_before_renewal
from pipecat_lemonslice.rooms import PictureReceived, Room, VoiceReceived
from pipecat_lemonslice.visit import IdleSessionError, RoomVisit, SessionLink

T = TypeVar("T")

RELEASE_TIMEOUT = 12.0
"""Seconds that the end of a session may take in all; what is left then ends by the vendor's idle timeout."""

COST_TIMEOUT = 1.0
STEADY_SECONDS = 30.0
"""A session whose avatar was here for so long was a sound one: the pauses before the next begin anew."""


@dataclass(frozen=True, slots=True)
class _Provision:
    """What is kept of a session until it has been terminated.

    Parameters:
        will: Ends it where no event loop is left to do so.
        since: When it was created, on the loop's clock.
    """

    will: LastWill
    since: float


@dataclass(slots=True)
class _Outage:
    """The time without an avatar, from the first failure until there is one.

    Parameters:
        warned: Whether its cause has been logged as a warning.
        reported: Whether it has been reported as an error.
    """

    warned: bool = False
    reported: bool = False


class AvatarSession:
    """See the module. :meth:`start` it once, :meth:`close` it as often as you like."""

    def __init__(self, api: LemonSliceApi, options: SessionOptions, listener: SessionListener) -> None:
        """Create a session that has not been asked for yet."""
        self._api = api
        self._options = options
        self._listener = listener
        self._state = SessionState.CREATING
        self._created: CreatedSession | None = None
        self._woken = asyncio.Event()
        self._room: Room | None = None
        self._visiting: RoomVisit | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._idle_timeout = 0
        self._resetting: asyncio.Task[None] | None = None
        self._provisions: dict[str, _Provision] = {}
        self._outage = _Outage()
        self._leak_reported = False
        self._failures = 0
        self._asked_at = 0.0
        self._ready_at: float | None = None
        self._owner: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._chores: set[asyncio.Task[Any]] = set()

    @property
    def state(self) -> SessionState:
        """Where it is in its life."""
        return self._state

    @property
    def session_id(self) -> str | None:
        """The vendor's id of the session that exists now."""
        return self._created.session_id if self._created else None

    def start(self) -> None:
        """Ask for the session; returns at once."""
        self._owner = asyncio.create_task(self._own(), name="lemonslice-session")

    def begin_close(self) -> None:
        """Begin to terminate the session and to leave its room; idempotent."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="lemonslice-session-close")

    async def close(self) -> None:
        """Terminate the session and leave its room, in bounded time; idempotent, never raises."""
        self.begin_close()
        if self._closing:
            await asyncio.shield(self._closing)

    def wake(self) -> None:
        """Create the next session now, if it waits for somebody to speak."""
        self._woken.set()

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
        await self._api.control(self._created.session_id, event, control_url=self._created.control_url, once=once)

    def give_up(self, reason: str) -> None:
        """Replace the session that exists now, as something has failed that it was part of.

        Args:
            reason: What has failed; it is reported unless the avatar was gone before.
        """
        if self._visiting:
            self._visiting.give_up(reason)
        elif not self._outage.reported:
            self._outage.reported = True
            self._listener.session_error(SessionError(reason))

    # The owner.

    async def _own(self) -> None:
        try:
            while (pause := await self._live()) is not None:
                if self._state is SessionState.DORMANT:
                    await self._woken.wait()
                else:
                    await asyncio.sleep(pause)
        finally:
            # Also where a loop that ends cancels everything, and nobody closes this.
            await asyncio.shield(self._chore(self._release()))

    async def _live(self) -> float | None:
        """Live through one session; returns after which pause the next one begins, None if there is no use in it."""
        try:
            self._to(SessionState.CREATING, "once more" if self._failures else "")
            created = await self._create()
            self._to(SessionState.JOINING, "joining the avatar's room")
            self._room = room = await self._join(created)
            self._to(SessionState.WAITING, "waiting for the avatar's first picture")
            self._visiting = self._visit(room, created)
            await self._visiting.attend()
        except IdleSessionError as error:
            pause = self._fall_asleep(error)
        except LemonSliceError as error:
            pause = self._fail(error)
        except Exception as error:
            logger.error(f"The avatar's session failed unexpectedly: {origin(error)}")
            pause = self._fail(SessionError(f"unexpected {type(error).__name__} in the session"))
        created, room, self._created, self._room = self._created, self._room, None, None
        self._visiting = None
        self._leaving = self._chore(room.close()) if room else None
        if created:
            self._chore(self._terminate(created))
        return pause

    async def _create(self) -> CreatedSession:
        """Create a session. One that is accepted after the call was cancelled is terminated, not leaked."""
        request = await self._options.request()
        self._idle_timeout = request.idle_timeout
        self._asked_at = asyncio.get_running_loop().time()
        creation = self._chore(self._api.create_session(request, on_retry=self._delayed))
        try:
            created = await asyncio.shield(creation)
        except asyncio.CancelledError:
            self._chore(self._release_late(creation))
            raise
        self._created = created
        self._note_creation(created)
        return created

    def _note_creation(self, created: CreatedSession) -> None:
        will = self._api.last_will(created.session_id, control_url=created.control_url)
        self._provisions[created.session_id] = _Provision(will, asyncio.get_running_loop().time())
        logger.info(f"LemonSlice session {created.session_id} was created")
        self._listener.session_created(created.session_id)

    def _delayed(self, error: ApiError, again_in: float) -> None:
        """An attempt to create the session has failed; the same request is sent again."""
        if not self._outage.warned:
            self._warn(error, again_in)
        self._listener.session_delayed(str(error), again_in)

    async def _join(self, created: CreatedSession) -> Room:
        if created.room_url is None:
            raise SessionError("LemonSlice created a session without saying where its room is (room_url)")
        if self._leaving:  # it may be the same room, in which the bot must not be twice
            await asyncio.wait({self._leaving})
        return await self._options.open_room(created.room_url)

    def _visit(self, room: Room, created: CreatedSession) -> RoomVisit:
        return RoomVisit(room, created.session_id, self._options.visit(), self)

    # What the visit reports; see `VisitListener`.

    def visit_joined(self) -> None:
        """The avatar is in the room."""
        self._listener.avatar_joined()

    def visit_ready(self, link: SessionLink) -> None:
        """The avatar can be seen."""
        self._ready_at = asyncio.get_running_loop().time()
        self._outage = _Outage()
        logger.info(f"The avatar is ready, {self._ready_at - self._asked_at:.1f} s after its session was asked for")
        self._to(SessionState.READY, "")
        self._listener.avatar_ready(link)

    def visit_lost(self, reason: str) -> None:
        """The avatar has gone, perhaps for good."""
        if self._state is SessionState.READY:
            self._to(SessionState.LOST, reason)
            self._listener.avatar_gone(reason)

    def visit_trouble(self, error: SessionError) -> None:
        """The avatar reports trouble, and goes on."""
        self._listener.session_error(error)

    def visit_media(self, media: VoiceReceived | PictureReceived) -> None:
        """The avatar is heard or seen."""
        self._listener.avatar_media(media)

    def visit_quiet(self) -> None:
        """Nothing has been said for long enough to reset the vendor's idle timer."""
        if self._resetting is None or self._resetting.done():
            self._resetting = self._chore(self._reset_idle_timeout())

    async def _reset_idle_timeout(self) -> None:
        """Once: the next time comes soon enough. A vendor that does not know the event does no harm by saying so."""
        try:
            await self.control(ResetIdleTimeout(), once=True)
            if self._visiting:
                self._visiting.idle_timer_was_reset()
        except LemonSliceError as error:
            logger.debug(f"The session's idle timeout could not be reset: {error}")

    # How it ends.

    def _fail(self, error: LemonSliceError) -> float | None:
        """Report a failure; returns after which pause there is a new session, None if there is no use in it."""
        self._count_failure()
        pause = pause_before_renewal(error, self._failures, created=self._created is not None)
        known = self._state is SessionState.LOST
        self._to(SessionState.FAILED if pause is None else SessionState.LOST, str(error))
        if not known:
            self._listener.avatar_gone(str(error))
        self._warn(error, pause)
        if pause is None or not self._outage.reported:
            self._outage.reported = True
            self._listener.session_error(error)
        return pause

    def _fall_asleep(self, error: IdleSessionError) -> float:
        """Let the next session wait for somebody to speak: silence costs nothing. This is no failure."""
        logger.info(f"{error}. The next session is created when somebody speaks.")
        self._failures, self._ready_at = 0, None
        self._woken.clear()
        self._to(SessionState.DORMANT, "sleeping; it wakes when somebody speaks")
        return 0.0

    def _warn(self, error: LemonSliceError, again_in: float | None) -> None:
        """Log why there is no avatar: the first cause of an outage, and what ends all attempts, as a warning."""
        level = "DEBUG" if self._outage.warned and again_in is not None else "WARNING"
        self._outage.warned = True
        then = "No further attempt is made" if again_in is None else f"The next attempt is made in {again_in:.1f} s"
        logger.log(level, f"There is no avatar: {str(error).rstrip('.')}. {then}.")

    def _count_failure(self) -> None:
        """One more in a row. An avatar that comes only to go again must not cost a session each second."""
        ready_at, self._ready_at = self._ready_at, None
        steady = ready_at is not None and asyncio.get_running_loop().time() - ready_at >= STEADY_SECONDS
        self._failures = 1 if steady else self._failures + 1

    async def _release_late(self, creation: "asyncio.Task[CreatedSession]") -> None:
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
                await self._terminate(created)
        finally:
            if room:
                await room.close()

    async def _terminate(self, created: CreatedSession) -> None:
        provision = self._provisions.pop(created.session_id)
        try:
            await self._api.terminate(created.session_id, control_url=created.control_url)
        except LemonSliceError as error:
            self._report_leak(created, error)
        except asyncio.CancelledError:
            provision.will.hasten()
            raise
        except Exception as error:
            logger.error(f"The session could not be terminated, unexpectedly: {origin(error)}")
            provision.will.hasten()
            self._report_leak(created, SessionError(f"unexpected {type(error).__name__}"))
        else:
            provision.will.revoke()
            self._leak_reported = False
        lasted = asyncio.get_running_loop().time() - provision.since
        cost = await self._cost(created)
        said = "unknown" if cost is None else f"{cost:g} credits"
        logger.info(f"LemonSlice session {created.session_id} is over after {lasted:.0f} s; its cost so far: {said}")
        self._listener.session_ended(created.session_id, cost)

    def _report_leak(self, created: CreatedSession, error: LemonSliceError) -> None:
        """As an error once while none can be terminated; all of them are logged, as each costs."""
        leak = self._still_running(error)
        logger.warning(f"LemonSlice session {created.session_id}: {leak}")
        if not self._leak_reported:
            self._leak_reported = True
            self._listener.session_error(leak)

    def _still_running(self, error: LemonSliceError) -> SessionError:
        idle_timeout = self._idle_timeout
        left = f"{idle_timeout} s after the last speech" if idle_timeout > 0 else "never by itself (idle_timeout)"
        return SessionError(f"the session could not be terminated, and ends {left}: {error}", error.category)

    async def _cost(self, created: CreatedSession) -> float | None:
        try:
            async with asyncio.timeout(COST_TIMEOUT):
                return (await self._api.get_session(created.session_id)).cost
        except Exception:  # the call is over, and goes without the cost
            return None

    async def _close(self) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + RELEASE_TIMEOUT
        if self._owner:
            self._owner.cancel()
            await asyncio.wait({self._owner}, timeout=RELEASE_TIMEOUT)
        if self._chores:
            _, late = await asyncio.wait(self._chores, timeout=max(0.0, give_up_at - loop.time()))
            await self._abandon(late)
        self._to(SessionState.ENDED, "")

    async def _abandon(self, late: set[asyncio.Task[Any]]) -> None:
        for chore in late:
            chore.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        if late:
            self._listener.session_error(
                SessionError(
                    f"LemonSlice did not answer within {RELEASE_TIMEOUT:g} s; "
                    "a session may go on there until its idle timeout ends it"
                )
            )

    # Small steps.

    def _to(self, state: SessionState, detail: str) -> None:
        """The one door through which the state changes."""
        if self._state is SessionState.ENDED:
            return
        self._state = state
        logger.debug(f"Avatar session: {state.value} ({detail})")
        self._listener.session_state(state, detail)

    def _chore(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        task = asyncio.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
        return task
