import threading

import numpy as np
import pytest
from PIL import Image

from pipecat_lemonslice.emulator import views
from pipecat_lemonslice.emulator.character import SPEAKING, Eyes, Hand, Mouth
from pipecat_lemonslice.emulator.face import SIZES, Look, Portrait


def pixels(portrait: Portrait, look: Look) -> np.ndarray:
    return np.frombuffer(portrait.compose(look), np.uint8).reshape(portrait.height, portrait.width, 3)


def difference(portrait: Portrait, look: Look) -> int:
    """How many pixels differ from the face at rest."""
    return int((pixels(portrait, look) != pixels(portrait, Look())).any(axis=2).sum())


@pytest.fixture(scope="module")
def face() -> Portrait:
    return views.drawn("2x3")


def test_the_face_is_drawn_once_and_shared(face: Portrait):
    """Every session shows the same portrait; it is 368x560."""
    assert views.drawn("2x3") is face
    assert (face.width, face.height) == (368, 560) == SIZES["2x3"]


def test_a_picture_is_header_and_rgb(face: Portrait):
    """A composed picture has exactly the header's and width * height * 3 bytes."""
    message = face.compose(Look(), b"header")
    assert message[:6] == b"header"
    assert len(message) == 6 + 368 * 560 * 3
    assert message[6:] == face.compose(Look())


def test_all_eyes_mouths_and_hands_are_seen(face: Portrait):
    """Each of them changes a good number of pixels, and no two mouths look alike."""
    assert all(difference(face, Look(eyes=eyes)) > 100 for eyes in Eyes if eyes is not Eyes.OPEN)
    assert all(difference(face, Look(mouth=mouth)) > 100 for mouth in Mouth if mouth is not Mouth.REST)
    assert all(difference(face, Look(hand=hand)) > 1000 for hand in Hand if hand is not Hand.DOWN)
    assert len({bytes(face.compose(Look(mouth=mouth))) for mouth in Mouth}) == len(Mouth)


def test_louder_mouths_are_darker_inside(face: Portrait):
    """The five speaking mouths open one after the other: each shows more of the dark inside than the last."""
    dark = [int((pixels(face, Look(mouth=mouth))[304:338, 160:208, 0] < 125).sum()) for mouth in SPEAKING]
    assert dark == sorted(dark)
    assert dark[-1] > dark[0] + 100


def test_the_sway_moves_the_head(face: Portrait):
    """When all views are drawn the head moves by whole views, and stays at the last one beyond them."""
    for thread in threading.enumerate():
        if thread.name == "emulator-face":
            thread.join(20)
    assert len(face.views) == 2 * views.REACH + 1
    assert difference(face, Look(sway=views.REACH)) > 5000
    assert face.compose(Look(sway=99)) == face.compose(Look(sway=views.REACH))


def test_a_photo_is_centre_cropped_and_speaks():
    """A wide picture keeps its middle; the mouth is drawn over it only while it is open."""
    wide = Image.new("RGB", (900, 300), "blue")
    wide.paste("red", (350, 0, 550, 300))
    portrait = views.photo(wide, "2x3")
    rest = pixels(portrait, Look())
    assert (rest == (255, 0, 0)).all()
    assert difference(portrait, Look(mouth=Mouth.FULL)) > 300
    assert difference(portrait, Look(eyes=Eyes.CLOSED)) == 0


@pytest.mark.parametrize("aspect_ratio", ["1x1", "9x16"])
def test_photos_fill_other_shapes(aspect_ratio: str):
    """A picture fills the whole of each shape."""
    portrait = views.photo(Image.new("RGB", (100, 100), "lime"), aspect_ratio)
    assert (portrait.width, portrait.height) == SIZES[aspect_ratio]
    assert (pixels(portrait, Look()) == (0, 255, 0)).all()
