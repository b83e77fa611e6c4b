"""The endpoints: what each sends where, what its response is read as, and how a session comes to an end."""

import asyncio
import io
import math
from contextlib import nullcontext
from typing import Any

import pytest
from PIL import Image

from pipecat_lemonslice.api import (
    CreateSessionRequest,
    DailyProperties,
    LemonSliceApi,
    PoseTrigger,
    ResetIdleTimeout,
    UpdateImage,
)
from pipecat_lemonslice.errors import ApiResponseError, ApiStatusError, ApiTimeoutError, ConfigurationError
from tests.support.no_secret import check_no_secret
from tests.support.rest_server import KEY, RawServer, RestServer, served

PLAIN = CreateSessionRequest(agent_id="a")


# Construction.


def test_key_and_address_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments win over the two variables; an empty address is the real service's."""
    monkeypatch.setenv("LEMONSLICE_API_KEY", KEY)
    monkeypatch.setenv("LEMONSLICE_API_URL", "http://127.0.0.1:8900/api/")
    assert repr(LemonSliceApi()) == "LemonSliceApi('http://127.0.0.1:8900/api')"
    assert repr(LemonSliceApi(api_url="https://x.example")).startswith("LemonSliceApi('https://x.example")
    monkeypatch.setenv("LEMONSLICE_API_URL", "")
    assert repr(LemonSliceApi()) == "LemonSliceApi('https://lemonslice.com/api')"
    monkeypatch.delenv("LEMONSLICE_API_URL")
    assert repr(LemonSliceApi()) == "LemonSliceApi('https://lemonslice.com/api')"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (" https://lemonslice.com/api/\n", "https://lemonslice.com/api"),
        ("https://proxy.example:8443/api", "https://proxy.example:8443/api"),
        *((url, url) for url in ("http://localhost:8900/api", "http://api.localhost/api", "http://127.1.2.3/api")),
        ("http://[::1]:8900/api", "http://[::1]:8900/api"),
    ],
)
def test_addresses_that_are_accepted(url: str, address: str) -> None:
    """Https anywhere, http on this machine; a slash or a space at the end does no harm."""
    assert repr(LemonSliceApi(api_key=KEY, api_url=url)) == f"LemonSliceApi({address!r})"


def url(text: str) -> dict[str, Any]:
    return {"api_key": KEY, "api_url": text}


NEEDS_HTTPS = ("LEMONSLICE_API_URL", "needs https")
NO_URL = ("LEMONSLICE_API_URL", "not an http or https URL")
HAS_SECRETS = ("LEMONSLICE_API_URL", "must not hold")
NO_KEY = ("LEMONSLICE_API_KEY", "")
ODD_KEYS = ("", " S3CR3T", "S3CR3T\n", "S3 CR3T", "schlüssel-S3CR3T", "S3CR3T\x00", "S3CR3T\x7f")


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        (url("http://lemonslice.com/api"), NEEDS_HTTPS),
        (url("http://127.0.0.1.evil.example/api"), NEEDS_HTTPS),
        (url("http://10.0.0.1/api"), NEEDS_HTTPS),
        (url("http://localhost.evil.example"), NEEDS_HTTPS),
        (url("http://0.0.0.0:80/api"), NEEDS_HTTPS),
        (url("ftp://lemonslice.com/api"), NO_URL),
        (url("lemonslice.com/api"), NO_URL),
        (url("https:///api"), NO_URL),
        (url("https://a b/api"), NO_URL),
        (url("https://a:99999/api"), NO_URL),
        (url("https://[::1/api"), NO_URL),
        (url("https://u:S3CR3T@lemonslice.com/api"), HAS_SECRETS),
        (url("https://u@lemonslice.com/api"), HAS_SECRETS),
        (url("https://lemonslice.com/api?key=S3CR3T"), HAS_SECRETS),
        (url("https://lemonslice.com/api#S3CR3T"), HAS_SECRETS),
        ({}, NO_KEY),
        *(({"api_key": key}, NO_KEY) for key in ODD_KEYS),
        *(({"api_key": KEY, "timeout": seconds}, ("timeout must be",)) for seconds in (0, -1, math.nan, math.inf)),
    ],
)
def test_what_is_refused(monkeypatch: pytest.MonkeyPatch, keywords: dict[str, Any], words: tuple[str, ...]) -> None:
    """An address, a key, a timeout: the error says what is wrong and which setting it is, and shows no secret."""
    monkeypatch.delenv("LEMONSLICE_API_KEY", raising=False)
    with pytest.raises(ConfigurationError) as caught:
        LemonSliceApi(**keywords)
    assert all(word in str(caught.value) for word in words)
    check_no_secret(caught.value)


# Creating.


@pytest.mark.parametrize("odd", [None, "", 5, {}, "/relative", "ftp://x/y", "javascript:alert(1)", "http://[", "a\nb"])
async def test_a_poor_response_loses_no_session(odd: object) -> None:
    """Room and control URL are optional: there is the room that was sent, and the reference's URL."""
    room = DailyProperties(daily_room_url="https://acme.daily.co/r")
    async with served() as (server, api):
        server.answer(201, {"session_id": "s1", "control_url": odd})
        session = await api.create_session(CreateSessionRequest(agent_id="a", properties=room))
        assert session.control_url == f"{server.url}/liveai/sessions/s1/control"
        assert session.room_url == "https://acme.daily.co/r"
        server.answer(201, {"session_id": "s1"})
        assert (await api.create_session(PLAIN)).room_url is None


async def test_a_session_whose_response_breaks_off_is_terminated() -> None:
    """It may be running: if its id can be recovered, it is terminated, and the failure raised."""
    async with served() as (server, api):
        server.answer(201, b'{"session_id": "s1", "room_url": "https://lemonslice.da')
        server.answer(200, {"success": True})
        with pytest.raises(ApiResponseError, match="truncated"):
            await api.create_session(PLAIN)
    assert [seen.path for seen in server.seen][1:] == ["/api/liveai/sessions/s1/control"]
    assert server.seen[1].json == {"event": "terminate"}


async def test_images_are_sent_small_and_made_beside_the_event_loop() -> None:
    """Many megabytes go out as one at most, and the loop goes on meanwhile, at a creation and at an update."""
    image = Image.effect_noise((1500, 1800), 90).convert("RGB")
    # The virtual clock stands still while a thread works, so what counts is that the loop turns.
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with served() as (server, api):
        server.answer(201, {"session_id": "s1", "success": True})
        turning = asyncio.create_task(turn())
        await api.create_session(CreateSessionRequest(agent_image=image))
        assert turns > 1000
        turns = 0
        await api.control("s1", UpdateImage(image=image))
        assert turns > 1000
        turning.cancel()
    payload, picture = server.seen[0].parts
    assert payload.content_type == "application/json"
    assert (picture.filename, picture.content_type) == ("image.jpg", "image/jpeg")
    assert len(picture.data) < 1_000_000
    assert max(Image.open(io.BytesIO(picture.data)).size) <= 1120


# Asking.


@pytest.mark.parametrize(
    ("session_id", "path"),
    [
        ("s1", "/api/liveai/sessions/s1"),
        ("a/b?c#d e", "/api/liveai/sessions/a%2Fb%3Fc%23d%20e"),
        ("../../keys", "/api/liveai/sessions/..%2F..%2Fkeys"),
        ("%2e%2e", "/api/liveai/sessions/%252e%252e"),
        *((odd, None) for odd in ("", ".", "..")),
    ],
)
async def test_an_id_stays_below_the_sessions(session_id: str, path: str | None) -> None:
    """No id leads to another place of the API; one that cannot be written into a path is refused."""
    async with served() as (server, api):
        server.answer(200, {"session_status": "ACTIVE"})
        if path is None:
            with pytest.raises(ConfigurationError, match="session_id"):
                await api.get_session(session_id)
        else:
            await api.get_session(session_id)
    assert [seen.path for seen in server.seen] == ([path] if path else [])


def page(*ids: str, more: bool) -> dict[str, Any]:
    pagination = {"page": 1, "limit": 100, "total": 3, "total_pages": 2, "has_more": more}
    return {"sessions": [{"session_id": each} for each in ids], "pagination": pagination}


async def test_all_sessions_each_once() -> None:
    """Pages are read to the end, without what slipped to the next one; a list that repeats itself ends, too."""
    async with served() as (server, api):
        server.answer(200, page("a", "b", more=True))
        server.answer(200, page("b", "c", more=True))
        server.answer(200, page("b", "c", more=True))
        assert [session.session_id async for session in api.iter_sessions()] == ["a", "b", "c"]
    assert [seen.path.partition("?")[2] for seen in server.seen] == [f"page={n}&limit=100" for n in (1, 2, 3)]


@pytest.mark.parametrize(("number", "limit"), [(0, 25), (1, 0), (1, 101), (-1, 25)])
async def test_pages_that_do_not_exist(number: int, limit: int) -> None:
    """Page and limit are checked before they are sent."""
    with pytest.raises(ConfigurationError, match="limit from 1 to 100"):
        await LemonSliceApi(api_key=KEY).list_sessions(page=number, limit=limit)


# Control.


async def test_a_pose_is_not_struck_twice() -> None:
    """What does more when it is repeated is not repeated after a doubtful failure, other events are."""
    async with served() as (server, api):
        server.answer(500)
        with pytest.raises(ApiStatusError):
            await api.control("s1", PoseTrigger("wave"))
        assert len(server.seen) == 1
        with pytest.raises(ApiStatusError):
            await api.control("s1", ResetIdleTimeout())
        assert len(server.seen) == 3


async def test_an_event_that_is_sent_once_is_not_repeated() -> None:
    """Not even where anything else would be; and its response is awaited for 5 s only."""

    async def hang(_: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with served() as (server, api):
        server.answer(429)
        with pytest.raises(ApiStatusError):
            await api.control("s1", ResetIdleTimeout(), once=True)
        assert len(server.seen) == 1
    async with RawServer(hang) as raw, LemonSliceApi(api_key=KEY, api_url=raw.url) as api:
        with pytest.raises(ApiTimeoutError, match="in 5 s"):
            await api.control("s1", ResetIdleTimeout(), once=True)
        assert raw.requests == 1


@pytest.mark.parametrize("body", [None, "", "OK", "<html></html>", b"{", {"success": True}, {"success": None}, {}, []])
async def test_any_success_of_an_event_will_do(body: object) -> None:
    """The body of a 2xx response is not needed."""
    async with served() as (server, api):
        server.answer(200, body)
        await api.control("s1", ResetIdleTimeout())
        await api.terminate("s1")


# Terminating.


@pytest.mark.parametrize(("status", "ended"), [(404, True), (409, True), (400, False), (401, False), (503, False)])
async def test_a_session_that_has_ended_already_counts_as_terminated(status: int, ended: bool) -> None:
    """Its idle timeout may have been faster; any other failure is raised, at the end and only then."""
    async with served() as (server, api):
        server.answer(status, {"detail": "No"})
        with nullcontext() if ended else pytest.raises(ApiStatusError) as caught:
            await api.terminate("s1")
    assert (server.seen[0].path, server.seen[0].json) == ("/api/liveai/sessions/s1/control", {"event": "terminate"})
    if caught is not None:
        assert caught.value.status == status
        check_no_secret(caught.value)


@pytest.mark.parametrize("status", [200, 301, 401, 404, 503])
async def test_terminate_falls_back_on_the_apis_own_url(status: int) -> None:
    """A foreign URL that does not do it leaves the session running, so the API itself is asked."""
    async with served() as (server, api), RestServer() as foreign:
        server.answer(200, {"success": True})
        foreign.answer(status)
        await api.terminate("s1", control_url=f"{foreign.root}/c/1")
    assert foreign.seen
    assert KEY not in str(foreign.seen)
    assert [seen.headers["X-API-Key"] for seen in server.seen] == ([] if status == 200 else [KEY])


async def test_terminate_never_hangs() -> None:
    """Whatever the servers do, the end comes in bounded time."""

    async def hang(_: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    clock = asyncio.get_running_loop().time
    async with RawServer(hang) as foreign, RawServer(hang) as server:
        async with LemonSliceApi(api_key=KEY, api_url=server.url) as api:
            began = clock()
            with pytest.raises(
                ApiTimeoutError, match=r"Terminating the session failed \(no success in 30 s\)"
            ) as caught:
                await api.terminate("s1", control_url=f"{foreign.url}/c?token=S3CR3T")
            assert clock() - began == 30
            check_no_secret(caught.value)
        assert foreign.requests > 0
        assert server.requests > 0
