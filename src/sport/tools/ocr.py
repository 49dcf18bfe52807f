"""``ocr``: reads printed text with RapidOCR, whose models come in its wheel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sport.tools.images import load_rgb

_LARGEST_SIDE = 1280
"""Detection looks at no more pixels a side: lines of a scanned page stay some 12 pixels high."""
_LIKE_SHAPES = frozenset("十大〇CLOTVXco")
"""Letters that the recogniser sees in drawn shapes, besides 0 and 1."""
_UNSURE = 0.02
"""By how much the edges of short words may mistake the slope of a line, as a tangent."""
_SURE = 0.8
"""Recognition score above which a piece shows that a picture holds text at all."""
_SETTINGS = {
    "Global.use_cls": False,
    "Global.log_level": "critical",
    # One thread: calls come from several, and two threads here spin on each other.
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    # By default pictures are enlarged to 736 pixels for detection, and every box is padded to
    # 320 pixels for recognition: four times the work, and not one cell of a sheet read better.
    "Det.limit_type": "max",
    "Det.limit_side_len": _LARGEST_SIDE,
    # A lone digit is a weak box; what is no text is dropped by its recognition score.
    "Det.box_thresh": 0.3,
    "Rec.rec_img_shape": [3, 48, 48],
    "Rec.rec_batch_num": 2,
}


def ocr(image_path: Path, boxes: bool = False) -> str | list[dict[str, Any]]:
    """Reads the text in a picture.

    Args:
        image_path: The picture.
        boxes: Whether to tell where each line stands.

    Returns:
        The text line by line, from top to bottom; parts of a line are joined by a space. Empty
        where nothing can be read. With boxes a list of {"text": ..., "box": [x1, y1, x2, y2]},
        one for each line, in pixels.
    """
    lines = in_lines(_without_symbols(_read(load_rgb(image_path))))
    if boxes:
        return [{"text": _joined(line), "box": _around(line)} for line in lines]
    return "\n".join(map(_joined, lines))


@dataclass(frozen=True)
class Piece:
    """A piece of text, its score in [0, 1] and its corners, ``(4, 2)``, clockwise from top left."""

    text: str
    score: float
    corners: NDArray[np.float32]

    @property
    def centre(self) -> tuple[float, float]:
        """Its centre, in pixels."""
        x, y = self.corners.mean(axis=0)
        return float(x), float(y)

    @property
    def width(self) -> float:
        """Length of its upper edge, in pixels."""
        return float(np.linalg.norm(self.corners[1] - self.corners[0]))

    @property
    def height(self) -> float:
        """Length of its left edge, in pixels."""
        return float(np.linalg.norm(self.corners[3] - self.corners[0]))

    @property
    def slope(self) -> float:
        """Fall of its upper and lower edges, as a tangent."""
        along = self.corners[1] - self.corners[0] + self.corners[2] - self.corners[3]
        return float(along[1] / max(1e-6, abs(along[0])))


@lru_cache(maxsize=1)
def _engine() -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(params=_SETTINGS)


def _read(pixels: NDArray[np.uint8]) -> list[Piece]:
    found = _engine()(np.ascontiguousarray(pixels[:, :, ::-1]))
    if found.txts is None:
        return []
    parts = zip(found.txts, found.scores, found.boxes, strict=True)
    return [Piece(text.strip(), float(score), corners) for text, score, corners in parts]


def _without_symbols(pieces: list[Piece]) -> list[Piece]:
    """Nothing, where no piece is surely text: drawn crosses and moons are read as + and C."""
    return pieces if any(_is_text(p) for p in pieces) else []


def _is_text(piece: Piece) -> bool:
    letters = [c for c in piece.text if c.isalnum() and c not in _LIKE_SHAPES]
    number = piece.text.isdigit() and piece.text not in ("0", "1")
    return piece.score >= _SURE and (len(letters) > 1 or number)


Slope = Callable[[float], float]
"""The slope of lines at a height y, as a tangent."""


def in_lines(pieces: list[Piece]) -> list[list[Piece]]:
    """Pieces by line, from top to bottom, since a detector splits a row into item and price.

    Where a line leads follows from its slope, which may differ from top to bottom in a picture
    that was not taken from straight above. The edges of short words tell it badly, so of the
    likely slopes the one is taken that leaves the fewest lines.
    """
    if not pieces:
        return []
    tries = [(slope, *_chain(pieces, slope)) for slope in _slopes(pieces)]
    slope, lines, _ = min(tries, key=lambda t: (len(t[1]), t[2]))
    starts = [line[0].centre for line in lines]
    heights = [y - slope(y) * x for x, y in starts]
    order = sorted(range(len(lines)), key=heights.__getitem__)
    return [lines[i] for i in order]


def _joined(line: list[Piece]) -> str:
    return " ".join(piece.text for piece in line)


def _around(line: list[Piece]) -> list[int]:
    corners = np.concatenate([piece.corners for piece in line])
    (x1, y1), (x2, y2) = corners.min(axis=0), corners.max(axis=0)
    return [round(float(v)) for v in (x1, y1, x2, y2)]


def _slopes(pieces: list[Piece]) -> list[Slope]:
    """Likely slopes: none, about that of most pieces, and a straight fit over the height."""
    long = [p for p in pieces if p.width > 2 * p.height]
    levels = [0.0]
    if long:
        level = median(p.slope for p in long)
        levels += [level, level - _UNSURE, level + _UNSURE]
    slopes: list[Slope] = [partial(_level, level) for level in levels]
    heights = np.array([p.centre[1] for p in long])
    if len(long) >= 3 and np.ptp(heights) > 3 * max(p.height for p in long):
        rise, base = np.polyfit(heights, [p.slope for p in long], 1, w=[p.width for p in long])
        slopes.append(lambda y: float(base + rise * y))
    return slopes


def _level(slope: float, y: float) -> float:
    """The same slope at every height."""
    return slope


def _chain(pieces: list[Piece], slope: Slope) -> tuple[list[list[Piece]], float]:
    """Lines along a slope, and the sum of what their pieces miss.

    From left to right, a piece continues the line that it misses least, if by less than half of
    a line's height.
    """
    lines: list[list[Piece]] = []
    missed = 0.0
    for piece in sorted(pieces, key=lambda p: p.centre[0]):
        misses = [_miss(line[-1], piece, slope) for line in lines]
        least = min(misses, default=math.inf)
        if least < 0.5:
            lines[misses.index(least)].append(piece)
            missed += least
        else:
            lines.append([piece])
    return lines, missed


def _miss(last: Piece, piece: Piece, slope: Slope) -> float:
    """By how much of a line's height a piece misses the line that ends with another."""
    across = piece.centre[0] - last.centre[0]
    if across < (piece.width + last.width) / 4:
        return math.inf
    expected = last.centre[1] + slope((last.centre[1] + piece.centre[1]) / 2) * across
    return abs(piece.centre[1] - expected) / min(last.height, piece.height)
