"""Mikels' wheel: how far apart two emotions are, for coefficients that forgive a near miss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from emovid_dataset.schema.emotions import EMOTIONS

WHEEL = ("amusement", "contentment", "awe", "excitement", "fear", "sadness", "disgust", "anger")
"""The eight emotions around the wheel; the last one is beside the first."""

HUB = 2.0
"""How far no specific emotion is from every emotion: the wheel's radius, if opposite emotions are 4 apart."""


def steps(first: str, second: str) -> int:
    """Steps from one emotion to another along the rim of the wheel, 0..4.

    >>> steps("awe", "fear"), steps("amusement", "anger"), steps("amusement", "fear")
    (2, 1, 4)
    """
    apart = abs(WHEEL.index(first) - WHEEL.index(second))
    return min(apart, len(WHEEL) - apart)


def wheel_distances(emotions: Sequence[str]) -> npt.NDArray[np.float64] | None:
    """Squared distances of the emotions on the wheel, and of no specific emotion at its hub.

    Squared, since Krippendorff's difference function is the square of a distance for every metric that has
    one.

    Args:
        emotions: names in the order of the data's categories; no specific emotion follows them.

    Returns:
        [emotions + 1, emotions + 1], 0 on the diagonal; None where they are not Mikels' eight.

    Source: S. Zhao, H. Yao, Y. Gao, R. Ji, W. Xie, X. Jiang and T.-S. Chua, "Predicting personalized emotion
    perceptions of social images", ACM Multimedia 2016: the wheel, on which the distance of two emotions is
    the number of steps between them. The hub is an addition of this package.

    >>> wheel_distances(EMOTIONS)[1]
    array([ 4.,  0.,  1.,  1.,  9., 16.,  4.,  9.,  4.])
    """
    if set(emotions) != set(EMOTIONS):
        return None
    n = len(emotions)
    found = np.full((n + 1, n + 1), HUB**2)
    found[:n, :n] = [[steps(first, second) ** 2 for second in emotions] for first in emotions]
    found[n, n] = 0
    return found
