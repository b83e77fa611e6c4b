"""Responses: what is needed, what may be odd, and what a refusal says."""

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipecat_lemonslice.api import CreatedSession, SessionInfo, SessionPage, SessionStatus, SessionSummary
from pipecat_lemonslice.api.responses import ModelT, Response, read_model, server_words
from pipecat_lemonslice.errors import ApiResponseError

CREATED: dict[str, Any] = {"session_id": "s", "control_url": "https://x/c"}
PAGE: dict[str, Any] = {"page": 1, "limit": 25, "total": 1, "total_pages": 1, "has_more": False}
MASKED = ("S3CR3T",)


def read(model: type[ModelT], data: object) -> ModelT:
    return read_model(model, Response(200, json.dumps(data)), "The test")


STATUSES = ("QUEUED", "ACTIVE", "COMPLETED", "TIMED_OUT", "FAILED")


@pytest.mark.parametrize(
    ("data", "field", "value"),
    [
        *(({"session_status": word}, "status", SessionStatus[word]) for word in STATUSES),
        *(({"status": word.lower()}, "status", SessionStatus[word]) for word in STATUSES),
        *(
            ({"session_status": odd}, "status", SessionStatus.UNKNOWN)
            for odd in ("PAUSED", "", None, 5, [], {"a": 1}, "__class__")
        ),
        *(({"status": "active", "cost": cost}, "cost", number) for cost, number in ((1, 1.0), (0.25, 0.25))),
        *(({"status": "active", "cost": odd}, "cost", None) for odd in (None, "free", [])),
    ],
)
def test_a_session_is_read_whatever_is_odd_in_it(data: dict[str, Any], field: str, value: object) -> None:
    """A status in any case, under either key; a session is not lost over its price, or a status of a later version."""
    assert getattr(read(SessionInfo, {"session_id": "s"} | data), field) == value


@pytest.mark.parametrize("odd", [5, "", [], {"a": 1}, None, False])
def test_odd_urls_are_missing(odd: object) -> None:
    """A session that exists is not refused because its room or control URL cannot be read."""
    session = read(CreatedSession, {"session_id": 17, "room_url": odd, "control_url": odd})
    assert (session.session_id, session.room_url, session.control_url) == ("17", None, None)


@pytest.mark.parametrize("odd", ["missing", "", " ", None, True, {"token": "S3CR3T"}])
def test_a_session_needs_an_id(odd: object) -> None:
    """The error names the key and the keys that came, and shows no value."""
    data = {"control_url": "https://x/c"} if odd == "missing" else CREATED | {"session_id": odd}
    with pytest.raises(ApiResponseError) as caught:
        read(CreatedSession, data)
    problem = "missing" if odd == "missing" else "not what it should be"
    assert f"session_id is {problem}. It has the keys control_url" in str(caught.value)
    assert "S3CR3T" not in str(caught.value)
    assert caught.value.__context__ is None


def test_the_list_of_sessions() -> None:
    """Summaries are typed; what is odd or missing in one is None."""
    line = {
        "session_id": "s",
        "session_status": "COMPLETED",
        "created_at": "2026-07-01T12:00:00Z",
        "credits_used": 3,
        "provider": "daily",
        "new_key": 1,
    }
    page = read(SessionPage, {"sessions": [line, {"session_id": "t", "created_at": "now"}], "pagination": PAGE})
    assert page.sessions == (
        SessionSummary(
            session_id="s",
            status=SessionStatus.COMPLETED,
            created_at=datetime(2026, 7, 1, 12, tzinfo=UTC),
            credits_used=3.0,
            provider="daily",
        ),
        SessionSummary(session_id="t"),
    )
    assert page.pagination.has_more is False


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"pagination": PAGE}, "sessions is missing"),
        ({"sessions": []}, "pagination is missing"),
        ({"sessions": [{}], "pagination": PAGE}, "sessions.0.session_id is missing"),
        ({"sessions": "none", "pagination": PAGE}, "sessions is not what it should be"),
        ({"sessions": [], "pagination": {"page": 1}}, "pagination.limit is missing"),
    ],
)
def test_a_list_that_lacks_something(data: dict[str, Any], words: str) -> None:
    """The missing key is named with its place."""
    with pytest.raises(ApiResponseError, match=words):
        read(SessionPage, data)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "expected JSON, got an empty body"),
        ('{"session_id": "S3CR3T', "the JSON is truncated or malformed"),
        ("S3CR3T S3CR3T", "expected JSON, got plain text"),
        ("<html><title>Sign in to S3CR3T</title></html>", 'expected JSON, got an HTML page, "Sign in to [REDACTED]"'),
        ("{" * 100_000, "truncated"),
        ("[" * 100_000, "truncated"),
        ("[1, 2]", "expected a JSON object, got a list"),
        ('"S3CR3T"', "expected a JSON object, got a str"),
        ("null", "expected a JSON object, got a NoneType"),
    ],
)
def test_a_response_that_is_not_a_json_object(body: str, words: str) -> None:
    """The error tells the kind of thing that came, not the thing."""
    with pytest.raises(ApiResponseError) as caught:
        read_model(CreatedSession, Response(201, body, secrets=MASKED), "Creating the session")
    assert words in str(caught.value)
    assert "S3CR3T" not in repr(caught.value)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"detail": "Invalid agent"}', "Invalid agent"),
        ('{"error": "Invalid agent"}', "Invalid agent"),
        ('{"message": "Invalid agent"}', "Invalid agent"),
        ('{"error": {"message": "Invalid agent"}}', "Invalid agent"),
        ('{"detail": [{"loc": ["body", "idle_timeout"], "msg": "too low"}]}', "too low (body.idle_timeout)"),
        ('{"detail": [{"msg": "a"}, "b", 5]}', "a; b;"),
        *((empty, "Bad Gateway") for empty in ('{"detail": null}', '{"other": 1}', "[]", "5", "", "<" * 50_000)),
        ("upstream connect error", "upstream connect error"),
        ("<html><head><title>502 Bad Gateway</title></head><body>x</body></html>", "502 Bad Gateway"),
        ("<h1 class='a'>We&#8217;ll be back</h1>", "We’ll be back"),
        ("<!doctype html><style>p {}</style><script>x</script><p>Sorry,<br>busy", "Sorry, busy"),
        ('{"detail": "the key S3CR3T is not valid"}', "the key [REDACTED] is not valid"),
        ('{"detail": "cannot load https://x.example/a?sig=1 now"}', "cannot load https://x.example/a now"),
        ('{"detail": "\\u0053\\u0033CR3T"}', "[REDACTED]"),
    ],
)
def test_what_a_refusal_says(body: str, words: str) -> None:
    """The server's words are found in JSON, in an HTML page and in plain text, as one safe line."""
    assert server_words(Response(502, body, secrets=MASKED)) == words


def test_a_status_that_nobody_knows_and_nothing_to_say() -> None:
    """There is not always something to tell."""
    assert server_words(Response(799, "")) == ""


keys = st.sampled_from(["detail", "msg", "loc", "session_id"])
nested = st.recursive(
    st.none() | st.text() | st.integers(), lambda inner: st.dictionaries(keys, inner) | st.lists(inner)
)


@given(
    st.text(max_size=300)
    | st.binary(max_size=300).map(lambda data: data.decode(errors="replace"))
    | nested.map(json.dumps)
)
def test_any_body_is_survived(body: str) -> None:
    """Whatever a server sends, reading it gives a line, and a session or an ApiResponseError."""
    assert len(server_words(Response(500, body))) <= 200
    with contextlib.suppress(ApiResponseError):
        read_model(CreatedSession, Response(201, body), "x")


@pytest.mark.parametrize("depth", [900, 5000, 100_000])
def test_deep_nesting_is_survived(depth: int) -> None:
    """Also where it can be read as JSON, but not walked through."""
    body = '{"detail":' * depth + '"x"' + "}" * depth
    assert server_words(Response(500, body))
    with pytest.raises(ApiResponseError):
        read_model(CreatedSession, Response(201, body), "x")
