"""What can go wrong, each fault declared once, as a frozen dataclass.

In text a fault has the name of its class, the first field is its VALUE and the others are its KEYs (`terms`
says how they are written); the first line of its docstring explains it in `--help`. Here is nothing but
declarations: `forms` makes the table of them, `grammar` reads them, `armed` deals them out, `saboteur`,
`service` and `avatar` carry them out.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipecat_lemonslice.emulator.terms import Body, Html, Key, Level, RetryAfter, Seconds, Status, Text, Url, When

# Of requests


@dataclass(frozen=True)
class Delay:
    """Answer so much later."""

    seconds: Seconds


@dataclass(frozen=True)
class Drop:
    """Leave this key out of the answer."""

    key: Key


@dataclass(frozen=True)
class ForeignControl:
    """Name this control_url in the answer."""

    url: Url


@dataclass(frozen=True)
class Reject:
    """Answer with an error.

    Parameters:
        status: HTTP status.
        detail: Text of the JSON answer.
        retry_after: Value of the Retry-After header.
        body: HTML to answer with instead of JSON, as a gateway would.
        when: After carrying the request out: as a gateway that gave up on a service which did not.
    """

    status: Status
    detail: Text = "rejected by the emulator"
    retry_after: RetryAfter = None
    body: Html = None
    when: When = "before"


@dataclass(frozen=True)
class Redirect:
    """Answer 307 with this Location."""

    url: Url


@dataclass(frozen=True)
class Hang:
    """Never answer, before or after carrying the request out."""

    when: When = "before"


@dataclass(frozen=True)
class Reset:
    """Break the connection, before or after carrying the request out."""

    when: When = "before"


@dataclass(frozen=True)
class Truncate:
    """Carry the request out and break the connection in the middle of the answer."""


@dataclass(frozen=True)
class Malform:
    """Carry the request out and answer with the first half of the JSON."""


@dataclass(frozen=True)
class Answer:
    """Carry the request out and answer with this instead, as HTML if it begins with "<", else as JSON."""

    body: Body


@dataclass(frozen=True)
class Drip:
    """Send status and headers at once, and the body spread over so much time."""

    seconds: Seconds


Change = Drop | ForeignControl
"""What alters a correct answer; a request meets all that are armed for it."""

Mishap = Reject | Redirect | Hang | Reset | Truncate | Malform | Answer | Drip
"""What decides how a request ends; it meets the first that is armed for it."""

RequestFault = Delay | Change | Mishap

# Of sessions: seconds of speech are those that the avatar has heard


@dataclass(frozen=True)
class NeverJoin:
    """The avatar never comes, though the session becomes ACTIVE."""


@dataclass(frozen=True)
class LeaveAfter:
    """The avatar leaves the room after so much speech."""

    seconds: Seconds


@dataclass(frozen=True)
class ReturnAfter:
    """Whenever the avatar has left, it comes back so much later, as a new participant."""

    seconds: Seconds


@dataclass(frozen=True)
class FreezeVideo:
    """The avatar sends no more pictures after so much speech; 0: it never sends one."""

    seconds: Seconds = 0.0


@dataclass(frozen=True)
class Mute:
    """The avatar is not heard any more after so much speech; 0: it never is."""

    seconds: Seconds = 0.0


@dataclass(frozen=True)
class Noise:
    """The avatar's voice has a noise floor of this level, while it is silent, too."""

    dbfs: Level


@dataclass(frozen=True)
class Fatal:
    """The avatar reports a fatal daily_error when it has joined."""

    error: Text = "meeting expired"


@dataclass(frozen=True)
class Trouble:
    """The avatar reports a video_generation_error when it has joined."""

    error: Text = "no GPU"


@dataclass(frozen=True)
class CutAfter:
    """Every connection to the room breaks after so much speech."""

    seconds: Seconds


SessionFault = NeverJoin | LeaveAfter | ReturnAfter | FreezeVideo | Mute | Noise | Fatal | Trouble | CutAfter
"""What befalls a session and its avatar; a new session meets all that are armed."""

# Of rooms


@dataclass(frozen=True)
class RefuseRooms:
    """Nobody is let into any room."""

    reason: Text = "refused by the emulator"


Fault = RequestFault | SessionFault | RefuseRooms
