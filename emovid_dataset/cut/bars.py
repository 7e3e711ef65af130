"""Black bars around the picture of a clip: letterbox, pillarbox, or both."""

from __future__ import annotations

import numpy as np

from emovid_dataset.cut.records import Bars

_DARK = 24  # levels; nothing brighter is ever seen in a bar
_PICTURE = 32  # levels that something in the picture reaches, or nothing can be said of it
_NOISE = 0.01  # share of a line: so few pixels do not make it brighter
_LEAST = 0.01  # of a side: thinner edges are no bars
_MOST = 0.45  # of a side
_LOPSIDED = 0.02  # of a side by which the bars of its two ends may differ: more is a dark picture


def lightness_of_lines(luma: np.ndarray, levels: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """How light each line is: 0 as dark as a bar, 1 lighter, 2 as light as something in a picture.

    Args:
        luma: uint8 [h, w].
        levels: which level, 0..255, each number in it means, uint8 [256], ascending; None for itself.

    Returns:
        Of its rows, uint8 [h], and of its columns, uint8 [w].
    """
    import cv2

    lightness = np.zeros(luma.shape[0], np.uint8), np.zeros(luma.shape[1], np.uint8)
    for level in (_DARK, _PICTURE - 1):
        coded = level if levels is None else int(np.searchsorted(levels, level, side="right")) - 1
        lit = cv2.compare(luma, coded, cv2.CMP_GT)  # type: ignore[call-overload]
        for axis in (0, 1):
            among = cv2.reduce(lit, 1 - axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel() // 255
            lightness[axis][among > _NOISE * luma.shape[1 - axis]] += 1
    return lightness


def bars_of(rows: np.ndarray, columns: np.ndarray) -> Bars:
    """The bars around the picture of a clip.

    Args:
        rows: lightness of each line of pixels in some of its frames, see `lightness_of_lines`,
            uint8 [m, height].
        columns: of each column, uint8 [m, width].

    Returns:
        Bars that are black in all of these frames and nearly alike on opposite sides.
    """
    if not len(rows) or not rows.size or rows.max() < 2:
        return Bars()
    top, bottom = _ends(rows.max(0))
    left, right = _ends(columns.max(0))
    return Bars(top, bottom, left, right)


def _ends(lightness: np.ndarray) -> tuple[int, int]:
    """Dark lines at either end of a side, both even; (0, 0) where they are no bars."""
    lit = np.flatnonzero(lightness)
    if not len(lit):
        return 0, 0
    side = len(lightness)
    low, high = int(lit[0]), side - 1 - int(lit[-1])
    if abs(low - high) > max(2.0, _LOPSIDED * side) or max(low, high) > _MOST * side:
        return 0, 0
    if min(low, high) < max(2.0, _LEAST * side):
        return 0, 0
    return low + low % 2, high + high % 2
