"""The drawn face, part by part: a friendly person in flat colours before a slice of lemon.

Every function draws one part in design units (368x560, the whole 2x3 picture). Nothing here moves: `face`
turns the head and chooses between the eyes and mouths of this module.
"""

from __future__ import annotations

import math
from enum import Enum

from pipecat_lemonslice.emulator.vector import Board, Point, mirrored

DESIGN = (368, 560)

AXIS = 184.0
"""The line about which the face is symmetric."""

PIVOT = (184.0, 372.0)
"""The point about which the head turns."""

SKIN, SKIN_SHADE, SKIN_DEEP, BLUSH = "#F8CFAE", "#EFB994", "#D9946F", "#F2897C18"
HAIR, HAIR_DARK, HAIR_SHINE = "#6E3B2A", "#4F271D", "#8F553C"
KNIT, KNIT_SHADE, KNIT_LIGHT = "#23867F", "#1B6C67", "#2E9A91"
INK, WHITE, IRIS, IRIS_DARK = "#2F1A17", "#FFFDF8", "#8A5A2B", "#5C3818"
LIP, LIP_DARK, MOUTH, TONGUE = "#D9636A", "#C24F59", "#6A1F2C", "#EE8587"


class Mouth(Enum):
    """The mouths: three at rest, five opening with the voice."""

    REST = "a closed, friendly mouth"
    SERIOUS = "a closed, straight mouth"
    SMILE = "a broad smile with teeth"
    PARTED = "opening 1 of 5"
    SMALL = "opening 2 of 5"
    HALF = "opening 3 of 5"
    WIDE = "opening 4 of 5"
    FULL = "opening 5 of 5"


SPEAKING = (Mouth.PARTED, Mouth.SMALL, Mouth.HALF, Mouth.WIDE, Mouth.FULL)


class Eyes(Enum):
    """The eyes with their brows."""

    OPEN = "open"
    HALF = "half closed, on the way to a blink"
    CLOSED = "closed"
    HAPPY = "smiling"
    LIVELY = "open, brows raised"
    SERIOUS = "open, brows lowered"


class Hand(Enum):
    """The hand, seen while waving."""

    DOWN = "out of the picture"
    LEFT = "raised, leaning left"
    UP = "raised, upright"
    RIGHT = "raised, leaning right"


HEAD_BOX = (58.0, 78.0, 310.0, 416.0)
EYES_BOX = (112.0, 200.0, 256.0, 272.0)
MOUTH_BOX = (146.0, 290.0, 222.0, 346.0)
HAND_BOX = (0.0, 380.0, 132.0, 640.0)


def backdrop(board: Board) -> None:
    """Soft light and the slice of lemon behind the head."""
    board.gradient(None, "#CDECE6", "#8CCFC8")
    x, y, r = AXIS, 222.0, 162.0
    board.ellipse(x, y, r + 14, r + 14, "#FFFFFF38")
    board.ellipse(x, y, r, r, "#FFD54A")
    board.ellipse(x, y, r - 9, r - 9, "#FFF6D2")
    for index in range(10):
        _segment(board, x, y, r - 17, index * math.tau / 10 + math.tau / 20)


def _segment(board: Board, x: float, y: float, radius: float, angle: float) -> None:
    half = math.tau / 20 - 0.035
    rim = [angle + half * side for side in (-0.93, -0.5, 0.0, 0.5, 0.93)]
    points = [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in rim]
    inner = (x + 14 * math.cos(angle), y + 14 * math.sin(angle))
    board.polygon([inner, *points], "#FFE27A")


def back_hair(board: Board) -> None:
    """The hair behind face and neck."""
    half = [
        (184, 97),
        (246, 112),
        (284, 162),
        (292, 230),
        (288, 296),
        (296, 350),
        (290, 386),
        (262, 402),
        (184, 398),
    ]
    board.blob(mirrored(half, AXIS), HAIR_DARK)
    for side in (-1, 1):
        board.stroke([(AXIS + side * x, y) for x, y in ((98, 250), (94, 310), (100, 376))], HAIR, 12)


def body(board: Board) -> None:
    """Neck, shoulders and pullover."""
    board.blob(_SHOULDERS, KNIT)
    board.stroke([(78, 600), (84, 540), (98, 492)], KNIT_SHADE, 5)
    board.stroke([(290, 600), (284, 540), (270, 492)], KNIT_SHADE, 5)
    board.blob(mirrored([(184, 392), (218, 398), (240, 418), (232, 446), (184, 468)], AXIS), KNIT_LIGHT)
    board.blob(_NECK, SKIN)
    shade = board.like()
    shade.ellipse(AXIS, 330, 62, 66, SKIN_SHADE)
    board.clipped(shade, _NECK)


def head(board: Board) -> None:
    """Face without eyes and mouth, ears, nose and the hair before it."""
    for side in (-1, 1):
        _ear(board, side)
    board.blob(_FACE, SKIN)
    shade = board.like()
    shade.blob(_FRINGE_SHADOW, SKIN_SHADE)
    for x in (137, 231):
        for size in (1.0, 0.88, 0.76, 0.64, 0.52, 0.4):
            shade.ellipse(x, 291, 22 * size, 15 * size, BLUSH)
    board.clipped(shade, _FACE)
    board.stroke([(188, 250), (192, 266), (191, 276)], SKIN_SHADE, 4)
    board.stroke([(173, 280), (184, 286), (195, 280)], SKIN_DEEP, 4.5)
    _fringe(board)


def _ear(board: Board, side: int) -> None:
    def at(x: float, y: float) -> Point:
        return AXIS + side * x, y

    board.blob([at(72, 240), at(86, 234), at(91, 250), at(86, 274), at(75, 284)], SKIN)
    board.stroke([at(80, 244), at(86, 252), at(82, 270)], SKIN_SHADE, 4)
    board.ellipse(*at(83, 289), 7, 7, "#FFC928")
    board.ellipse(*at(83, 289), 4.8, 4.8, "#FFF3C4")
    board.ellipse(*at(83, 289), 3.6, 3.6, "#FFD95F")


def _fringe(board: Board) -> None:
    board.blob(_HAIR_LEFT, HAIR)
    board.blob(_HAIR_RIGHT, HAIR)
    board.stroke([(158, 128), (210, 126), (250, 156), (267, 204)], HAIR_SHINE, 9)
    board.stroke([(172, 146), (214, 152), (242, 180)], HAIR_SHINE, 4)
    board.stroke([(124, 134), (106, 164), (100, 204)], HAIR_SHINE, 7)
    board.stroke([(148, 148), (176, 160), (216, 180)], HAIR_DARK, 4)


_FACE: list[Point] = mirrored(
    [(184, 138), (238, 154), (263, 206), (262, 258), (247, 306), (217, 341), (184, 353)], AXIS
)
_NECK: list[Point] = mirrored([(184, 320), (210, 326), (210, 378), (224, 408), (214, 432), (184, 448)], AXIS)
_SHOULDERS: list[Point] = [
    (10, 720),
    (12, 540),
    (34, 474),
    (92, 440),
    (150, 416),
    (218, 416),
    (276, 440),
    (334, 474),
    (356, 540),
    (358, 720),
]
_HAIR_LEFT: list[Point] = [
    (172, 97),
    (122, 117),
    (90, 162),
    (86, 214),
    (94, 262),
    (102, 268),
    (110, 244),
    (124, 212),
    (144, 182),
    (166, 154),
]
_HAIR_RIGHT: list[Point] = [
    (136, 156),
    (140, 118),
    (190, 96),
    (250, 113),
    (280, 160),
    (284, 214),
    (276, 260),
    (266, 268),
    (258, 242),
    (244, 210),
    (216, 186),
    (178, 172),
    (156, 164),
]
_FRINGE_SHADOW: list[Point] = [
    (120, 140),
    (250, 140),
    (272, 220),
    (268, 290),
    (254, 252),
    (238, 220),
    (212, 198),
    (180, 184),
    (160, 178),
    (142, 196),
    (126, 226),
    (114, 262),
    (100, 290),
    (96, 200),
]


def hand(board: Board, kind: Hand) -> None:
    """The waving hand with its sleeve."""
    if kind is Hand.DOWN:
        return
    turn = _turner((58.0, 600.0), {Hand.LEFT: -9.0, Hand.UP: 0.0, Hand.RIGHT: 9.0}[kind])
    board.blob([turn(p) for p in _SLEEVE], KNIT_LIGHT)
    board.blob([turn(p) for p in _PALM], SKIN)
    for knuckle, tip, width in _FINGERS:
        middle = ((tip[0] + knuckle[0]) / 2, (tip[1] + knuckle[1]) / 2)
        board.line([turn(knuckle), turn(middle), turn(tip)], SKIN, width)
    for crease in ([(48, 476), (58, 484), (74, 480)], [(44, 488), (52, 498), (66, 500)]):
        board.stroke([turn(p) for p in crease], SKIN_SHADE, 4)
    board.blob([turn(p) for p in _CUFF], KNIT_SHADE)


_SLEEVE: list[Point] = [(26, 700), (30, 560), (40, 524), (78, 524), (88, 560), (92, 700)]
_CUFF: list[Point] = [(36, 516), (58, 520), (80, 516), (83, 532), (58, 537), (33, 532)]
_PALM: list[Point] = [(36, 462), (46, 452), (74, 452), (83, 464), (82, 492), (74, 520), (44, 520), (36, 494)]
_FINGERS: list[tuple[Point, Point, float]] = [
    ((42, 462), (33, 422), 14),
    ((53, 458), (49, 408), 15),
    ((65, 458), (66, 406), 15),
    ((76, 462), (82, 417), 15),
    ((76, 490), (101, 462), 15),
]


def _turner(pivot: Point, degrees: float):
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def turn(p: Point) -> Point:
        x, y = p[0] - pivot[0], p[1] - pivot[1]
        return pivot[0] + x * cos - y * sin, pivot[1] + x * sin + y * cos

    return turn
