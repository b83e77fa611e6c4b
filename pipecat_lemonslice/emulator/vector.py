"""A drawing board in design units: smooth shapes on transparent layers, edges smoothed by oversampling.

Knows shapes and colours, nothing of faces. One design unit is one pixel of the 2x3 picture; the board maps
the visible window of the design onto a picture of any size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageColor, ImageDraw

Point = tuple[float, float]
Colour = str

DETAIL = 4
"""Pixels drawn for each final pixel and direction."""

KEPT = 2
"""Pixels per final pixel and direction that a finished layer keeps, so that it can be turned without blur."""

_STEPS = 14
"""Straight pieces between two points of a smooth curve."""


@dataclass(frozen=True)
class Window:
    """The part of the design that is seen, and the picture it fills.

    Parameters:
        left: First visible design unit from the left.
        top: First visible design unit from the top.
        scale: Picture pixels per design unit.
        width: Picture width in pixels.
        height: Picture height in pixels.
    """

    left: float
    top: float
    scale: float
    width: int
    height: int

    @property
    def right(self) -> float:
        """Where the visible design ends on the right."""
        return self.left + self.width / self.scale

    @property
    def bottom(self) -> float:
        """Where the visible design ends at the bottom."""
        return self.top + self.height / self.scale

    def cut(self, box: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
        """The whole picture pixels that cover a box of design units, clipped to the picture."""
        x0, y0, x1, y1 = box
        left, top = int((x0 - self.left) * self.scale), int((y0 - self.top) * self.scale)
        right, bottom = int((x1 - self.left) * self.scale) + 1, int((y1 - self.top) * self.scale) + 1
        return max(0, left), max(0, top), min(self.width, right), min(self.height, bottom)


class Board:
    """One layer being drawn, covering `pixels` of the picture of `window`."""

    def __init__(self, window: Window, pixels: tuple[int, int, int, int] | None = None):
        self._window = window
        self.pixels = pixels or (0, 0, window.width, window.height)
        left, top, right, bottom = self.pixels
        self._image = Image.new("RGBA", ((right - left) * DETAIL, (bottom - top) * DETAIL))
        self._draw = ImageDraw.Draw(self._image)

    def finish(self) -> Image.Image:
        """The layer at `KEPT` pixels per final pixel."""
        return self._image.reduce(DETAIL // KEPT)

    def blob(self, points: Sequence[Point], fill: Colour) -> None:
        """A filled closed curve through the points."""
        self._polygon(smooth(points, closed=True), fill)

    def polygon(self, points: Sequence[Point], fill: Colour) -> None:
        """A filled shape with straight sides."""
        self._polygon(points, fill)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        """A filled ellipse around x, y."""
        x0, y0 = self._pixel((x - rx, y - ry))
        x1, y1 = self._pixel((x + rx, y + ry))
        if len(fill) <= 7:
            self._draw.ellipse((x0, y0, x1, y1), fill)
            return
        veil = Image.new("RGBA", self._image.size)
        ImageDraw.Draw(veil).ellipse((x0, y0, x1, y1), fill)
        self._image.alpha_composite(veil)

    def line(self, points: Sequence[Point], fill: Colour, width: float) -> None:
        """A curve of even width through the points, with round ends."""
        path = smooth(points, closed=False)
        self._polygon(_outline(path, [width / 2] * len(path)), fill)
        for x, y in (path[0], path[-1]):
            self.ellipse(x, y, width / 2, width / 2, fill)

    def stroke(self, points: Sequence[Point], fill: Colour, width: float) -> None:
        """A curve through the points like that of a brush: widest in the middle, pointed at both ends."""
        path = smooth(points, closed=False)
        last = len(path) - 1
        self._polygon(_outline(path, [width * (i / last * (1 - i / last)) ** 0.5 for i in range(last + 1)]), fill)

    def gradient(self, path: Sequence[Point] | None, top: Colour, bottom: Colour) -> None:
        """A vertical gradient inside a path of layer pixels, or over the whole layer."""
        size = self._image.size
        rows = [y for _, y in path] if path else [0.0, float(size[1])]
        low, high = int(min(rows)), int(max(rows)) + 1
        ramp = Image.linear_gradient("L").resize((size[0], max(1, high - low)))
        full = Image.new("L", size)
        full.paste(ramp, (0, low))
        a, b = (Image.new("RGBA", size, ImageColor.getcolor(c, "RGBA")) for c in (top, bottom))
        mixed = Image.composite(b, a, full)
        mask = Image.new("L", size, 0 if path else 255)
        if path:
            ImageDraw.Draw(mask).polygon(list(path), 255)
        self._image.paste(mixed, (0, 0), mask)

    def clipped(self, over: Board, points: Sequence[Point]) -> None:
        """Put another layer of the same size on this one, only inside the closed curve."""
        mask = Image.new("L", self._image.size)
        ImageDraw.Draw(mask).polygon([self._pixel(p) for p in smooth(points, closed=True)], 255)
        inside = Image.composite(over._image, Image.new("RGBA", self._image.size), mask)
        self._image.alpha_composite(inside)

    def like(self) -> Board:
        """An empty layer of the same place and size."""
        return Board(self._window, self.pixels)

    @property
    def _unit(self) -> float:
        return self._window.scale * DETAIL

    def _pixel(self, point: Point) -> Point:
        x, y = point
        return (
            ((x - self._window.left) * self._window.scale - self.pixels[0]) * DETAIL,
            ((y - self._window.top) * self._window.scale - self.pixels[1]) * DETAIL,
        )

    def _polygon(self, points: Sequence[Point], fill: Colour) -> None:
        path = [self._pixel(p) for p in points]
        if len(fill) <= 7:
            self._draw.polygon(path, fill)
            return
        veil = Image.new("RGBA", self._image.size)
        ImageDraw.Draw(veil).polygon(path, fill)
        self._image.alpha_composite(veil)


def smooth(points: Sequence[Point], *, closed: bool) -> list[Point]:
    """A Catmull-Rom curve through the points, as many short straight pieces."""
    ring = list(points)
    around = [ring[-1], *ring, *ring[:2]] if closed else [ring[0], *ring, ring[-1]]
    path: list[Point] = []
    for p0, p1, p2, p3 in zip(around, around[1:], around[2:], around[3:], strict=False):
        path += [_between(p0, p1, p2, p3, step / _STEPS) for step in range(_STEPS)]
    return path if closed else [*path, ring[-1]]


def _outline(path: Sequence[Point], radii: Sequence[float]) -> list[Point]:
    left: list[Point] = []
    right: list[Point] = []
    for i, ((x, y), radius) in enumerate(zip(path, radii, strict=True)):
        (x0, y0), (x1, y1) = path[max(0, i - 1)], path[min(len(path) - 1, i + 1)]
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        dx, dy = (x1 - x0) / length * radius, (y1 - y0) / length * radius
        left.append((x - dy, y + dx))
        right.append((x + dy, y - dx))
    return left + right[::-1]


def _between(p0: Point, p1: Point, p2: Point, p3: Point, t: float) -> Point:
    def axis(a: float, b: float, c: float, d: float) -> float:
        return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))

    return axis(p0[0], p1[0], p2[0], p3[0]), axis(p0[1], p1[1], p2[1], p3[1])


def mirrored(points: Sequence[Point], axis: float) -> list[Point]:
    """The right half of a symmetric shape, given from the top down, completed with its mirror image."""
    return [*points, *((2 * axis - x, y) for x, y in reversed(points) if abs(x - axis) > 1e-6)]
