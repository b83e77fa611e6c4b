"""What a bug report says, and what can never be in it."""

import json
import re
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from yarl import URL

from pipecat_lemonslice.api import CreateSessionRequest, Request, Response
from pipecat_lemonslice.cli.report import (
    KEYS,
    NUMBERS,
    PLACEHOLDER,
    WORDS,
    Body,
    Log,
    Measured,
    Report,
    make_report,
    measure,
)
from pipecat_lemonslice.rooms import MessageReceived, Participant, ParticipantJoined, ParticipantLeft

SECRETS = st.text("абвгдежз", min_size=6)
"""Texts in an alphabet that nothing else in a report has, so that every piece of one is found."""
NUMBER_SECRETS = st.integers(10**9, 10**12)
VALUES = st.none() | st.booleans() | SECRETS | NUMBER_SECRETS | st.floats() | st.sampled_from(sorted(WORDS))
HARMLESS = sorted(KEYS - NUMBERS)
BODIES = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(HARMLESS) | SECRETS, inner, max_size=5),
    max_leaves=12,
)


def log() -> Log:
    return Log(iter(range(1000)).__next__, lambda *_: None)


def answered(written: Log, body: str, status: int = 201, seconds: float = 0.25, **payload: Any) -> None:
    request = Request("Creating the session", "POST", URL("https://api.example/x"), False, payload=payload)
    written.answered(request, Response(status, body, seconds=seconds))


def report(written: Log) -> Report:
    return make_report(written, CreateSessionRequest(agent_id="secret-agent"), "done", Measured())


@settings(max_examples=200)
@given(body=BODIES, message=BODIES, who=SECRETS, name=SECRETS, reason=SECRETS, page=SECRETS)
def test_no_text_and_no_number_from_outside_is_in_a_report(
    body: Any, message: Any, who: str, name: str, reason: str, page: str
) -> None:
    """Whatever the API, the room and the avatar say, at any depth, as key or value; and the report can be read."""
    written = log()
    answered(written, json.dumps(body))
    answered(written, page)
    for event in (
        ParticipantJoined(Participant(who, name)),
        MessageReceived(who, message),
        ParticipantLeft(Participant(who, name), reason),
    ):
        written.happened(event, "LemonSlice")
    written.sent({"event": "interrupt", "session_id": who})
    text = report(written).model_dump_json()
    assert text.isascii()
    assert not re.search("[0-9]{9}", text)
    assert Report.model_validate_json(text).entries == tuple(written.entries)


@given(text=st.text(min_size=1))
def test_the_format_itself_refuses_every_other_text(text: str) -> None:
    """As a value, as a key, and in a list: what is written down is checked once more when it is put together."""
    assume(text not in WORDS | KEYS and not PLACEHOLDER.fullmatch(text))
    for body in (text, {text: None}, {"detail": [text]}):
        with pytest.raises(ValidationError):
            TypeAdapter(Body).validate_python(body)


def test_nothing_may_be_added_to_the_format() -> None:
    """Unknown fields, a number under a key of texts, a version with words of its own: refused."""
    whole = report(log()).model_dump(mode="json")
    for change in (
        {"token": "secret"},
        {"version": 2},
        {"outcome": "secret"},
        {"software": {"python": "3.11 secret"}},
        {"entries": [{"kind": "moment", "at": 0, "what": "secret"}]},
        {"entries": [{"kind": "moment", "at": 0, "what": "created", "key": "secret"}]},
        {"entries": [{"kind": "message", "at": 0, "direction": "sent", "who": None, "body": {"detail": 4711}}]},
    ):
        with pytest.raises(ValidationError):
            Report.model_validate({**whole, **change})


def test_a_report_says_what_was_said() -> None:
    """Known words stay; the same id, name or text has the same placeholder wherever it appears."""
    written = log()
    answered(written, json.dumps({"session_id": "s-4711", "room_url": "https://x.daily.co/r?t=abc", "newField": 7}))
    written.happened(ParticipantJoined(Participant("p-1", "LemonSlice")), "LemonSlice")
    written.happened(MessageReceived("p-1", {"type": "bot_ready", "session_id": "s-4711", "fatal": True}), "LemonSlice")
    written.happened(ParticipantLeft(Participant("p-1", "LemonSlice"), "leftCall"), "LemonSlice")
    answered(written, json.dumps({"session_id": 4711, "cost": 0.5}), 200, event="terminate")
    answered(written, json.dumps({"cost": 10**400, "credits_used": float("nan")}), 999)
    answered(written, "<html>Bad gateway for s-4711</html>", 502)
    created, joined, message, left, ended, odd, page = (entry.model_dump() for entry in written.entries)
    assert created["body"] == {"session_id": "session-1", "room_url": "room-1", "key-1": "number"}
    assert (created["operation"], created["status"], created["seconds"]) == ("create", 201, 0.25)
    assert (joined["who"], joined["avatar"], joined["event"]) == ("participant-1", True, "joined")
    assert message["body"] == {"type": "bot_ready", "session_id": "session-1", "fatal": True}
    assert (message["who"], left["reason"]) == ("participant-1", "leftCall")
    assert (ended["operation"], ended["body"]) == ("terminate", {"session_id": "session-2", "cost": 0.5})
    assert odd["body"] == {"cost": "number", "credits_used": "number"}
    assert page["body"] == "text-1"


def test_durations_are_measured_from_one_step_to_the_next() -> None:
    """By what was written down; an avatar that comes before anybody has seen the session active ends the queue."""
    times = iter((0.0, 1.0, 1.0, 3.0, 3.5, 4.0, 5.0, 5.25, 8.0))
    written = Log(lambda: next(times), lambda *_: None)
    answered(written, "{}", seconds=0.75)
    for reached in ("created", "avatar_joined", "active", "first_picture", "speaking", "first_sound", "response_ended"):
        written.reached(reached)
    measured = measure(written.entries, {"lag": 0.26049, "width": 368})
    assert (measured.create, measured.queue, measured.join, measured.first_picture) == (0.75, 2.0, 0.0, 1.0)
    assert (measured.first_sound, measured.response, measured.lag, measured.width) == (0.25, 3.0, 0.26, 368)
    assert measure([], {}) == Measured()
