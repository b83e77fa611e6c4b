"""Names of Pipecat that are private, or that not every supported release has, and what replaces them.

Every other module uses public names of Pipecat alone, and those that ``tests/test_pipecat_names.py`` lists.
"""

import importlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from pipecat.transports.base_transport import BaseTransport, TransportParams

REDACTED = "[REDACTED]"
"""What stands in place of a credential, as in ``pipecat.utils.security.redaction``."""

_CREDENTIAL = re.compile(
    r"""(?ix)
    (?P<name> (?<![\w.-]) ["']? [\w.-]*
        (?: api[-_]?key | auth | authorization | cookie | credentials? | jwt | passw(?:or)?d | secret | sig(?:nature)?
          | token | (?<=[-_.])key ) ["']? \s* [:=]+>? \s* )
    (?P<scheme> (?: bearer | basic | token ) \s+ )?
    (?P<quote> ["']? ) (?P<value> \[REDACTED\] | [^\s,;&"'})\]\[]+ )
    """
)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")


def _redact_credentials(text: str) -> str:
    """Mask the values of credentials and JSON web tokens. Stands in for Pipecat's own before 1.13."""
    text = _JWT.sub(REDACTED, text)
    return _CREDENTIAL.sub(lambda found: f"{found['name']}{found['scheme'] or ''}{found['quote']}{REDACTED}", text)


def _redact_secrets() -> Callable[[str], str]:
    try:
        redaction = importlib.import_module("pipecat.utils.security.redaction")
    except ImportError:
        return _redact_credentials
    return cast("Callable[[str], str]", redaction.redact_secrets)


redact_secrets: Callable[[str], str] = _redact_secrets()
"""Masks the credentials in a text: Pipecat's own function from 1.13 on, which knows more kinds of them."""


def transport_params(transport: "BaseTransport") -> "TransportParams | None":
    """Return the parameters that a transport was made with.

    Used to tell users which parameter an avatar needs before a call begins. Pipecat has no public way to them.

    Returns:
        The parameters; None where a release keeps them elsewhere. Nothing is then checked.
    """
    return getattr(transport, "_params", None)


def claim_daily_initialization() -> bool:
    """Return whether the caller is the first in this process that has to call ``Daily.init``.

    A second call to it aborts the process, and Pipecat's Daily client calls it, too: both use Pipecat's own flag.
    In a release without that flag, Pipecat's client must not be used beside ours; the flag is then created here.
    """
    from pipecat.transports.daily.transport import DailyTransportClient

    if getattr(DailyTransportClient, "_daily_initialized", False):
        return False
    setattr(DailyTransportClient, "_daily_initialized", True)  # noqa: B010 - the type checker knows it as private
    return True
