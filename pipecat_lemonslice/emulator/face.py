"""The avatar's picture: views of a portrait prepared once, from which every sent picture is put together.

A picture is one copy of a prepared view with two or three small patches (eyes, mouth, hand) over it: no
drawing at 25 pictures a second. How views are drawn is the business of `views`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipecat_lemonslice.emulator.character import Eyes, Hand, Mouth

SIZES: Mapping[str, tuple[int, int]] = {"2x3": (368, 560), "1x1": (512, 512), "9x16": (360, 640)}
"""Picture width and height for each aspect ratio."""

Box = tuple[int, int, int, int]
Patch = NDArray[np.uint8]
Feature = Eyes | Hand | Mouth


@dataclass(frozen=True)
class Look:
    """What one picture shows.

    Parameters:
        sway: Where the head is, 0 in the middle; beyond what is drawn it stays at the last view.
        mouth: Mouth drawn.
        eyes: Eyes drawn; a photo keeps its own.
        hand: Hand drawn.
    """

    sway: int = 0
    mouth: Mouth = Mouth.REST
    eyes: Eyes = Eyes.OPEN
    hand: Hand = Hand.DOWN


@dataclass(frozen=True, eq=False)
class View:
    """The portrait at one point of its sway: RGB bytes and the patches that may be laid over them."""

    pixels: bytes
    patches: Mapping[Feature, tuple[Box, Patch]]


@dataclass(frozen=True, eq=False)
class Portrait:
    """A face ready to be shown.

    Parameters:
        width: Picture width in pixels.
        height: Picture height in pixels.
        views: Views by their place in the sway; a thread may be adding to them from the middle outwards.
    """

    width: int
    height: int
    views: dict[int, View] = field(default_factory=dict[int, View])

    def compose(self, look: Look, header: bytes = b"") -> bytearray:
        """One picture: `header`, then width * height * 3 RGB bytes."""
        view = self.views[self._nearest(look.sway)]
        message = bytearray().join((header, view.pixels))
        canvas = np.frombuffer(message, np.uint8, offset=len(header)).reshape(self.height, self.width, 3)
        for part in (look.eyes, look.mouth, look.hand):
            if (found := view.patches.get(part)) is not None:
                (left, top, right, bottom), patch = found
                canvas[top:bottom, left:right] = patch
        return message

    def _nearest(self, sway: int) -> int:
        reach = (len(self.views) - 1) // 2
        return max(-reach, min(reach, sway))
