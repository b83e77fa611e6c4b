"""Drawing of portraits: parts are drawn once, moved to each view of the sway and flattened to pixels.

Everything here takes tens of milliseconds and is called in threads only. The middle view is drawn before a
portrait is handed out, the others by a thread of their own, so that the avatar is there at once and gains
its sway while they come.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from PIL import Image, ImageOps

from pipecat_lemonslice.emulator import character, features
from pipecat_lemonslice.emulator.character import Eyes, Hand, Mouth
from pipecat_lemonslice.emulator.face import SIZES, Box, Feature, Patch, Portrait, View
from pipecat_lemonslice.emulator.vector import KEPT, Board, Window

REACH = 8
"""Views on either side of the middle one."""

WINDOWS: Mapping[str, Window] = {
    "2x3": Window(0.0, 0.0, 1.0, *SIZES["2x3"]),
    "1x1": Window(-56.0, 36.0, 512 / 480, *SIZES["1x1"]),
    "9x16": Window(0.0, -70.0, 360 / 368, *SIZES["9x16"]),
}

_ZOOM = 1.08
"""How much larger than the picture a photo is kept, so that no edge shows when it sways."""

_drawing = threading.Lock()


@dataclass(frozen=True)
class Part:
    """A drawn part and the picture pixels it covers; the image has KEPT pixels for each of them.

    Parameters:
        image: The drawing, transparent around it.
        box: Picture pixels covered.
        moves: Whether it belongs to the head.
    """

    image: Image.Image
    box: Box
    moves: bool = True

    def at(self, sway: int, window: Window) -> Part:
        """The part where it is at a view."""
        if not self.moves or sway == 0:
            return self
        angle, dx, dy = math.radians(0.11 * sway), 0.4 * sway, 0.012 * sway * sway
        unit = window.scale * KEPT
        x = (character.PIVOT[0] - window.left) * unit - self.box[0] * KEPT
        y = (character.PIVOT[1] - window.top) * unit - self.box[1] * KEPT
        cos, sin = math.cos(angle), math.sin(angle)
        to_x, to_y = x + dx * unit, y + dy * unit
        matrix = (cos, sin, x - cos * to_x - sin * to_y, -sin, cos, y + sin * to_x - cos * to_y)
        method, smooth = Image.Transform.AFFINE, Image.Resampling.BILINEAR
        return replace(self, image=self.image.transform(self.image.size, method, matrix, smooth))

    def onto(self, scene: Image.Image, left: int = 0, top: int = 0) -> None:
        """Lay the part over a scene that begins at picture pixel left, top."""
        x, y = (self.box[0] - left) * KEPT, (self.box[1] - top) * KEPT
        scene.alpha_composite(self.image, (max(x, 0), max(y, 0)), (max(-x, 0), max(-y, 0)))


def draw_ahead() -> None:
    """Begin to draw the face that most sessions show, in a thread, so that the first is not kept waiting."""
    threading.Thread(target=drawn, args=("2x3",), name="emulator-face", daemon=True).start()


def drawn(aspect_ratio: str) -> Portrait:
    """The drawn face, one for the whole process."""
    with _drawing:
        return _drawn(aspect_ratio)


def photo(picture: Image.Image, aspect_ratio: str) -> Portrait:
    """A portrait from a picture, centre-cropped, with the drawn mouth over it while it speaks."""
    window = WINDOWS[aspect_ratio]
    margin = math.ceil(max(window.width, window.height) * (_ZOOM - 1) / 2)
    box = (-margin, -margin, window.width + margin, window.height + margin)
    size = (KEPT * (box[2] - box[0]), KEPT * (box[3] - box[1]))
    fitted = ImageOps.fit(picture.convert("RGBA"), size, Image.Resampling.BICUBIC)
    mouths = [mouth for mouth in Mouth if mouth is not Mouth.REST]
    return _portrait(window, [Part(fitted, box)], _features(window, mouths, ()))


@lru_cache(maxsize=len(SIZES))
def _drawn(aspect_ratio: str) -> Portrait:
    window = WINDOWS[aspect_ratio]
    whole = (window.left, window.top, window.right, window.bottom)
    parts = [
        replace(_part(window, character.backdrop, whole), moves=False),
        _part(window, character.back_hair, character.HEAD_BOX),
        replace(_part(window, character.body, (window.left, 300, window.right, window.bottom)), moves=False),
        _part(window, character.head, character.HEAD_BOX),
    ]
    return _portrait(window, parts, _features(window, Mouth, Eyes))


def _features(window: Window, mouths: Iterable[Mouth], eyes: Iterable[Eyes]) -> dict[Feature, Part]:
    parts: dict[Feature, Part] = {}
    for mouth in mouths:
        parts[mouth] = _part(window, partial(features.mouth, kind=mouth), character.MOUTH_BOX)
    for pair in eyes:
        parts[pair] = _part(window, partial(features.eyes, kind=pair), character.EYES_BOX)
    for hand in (Hand.LEFT, Hand.UP, Hand.RIGHT):
        drawing = _part(window, partial(character.hand, kind=hand), character.HAND_BOX)
        parts[hand] = replace(drawing, moves=False)
    return parts


def _part(window: Window, draw: Callable[[Board], None], box: tuple[float, float, float, float]) -> Part:
    board = Board(window, window.cut(box))
    draw(board)
    return Part(board.finish(), board.pixels)


def _portrait(window: Window, parts: Sequence[Part], movable: Mapping[Feature, Part]) -> Portrait:
    """A portrait with its middle view; a thread goes on to draw the others."""
    portrait = Portrait(window.width, window.height)
    portrait.views[0] = _view(window, parts, movable, 0)
    others = partial(_draw_others, weakref.ref(portrait), window, parts, movable)
    threading.Thread(target=others, name="emulator-face", daemon=True).start()
    return portrait


def _draw_others(
    wanted: weakref.ref[Portrait], window: Window, parts: Sequence[Part], movable: Mapping[Feature, Part]
) -> None:
    """Draw the other views, until nobody wants the portrait any more."""
    for sway in range(1, REACH + 1):
        pair = {side * sway: _view(window, parts, movable, side * sway) for side in (-1, 1)}
        portrait = wanted()
        if portrait is None:
            return
        portrait.views.update(pair)
        del portrait


def _view(window: Window, parts: Sequence[Part], movable: Mapping[Feature, Part], sway: int) -> View:
    scene = Image.new("RGBA", (window.width * KEPT, window.height * KEPT))
    for part in parts:
        part.at(sway, window).onto(scene)
    patches = {key: (part.box, _patch(scene, part.at(sway, window))) for key, part in movable.items()}
    return View(_flat(scene).tobytes(), patches)


def _patch(scene: Image.Image, part: Part) -> Patch:
    left, top, right, bottom = part.box
    area = scene.crop((left * KEPT, top * KEPT, right * KEPT, bottom * KEPT))
    part.onto(area, left, top)
    return np.asarray(_flat(area))


def _flat(image: Image.Image) -> Image.Image:
    return image.convert("RGB").reduce(KEPT)
