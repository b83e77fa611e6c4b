import copy
import pickle
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipecat.utils.errors import ErrorCategory

from pipecat_lemonslice import errors
from pipecat_lemonslice._pipecat import redact_secrets
from pipecat_lemonslice.errors import (
    ApiConnectionError,
    ApiError,
    ApiResponseError,
    ApiStatusError,
    ApiTimeoutError,
    ConfigurationError,
    LemonSliceError,
    RoomError,
    SessionError,
    redact,
    safe_line,
)

KEY = "lsk-4f7Q/b2+c9d1e8"
SIGNED = "https://cdn.example.com/face.png?X-Amz-Signature=abcdef0123&Expires=1"

ONE_OF_EACH: list[LemonSliceError] = [
    ConfigurationError("daily_token needs daily_room_url, the room that it opens"),
    *(ApiStatusError(status, "Out of luck", 2.0, "Creating the session") for status in (302, 401, 402, 404)),
    *(ApiStatusError(status, "Out of luck") for status in (400, 403, 413, 418, 429, 500, 503, 599, 799)),
    ApiConnectionError("Cannot connect to host lemonslice.com:443", False, "Creating the session"),
    ApiTimeoutError("no complete response in 30 s", True),
    ApiResponseError("session_id is missing. It has the keys room_url", "Creating the session"),
    RoomError("The room could not be joined. Check the token"),
    SessionError("The session has failed"),
]


def test_the_docstring_lists_every_error():
    """The tree in the module's docstring is the tree that there is."""
    classes = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, LemonSliceError) and not name.startswith("_")
    }
    assert set(re.findall(r"\b(\w+Error)\b", str(errors.__doc__))) - {"ValueError"} == classes
    assert classes <= set(errors.__all__)


def test_the_tree():
    """Callers may catch by family."""
    families = {
        ValueError: (ConfigurationError,),
        ApiConnectionError: (ApiTimeoutError,),
        ApiError: (ApiStatusError, ApiConnectionError, ApiResponseError),
        LemonSliceError: (ConfigurationError, ApiError, RoomError, SessionError),
    }
    for family, kinds in families.items():
        assert all(issubclass(kind, family) for kind in kinds)


INVALID, CONNECTIVITY, SERVER = ErrorCategory.INVALID_REQUEST, ErrorCategory.CONNECTIVITY, ErrorCategory.SERVER


@pytest.mark.parametrize(
    ("error", "category"),
    [
        (LemonSliceError("x"), ErrorCategory.UNKNOWN),
        (ConfigurationError("x"), INVALID),
        *((ApiStatusError(status, ""), INVALID) for status in (302, 400, 404, 413)),
        (ApiStatusError(401, ""), ErrorCategory.AUTHENTICATION),
        (ApiStatusError(402, ""), ErrorCategory.QUOTA),
        (ApiStatusError(403, ""), ErrorCategory.AUTHORIZATION),
        (ApiStatusError(429, ""), ErrorCategory.RATE_LIMIT),
        *((ApiStatusError(status, ""), SERVER) for status in (500, 503)),
        (ApiStatusError(799, ""), ErrorCategory.UNKNOWN),
        (ApiConnectionError("x", False), CONNECTIVITY),
        (ApiTimeoutError("x", True), CONNECTIVITY),
        (ApiResponseError("x"), SERVER),
        (RoomError("x"), CONNECTIVITY),
        (RoomError("x", ErrorCategory.AUTHORIZATION), ErrorCategory.AUTHORIZATION),
        (SessionError("x"), SERVER),
    ],
)
def test_categories(error: LemonSliceError, category: ErrorCategory):
    """Every error says why, in Pipecat's words."""
    assert error.category is category


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (302, "LEMONSLICE_API_URL"),
        (400, "fields of the request"),
        (401, "LEMONSLICE_API_KEY"),
        (402, "credit"),
        (403, "may not do that"),
        (404, "agent or session id"),
        (413, "smaller picture"),
        (418, "LEMONSLICE_API_URL"),
        (429, "wait and try again (in 20 s)"),
        (500, "try again later"),
    ],
)
def test_a_status_says_what_failed_what_was_said_and_what_to_do(status: int, advice: str):
    """A refusal carries the operation, the server's words and a remedy."""
    message = str(ApiStatusError(status, "The server's words", 20.0, "Creating the session"))
    assert message.startswith("Creating the session failed")
    assert str(status) in message
    assert '"The server\'s words"' in message
    assert advice in message


def test_a_detail_that_only_repeats_the_status_is_left_out():
    """A gateway's page is not quoted when it says no more than its status."""
    assert str(ApiStatusError(502, "502 Bad Gateway")).count("Bad Gateway") == 1


def test_a_broken_connection_says_whether_it_may_have_happened():
    """The reader learns whether a session may exist."""
    assert "was not carried out" in str(ApiConnectionError("x", False))
    assert "may have been carried out" in str(ApiConnectionError("x", True))


@pytest.mark.parametrize("error", ONE_OF_EACH, ids=str)
def test_messages_survive_pipecats_own_redaction_and_copies(error: LemonSliceError):
    """An ErrorFrame shows each message as it was written; copies and pickles say the same."""
    assert redact_secrets(str(error)) == str(error)
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(twin), str(twin), twin.category) == (type(error), str(error), error.category)


@pytest.mark.parametrize(
    "make",
    [
        lambda text: ApiStatusError(400, text),
        lambda text: ApiConnectionError(text, True),
        lambda text: ApiTimeoutError(text, True),
        lambda text: ApiResponseError(text),
        lambda text: RoomError(text),
        lambda text: SessionError(text),
    ],
)
def test_errors_redact_what_they_are_made_of(make: Callable[[str], LemonSliceError]):
    """Signed URLs and credentials reach neither str, repr, arguments nor attributes."""
    error = make(f"cannot load {SIGNED} with api_key={KEY} at wss://bob:hunter22@host/room?t=tok123456")
    shown = f"{error} {error!r} {error.args} {vars(error)}"
    for secret in ("abcdef0123", KEY, "hunter22", "tok123456", "bob"):
        assert secret not in shown
    assert "cdn.example.com/face.png" in shown


def test_details_are_one_short_line():
    """Whatever a server says becomes one printable line."""
    detail = ApiStatusError(400, "first\r\n\x1b[31msecond\x00 " + "x" * 5000).detail
    assert detail.startswith("first [31msecond xxx")
    assert len(detail) == 200
    assert detail.isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://a.example/x?sig=1&k=2#f now", "see https://a.example/x now"),
        ("https://user:pass@a.example:8443/x", "https://a.example:8443/x"),
        ("wss://a.example/r?t=abc,", "wss://a.example/r"),
        ('{"room_url":"https://a.daily.co/r?t=abc"}', '{"room_url":"https://a.daily.co/r"}'),
        ("X-API-Key: abc", "X-API-Key: [REDACTED]"),
        ("https://a.example", "https://a.example"),
        ("nothing here", "nothing here"),
        ("", ""),
    ],
)
def test_redaction_by_example(text: str, shown: str):
    """Queries, fragments and user info go; the rest of an address stays."""
    assert redact(text) == shown


def test_known_secrets_go_wherever_they_stand():
    """A secret that is known is masked as it is and as it stands in a URL; trifles are no secrets."""
    text = redact(f"the {KEY} in path /lsk-4f7Q%2Fb2%2Bc9d1e8/ and a cat", KEY, None, "", "a")
    assert text == "the [REDACTED] in path /[REDACTED]/ and a cat"


def test_no_cut_leaves_half_a_secret():
    """A long text is shortened after its secrets are gone, not in the middle of one."""
    for at in range(180, 205):
        assert "lsk-" not in safe_line("x" * at + KEY + "y" * 5000, KEY)
    for at in range(3970, 4005):
        assert "lsk-" not in safe_line(" " * at + KEY, KEY)


address = st.from_regex(
    r"(https?|wss?|HTTPS|s3)://(S3CR3T@|u:S3CR3T@|S3CR3T:x@)?[a-z0-9]{1,12}/[a-z0-9]{1,12}[?#]([a-z0-9]=S3CR3T&?){1,3}",
    fullmatch=True,
)


@given(st.text(max_size=20), address, st.sampled_from(["", " ", '"', "\n", " and more", "<br>"]))
def test_no_address_keeps_its_secrets(before: str, url: str, after: str):
    """Wherever a URL stands, its query, fragment and user info are gone."""
    assert "S3CR3T" not in redact(f"{before} {url}{after}")


@given(st.text(), st.text("abcXYZ0189-_./+=", min_size=4, max_size=40), st.text())
def test_no_known_secret_is_ever_shown(before: str, secret: str, after: str):
    """A secret that is named is not in the result unless it is a part of the mask."""
    shown = redact(before + secret + after, secret)
    assert secret not in shown.replace("[REDACTED]", "")


@given(st.text())
def test_redaction_survives_any_text(text: str):
    """It never raises, and a line made of it is short and printable."""
    line = safe_line(text)
    assert len(line) <= 200
    assert line.isprintable()
