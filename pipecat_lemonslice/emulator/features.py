"""The eyes and mouths of the drawn face, drawn in design units like the rest of it in `character`."""

from __future__ import annotations

from pipecat_lemonslice.emulator.character import (
    AXIS,
    HAIR_DARK,
    INK,
    IRIS,
    IRIS_DARK,
    LIP,
    LIP_DARK,
    MOUTH,
    TONGUE,
    WHITE,
    Eyes,
    Mouth,
)
from pipecat_lemonslice.emulator.vector import Board, Point

_OPENINGS: dict[Mouth, tuple[float, float]] = {
    Mouth.PARTED: (21.0, 5.0),
    Mouth.SMALL: (22.0, 10.0),
    Mouth.HALF: (23.0, 16.0),
    Mouth.WIDE: (22.0, 22.0),
    Mouth.FULL: (21.0, 28.0),
}


def eyes(board: Board, kind: Eyes) -> None:
    """Both eyes and brows."""
    for side in (-1, 1):
        x = AXIS + side * 38
        _brow(board, x, side, kind)
        match kind:
            case Eyes.CLOSED:
                _lid(board, x, side, 6)
            case Eyes.HAPPY:
                _lid(board, x, side, -9)
            case Eyes.HALF:
                _eye(board, x, side, 0.45)
            case Eyes.OPEN | Eyes.LIVELY:
                _eye(board, x, side, 1.0)
            case Eyes.SERIOUS:
                _eye(board, x, side, 0.86)


def _brow(board: Board, x: float, side: int, kind: Eyes) -> None:
    lift = {Eyes.LIVELY: -5.0, Eyes.HAPPY: -4.0, Eyes.SERIOUS: 3.0}.get(kind, 0.0)
    inner = {Eyes.SERIOUS: 3.0, Eyes.HAPPY: -1.0}.get(kind, 0.0)
    y = 217 + lift
    board.stroke([(x - side * 19, y + 3 + inner), (x + side * 2, y - 4), (x + side * 22, y + 3)], HAIR_DARK, 6.5)


def _eye(board: Board, x: float, side: int, opening: float) -> None:
    y = 249.0
    top, low = 15.5 * opening, 12.0 * (0.5 + opening / 2)
    white = [
        (x - side * 19, y + 3),
        (x - side * 8, y - top * 0.86),
        (x + side * 6, y - top),
        (x + side * 18, y - 3 * opening),
        (x + side * 12, y + low * 0.75),
        (x, y + low),
        (x - side * 12, y + low * 0.75),
    ]
    board.blob(white, WHITE)
    inside = board.like()
    inside.ellipse(x, y - 1, 12.5, 13.5, IRIS_DARK)
    inside.ellipse(x, y - 0.5, 10.8, 11.8, IRIS)
    inside.ellipse(x, y + 3.5, 7, 6.5, "#B27A3E")
    inside.ellipse(x, y - 1, 6, 6.6, INK)
    if opening > 0.5:
        inside.ellipse(x + 4.2, y - 5.5, 3.6, 3.6, "#FFFFFF")
        inside.ellipse(x - 4.4, y + 4.4, 1.9, 1.9, "#FFFFFFC0")
    board.clipped(inside, white)
    lash = [
        (x - side * 20, y + 3),
        (x - side * 9, y - top * 0.9),
        (x + side * 6, y - top - 0.5),
        (x + side * 18, y - 4 * opening),
        (x + side * 25, y - 8 * opening - 1),
    ]
    board.stroke(lash, INK, 5.2)


def _lid(board: Board, x: float, side: int, bend: float) -> None:
    y = 252.0
    if bend > 0:
        arc = [(x - side * 19, y), (x, y + bend), (x + side * 18, y - 1), (x + side * 24, y - 4)]
    else:
        arc = [(x + dx, y + 5 + bend * 1.25 * (1 - (dx / 20) ** 2)) for dx in (-20, -12, 0, 12, 20)]
    board.stroke(arc, INK, 5.6)


def mouth(board: Board, kind: Mouth) -> None:
    """One mouth."""
    match kind:
        case Mouth.REST:
            _closed(board, 22, 7)
        case Mouth.SERIOUS:
            _closed(board, 18, 1.5)
        case Mouth.SMILE:
            _open(board, 29, 19, 6)
        case _:
            width, height = _OPENINGS[kind]
            _open(board, width, height, 2.5)


def _closed(board: Board, width: float, bend: float) -> None:
    y = 313.0
    low = [
        (AXIS - width * 0.62, y + bend * 0.5),
        (AXIS - width * 0.34, y + bend + 5.5),
        (AXIS + width * 0.34, y + bend + 5.5),
        (AXIS + width * 0.62, y + bend * 0.5),
        (AXIS, y + bend - 1),
    ]
    board.blob(low, LIP)
    board.stroke(
        [
            (AXIS - width, y - bend * 0.35),
            (AXIS - width * 0.5, y + bend * 0.62),
            (AXIS, y + bend),
            (AXIS + width * 0.5, y + bend * 0.62),
            (AXIS + width, y - bend * 0.35),
        ],
        LIP_DARK,
        5,
    )


def _open(board: Board, width: float, height: float, smile: float) -> None:
    y = 311.0
    outer = _lips(y, width + 3, height, smile, 4.0)
    inner = _lips(y, width - 1.5, height, smile, 0.0)
    board.blob(outer, LIP)
    board.blob(inner, MOUTH)
    inside = board.like()
    inside.ellipse(AXIS, y + height + 4, width * 0.62, max(2.0, height * 0.48), TONGUE)
    teeth = min(8.0, 2 + height * 0.3)
    inside.blob(
        [
            (AXIS - width, y - 12),
            (AXIS + width, y - 12),
            (AXIS + width * 0.8, y + teeth * 0.6),
            (AXIS, y + teeth),
            (AXIS - width * 0.8, y + teeth * 0.6),
        ],
        WHITE,
    )
    board.clipped(inside, inner)


def _lips(y: float, width: float, height: float, smile: float, lip: float) -> list[Point]:
    return [
        (AXIS - width, y - smile),
        (AXIS - width * 0.45, y - lip * 0.9 - 1),
        (AXIS, y - lip * 0.6),
        (AXIS + width * 0.45, y - lip * 0.9 - 1),
        (AXIS + width, y - smile),
        (AXIS + width * 0.62, y + height * 0.72 + lip * 0.7),
        (AXIS, y + height + lip),
        (AXIS - width * 0.62, y + height * 0.72 + lip * 0.7),
    ]
