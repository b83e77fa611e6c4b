"""App messages: what is said to the avatar word for word, and what is understood of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipecat_lemonslice.messages import (
    AvatarTrouble,
    IdleTimeout,
    parse_avatar_message,
)


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ({"type": "bot_ready"}, None),
        ({"type": "idle_timeout"}, IdleTimeout()),
        ({"type": "image_change_complete"}, None),
        ({"type": "daily_error", "fatal": True, "error": "x"}, AvatarTrouble("daily_error", "x", fatal=True)),
        ({"type": "daily_error", "fatal": "yes"}, AvatarTrouble("daily_error", "", fatal=False)),
        ({"type": "daily_error"}, AvatarTrouble("daily_error", "", fatal=False)),
        (
            {"type": "video_generation_error", "detail": "y"},
            AvatarTrouble("video_generation_error", "y", fatal=False),
        ),
        ({"type": "image_change_error", "message": "z"}, AvatarTrouble("image_change_error", "z", fatal=False)),
        ({"type": "brand_new"}, None),
        ({}, None),
        ("idle_timeout", None),
        (None, None),
    ],
)
def test_what_the_avatar_says_is_understood(message: object, meaning: object) -> None:
    """Each type that matters; fatal only where it says so; the rest means nothing."""
    assert parse_avatar_message(message) == meaning


def test_long_words_are_shortened() -> None:
    """An avatar cannot fill a log."""
    trouble = parse_avatar_message({"type": "daily_error", "error": "x" * 10_000})
    assert isinstance(trouble, AvatarTrouble)
    assert len(trouble.detail) == 300


KEYS = st.sampled_from(["type", "error", "fatal", "detail", "other"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.text() | st.floats(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
)


@settings(max_examples=40, deadline=None)
@given(VALUES | st.dictionaries(KEYS, VALUES | st.sampled_from(["daily_error", "bot_ready"])))
def test_no_message_of_any_shape_raises(message: object) -> None:
    """An avatar cannot bring a call down with a message."""
    parse_avatar_message(message)
