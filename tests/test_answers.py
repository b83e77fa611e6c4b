import json
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from pipecat_lemonslice.answers import (
    CreatedSession,
    SessionInfo,
    SessionPage,
    SessionStatus,
    SessionSummary,
    denial,
    read_answer,
    server_words,
)
from pipecat_lemonslice.errors import ApiResponseError

AnswerT = TypeVar("AnswerT", bound=BaseModel)


def read(model: type[AnswerT], data: object, *secrets: str, **known: str) -> AnswerT:
    outcome = read_answer(model, json.dumps(data), "The test", *secrets, **known)
    if isinstance(outcome, ApiResponseError):
        raise outcome
    return outcome


CREATED: dict[str, Any] = {"session_id": "s", "control_url": "https://x/c"}
PAGE: dict[str, Any] = {"page": 1, "limit": 25, "total": 1, "total_pages": 1, "has_more": False}


@pytest.mark.parametrize("word", ["QUEUED", "ACTIVE", "COMPLETED", "TIMED_OUT", "FAILED"])
def test_every_status_is_known(word: str):
    """The words of the reference are members, in any case."""
    for spelt in (word, word.lower()):
        info = read(SessionInfo, {"session_id": "s", "session_status": spelt})
        assert info.status is SessionStatus[word]


@pytest.mark.parametrize("word", ["PAUSED", "", None, 5, [], {"a": 1}, "__class__"])
def test_other_statuses_are_unknown_and_no_failure(word: object):
    """A status that a later version adds does no harm."""
    info = read(SessionInfo, {"session_id": "s", "session_status": word})
    assert info.status is SessionStatus.UNKNOWN


@pytest.mark.parametrize(("cost", "read"), [(1, 1.0), (0.25, 0.25), (None, None), ("free", None), ([], None)])
def test_an_odd_cost_is_no_cost(cost: object, read: float | None):
    """A session is not lost over its price."""
    assert SessionInfo.model_validate({"session_id": "s", "session_status": "ACTIVE", "cost": cost}).cost == read


@pytest.mark.parametrize("odd", [5, "", [], {"a": 1}, None, False])
def test_an_odd_room_is_no_room(odd: object):
    """A session that exists is not refused because its room cannot be read."""
    assert read(CreatedSession, CREATED | {"room_url": odd}).room_url is None


@pytest.mark.parametrize("odd", [5, [], {"a": 1}, None, False])
def test_an_odd_control_address_is_none(odd: object):
    """Nor over the place for control events, which is known anyway."""
    assert read(CreatedSession, CREATED | {"control_url": odd}).control_url == ""


def test_what_is_known_already_is_not_believed():
    """The id that was asked for is the id."""
    answer = {"session_id": "other", "session_status": "ACTIVE"}
    assert read(SessionInfo, answer, session_id="s").session_id == "s"


def test_ids_may_be_numbers():
    """An id is a text, however it comes."""
    assert read(CreatedSession, CREATED | {"session_id": 17}).session_id == "17"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"control_url": "https://x/c"}, "session_id is missing"),
        (CREATED | {"session_id": ""}, "session_id is not what it should be"),
        (CREATED | {"session_id": None}, "session_id is not what it should be"),
        (CREATED | {"session_id": True}, "session_id is not what it should be"),
        (CREATED | {"session_id": {"token": "S3CR3T"}}, "session_id is not what it should be"),
    ],
)
def test_a_session_without_an_id(data: dict[str, Any], words: str):
    """The error names the key and the keys that came, and shows no value."""
    with pytest.raises(ApiResponseError) as caught:
        read(CreatedSession, data)
    assert words in str(caught.value)
    assert "control_url" in str(caught.value)
    assert "S3CR3T" not in str(caught.value)
    assert caught.value.__context__ is None


def test_the_list_of_sessions():
    """Summaries are typed; what is odd or missing in one is none."""
    line = {
        "session_id": "s",
        "session_status": "COMPLETED",
        "created_at": "2026-07-01T12:00:00Z",
        "credits_used": 3,
        "provider": "daily",
        "new_key": 1,
    }
    page = read(SessionPage, {"sessions": [line, {"session_id": "t"}], "pagination": PAGE})
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
def test_a_list_that_lacks_something(data: dict[str, Any], words: str):
    """The missing key is named with its place."""
    with pytest.raises(ApiResponseError, match=words):
        read(SessionPage, data)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "empty"),
        ('{"session_id": "S3CR3T', "breaks off"),
        ("[1, 2]", "not a list"),
        ('"S3CR3T"', "not a str"),
        ("null", "plain text"),
        ("S3CR3T S3CR3T", "plain text"),
        ("<html><title>Sign in to S3CR3T</title></html>", 'a web page, "Sign in to [REDACTED]"'),
        ("{" * 100_000, "breaks off"),
        ("[" * 100_000, "breaks off"),
    ],
)
def test_what_is_no_json_object(body: str, words: str):
    """The error tells the kind of thing that came, not the thing."""
    error = read_answer(CreatedSession, body, "Creating the session", "S3CR3T")
    assert isinstance(error, ApiResponseError)
    assert words in str(error)
    assert "S3CR3T" not in repr(error)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"detail": "Invalid agent"}', "Invalid agent"),
        ('{"error": "Invalid agent"}', "Invalid agent"),
        ('{"message": "Invalid agent"}', "Invalid agent"),
        ('{"error": {"message": "Invalid agent"}}', "Invalid agent"),
        ('{"detail": [{"loc": ["body", "idle_timeout"], "msg": "too low"}]}', "too low (body.idle_timeout)"),
        ('{"detail": [{"msg": "a"}, "b", 5]}', "a; b;"),
        ('{"detail": null}', "Bad Gateway"),
        ('{"other": 1}', "Bad Gateway"),
        ("[]", "Bad Gateway"),
        ("", "Bad Gateway"),
        ("upstream connect error", "upstream connect error"),
        ("<html><head><title>502 Bad Gateway</title></head><body>x</body></html>", "502 Bad Gateway"),
        ("<h1 class='a'>We&#8217;ll be back</h1>", "We’ll be back"),
        ("<!doctype html><style>p {}</style><script>x</script><p>Sorry,<br>busy", "Sorry, busy"),
        ("<" * 50_000, "Bad Gateway"),
        ('{"detail": "the key S3CR3T is not valid"}', "the key [REDACTED] is not valid"),
        ('{"detail": "cannot load https://x.example/a?sig=1 now"}', "cannot load https://x.example/a now"),
        ('{"detail": "S\\u00333CR3T"}', "S33CR3T"),
        ('{"detail": "\\u0053\\u0033CR3T"}', "[REDACTED]"),
    ],
)
def test_what_an_error_says(body: str, words: str):
    """The server's words are found in JSON, in a web page and in plain text, as one safe line."""
    assert server_words(502, body, "S3CR3T") == words


def test_a_status_nobody_knows_with_nothing_to_say():
    """There is not always something to tell."""
    assert server_words(799, "") == ""


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda data: data.decode(errors="replace")))
def test_any_body_is_survived(body: str):
    """Whatever a server sends, reading it gives a line, a session or an ApiResponseError."""
    assert len(server_words(500, body)) <= 200
    assert isinstance(read_answer(CreatedSession, body, "x"), CreatedSession | ApiResponseError)


@pytest.mark.parametrize("body", ['{"success": true}', "", "{}", "OK", "[]", '{"success": null}'])
def test_success_without_denial(body: str):
    """Any body of a 2xx answer will do, unless it denies."""
    assert denial(200, body) is None


def test_success_denied():
    """A 200 that says there was no success is none."""
    assert denial(200, '{"success": false, "error": "no such pose"}') == "no such pose"
    assert denial(200, '{"success": false}') == "OK"


def test_secrets_are_not_shown():
    """A room's address loses its token in the repr."""
    session = read(CreatedSession, CREATED | {"room_url": "https://x.daily.co/r?t=S3CR3T"})
    assert "S3CR3T" not in f"{session!r} {session}"
    assert session.room_url == "https://x.daily.co/r?t=S3CR3T"
