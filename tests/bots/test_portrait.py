import numpy as np
import pytest

from offline.portrait import FACES, SIZE, Face, draw


@pytest.mark.parametrize("face", FACES.values())
def test_a_portrait_has_the_avatars_size_and_a_face(face: Face) -> None:
    """Skin in the middle, the backdrop in the corners, and something between."""
    portrait = draw(face)
    assert (portrait.size, portrait.mode) == (SIZE, "RGB")
    corner, cheek = portrait.getpixel((3, 3)), portrait.getpixel((140, 300))
    assert corner == portrait.getpixel((364, 3))
    assert corner != cheek


def test_portraits_differ_at_a_glance() -> None:
    """Most of the picture changes."""
    one, other = (np.asarray(draw(face)).astype(int) for face in FACES.values())
    assert (np.abs(one - other).max(axis=2) > 60).mean() > 0.6
