"""Faults as text: what is understood, and what is said of what is not."""

import contextlib
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipecat_lemonslice.emulator import Emulator, FaultError
from pipecat_lemonslice.emulator.faults import (
    Answer,
    CutAfter,
    Delay,
    Drip,
    Drop,
    Fatal,
    ForeignControl,
    FreezeVideo,
    Hang,
    LeaveAfter,
    Malform,
    Mute,
    NeverJoin,
    Noise,
    Redirect,
    RefuseRooms,
    Reject,
    Reset,
    ReturnAfter,
    Trouble,
    Truncate,
)
from pipecat_lemonslice.emulator.forms import FORMS, Form, table
from pipecat_lemonslice.emulator.grammar import PATHS, Spec, parse

ALL = math.inf


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("reject=503", Spec(Reject(503))),
        ("2*reject=429,retry_after=1@create", Spec(Reject(429, retry_after="1"), 2)),
        ("reject=400,detail=no, not today, sorry", Spec(Reject(400, "no, not today, sorry"))),
        ("reject=502,body=<p>Bad, gateway</p>,when=after", Spec(Reject(502, body="<p>Bad, gateway</p>", when="after"))),
        ("always*reject=500@any", Spec(Reject(500), ALL, "any")),
        ("delay=4@control", Spec(Delay(4.0), 1, "control")),
        ("always*reject=400@reset-idle-timeout", Spec(Reject(400), ALL, "reset-idle-timeout")),
        ("hang=after@update-image", Spec(Hang("after"), 1, "update-image")),
        ("hang", Spec(Hang())),
        ("hang=after@control", Spec(Hang("after"), 1, "control")),
        ("reset=after", Spec(Reset("after"))),
        ("3*truncate@get", Spec(Truncate(), 3, "get")),
        ("malform@list", Spec(Malform(), 1, "list")),
        ("drip=20", Spec(Drip(20.0))),
        ("redirect=https://elsewhere.test/x", Spec(Redirect("https://elsewhere.test/x"))),
        ("redirect=https://me@elsewhere.test/x@get", Spec(Redirect("https://me@elsewhere.test/x"), 1, "get")),
        ('answer={"x":1,"y":[2]}', Spec(Answer('{"x":1,"y":[2]}'))),
        ("answer=", Spec(Answer(""))),
        ("answer=a,b=c@create@create", Spec(Answer("a,b=c@create"))),
        ("inf*drop=control_url", Spec(Drop("control_url"), ALL)),
        ("foreign_control=http://127.0.0.1:9", Spec(ForeignControl("http://127.0.0.1:9"))),
        ("never_join", Spec(NeverJoin(), ALL)),
        ("1*leave_after=2", Spec(LeaveAfter(2.0), 1)),
        ("return_after=1", Spec(ReturnAfter(1.0), ALL)),
        ("freeze_video", Spec(FreezeVideo(0.0), ALL)),
        ("freeze_video=3", Spec(FreezeVideo(3.0), ALL)),
        ("noise=-61", Spec(Noise(-61.0), ALL)),
        ("1*noise=-61.5", Spec(Noise(-61.5), 1)),
        ("mute=0.5", Spec(Mute(0.5), ALL)),
        ("fatal=meeting expired, @create", Spec(Fatal("meeting expired, @create"), ALL)),
        ("trouble=no GPU", Spec(Trouble("no GPU"), ALL)),
        ("cut_after=2", Spec(CutAfter(2.0), ALL)),
        ("2*refuse_rooms=meeting is full", Spec(RefuseRooms("meeting is full"), 2)),
    ],
)
def test_a_fault_is_understood(text: str, spec: Spec):
    """Each fault, with what may be said of it."""
    assert parse(text) == spec


SECONDS_SAID = "must be a number of seconds from 0"
NO_PATH = "does not belong there: only faults of requests take a @PATH"
PATHS_SAID = "Known: create, list, get, control, any, terminate, reset-idle-timeout, "


@pytest.mark.parametrize(
    ("text", "says", "example"),
    [
        ("", "a fault begins with its name; Known: delay, drop, ", "reject=503"),
        ("rejct=503", "unknown fault 'rejct', did you mean reject? Known: delay, drop, ", "reject=503"),
        ("Reject=503", "unknown fault 'Reject', did you mean reject?", "reject=503"),
        ("never-join", "unknown fault 'never-join', did you mean never_join?", "never_join"),
        ("x" * 1000, f"unknown fault '{'x' * 60}…'; Known: ", "reject=503"),
        # Values.
        ("reject", "reject: it needs a value", "reject=503"),
        ("reject,detail=x", "reject: it needs a value", "reject=503"),
        ("leave_after", "leave_after: it needs a value", "leave_after=2"),
        ("reject=abc", "reject: status must be a number from 200 to 599, not 'abc'", "reject=503"),
        ("reject=700", "reject: status must be a number from 200 to 599, not '700'", "reject=503"),
        ("hang=later", "hang: when must be before or after, not 'later'", "hang=after"),
        ("delay=-1", f"delay: seconds {SECONDS_SAID}, not '-1'", "delay=2"),
        ("delay=nan", f"delay: seconds {SECONDS_SAID}, not 'nan'", "delay=2"),
        ("leave_after=2s", f"leave_after: seconds {SECONDS_SAID}, not '2s'", "leave_after=2"),
        ("noise", "noise: it needs a value", "noise=-61"),
        ("noise=61", "noise: dbfs must be a level from -90 to 0 dBFS, not '61'", "noise=-61"),
        ("noise=-91", "noise: dbfs must be a level from -90 to 0 dBFS, not '-91'", "noise=-61"),
        ("noise=nan", "noise: dbfs must be a level from -90 to 0 dBFS, not 'nan'", "noise=-61"),
        ("noise=-61dB", "noise: dbfs must be a level from -90 to 0 dBFS, not '-61dB'", "noise=-61"),
        ("noise=-61@control", f"noise: '@control' {NO_PATH}", "noise=-61"),
        ("drop=", "drop: key must be one line of text, not ''", "drop=room_url"),
        ("malform=x", "malform: it takes no value, so '=x' does not belong there", "malform"),
        ("never_join=3", "never_join: it takes no value, so '=3' does not belong there", "never_join"),
        # Keys.
        (
            "reject=503,retry_aftr=1",
            "unknown key of reject 'retry_aftr', did you mean retry_after? Known: detail, ",
            "reject=503,retry_after=1",
        ),
        (
            "reject=503,retry-after=1",
            "unknown key of reject 'retry-after', did you mean retry_after? Known: detail, ",
            "reject=503,retry_after=1",
        ),
        ("reject=503, when=after", "unknown key of reject ' when', did you mean when?", "reject=503,when=after"),
        ("reject=503,retry_after", "reject: its key retry_after needs a value", "reject=503,retry_after=1"),
        ("reject=503,detail=a,detail=b", "reject: detail is said twice", "reject=503,detail=meeting over"),
        (
            "reject=503,retry_after=a\nb",
            "reject: retry_after must be one line of text, not 'a\\nb'",
            "reject=503,retry_after=1",
        ),
        ("reject=503,when=later", "reject: when must be before or after, not 'later'", "reject=503,when=after"),
        ("drop,control_url", "drop: its value follows a =, so ',control_url' does not belong there", "drop=room_url"),
        (
            "leave_after=2,return_after=1",
            "leave_after: it takes no KEY, so ',return_after=1' does not",
            "leave_after=2",
        ),
        ("leave_after=0,5", "leave_after: it takes no KEY, so ',5' does not belong there", "leave_after=2"),
        ("never_join,mute", "never_join: it takes no value, so ',mute' does not belong there", "never_join"),
        # How often.
        ("0*hang", "hang: TIMES must be a whole number from 1, always or inf, not '0'", "2*hang"),
        ("*hang", "hang: TIMES must be a whole number from 1, always or inf, not ''", "2*hang"),
        ("1.5*hang", "hang: TIMES must be a whole number from 1, always or inf, not '1.5'", "2*hang"),
        ("never*delay=1", "delay: TIMES must be a whole number from 1, always or inf, not 'never'", "2*delay=2"),
        ("reject=503*2", "reject: '*2' does not belong there: TIMES come first", "2*reject=503"),
        ("leave_after*2", "leave_after: '*2' does not belong there: TIMES come first", "2*leave_after=2"),
        # For which requests.
        ("hang@controll", f"unknown path 'controll', did you mean control? {PATHS_SAID}", "hang=after@control"),
        ("hang@reset_idle_timeout", "unknown path 'reset_idle_timeout', did you mean reset-idle-timeout?", "@control"),
        ("leave_after=2@pose-trigger", f"leave_after: '@pose-trigger' {NO_PATH}", "leave_after=2"),
        ("hang@", f"unknown path ''; {PATHS_SAID}", "hang=after@control"),
        ("hang@create2", f"unknown path 'create2', did you mean create? {PATHS_SAID}", "hang=after@control"),
        ("delay=4@create,list", "delay: '@create' does not belong there: a PATH is one, and comes last", "@control"),
        ("delay=4@create2", f"unknown path 'create2', did you mean create? {PATHS_SAID}", "delay=2@control"),
        ("hang@create@list", "hang: '@create' does not belong there: a PATH is one, and comes last", "@control"),
        ("reject@control=503", "reject: '@control' does not belong there: a PATH is one, and comes last", "@control"),
        (
            "reject=503@control,retry_after=1",
            "reject: '@control' does not belong there: a PATH is one, and comes last",
            "reject=503@control",
        ),
        ("leave_after=2@control", f"leave_after: '@control' {NO_PATH}", "leave_after=2"),
        ("leave_after=2@create2", f"leave_after: '@create2' {NO_PATH}", "leave_after=2"),
        ("leave_after@control=2", f"leave_after: '@control=2' {NO_PATH}", "leave_after=2"),
        ("mute@any", f"mute: '@any' {NO_PATH}", "mute=2"),
        ("never_join@create", f"never_join: '@create' {NO_PATH}", "never_join"),
        ("refuse_rooms@create", f"refuse_rooms: '@create' {NO_PATH}", "refuse_rooms=meeting over"),
    ],
)
def test_a_wrong_text_is_explained(text: str, says: str, example: str):
    """The error names what is wrong and what is known, ends with an example that is understood, and is short."""
    with pytest.raises(FaultError, match="^" + re.escape(says)) as caught:
        parse(text)
    assert len(str(caught.value)) < 450
    assert example in str(caught.value)
    parse(str(caught.value).rpartition("for example ")[2])


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_each_fault_has_an_example(form: Form):
    """Examples are understood, and are examples of that fault."""
    assert isinstance(parse(form.example).fault, form.make)  # type: ignore[arg-type]
    for key in form.keys:
        assert isinstance(parse(form.example_of(key)).fault, form.make)  # type: ignore[arg-type]


SECONDS = st.floats(0, 999_999)
TEXTS = st.text(max_size=20)
LINES = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)
WHEN = st.sampled_from(["before", "after"])
INNER = TEXTS.filter(lambda text: not re.search(",[A-Za-z_]+=", text))
REQUEST_FAULTS = st.one_of(
    st.builds(
        Reject, st.integers(200, 599), INNER, st.none() | LINES.filter(lambda text: "," not in text), INNER, WHEN
    ),
    st.builds(Redirect, LINES),
    st.builds(Answer, TEXTS),
    st.builds(Drop, LINES),
    st.builds(ForeignControl, LINES),
    st.builds(Delay, SECONDS),
    st.builds(Drip, SECONDS),
    st.builds(Hang, WHEN),
    st.just(Malform()),
)
OTHER_FAULTS = st.one_of(
    st.just(NeverJoin()),
    st.builds(LeaveAfter, SECONDS),
    st.builds(Mute, SECONDS),
    st.builds(Noise, st.floats(-90, 0)),
    st.builds(Fatal, TEXTS),
    st.builds(RefuseRooms, TEXTS),
)
TIMES = st.integers(1, 999_999_999) | st.just(ALL)


@given(st.builds(Spec, REQUEST_FAULTS, TIMES, st.sampled_from(PATHS)) | st.builds(Spec, OTHER_FAULTS, TIMES))
def test_a_fault_is_written_as_it_is_read(spec: Spec):
    """As a string, a spec is a text from which it can be read again."""
    assert parse(str(spec)) == spec


@given(st.text())
def test_any_text_is_a_fault_or_an_error(text: str):
    """No text does anything else than being understood or refused."""
    with contextlib.suppress(FaultError):
        assert isinstance(parse(text), Spec)


def test_defaults_are_not_written():
    """What goes without saying is not said."""
    texts = ["hang", "2*reject=503", "leave_after=2", "1*never_join", "delay=0.5@any", "always*malform"]
    assert [str(parse(text)) for text in texts] == texts


def test_the_table_tells_of_every_fault():
    """Each fault has a line with how it is written and what it does."""
    lines = table().splitlines()
    for form in FORMS.values():
        assert form.says
        assert any(line.strip().startswith(form.usage) for line in lines)


async def test_an_emulator_takes_faults_as_text():
    """What is understood is armed, what is not is an error and arms nothing."""
    emulator = Emulator()
    emulator.fault("2*reject=503@create")
    with pytest.raises(FaultError, match="did you mean"):
        emulator.fault("rejct=503")
