import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipecat_lemonslice.controls import (
    PoseTrigger,
    Terminate,
    UpdateAgentPrompt,
    UpdateIdlePrompt,
    UpdateImage,
)
from pipecat_lemonslice.errors import ConfigurationError


def test_a_picture_goes_as_base64():
    """A small PNG is sent as it is, without a prefix."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 12)).save(buffer, "PNG")
    payload = UpdateImage(image=buffer.getvalue()).payload()
    assert payload["event"] == "update-image"
    assert base64.b64decode(payload["image_base64"], validate=True) == buffer.getvalue()


def test_a_large_picture_fits_into_a_megabyte_of_json():
    """Base64 makes it a third longer, and it still passes any gateway."""
    noise = np.random.default_rng(1).integers(0, 255, (1500, 1500, 3), dtype=np.uint8)
    assert len(UpdateImage(image=Image.fromarray(noise)).payload()["image_base64"]) < 1_000_000


def test_events_of_the_same_content_are_equal():
    """Events are values."""
    assert PoseTrigger("wave") == PoseTrigger("wave")
    assert Terminate() == Terminate()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: UpdateImage(), "exactly one of image_url and image"),
        (lambda: UpdateImage(image_url="https://x/y", image=b"z"), "exactly one of image_url and image"),
        (lambda: UpdateImage(image_url="face.png"), "image_url is not a URL"),
        (lambda: UpdateImage(image=b""), "image is empty"),
        (lambda: UpdateImage(image=b"no picture").payload(), "image is not an image"),
        (lambda: UpdateAgentPrompt(" "), "agent_prompt must be a text"),
        (lambda: UpdateAgentPrompt(None), "agent_prompt must be a text"),  # type: ignore[arg-type]
        (lambda: UpdateIdlePrompt(""), "idle_prompt must be a text"),
        (lambda: PoseTrigger(""), "name must be a text"),
    ],
)
def test_wrong_events(make: Any, words: str):
    """A mistake is told where the event is made, and names the field."""
    with pytest.raises(ConfigurationError, match=words):
        make()


def test_a_signed_address_is_not_shown():
    """The repr of an event has no secret and no picture."""
    assert repr(UpdateImage(image_url="https://x.example/y?sig=S3CR3T")) == (
        "UpdateImage(image_url='https://x.example/y')"
    )
    assert repr(UpdateImage(image=b"123")) == "UpdateImage(image=…)"
