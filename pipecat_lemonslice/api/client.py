"""The client of LemonSlice's REST API.

Owns what each endpoint is called and what its response is read as; how requests travel is in ``http``.

    async with LemonSliceApi() as api:
        session = await api.create_session(CreateSessionRequest(agent_id="…"))
        …
        await api.terminate(session.session_id, control_url=session.control_url)
"""

import asyncio
import ipaddress
import math
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from pipecat_lemonslice.api.exit_hook import ExitHook
from pipecat_lemonslice.api.http import HttpClient, OnAnswer, OnRetry, Request
from pipecat_lemonslice.api.images import prepare_picture
from pipecat_lemonslice.api.models import ControlEvent, CreateSessionRequest, Terminate, UpdateImage, control_payload
from pipecat_lemonslice.api.responses import (
    CreatedSession,
    ModelT,
    SessionInfo,
    SessionPage,
    SessionSummary,
    denies_success,
    find_session_id,
    read_model,
    server_words,
)
from pipecat_lemonslice.errors import (
    ApiError,
    ApiResponseError,
    ApiStatusError,
    ApiTimeoutError,
    ConfigurationError,
    safe_line,
)

DEFAULT_API_URL = "https://lemonslice.com/api"

TERMINATE_SECONDS = 30.0
"""How long ``LemonSliceApi.terminate`` lasts at most, with all its attempts."""

_MAX_PAGE = 100


class LemonSliceApi:
    """A client of the REST API. Use it as an async context manager, or close it."""

    def __init__(
        self,
        *,
        api_key: str | None = None,
        api_url: str | None = None,
        session: aiohttp.ClientSession | None = None,
        timeout: float = 30.0,
        on_answer: OnAnswer | None = None,
    ) -> None:
        """Create a client.

        Args:
            api_key: The API key; without one, LEMONSLICE_API_KEY.
            api_url: The API's address; without one, LEMONSLICE_API_URL or the real service. http only on this
                machine, because over http the key can be read on its way.
            session: An aiohttp session to borrow; it stays open. Without one, an own session is opened.
            timeout: Seconds for one request, response included. Connecting takes at most 10 of them.
            on_answer: Called with each request and its answer, for a log. Both may hold secrets.

        Raises:
            ConfigurationError: The key is missing, or key, address, session or timeout cannot be used.
        """
        key = os.environ.get("LEMONSLICE_API_KEY") if api_key is None else api_key
        address = (os.environ.get("LEMONSLICE_API_URL") if api_url is None else api_url) or DEFAULT_API_URL
        problem = _key_problem(key) or _address_problem(address)
        if session is not None and not isinstance(session, aiohttp.ClientSession):  # pyright: ignore[reportUnnecessaryIsInstance]
            problem = f"session must be an aiohttp.ClientSession, not of type {type(session).__name__}; or leave it out"
        if not (math.isfinite(timeout) and timeout > 0):
            problem = "timeout must be a number of seconds above 0"
        # The line that raises names no secret, because some loggers show the values of the names in it.
        if problem:
            raise ConfigurationError(problem)
        self._base = URL(address.strip().rstrip("/"))
        self._http = HttpClient(key or "", self._base, session, timeout, on_answer)

    def __repr__(self) -> str:
        return f"LemonSliceApi({str(self._base)!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the client's own session; a borrowed one stays open. May be called twice."""
        await self._http.close()

    async def create_session(self, request: CreateSessionRequest, *, on_retry: OnRetry | None = None) -> CreatedSession:
        """Create a session. The request is not repeated if the server may have acted on it.

        Args:
            request: What is asked for.
            on_retry: Told of each failed attempt that is followed by another one.

        Returns:
            The session; its room is the one that was sent if the response names none.

        Raises:
            ApiError: There is no session, or it is unknown whether there is: one that was created unseen ends by its
                ``idle_timeout``.
            ConfigurationError: The image cannot be read.
        """
        image = None
        if request.agent_image is not None:
            image = await asyncio.to_thread(prepare_picture, request.agent_image)
        self._http.hide(*request.secrets())
        url = self._base / "liveai" / "sessions"
        creation = Request("Creating the session", "POST", url, False, payload=request.payload(), image=image)
        response = await self._http.send(creation, on_retry)
        try:
            session = read_model(CreatedSession, response, creation.operation)
        except ApiResponseError:
            # The session may exist; if its id can be recovered, that session is terminated.
            if session_id := find_session_id(response):
                with suppress(ApiError):
                    await self.terminate(session_id)
            raise
        control_url = self._control_url(session.session_id, session.control_url)
        room_url = session.room_url or request.room_url
        return session.model_copy(update={"control_url": str(control_url), "room_url": room_url})

    async def get_session(self, session_id: str) -> SessionInfo:
        """Get the state and the cost of a session.

        Args:
            session_id: The session.

        Raises:
            ApiError: The request failed.
        """
        operation = f"Getting session {safe_line(session_id, limit=60)}"
        return await self._get(SessionInfo, operation, self._session_url(session_id), session_id=session_id)

    async def list_sessions(self, *, page: int = 1, limit: int = 25) -> SessionPage:
        """Get one page of the account's sessions.

        Args:
            page: Which one, from 1.
            limit: Sessions per page, 1 to 100.

        Raises:
            ApiError: The request failed.
            ConfigurationError: ``page`` or ``limit`` are out of range.
        """
        if page < 1 or not 1 <= limit <= _MAX_PAGE:
            raise ConfigurationError("page must be 1 or more, and limit from 1 to 100")
        url = (self._base / "liveai" / "sessions").with_query(page=page, limit=limit)
        return await self._get(SessionPage, "Listing the sessions", url)

    async def iter_sessions(self) -> AsyncIterator[SessionSummary]:
        """Iterate over all of the account's sessions, each once, also while new ones push others to the next page.

        Raises:
            ApiError: A request failed.
        """
        seen: set[str] = set()
        number, more = 1, True
        while more:
            page = await self.list_sessions(page=number, limit=_MAX_PAGE)
            new = [session for session in page.sessions if session.session_id not in seen]
            seen.update(session.session_id for session in new)
            for session in new:
                yield session
            # Without the second condition a list that repeats itself and always has more would never end.
            number, more = number + 1, page.pagination.has_more and bool(new)

    async def control(
        self, session_id: str, event: ControlEvent, *, control_url: str | None = None, once: bool = False
    ) -> None:
        """Send a control event to a session.

        Args:
            session_id: The session.
            event: What it is told.
            control_url: Where to send it, if the session named a place. If that is not on the API's own origin, the
                event goes there without the API key.
            once: Whether to try only once and to wait a few seconds only: for events that are sent again anyway.

        Raises:
            ApiError: The request failed.
            ConfigurationError: The image of an UpdateImage cannot be read.
        """
        scaled = isinstance(event, UpdateImage)
        payload = await asyncio.to_thread(control_payload, event) if scaled else control_payload(event)
        request = _event_request(payload, self._control_url(session_id, control_url))
        await self._post(replace(request, timeout=5.0, budget=0.0) if once else request)

    async def terminate(self, session_id: str, *, control_url: str | None = None) -> None:
        """End a session, in ``TERMINATE_SECONDS`` at most. One that has ended already is fine.

        A control URL that is not the API's own is tried first; if it fails, the API's own is tried.

        Args:
            session_id: The session.
            control_url: As in ``control``.

        Raises:
            ApiError: The session may still be running.
        """
        url = self._control_url(session_id, control_url)
        request = replace(_event_request(control_payload(Terminate()), url), timeout=8.0, budget=12.0)
        try:
            async with asyncio.timeout(TERMINATE_SECONDS):
                if not self._http.is_own(url):
                    with suppress(ApiError):
                        await self._post(request)
                        return
                    request = replace(request, url=self._control_url(session_id, None))
                await self._post(request)
                return
        except ApiStatusError as error:
            if error.status in (404, 409):  # it has ended already
                return
            raise
        except TimeoutError:
            pass  # raised below, outside of this block, as the context of an error may hold secrets
        raise ApiTimeoutError(f"no success in {TERMINATE_SECONDS:g} s", True, "Terminating the session")

    def exit_hook(self, session_id: str, *, control_url: str | None = None) -> ExitHook:
        """Have a session terminated at exit if no event loop is left to do it. Cancel the hook once it has ended."""
        url = self._control_url(session_id, control_url)
        return ExitHook(url, self._http.headers(url), control_payload(Terminate()))

    async def _get(self, model: type[ModelT], operation: str, url: URL, **known: str) -> ModelT:
        response = await self._http.send(Request(operation, "GET", url, True))
        return read_model(model, response, operation, **known)

    async def _post(self, event: Request) -> None:
        response = await self._http.send(event)
        if denies_success(response):
            raise ApiResponseError(f'it says "success": false, {server_words(response)}', event.operation)

    def _session_url(self, session_id: str, *further: str) -> URL:
        if not session_id or session_id in (".", ".."):
            raise ConfigurationError("session_id is empty or no id. Give the id of a session that was created")
        path = "/".join(["liveai", "sessions", quote(session_id, safe=""), *further])
        return URL(f"{self._base}/{path}", encoded=True)

    def _control_url(self, session_id: str, given: str | None) -> URL:
        """Return the URL that the service gave, if it is one; else the one that the reference names."""
        return _http_url(given or "") or self._session_url(session_id, "control")


def _event_request(payload: dict[str, Any], url: URL) -> Request:
    idempotent = payload["event"] != "pose-trigger"
    return Request(f"Control event {payload['event']}", "POST", url, idempotent, payload=payload)


def _key_problem(key: object) -> str | None:
    remedy = "Set LEMONSLICE_API_KEY or the argument api_key"
    if not key:
        return f"There is no API key. {remedy}"
    if not isinstance(key, str):
        return f"The API key is not a text. {remedy}"
    if not key.isascii() or not key.isprintable() or " " in key:
        return f"The API key holds a space, a line break or another stray character. {remedy} without it"
    return None


def _address_problem(given: object) -> str | None:
    url = _http_url(given.strip()) if isinstance(given, str) else None
    if url is None:
        problem = "is not an http or https URL"
    elif url.user or url.password or url.query_string or url.fragment:
        problem = "must not hold a user, a query or a fragment"
    elif url.scheme == "http" and not _is_loopback(url.host or ""):
        problem = "needs https, because over http the key can be read on its way"
    else:
        return None
    return f"The API address {problem}. Check api_url or LEMONSLICE_API_URL, as in {DEFAULT_API_URL}"


def _http_url(text: str) -> URL | None:
    if any(char.isspace() or not char.isprintable() for char in text):
        return None
    try:
        url = URL(text)
        return url if url.scheme in ("http", "https") and url.host and url.port is not None else None
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
