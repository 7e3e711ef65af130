"""The mean cosine between many features and one, which two of the measures are."""

from __future__ import annotations

import numpy as np


def mean_cosine(features: np.ndarray, one: np.ndarray) -> float:
    """The mean of ``cos(f_t, g) = f_t . g / (|f_t| |g|)`` over the rows.

    Args:
        features: [T, D], at least one row, of any length but 0.
        one: [D], of any length but 0.

    Returns:
        -1..1.

    Raises:
        ValueError: the shapes do not fit, or a feature is 0 or not finite, so that it has no direction.

    >>> mean_cosine(np.array([[2.0, 0.0], [0.0, 3.0]]), np.array([5.0, 0.0]))
    0.5
    """
    rows, other = np.asarray(features, np.float64), np.asarray(one, np.float64)
    if rows.ndim != 2 or not len(rows) or other.shape != rows.shape[1:]:
        raise ValueError(f"features of shapes {rows.shape} and {other.shape}; they must be [T, D] and [D]")
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(other)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise ValueError("a feature is 0 or not finite; it has no direction")
    return float((rows @ other / lengths).mean())
