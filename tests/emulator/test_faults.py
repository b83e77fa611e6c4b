import math

from pipecat_lemonslice.emulator.faults import Delay, Faults, Hang, Malform, Reject


def test_faults_come_in_order_and_run_out():
    """Each request meets the first armed fault until it has happened often enough."""
    faults = Faults()
    rejection = Reject(503, "busy")
    faults.arm(rejection, "create", times=2)
    faults.arm(Malform(), "create")
    assert [faults.take("create")[1] for _ in range(4)] == [rejection, rejection, Malform(), None]


def test_faults_are_for_their_path():
    """A fault for one kind of request leaves the others alone; "any" is for all."""
    faults = Faults()
    faults.arm(Hang(), "control")
    assert faults.take("create") == (0.0, None)
    faults.arm(Malform(), "any")
    assert faults.take("get") == (0.0, Malform())
    assert faults.take("control") == (0.0, Hang())


def test_delays_add_to_other_faults():
    """A request waits for all its delays and then meets one other fault."""
    faults = Faults()
    faults.arm(Delay(0.25), "any", times=2)
    faults.arm(Delay(0.5), "create")
    faults.arm(Malform(), "create")
    assert faults.take("create") == (0.75, Malform())
    assert faults.take("create") == (0.25, None)
    assert faults.take("create") == (0.0, None)


def test_clearing_ends_standing_faults():
    """A fault for ever, dropped keys, refusals and absent avatars end with `clear`."""
    faults = Faults()
    faults.arm(Malform(), "any", times=math.inf)
    assert all(faults.take("create")[1] == Malform() for _ in range(10))
    faults.dropped_keys, faults.room_refusal, faults.never_join = frozenset({"a"}), "no", True
    faults.clear()
    assert faults.take("create") == (0.0, None)
    assert (faults.dropped_keys, faults.room_refusal, faults.never_join) == (frozenset(), None, False)
