"""Black bars around the picture of a clip: letterbox, pillarbox, or both."""

from __future__ import annotations

import numpy as np

from emovid_dataset.cut.records import Bars

_DARK = 24  # levels; nothing brighter is ever seen in a bar
_PICTURE = 32  # levels that something in the picture reaches, or nothing can be said of it
_LEAST = 0.01  # of a side: thinner edges are no bars
_MOST = 0.45  # of a side
_LOPSIDED = 0.02  # of a side by which the bars of its two ends may differ: more is a dark picture


def bars_of(rows: np.ndarray, columns: np.ndarray) -> Bars:
    """The bars around the picture of a clip.

    Args:
        rows: brightness of each line of pixels in some of its frames, uint8 [m, height].
        columns: of each column, uint8 [m, width].

    Returns:
        Bars that are black in all of these frames and nearly alike on opposite sides.
    """
    if not len(rows) or not rows.size or rows.max() < _PICTURE:
        return Bars()
    top, bottom = _ends(rows.max(0))
    left, right = _ends(columns.max(0))
    return Bars(top, bottom, left, right)


def _ends(brightness: np.ndarray) -> tuple[int, int]:
    """Dark lines at either end of a side, both even; (0, 0) where they are no bars."""
    lit = np.flatnonzero(brightness > _DARK)
    if not len(lit):
        return 0, 0
    side = len(brightness)
    low, high = int(lit[0]), side - 1 - int(lit[-1])
    if abs(low - high) > max(2.0, _LOPSIDED * side) or max(low, high) > _MOST * side:
        return 0, 0
    if min(low, high) < max(2.0, _LEAST * side):
        return 0, 0
    return low + low % 2, high + high % 2
