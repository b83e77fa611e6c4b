"""The avatar's face: what it does at each moment, and the pictures of that.

``Expression`` is pure: time comes in, a ``Look`` comes out. ``resvg-py`` renders the named groups of ``face.svg`` once
into sprites, for each place of the swaying head. A picture is then one copy of a prepared scene with two or three
patches (eyes, mouth, hand) over it. A photo takes the place of the drawing and keeps the drawn mouths. ``drawn`` and
``photo`` take tenths of a second: call them in threads.
"""

import base64
import io
import math
import random
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import Any
from urllib.parse import unquote_to_bytes

import aiohttp
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

_FETCH_SECONDS = 10.0

SIZES: Mapping[str, tuple[int, int]] = {"2x3": (368, 560), "1x1": (512, 512), "9x16": (360, 640)}
"""Picture width and height for each aspect ratio."""

_VIEW_BOX = 'viewBox="0 0 368 560"'
_WINDOWS = {"2x3": (0.0, 0.0, 1.0), "1x1": (-56.0, 36.0, 512 / 480), "9x16": (0.0, -70.0, 360 / 368)}
"""Where the picture begins in the drawing, left and top, and its pixels for each unit of the drawing."""

_AREAS = {
    "head": (58, 78, 310, 416),
    "eyes": (112, 200, 256, 272),
    "mouth": (146, 290, 222, 346),
    "hand": (0, 380, 132, 640),
}
"""The area of the drawing that a part never leaves: left, top, right, bottom."""

_PIVOT = (184, 372)
"""The point of the drawing about which the head turns."""

_PHOTO_ZOOM = 1.08
"""How much larger than the picture a photo is kept, so that no edge shows when it sways."""

Box = tuple[int, int, int, int]

_SVG = files("pipecat_lemonslice.emulator").joinpath("face.svg").read_text(encoding="utf-8")
_drawing = threading.Lock()
_GROUPS = re.findall(r'id="((?:eyes|mouth|hand)-[a-z]+)"', _SVG)

REACH = 8
"""Places of the head on either side of the middle one."""

_PICTURE_SECONDS = 0.04
_POSE_SECONDS = 1.5
_MOUTHS = ("mouth-parted", "mouth-small", "mouth-mid", "mouth-wide", "mouth-full")
_BLINK = ("eyes-half", "eyes-closed", "eyes-closed", "eyes-half")
_WAVE = ("hand-left", "hand-up", "hand-right", "hand-up")
_WAVING = ("wave", "hello", "greet", "bye")
"""Words in the name of a pose for which the avatar waves."""

_MOODS = {
    "happy": ("happ", "smil", "cheer", "joy", "laugh", "excit", "delight", "grin"),
    "asleep": ("sleep", "dozing", "closed eyes"),
    "serious": ("serious", "stern", "sad", "angry", "strict", "grave", "worr"),
}
_POSES = {
    "happy": ("eyes-happy", "mouth-smile"),
    "asleep": ("eyes-closed", "mouth-rest"),
    "serious": ("eyes-serious", "mouth-serious"),
    "": ("eyes-lively", "mouth-parted"),
}
"""Eyes and mouth of a pose, by its mood. A name that is not known raises the brows, so that something is seen."""


@dataclass(frozen=True)
class Look:
    """What one picture shows: the place of the head, ``-REACH`` to ``REACH``, and groups of ``face.svg``."""

    sway: int
    eyes: str
    mouth: str
    hand: str  # empty for none


class Expression:
    """The behaviour of one face: it blinks and sways, has a mood and makes gestures.

    Args:
        prompt: Demeanour while speaking; its first word that names a mood decides.
        idle_prompt: Likewise, while idle.
        now: Seconds; the first blink comes a moment later.
    """

    def __init__(self, prompt: str, idle_prompt: str, now: float) -> None:
        self._moods = {True: _mood(prompt), False: _mood(idle_prompt)}
        self._start = now
        self._blink = now + 1.2
        self._pose = ""
        self._posed = -math.inf

    def prompt(self, text: str, *, speaking: bool) -> None:
        """Take a new prompt for speaking, or for being idle."""
        self._moods[speaking] = _mood(text)

    def pose(self, name: str, now: float) -> None:
        """Start a gesture."""
        self._pose, self._posed = name.lower(), now

    def look(self, now: float, speaking: bool, opening: int) -> Look:
        """Return the look of the picture shown now, with the mouth opened from 0 to 5."""
        t, mood, hand = now - self._start, self._moods[speaking], ""
        sway = round(REACH * (0.62 * math.sin(0.86 * t) + 0.38 * math.sin(1.53 * t)))
        if mood == "serious":
            eyes, mouth = "eyes-serious", "mouth-serious"
        elif mood == "asleep":
            eyes, mouth = "eyes-half" if speaking else "eyes-closed", "mouth-rest"
        else:
            eyes = "eyes-lively" if speaking and math.sin(1.9 * t) > 0.55 else "eyes-open"
            # While it speaks, a smile between two words would open the mouth in every pause.
            mouth = "mouth-smile" if mood == "happy" and not speaking else "mouth-rest"
        if now < self._posed + _POSE_SECONDS:
            if any(word in self._pose for word in _WAVING):
                mouth, hand = "mouth-smile", _WAVE[int((now - self._posed) / 0.12) % len(_WAVE)]
            else:
                eyes, mouth = _POSES[_mood(self._pose)]
        step = math.floor((now - self._blink) / _PICTURE_SECONDS + 1e-6)
        if step >= len(_BLINK):
            self._blink = now + 2.2 + 2.8 * random.random()
        elif step >= 0 and eyes != "eyes-closed":
            eyes = _BLINK[step]
        return Look(sway, eyes, _MOUTHS[opening - 1] if opening else mouth, hand)


def _mood(text: str) -> str:
    """Return the mood of the first word that names one; empty if no word does."""
    text = text.lower()
    found = {text.find(word): mood for mood, words in _MOODS.items() for word in words if word in text}
    return found[min(found)] if found else ""


@dataclass(frozen=True, eq=False)
class HeadPosition:
    """The face with its head at one place.

    Attributes:
        pixels: RGB bytes of the picture without eyes, mouth and hand.
        patches: By group of the drawing, where its pixels belong, and the pixels.
    """

    pixels: bytes
    patches: Mapping[str, tuple[Box, NDArray[np.uint8]]]


@dataclass(frozen=True, eq=False)
class Face:
    """A face ready to be shown.

    Attributes:
        width: Picture width in pixels.
        height: Picture height in pixels.
        positions: By the place of the head. A thread may be adding to them, from the middle outwards.
    """

    width: int
    height: int
    positions: dict[int, HeadPosition] = field(default_factory=dict[int, HeadPosition])

    def picture(self, look: Look, header: bytes = b"") -> bytearray:
        """Return one picture: ``header``, then width * height * 3 RGB bytes."""
        reach = (len(self.positions) - 1) // 2
        position = self.positions[max(-reach, min(reach, look.sway))]
        message = bytearray().join((header, position.pixels))
        canvas = np.frombuffer(message, np.uint8, offset=len(header)).reshape(self.height, self.width, 3)
        for group in (look.eyes, look.mouth, look.hand):
            if (found := position.patches.get(group)) is not None:
                (left, top, right, bottom), patch = found
                canvas[top:bottom, left:right] = patch
        return message


def draw_ahead() -> None:
    """Start drawing the face that most sessions show, in a thread, so that the first session need not wait for it.

    Raises:
        ImportError: resvg-py is not installed.
    """
    if find_spec("resvg_py") is None:
        raise ImportError("The emulator needs resvg-py for its face: pip install 'pipecat-lemonslice[emulator]'")
    threading.Thread(target=drawn, args=("2x3",), name="emulator-face", daemon=True).start()


def drawn(aspect_ratio: str) -> Face:
    """Return the drawn face, one for the whole process."""
    with _drawing:
        return _drawn(aspect_ratio)


@cache
def _drawn(aspect_ratio: str) -> Face:
    still = _render(aspect_ratio, (0, 0, *SIZES[aspect_ratio]), ("background", "body")).convert("RGB")
    box = _pixels(aspect_ratio, "head")

    def scene(sway: int) -> Image.Image:
        picture = still.copy()
        person = _render(aspect_ratio, box, ("hair-back", "body", "head"), sway)
        picture.paste(person, box, person)
        return picture

    return _face(aspect_ratio, scene, _GROUPS)


def photo(data: bytes, aspect_ratio: str) -> Face:
    """Return a face from a picture file, centre-cropped. It keeps its eyes, and its mouth while that is at rest.

    Raises:
        ValueError: It is not a picture.
    """
    left, top, scale = _WINDOWS[aspect_ratio]
    width, height = SIZES[aspect_ratio]
    edge = math.ceil(max(width, height) * (_PHOTO_ZOOM - 1) / 2)
    picture, size = open_picture(data), (width + 2 * edge, height + 2 * edge)
    try:
        fitted = ImageOps.fit(picture.convert("RGB"), size, Image.Resampling.BICUBIC)
    except (OSError, SyntaxError) as error:
        raise ValueError("the picture is damaged") from error
    pivot = ((_PIVOT[0] - left) * scale + edge, (_PIVOT[1] - top) * scale + edge)

    def scene(sway: int) -> Image.Image:
        angle, x, y = _turn(sway)
        moved: Any = (x * scale, y * scale)  # Pillow takes fractions of a pixel, its annotations do not
        turned = fitted.rotate(-angle, Image.Resampling.BICUBIC, center=pivot, translate=moved)
        return turned.crop((edge, edge, edge + width, edge + height))

    groups = [group for group in _GROUPS if not group.startswith("eyes-") and group != "mouth-rest"]
    return _face(aspect_ratio, scene, groups)


def open_picture(data: bytes) -> Image.Image:
    """Return a picture of which only the header has been read.

    Raises:
        ValueError: It is not a picture.
    """
    try:
        return Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError("not a PNG, JPEG or WebP picture") from error


def _face(aspect_ratio: str, scene: Callable[[int], Image.Image], groups: Sequence[str]) -> Face:
    """Return a face with its middle position; a thread goes on to make the others."""
    face = Face(*SIZES[aspect_ratio])

    def add(*places: int) -> None:
        for sway in places:
            picture = scene(sway)
            patches: dict[str, tuple[Box, NDArray[np.uint8]]] = {}
            for group in groups:
                # The hand does not sway: one sprite of it serves all positions.
                box, sprite = _sprite(aspect_ratio, group, 0 if group.startswith("hand-") else sway)
                patch = picture.crop(box)
                patch.paste(sprite, mask=sprite)
                patches[group] = box, np.asarray(patch)
            face.positions[sway] = HeadPosition(picture.tobytes(), patches)

    add(0)
    others = [side * sway for sway in range(1, REACH + 1) for side in (-1, 1)]
    threading.Thread(target=add, args=others, name="emulator-face", daemon=True).start()
    return face


@cache
def _sprite(aspect_ratio: str, group: str, sway: int) -> tuple[Box, Image.Image]:
    box = _pixels(aspect_ratio, group.partition("-")[0])
    return box, _render(aspect_ratio, box, (group,), sway)


def _pixels(aspect_ratio: str, part: str) -> Box:
    """Return the box of the picture's pixels that a part of the face never leaves."""
    left, top, scale = _WINDOWS[aspect_ratio]
    width, height = SIZES[aspect_ratio]
    x0, y0, x1, y1 = _AREAS[part]
    right, bottom = math.ceil((x1 - left) * scale), math.ceil((y1 - top) * scale)
    return max(0, int((x0 - left) * scale)), max(0, int((y0 - top) * scale)), min(width, right), min(height, bottom)


def _turn(sway: int) -> tuple[float, float, float]:
    """Return how the head is turned, in degrees, and moved, in units of the drawing."""
    return 0.11 * sway, 0.4 * sway, 0.012 * sway * sway


def _render(aspect_ratio: str, box: Box, groups: Sequence[str], sway: int = 0) -> Image.Image:
    """Return some groups of the drawing, as they are seen within a box of the picture."""
    from resvg_py import svg_to_bytes  # installed with an extra, which ``draw_ahead`` asks for

    left, top, scale = _WINDOWS[aspect_ratio]
    width, height = box[2] - box[0], box[3] - box[1]
    view_box = f'viewBox="{left + box[0] / scale} {top + box[1] / scale} {width / scale} {height / scale}"'
    angle, x, y = _turn(sway)
    style = (
        ".scene, .eyes, .mouth, .hand { display: none }"
        f"{', '.join(f'#{group}' for group in groups)} {{ display: inline }}"
        f".sways {{ transform: translate({x} {y}) rotate({angle} {_PIVOT[0]} {_PIVOT[1]}) }}"
    )
    svg = _SVG.replace(_VIEW_BOX, f'width="{width}" height="{height}" {view_box}', 1)
    return Image.open(io.BytesIO(svg_to_bytes(svg, style_sheet=style, skip_system_fonts=True))).convert("RGBA")


async def fetch(url: str) -> bytes:
    """Return the file in a data URL or behind a link."""
    if url.startswith("data:"):
        head, _, body = url.partition(",")
        return base64.b64decode(body) if head.endswith(";base64") else unquote_to_bytes(body)
    timeout = aiohttp.ClientTimeout(total=_FETCH_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as response:
        response.raise_for_status()
        return await response.read()
