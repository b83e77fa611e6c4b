"""Who calls whom: the key, the address of the API, and the places below it.

An origin is scheme, host and port. The API key is for one origin only, and must not travel in clear text.
"""

import ipaddress
import os
from urllib.parse import quote

from yarl import URL

from pipecat_lemonslice.errors import ConfigurationError

__all__ = [
    "DEFAULT_API_URL",
    "address_problem",
    "api_address",
    "control_address",
    "key_problem",
    "or_environment",
    "session_address",
]

DEFAULT_API_URL = "https://lemonslice.com/api"


def or_environment(given: str | None, name: str) -> str | None:
    """What is given; if that is nothing, what the environment variable `name` holds."""
    return os.environ.get(name) if given is None else given


def key_problem(key: str | None) -> str | None:
    """What can be said against `key`; None if nothing. Never quotes it."""
    remedy = "Set LEMONSLICE_API_KEY or the argument api_key"
    if not key:
        return f"There is no API key. {remedy}"
    if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        return f"The API key is no text. {remedy}"
    if not key.isascii() or not key.isprintable() or " " in key:
        return f"The API key holds a space, a line break or another stray character. {remedy} without it"
    return None


def address_problem(url: object) -> str | None:
    """What can be said against `url` as the address of the API; None if nothing, or if there is none."""
    if url is None:
        return None
    problem = _address_problem(url) if isinstance(url, str) else "The API address is no text"
    return problem and f"{problem}. Check api_url or LEMONSLICE_API_URL, as in {DEFAULT_API_URL}"


def _address_problem(url: str) -> str | None:
    address = _http_address(url.strip())
    if address is None:
        return "The API address is no http or https URL"
    if address.user or address.password or address.query_string or address.fragment:
        return "The API address must not hold a user, a query or a fragment"
    if address.scheme == "http" and not _is_loopback(address.host or ""):
        return "The API address needs https, as the key would travel in clear over http"
    return None


def api_address(url: str | None) -> URL:
    """The address of the API, without a slash at its end. `url` has no problem, or is none."""
    return URL((url or DEFAULT_API_URL).strip().rstrip("/"))


def _http_address(url: str) -> URL | None:
    if any(char.isspace() or not char.isprintable() for char in url):
        return None
    try:
        address = URL(url)
        sound = address.scheme in ("http", "https") and bool(address.host) and address.port is not None
    except ValueError:
        return None
    return address if sound else None


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def session_address(base: URL, session_id: str, *further: str) -> URL:
    """The address of a session, or of something below it.

    Raises:
        ConfigurationError: The id is empty or would lead elsewhere.
    """
    if not session_id or session_id in (".", ".."):
        raise ConfigurationError("session_id is not one. Give the id of a session that was created")
    path = "/".join(["liveai", "sessions", quote(session_id, safe=""), *further])
    return URL(f"{base}/{path}", encoded=True)


def control_address(base: URL, session_id: str, given: object) -> URL:
    """Where control events of a session go: the address that the service gave, if it is one."""
    address = _http_address(given) if isinstance(given, str) else None
    return address or session_address(base, session_id, "control")
