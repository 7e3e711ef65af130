"""95 % intervals that draw whole scenes, since the videos of one scene are not independent.

Where drawing scenes varies nothing, as when all videos are right, or there is one scene, a share has Wilson's
interval of as many scenes, and a difference of two shares Newcombe's; a mean of numbers has none.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np

from emovid_models.evaluation.statistics import Share

DRAWS = 2000

_TAILS = (0.025, 0.975)


def mean_interval(values: Sequence[float], scenes: Sequence[Hashable]) -> tuple[float, float] | None:
    """The interval of a mean over videos.

    Args:
        values: of each video, finite.
        scenes: of each video.

    Returns:
        Lower and upper bound; None with fewer than two scenes.

    >>> mean_interval([1.0, 1.0, 3.0, 3.0], ["a", "a", "b", "b"])
    (1.0, 3.0)
    """
    labels, drawn = _draw(scenes)
    if drawn is None:
        return None
    sums, counts = (np.bincount(labels, weights) for weights in (np.asarray(values, np.float64), None))
    low, high = np.quantile((drawn @ sums) / (drawn @ counts), _TAILS)
    return float(low), float(high)


def share_of(right: Sequence[bool], scenes: Sequence[Hashable]) -> Share:
    """The share of right videos with its interval.

    Args:
        right: whether each video is, at least one.
        scenes: of each video.
    """
    value = float(np.mean(right))
    found = mean_interval([float(one) for one in right], scenes)
    return Share(value, *(found if found and found[0] < found[1] else _wilson(value, len(set(scenes)))))


def macro_recall(right: Sequence[bool], intended: Sequence[str], scenes: Sequence[Hashable]) -> Share:
    """The mean of the emotions' recalls with its interval.

    Args:
        right: whether each video is, at least one.
        intended: the emotion that each was to show.
        scenes: of each video.
    """
    names = sorted(set(intended))
    labels, drawn = _draw(scenes)
    is_of = np.array([[one == name for name in names] for one in intended], np.float64)
    is_right = is_of * np.asarray(right, np.float64)[:, None]
    value = float((is_right.sum(0) / is_of.sum(0)).mean())
    if drawn is not None:
        sums, counts = (
            drawn @ np.array([np.bincount(labels, column) for column in side.T]).T
            for side in (is_right, is_of)
        )
        # an emotion that a draw lacks has no part in its mean
        recalls = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
        low, high = np.quantile(np.nanmean(recalls, axis=1), _TAILS)
        if low < high:
            return Share(value, float(low), float(high))
    return Share(value, *_wilson(value, len(set(scenes))))


def difference_interval(first: float, second: float, scenes: int) -> tuple[float, float]:
    """The interval of a difference of two shares as if each scene were one independent video.

    Args:
        first: a share, 0..1.
        second: the other one.
        scenes: how many, at least 1.

    Source: R. G. Newcombe, "Interval estimation for the difference between independent proportions",
    Statistics in Medicine 17, 1998, method 10.

    >>> [round(bound, 3) for bound in difference_interval(56 / 70, 48 / 80, 75)]
    [0.053, 0.336]
    """
    (low, high), (other_low, other_high) = _wilson(first, scenes), _wilson(second, scenes)
    return (
        first - second - math.hypot(first - low, other_high - second),
        first - second + math.hypot(high - first, second - other_low),
    )


def _wilson(share: float, scenes: int) -> tuple[float, float]:
    from emovid_models.metrics.ea_8cls.intervals import wilson_interval

    return wilson_interval(min(share * scenes, scenes), scenes)


def _draw(scenes: Sequence[Hashable]) -> tuple[np.ndarray, np.ndarray | None]:
    """Of each video the number of its scene; and how often each draw has each scene, None for one scene."""
    numbers = {scene: number for number, scene in enumerate(dict.fromkeys(scenes))}
    labels = np.array([numbers[scene] for scene in scenes])
    count = len(numbers)
    if count < 2:
        return labels, None
    return labels, np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=DRAWS)
