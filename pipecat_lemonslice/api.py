"""The client of LemonSlice's REST API, and all the types that go with it.

Owns what each endpoint is called and what its answer is read as. How requests travel is in `rest`, what is
sent in `api_types` and `controls`, what comes back in `answers`, when it is tried again in `retry`.

    async with LemonSliceApi() as api:
        session = await api.create_session(CreateSessionRequest(agent_id="…"))
        …
        await api.terminate(session.session_id, control_url=session.control_url)
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from pipecat_lemonslice.addresses import (
    DEFAULT_API_URL,
    address_problem,
    api_address,
    control_address,
    key_problem,
    or_environment,
    session_address,
)
from pipecat_lemonslice.answers import (
    AnswerT,
    CreatedSession,
    Pagination,
    SessionInfo,
    SessionPage,
    SessionStatus,
    SessionSummary,
    denial,
    legible_id,
    read_answer,
)
from pipecat_lemonslice.api_types import (
    CreateSessionRequest,
    DailyProperties,
    LiveKitProperties,
    RecordingsBucket,
)
from pipecat_lemonslice.calls import creation_body, event_call, payload_of, room_of
from pipecat_lemonslice.controls import (
    ControlEvent,
    PoseTrigger,
    ResetIdleTimeout,
    Terminate,
    UpdateAgentPrompt,
    UpdateIdlePrompt,
    UpdateImage,
)
from pipecat_lemonslice.errors import (
    ApiError,
    ApiResponseError,
    ApiStatusError,
    ApiTimeoutError,
    ConfigurationError,
    safe_line,
)
from pipecat_lemonslice.last_will import LastWill
from pipecat_lemonslice.rest import Call, RestClient, timeout_problem
from pipecat_lemonslice.retry import OnRetry

__all__ = [
    "DEFAULT_API_URL",
    "TERMINATE_SECONDS",
    "ControlEvent",
    "CreateSessionRequest",
    "CreatedSession",
    "DailyProperties",
    "LemonSliceApi",
    "LiveKitProperties",
    "Pagination",
    "PoseTrigger",
    "RecordingsBucket",
    "ResetIdleTimeout",
    "SessionInfo",
    "SessionPage",
    "SessionStatus",
    "SessionSummary",
    "Terminate",
    "UpdateAgentPrompt",
    "UpdateIdlePrompt",
    "UpdateImage",
]

TERMINATE_SECONDS = 30.0
"""How long `LemonSliceApi.terminate` lasts at most, with everything that it tries again."""

_TERMINATE_ATTEMPT_SECONDS = 8.0
_TERMINATE_BUDGET = 12.0
_ONCE_SECONDS = 5.0
_LARGEST_PAGE = 100


class LemonSliceApi:
    """A client of the REST API. Use it as an async context manager, or close it.

    Args:
        api_key: The API key; without one, LEMONSLICE_API_KEY.
        api_url: The API's address; without one, LEMONSLICE_API_URL or the real service. http only on this
            machine, as the key would travel in clear.
        session: An aiohttp session to borrow; it stays open. Without one, an own session is opened.
        timeout: Seconds for one request, answer included. Connecting takes at most 10 of them.

    Raises:
        ConfigurationError: There is no key, or key, address or timeout are not usable.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        api_url: str | None = None,
        session: aiohttp.ClientSession | None = None,
        timeout: float = 30.0,
    ):
        key = or_environment(api_key, "LEMONSLICE_API_KEY")
        address = or_environment(api_url, "LEMONSLICE_API_URL") or None
        problem = key_problem(key) or address_problem(address) or timeout_problem(timeout)
        if session is not None and not isinstance(session, aiohttp.ClientSession):  # pyright: ignore[reportUnnecessaryIsInstance]
            problem = f"session must be an aiohttp.ClientSession, not of type {type(session).__name__}; or leave it out"
        # The line that raises names nothing secret, since some loggers show the values of what it names.
        if problem:
            raise ConfigurationError(problem)
        self._base = api_address(address)
        self._rest = RestClient(key or "", self._base, session, timeout)

    def __repr__(self) -> str:
        return f"LemonSliceApi({str(self._base)!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the own session; a borrowed one stays open. May be called twice."""
        await self._rest.close()

    async def create_session(self, request: CreateSessionRequest, *, on_retry: OnRetry | None = None) -> CreatedSession:
        """Create a session. What the server may have carried out is not sent twice.

        Args:
            request: What is asked for.
            on_retry: Told of each failed attempt that another one follows.

        Returns:
            The session; its room is the one that was sent if the answer names none.

        Raises:
            ApiError: There is no session, or nobody knows: one that was created unseen ends by its
                `idle_timeout`.
            ConfigurationError: The picture is none.
        """
        call = Call(
            operation="Creating the session",
            method="POST",
            url=self._base / "liveai" / "sessions",
            idempotent=False,
            body=await creation_body(request),
            secrets=request.secrets(),
        )
        session = await self._ask(call, CreatedSession, on_retry)
        control_url = control_address(self._base, session.session_id, session.control_url)
        room_url = session.room_url or room_of(request)
        return session.model_copy(update={"control_url": str(control_url), "room_url": room_url})

    async def get_session(self, session_id: str) -> SessionInfo:
        """Ask for the state and the cost of a session.

        Raises:
            ApiError: It was not told.
        """
        call = Call(
            operation=f"Asking for session {safe_line(session_id, limit=60)}",
            method="GET",
            url=session_address(self._base, session_id),
            idempotent=True,
        )
        return await self._ask(call, SessionInfo, session_id=session_id)

    async def list_sessions(self, *, page: int = 1, limit: int = 25) -> SessionPage:
        """Ask for one page of the account's sessions.

        Args:
            page: Which one, from 1.
            limit: Sessions per page, 1 to 100.

        Raises:
            ApiError: It was not told.
            ConfigurationError: `page` or `limit` are out of range.
        """
        if page < 1 or not 1 <= limit <= _LARGEST_PAGE:
            raise ConfigurationError("page must be 1 or more, and limit from 1 to 100")
        call = Call(
            operation="Listing the sessions",
            method="GET",
            url=(self._base / "liveai" / "sessions").with_query(page=page, limit=limit),
            idempotent=True,
        )
        return await self._ask(call, SessionPage)

    async def iter_sessions(self) -> AsyncIterator[SessionSummary]:
        """All of the account's sessions, each once, also while new ones push others to the next page.

        Raises:
            ApiError: A page was not told.
        """
        seen: set[str] = set()
        number, more = 1, True
        while more:
            page = await self.list_sessions(page=number, limit=_LARGEST_PAGE)
            new = [session for session in page.sessions if session.session_id not in seen]
            seen.update(session.session_id for session in new)
            for session in new:
                yield session
            # A list that says "more" for ever and repeats itself must come to an end as well.
            number, more = number + 1, page.pagination.has_more and bool(new)

    async def control(
        self, session_id: str, event: ControlEvent, *, control_url: str | None = None, once: bool = False
    ) -> None:
        """Send a control event to a session.

        Args:
            session_id: The session.
            event: What it is told.
            control_url: Where to send it, if the session named a place. If that is not on the API's own
                origin, the event goes there without the API key.
            once: Whether a failure is final, and the answer awaited for a few seconds only: for what will be
                sent again at its own time anyway.

        Raises:
            ApiError: It was not carried out, or nobody knows.
            ConfigurationError: The picture of an UpdateImage is none.
        """
        payload = await payload_of(event)
        call = event_call(payload, control_address(self._base, session_id, control_url))
        await self._tell(replace(call, timeout=_ONCE_SECONDS, budget=0.0) if once else call)

    async def terminate(self, session_id: str, *, control_url: str | None = None) -> None:
        """End a session; one that has ended already is fine. Lasts `TERMINATE_SECONDS` at most.

        A control address that is not the API's own is tried first; if it fails, the API's own is.

        Raises:
            ApiError: It may still be running.
        """
        failure = await self._terminated(session_id, control_url)
        if failure is not None:
            raise failure

    def last_will(self, session_id: str, *, control_url: str | None = None) -> LastWill:
        """Provide for the end of a session in case no event loop is left to do it. Revoke it once it has ended."""
        url = control_address(self._base, session_id, control_url)
        return LastWill(url, self._rest.headers(url), Terminate().payload())

    async def _terminated(self, session_id: str, control_url: str | None) -> ApiError | None:
        given = control_address(self._base, session_id, control_url)
        try:
            async with asyncio.timeout(TERMINATE_SECONDS):
                if not self._rest.is_own(given):
                    if await self._end(given) is None:
                        return None
                    given = control_address(self._base, session_id, None)
                failure = await self._end(given)
        except TimeoutError:
            return ApiTimeoutError(f"not in {TERMINATE_SECONDS:g} s", True, "Ending the session")
        gone = isinstance(failure, ApiStatusError) and failure.status in (404, 409)
        return None if gone else failure

    async def _end(self, url: URL) -> ApiError | None:
        call = replace(
            event_call(Terminate().payload(), url),
            timeout=_TERMINATE_ATTEMPT_SECONDS,
            budget=_TERMINATE_BUDGET,
        )
        try:
            await self._tell(call)
        except ApiError as error:
            return error
        return None

    async def _tell(self, call: Call) -> None:
        answer = await self._rest.send(call)
        words = denial(answer.status, answer.text, *self._rest.secrets(call))
        if words is not None:
            raise ApiResponseError(f"it says that there was no success, {words}", call.operation)

    async def _ask(self, call: Call, model: type[AnswerT], on_retry: OnRetry | None = None, **known: str) -> AnswerT:
        answer = await self._rest.send(call, on_retry)
        outcome = read_answer(model, answer.text, call.operation, *self._rest.secrets(call), **known)
        if isinstance(outcome, ApiResponseError):
            if not call.idempotent and (unseen := legible_id(answer.text)):
                await self._terminated(unseen, None)
            raise outcome
        return outcome
