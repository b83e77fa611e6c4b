"""Draws the portraits that the avatar can be given: flat colours, 368x560, no file needed.

The mouth is where an avatar of the emulator opens its own.
"""

from dataclasses import dataclass

from PIL import Image, ImageDraw

SIZE = (368, 560)
_SCALE = 3
_MIDDLE = 184


@dataclass(frozen=True)
class Face:
    """What a portrait looks like. All colours are CSS colours.

    Attributes:
        backdrop: Behind everything.
        halo: The disc behind the head.
        skin: Face and neck.
        shade: Nose, ears and the neck's shadow.
        hair: Hair.
        brows: Brows.
        clothes: Below the neck.
        glasses: Their frame.
        curls: Whether the hair is curly and short; else it is straight and reaches the chin.
    """

    backdrop: str
    halo: str
    skin: str
    shade: str
    hair: str
    brows: str
    clothes: str
    glasses: str
    curls: bool


FACES = {
    "yellow": Face("#3d2c5e", "#8d6fd1", "#8d5a3b", "#74472d", "#1f1512", "#1f1512", "#e0a526", "#f4e9d8", curls=True),
    "blue": Face("#f3c9a5", "#fbe8d3", "#f2d0b8", "#dcae93", "#d9dde3", "#9aa0aa", "#1f3a5f", "#b3262e", curls=False),
}
"""Faces by the colour of their clothes."""


def draw(face: Face) -> Image.Image:
    """Return the portrait of a face; takes tens of milliseconds."""
    canvas = _Canvas(face.backdrop)
    canvas.disc(_MIDDLE, 240, 168, 168, face.halo)
    _hair_behind(canvas, face)
    _body(canvas, face)
    _head(canvas, face)
    _hair_in_front(canvas, face)
    _eyes(canvas, face)
    _nose_and_mouth(canvas, face)
    return canvas.finished()


class _Canvas:
    """Draws in picture pixels, larger than they are, so that edges come out smooth."""

    def __init__(self, backdrop: str) -> None:
        self._image = Image.new("RGB", (SIZE[0] * _SCALE, SIZE[1] * _SCALE), backdrop)
        self._draw = ImageDraw.Draw(self._image)

    def disc(self, x: float, y: float, rx: float, ry: float, fill: str) -> None:
        self._draw.ellipse(self._box(x, y, rx, ry), fill=fill)

    def ring(self, x: float, y: float, rx: float, ry: float, colour: str, width: float) -> None:
        self._draw.ellipse(self._box(x, y, rx, ry), outline=colour, width=round(width * _SCALE))

    def block(self, box: tuple[float, float, float, float], radius: float, fill: str) -> None:
        scaled = [edge * _SCALE for edge in box]
        self._draw.rounded_rectangle(scaled, radius * _SCALE, fill=fill)

    def arc(self, x: float, y: float, rx: float, ry: float, span: tuple[int, int], colour: str, width: float) -> None:
        self._draw.arc(self._box(x, y, rx, ry), *span, fill=colour, width=round(width * _SCALE))

    def finished(self) -> Image.Image:
        return self._image.resize(SIZE, Image.Resampling.LANCZOS)

    def _box(self, x: float, y: float, rx: float, ry: float) -> tuple[float, float, float, float]:
        return ((x - rx) * _SCALE, (y - ry) * _SCALE, (x + rx) * _SCALE, (y + ry) * _SCALE)


def _hair_behind(canvas: _Canvas, face: Face) -> None:
    if face.curls:
        for x, y in ((96, 190), (272, 190), (90, 236), (278, 236)):
            canvas.disc(x, y, 34, 34, face.hair)
    else:
        canvas.block((72, 130, 296, 392), 104, face.hair)


def _body(canvas: _Canvas, face: Face) -> None:
    canvas.block((36, 438, 332, 640), 92, face.clothes)
    canvas.disc(_MIDDLE, 442, 62, 36, face.shade)
    canvas.block((142, 340, 226, 470), 38, face.skin)
    canvas.disc(_MIDDLE, 366, 52, 34, face.shade)


def _head(canvas: _Canvas, face: Face) -> None:
    for x in (90, 278):
        canvas.disc(x, 262, 18, 28, face.shade)
    canvas.disc(_MIDDLE, 262, 94, 124, face.skin)


def _hair_in_front(canvas: _Canvas, face: Face) -> None:
    if face.curls:
        curls = ((104, 172), (132, 150), (166, 138), (202, 138), (236, 150), (264, 172))
        for x, y in curls:
            canvas.disc(x, y, 30, 28, face.hair)
    else:
        canvas.disc(_MIDDLE, 154, 100, 42, face.hair)
        canvas.disc(98, 202, 22, 60, face.hair)
        canvas.disc(270, 202, 22, 60, face.hair)


def _eyes(canvas: _Canvas, face: Face) -> None:
    for x in (144, 224):
        canvas.arc(x, 214, 26, 18, (200, 340), face.brows, 6)
        canvas.disc(x, 244, 16, 12, "#fffdf8")
        canvas.disc(x, 244, 8, 9, "#3a2a20")
        canvas.disc(x + 3, 240, 2.5, 2.5, "#ffffff")
        canvas.ring(x, 245, 33, 28, face.glasses, 5)
    canvas.arc(_MIDDLE, 246, 9, 9, (190, 350), face.glasses, 5)


def _nose_and_mouth(canvas: _Canvas, face: Face) -> None:
    canvas.arc(_MIDDLE, 272, 14, 16, (20, 160), face.shade, 5)
    canvas.arc(_MIDDLE, 300, 32, 22, (28, 152), "#9c3f46", 6)
