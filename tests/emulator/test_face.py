"""The avatar's pictures, looked at from outside: what can be seen in them, not how they are made."""

import io
import threading
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import resvg_py
from PIL import Image

from pipecat_lemonslice.emulator import face
from pipecat_lemonslice.emulator.expression import REACH, Expression, Look
from pipecat_lemonslice.emulator.face import SIZES, Face

POSES = ("wave", "smile", "serious", "spin")


def pixels(shown: Face, look: Look) -> np.ndarray:
    return np.frombuffer(shown.picture(look), np.uint8).reshape(shown.height, shown.width, 3)


def difference(shown: Face, one: Look, other: Look) -> int:
    """How many pixels differ between two pictures."""
    return int((pixels(shown, one) != pixels(shown, other)).any(axis=2).sum())


def settle() -> None:
    """Wait until all places of the head have been drawn."""
    for thread in threading.enumerate():
        if thread.name == "emulator-face":
            thread.join(20)


@pytest.fixture(scope="module")
def drawn() -> Face:
    return face.drawn("2x3")


def test_the_face_is_drawn_once_and_shared(drawn: Face):
    """Every session shows the same face; it is 368x560."""
    assert face.drawn("2x3") is drawn
    assert (drawn.width, drawn.height) == (368, 560) == SIZES["2x3"]


def test_a_picture_is_header_and_rgb(drawn: Face):
    """A picture has exactly the header's and width * height * 3 bytes."""
    message = drawn.picture(Look(), b"header")
    assert message[:6] == b"header"
    assert len(message) == 6 + 368 * 560 * 3
    assert message[6:] == drawn.picture(Look())


def test_the_file_shows_the_face_at_rest(drawn: Face):
    """Opened in a browser, the drawing is the picture of an avatar that does nothing."""
    svg = files("pipecat_lemonslice.emulator").joinpath("face.svg").read_text(encoding="utf-8")
    alone = np.asarray(Image.open(io.BytesIO(resvg_py.svg_to_bytes(svg_string=svg))).convert("RGB"))
    assert np.abs(alone.astype(int) - pixels(drawn, Look())).max(axis=2).mean() < 0.1


@pytest.mark.parametrize("aspect_ratio", SIZES)
def test_all_that_it_does_is_seen(aspect_ratio: str):
    """In every mood and pose the picture shows the eyes, the mouth and the hand of the moment, in every shape."""
    shown = face.drawn(aspect_ratio)
    looks = set[Look]()
    for prompt in ("", "happy", "serious"):
        expression = Expression(prompt, prompt)
        for speaking, pose in [(False, "")] + [(True, pose) for pose in POSES]:
            expression.speaking = speaking
            expression.pose(pose, 0.0)
            looks |= {replace(expression.look(i * 0.04, i % 6), sway=0) for i in range(100)}
    for look in looks:
        assert difference(shown, look, replace(look, eyes="")) > 200
        assert difference(shown, look, replace(look, mouth="")) > 200
        assert not look.hand or difference(shown, look, replace(look, hand="")) > 3000


def test_the_louder_the_wider(drawn: Face):
    """From silence to the loudest speech the mouth covers more of the face, and shows more of its dark inside."""
    looks = [Expression().look(0.0, opening) for opening in range(6)]
    areas = [difference(drawn, look, replace(look, mouth="")) for look in looks]
    assert areas == sorted(areas)
    assert areas[-1] > 2 * areas[1] > 2.5 * areas[0]
    dark = [int((pixels(drawn, look)[304:338, 160:208, 0] < 125).sum()) for look in looks]
    assert dark == sorted(dark)
    assert dark[-1] > dark[1] + 100


def test_a_blink_hides_the_eyes(drawn: Face):
    """The whites of the eyes are seen, then less of them, then none for a moment, and then all again."""
    expression = Expression(chance=lambda: 0.5)
    looks = [replace(expression.look(1.0 + i * 0.04, 0), sway=0) for i in range(12)]
    whites = [int((pixels(drawn, look)[232:264, 120:250].min(axis=2) > 230).sum()) for look in looks]
    assert whites[0] == whites[-1] > 200
    assert whites.count(0) == 2
    assert any(0 < white < whites[0] for white in whites)


@pytest.mark.parametrize("pose", POSES)
def test_a_pose_can_be_seen(drawn: Face, pose: str):
    """The picture differs from that of the same moment without the pose, and is the same when it is over."""
    posing, idle = Expression(chance=lambda: 0.5), Expression(chance=lambda: 0.5)
    posing.pose(pose, 2.0)
    assert difference(drawn, posing.look(2.5, 0), idle.look(2.5, 0)) > (6000 if pose == "wave" else 500)
    assert posing.look(3.5, 0) == idle.look(3.5, 0)


def middle(picture: np.ndarray, low: tuple[int, int, int], high: tuple[int, int, int]) -> float:
    """Where the pixels of a range of colours are, from the left, within the right half of the face."""
    within = picture[210:345, 184:290]
    return float(np.nonzero(((within >= low) & (within <= high)).all(axis=2))[1].mean())


def test_the_sway_moves_the_head(drawn: Face):
    """Its earrings, eyes and mouth go along from the left to the right, and the body stays."""
    settle()
    places = [pixels(drawn, Look(sway=sway, mouth="mouth-full")) for sway in range(-REACH, REACH + 1)]
    for low, high in (
        ((250, 195, 35), (255, 205, 45)),  # gold of the earrings
        ((40, 20, 20), (55, 30, 28)),  # pupils
        ((95, 25, 38), (115, 38, 50)),  # inside of the mouth
    ):
        left, centre, right = (middle(places[at], low, high) for at in (0, REACH, -1))
        assert left + 1.5 < centre < right - 1.5
    assert all((place[420:] == places[0][420:]).all() for place in places)
    assert drawn.picture(Look(sway=99)) == drawn.picture(Look(sway=REACH))


def test_a_photo_is_centre_cropped_and_speaks():
    """A wide picture keeps its middle; the mouth is drawn over it only while it is open, and the eyes are its own."""
    wide = Image.new("RGB", (900, 300), "blue")
    wide.paste("red", (350, 0, 550, 300))
    shown = face.photo(wide, "2x3")
    assert (pixels(shown, Look()) == (255, 0, 0)).all()
    assert difference(shown, Look(mouth="mouth-full"), Look()) > 800
    assert difference(shown, Look(hand="hand-up"), Look()) > 3000
    assert difference(shown, Look(eyes="eyes-closed"), Look()) == 0


@pytest.mark.parametrize("aspect_ratio", SIZES)
def test_photos_fill_every_shape(aspect_ratio: str):
    """A picture fills the whole of each shape, wherever the head is."""
    shown = face.photo(Image.new("RGB", (100, 100), "lime"), aspect_ratio)
    settle()
    assert (shown.width, shown.height) == SIZES[aspect_ratio]
    for sway in (-REACH, 0, REACH):
        assert (pixels(shown, Look(sway=sway)) == (0, 255, 0)).all()
