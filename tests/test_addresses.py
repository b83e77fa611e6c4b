import pytest
from yarl import URL

from pipecat_lemonslice._pipecat import redact_secrets
from pipecat_lemonslice.addresses import (
    DEFAULT_API_URL,
    address_problem,
    api_address,
    control_address,
    key_problem,
    session_address,
)
from pipecat_lemonslice.errors import ConfigurationError

BASE = URL("https://lemonslice.com/api")


def test_the_real_service_is_the_default():
    """Without an address it is LemonSlice's own."""
    assert address_problem(None) is None
    assert str(api_address(None)) == DEFAULT_API_URL == "https://lemonslice.com/api"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://lemonslice.com/api/", "https://lemonslice.com/api"),
        (" https://lemonslice.com/api\n", "https://lemonslice.com/api"),
        ("https://proxy.example:8443", "https://proxy.example:8443"),
        ("http://localhost:8900/api", "http://localhost:8900/api"),
        ("http://api.localhost/api", "http://api.localhost/api"),
        ("http://127.0.0.1:8900/api", "http://127.0.0.1:8900/api"),
        ("http://127.1.2.3/api", "http://127.1.2.3/api"),
        ("http://[::1]:8900/api", "http://[::1]:8900/api"),
    ],
)
def test_addresses_that_are_fine(url: str, address: str):
    """Https anywhere, http on this machine; a slash or a space at the end does no harm."""
    assert address_problem(url) is None
    base = api_address(url)
    assert str(base).rstrip("/") == address
    assert str(session_address(base, "s1")) == f"{address}/liveai/sessions/s1"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://lemonslice.com/api", "needs https"),
        ("http://127.0.0.1.evil.example/api", "needs https"),
        ("http://10.0.0.1/api", "needs https"),
        ("http://localhost.evil.example", "needs https"),
        ("http://0.0.0.0:80/api", "needs https"),
        ("ftp://lemonslice.com/api", "no http or https URL"),
        ("lemonslice.com/api", "no http or https URL"),
        ("https://", "no http or https URL"),
        ("https:///api", "no http or https URL"),
        ("https://a b/api", "no http or https URL"),
        ("https://a:99999/api", "no http or https URL"),
        ("https://[::1/api", "no http or https URL"),
        ("", "no http or https URL"),
        ("https://u:S3CR3T@lemonslice.com/api", "must not hold"),
        ("https://lemonslice.com/api?key=S3CR3T", "must not hold"),
        ("https://lemonslice.com/api#S3CR3T", "must not hold"),
    ],
)
def test_addresses_that_are_refused(url: str, words: str):
    """The message says what is wrong and which setting it is, and shows no secret."""
    problem = str(address_problem(url))
    assert words in problem
    assert "LEMONSLICE_API_URL" in problem
    assert "S3CR3T" not in problem


@pytest.mark.parametrize("key", ["", None, " abcd", "abcd\n", "ab cd", "ab\tcd", "schlüssel", "ab\x00cd", "ab\x7f"])
def test_keys_that_are_refused(key: str | None):
    """A key that is missing or has been pasted with something around it is never sent, nor shown."""
    problem = str(key_problem(key))
    assert "LEMONSLICE_API_KEY" in problem
    assert not key or key not in problem
    assert redact_secrets(problem) == problem


def test_keys_that_are_fine():
    """Anything printable will do."""
    assert key_problem("sk-lemon_0/+=") is None


@pytest.mark.parametrize(
    ("session_id", "path"),
    [
        ("s1", "/api/liveai/sessions/s1"),
        ("a/b?c#d e", "/api/liveai/sessions/a%2Fb%3Fc%23d%20e"),
        ("../../keys", "/api/liveai/sessions/..%2F..%2Fkeys"),
        ("%2e%2e", "/api/liveai/sessions/%252e%252e"),
    ],
)
def test_an_id_stays_below_the_sessions(session_id: str, path: str):
    """No id leads to another place of the API."""
    assert session_address(BASE, session_id).raw_path == path


@pytest.mark.parametrize("session_id", ["", ".", ".."])
def test_ids_that_lead_elsewhere_are_refused(session_id: str):
    """What cannot be written into a path is an error before it is sent."""
    with pytest.raises(ConfigurationError, match="session_id"):
        session_address(BASE, session_id)


@pytest.mark.parametrize(
    "given",
    [None, "", 5, [], "not a url", "/relative", "ftp://x/y", "javascript:alert(1)", "https://", "http://[", "a\nb"],
)
def test_without_a_usable_control_address_the_own_one_is_taken(given: object):
    """What the service leaves out or garbles has a known place."""
    assert str(control_address(BASE, "s1", given)) == "https://lemonslice.com/api/liveai/sessions/s1/control"


def test_a_control_address_that_was_given_is_taken():
    """The service knows better where its sessions are."""
    assert str(control_address(BASE, "s1", "https://eu.example/c/1?t=2")) == "https://eu.example/c/1?t=2"
