from pipecat_lemonslice.emulator.armed import Armed, Encounter
from pipecat_lemonslice.emulator.faults import Drop, ForeignControl, Hang, LeaveAfter, Malform, NeverJoin, Reject
from pipecat_lemonslice.emulator.grammar import Spec, parse

NOTHING = Encounter(0.0, (), None)


def armed(*texts: str) -> Armed:
    faults = Armed()
    for text in texts:
        faults.arm(parse(text))
    return faults


def test_faults_come_in_order_and_run_out():
    """Each request meets the first armed mishap until it has happened often enough."""
    faults = armed("2*reject=503", "malform")
    mishaps = [faults.for_request("create").mishap for _ in range(4)]
    assert mishaps == [Reject(503), Reject(503), Malform(), None]


def test_faults_are_for_their_path():
    """A fault for one kind of request leaves the others alone; "any" is for all."""
    faults = armed("hang@control")
    assert faults.for_request("create") == NOTHING
    faults.arm(parse("malform@any"))
    assert faults.for_request("get").mishap == Malform()
    assert faults.for_request("control").mishap == Hang()


def test_a_control_request_meets_what_is_armed_for_its_event():
    """A fault for one event leaves the others alone; one for "control" or "any" is for all of them."""
    faults = armed("2*hang@reset-idle-timeout", "malform@control")
    assert faults.for_request("control", "reset-idle-timeout").mishap == Hang()
    assert faults.for_request("control", "terminate").mishap == Malform()
    assert faults.for_request("control", "terminate") == NOTHING
    assert faults.for_request("create") == NOTHING
    faults.arm(parse("malform@any"))
    assert [faults.for_request("control", "reset-idle-timeout").mishap for _ in range(2)] == [Hang(), Malform()]


def test_delays_and_changes_add_to_a_mishap():
    """A request meets all its delays, all its changes and one mishap."""
    faults = armed("2*delay=0.25@any", "delay=0.5", "drop=a", "foreign_control=http://x.test", "malform")
    changes = (Drop("a"), ForeignControl("http://x.test"))
    assert faults.for_request("create") == Encounter(0.75, changes, Malform())
    assert faults.for_request("create") == Encounter(0.25, (), None)
    assert faults.for_request("create") == NOTHING


def test_a_session_meets_everything_armed_for_sessions():
    """Faults of sessions are for all of them unless told otherwise, and requests do not use them up."""
    faults = armed("1*never_join", "leave_after=2")
    faults.for_request("create")
    assert faults.for_session() == (NeverJoin(), LeaveAfter(2.0))
    assert [faults.for_session() for _ in range(3)] == [(LeaveAfter(2.0),)] * 3


def test_refusals_count_people():
    """The first refusal stands until it has met so many people."""
    faults = armed("2*refuse_rooms=full", "refuse_rooms=closed")
    assert [faults.refusal() for _ in range(4)] == ["full", "full", "closed", "closed"]


def test_none_is_none():
    """Armed for no request, a fault never happens."""
    faults = Armed()
    faults.arm(Spec(Malform(), 0))
    assert faults.for_request("create") == NOTHING


def test_clearing_ends_everything():
    """Faults for ever, of requests, sessions and rooms, end with `clear`."""
    faults = armed("always*malform@any", "always*drop=a", "always*delay=1", "never_join", "refuse_rooms")
    assert all(faults.for_request("create").mishap == Malform() for _ in range(10))
    faults.clear()
    assert (faults.for_request("create"), faults.for_session(), faults.refusal()) == (NOTHING, (), None)
