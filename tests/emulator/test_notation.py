"""Faults as text: what is said of a text that is not a fault."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipecat_lemonslice.emulator import Emulator, FaultError

NO_PATH = "does not belong there, as only faults of requests take a @PATH"
PATHS = "Known: create, list, get, control, any, terminate, reset-idle-timeout, "
TIMES = "TIMES must be a whole number from 1, always or inf"


@pytest.mark.parametrize(
    ("text", "says", "example"),
    [
        ("rejct=503", "unknown fault 'rejct', did you mean reject? Known: delay, drop, ", "reject=503"),
        # Values.
        ("reject", "reject: it needs a value; it is written [TIMES*]reject=STATUS[,detail=TEXT]", "reject=503"),
        ("reject=abc", "reject: STATUS must be a number from 200 to 599, not 'abc'", "reject=503"),
        ("noise=61", "noise: DBFS must be a level from -90 to 0 dBFS, not '61'", "noise=-61"),
        ("malform=x", "malform: it takes no value, so '=x' does not belong there", "malform"),
        # Keys.
        (
            "reject=503,retry_aftr=1",
            "unknown key of reject 'retry_aftr', did you mean retry_after? Known: detail, ",
            "reject=503,retry_after=1",
        ),
        ("reject=503,retry_after=a\nb", "reject: retry_after must be one line", "reject=503,retry_after=1"),
        # How often.
        ("0*hang", f"hang: {TIMES}, not '0'", "2*hang"),
        # For which requests.
        ("hang@controll", f"unknown path 'controll', did you mean control? {PATHS}", "hang@control"),
        ("reject@control=503", "reject: '@control=503' does not belong there", "reject=503"),
        ("leave_after=2@control", f"leave_after: '@control' {NO_PATH}", "leave_after=2"),
    ],
)
def test_a_wrong_text_is_explained(text: str, says: str, example: str) -> None:
    """The error names what is wrong and how it is written, ends with an example that works, and is short."""
    emulator = Emulator()
    with pytest.raises(FaultError, match="^" + re.escape(says)) as caught:
        emulator.fault(text)
    said = str(caught.value)
    assert len(said) < 450
    assert example in said
    emulator.fault(re.split("for example |, written ", said)[1])


@given(st.text() | st.from_regex(r"\A(\w+\*)?(reject|hang|delay|fatal)(=[^@]*)?(@\w+)?\Z"))
def test_any_text_is_a_fault_or_an_error(text: str) -> None:
    """No text does anything else than being understood or refused."""
    with contextlib.suppress(FaultError):
        Emulator().fault(text)
