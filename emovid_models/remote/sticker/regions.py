"""Connected regions of a mask, without a library for it: the runs of rows, joined where they touch."""

from __future__ import annotations

import numpy as np


def components(mask: np.ndarray) -> np.ndarray:
    """Label the 4-connected regions of a mask.

    Args:
        mask: bool [H, W].

    Returns:
        int64 [H, W]: 0 outside the mask, else 1, 2, ... by region, in the order of their first pixels.

    >>> components(np.array([[1, 0, 1], [1, 0, 0], [0, 1, 1]], bool)).tolist()
    [[1, 0, 2], [1, 0, 0], [0, 3, 3]]
    """
    inside = np.pad(mask, ((0, 0), (1, 0)))
    starts = inside[:, 1:] & ~inside[:, :-1]
    runs = np.where(mask, np.cumsum(starts).reshape(mask.shape) - 1, -1)
    touching = mask[:-1] & mask[1:]
    above, below = runs[:-1][touching], runs[1:][touching]
    root = np.arange(int(starts.sum()))
    while True:
        first, second = root[above], root[below]
        open_ = first != second
        if not open_.any():
            break
        low = np.minimum(first, second)[open_]
        np.minimum.at(root, first[open_], low)
        np.minimum.at(root, second[open_], low)
        while True:  # every run points to the root of its tree
            jumped = root[root]
            if (jumped == root).all():
                break
            root = jumped
    _, numbers = np.unique(root, return_inverse=True)
    labels = np.zeros(mask.shape, np.int64)
    labels[mask] = numbers.reshape(-1)[runs[mask]] + 1
    return labels


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """A mask and what is no farther from it than some pixels, diagonals counting as one.

    Args:
        mask: bool [H, W].
        pixels: 0 or more.
    """
    return window_sum(mask.astype(np.float32), pixels) > 0.5


def window_sum(values: np.ndarray, reach: int) -> np.ndarray:
    """Sums over the squares around all pixels, as far as they lie in the frame.

    Args:
        values: float [H, W] or [H, W, C].
        reach: pixels to each side.
    """
    for axis in (0, 1):
        padding = [(0, 0)] * values.ndim
        padding[axis] = (reach + 1, reach)
        sums = np.cumsum(np.pad(values, padding), axis=axis, dtype=np.float64)
        length = values.shape[axis]
        ends = np.take(sums, np.arange(2 * reach + 1, 2 * reach + 1 + length), axis=axis)
        values = ends - np.take(sums, np.arange(length), axis=axis)
    return values
