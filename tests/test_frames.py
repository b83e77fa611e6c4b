"""Frames of the avatar: which pass an interruption, which travel with speech, and what a page is told."""

import pytest
from PIL import Image
from pipecat.frames.frames import ControlFrame, Frame, SystemFrame

from pipecat_lemonslice.frames import (
    AvatarActionFrame,
    AvatarImageFrame,
    AvatarKeepAliveFrame,
    AvatarResponseDoneFrame,
    AvatarResponseStartedFrame,
    AvatarStatus,
    AvatarStatusFrame,
    response_message,
    status_message,
)


def test_what_the_service_tells_never_waits() -> None:
    """News are system frames; orders that belong to a place in the speech are control frames."""
    for news in (AvatarStatusFrame, AvatarResponseStartedFrame, AvatarResponseDoneFrame, AvatarKeepAliveFrame):
        assert issubclass(news, SystemFrame)
    for order in (AvatarImageFrame, AvatarActionFrame):
        assert issubclass(order, ControlFrame)


def test_an_interruption_keeps_a_new_picture_but_not_a_gesture() -> None:
    """A picture asked for is still wanted after an interruption; a gesture that went with the words is not."""
    assert not AvatarImageFrame(image_url="https://x.test/a.png").interruptible
    assert AvatarActionFrame("wave").interruptible


def test_an_action_keeps_its_name_beside_that_of_the_frame() -> None:
    """Every frame has a `name` of its own, which takes the place of what was given."""
    for frame in (AvatarActionFrame("wave"), AvatarActionFrame(name="wave")):
        assert frame.action == "wave"
        assert str(frame).startswith("AvatarActionFrame#")


@pytest.mark.parametrize("given", [{}, {"image_url": "https://x.test/a.png", "image": b"x"}])
def test_a_picture_has_exactly_one_source(given: dict[str, str]) -> None:
    """None or two are refused where the frame is made."""
    with pytest.raises(ValueError, match="exactly one"):
        AvatarImageFrame(**given)


def test_messages_for_the_page() -> None:
    """Word for word as the page reads them."""
    assert status_message(AvatarStatus.VOICE_ONLY, "why") == {
        "type": "lemonslice-status",
        "status": "voice_only",
        "detail": "why",
    }
    assert response_message("voice", 2, ttfb_ms=312) == {
        "type": "lemonslice-response",
        "event": "voice",
        "id": 2,
        "ttfb_ms": 312,
    }
    assert [str(status) for status in AvatarStatus] == [
        "calling", "joining", "here", "voice_only", "dormant", "lost", "ended"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("frame", "fields"),
    [
        (AvatarStatusFrame(AvatarStatus.LOST, "it left"), "(status: lost, detail: 'it left')"),
        (AvatarResponseStartedFrame(), "()"),
        (AvatarResponseDoneFrame("stopped", 1.86), "(reason: 'stopped', audio_seconds: 1.86)"),
        (AvatarImageFrame(image=bytes(1000)), "(image: 1000 bytes)"),
        (AvatarImageFrame(image="me.png"), "(image: 'me.png')"),
        (AvatarImageFrame(image=Image.new("RGB", (4, 6))), "(image: 4x6 pixels)"),
        (AvatarActionFrame("wave"), "(action: 'wave')"),
        (AvatarKeepAliveFrame(), "()"),
    ],
)
def test_a_frame_that_is_printed_shows_its_fields(frame: Frame, fields: str) -> None:
    """Behind its name, as Pipecat's own frames do; large ones by their size, none where there are none."""
    assert str(frame) == f"{frame.name}{fields}".removesuffix("()")


def test_a_frame_that_is_printed_shows_no_signature() -> None:
    """An address may carry one in its query; Pipecat logs frames by what they print."""
    frame = AvatarImageFrame(image_url="https://user:word@x.test/a.png?sig=signature-99")
    assert str(frame) == f"{frame.name}(image_url: 'https://x.test/a.png')"
