"""Intervals of shares and means, with and without regard to clips of one group belonging together."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from emovid_dataset.analyse.outcomes import Interval, NotComputed

LEVEL = 0.95
"""Level of every interval."""


def wilson(successes: int, n: int) -> Interval | NotComputed:
    """Interval of a share; takes the trials as independent.

    Args:
        successes: 0..n.
        n: trials.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22,
    1927.

    >>> interval = wilson(8, 10)
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.4902, 0.9433)
    """
    if not n:
        return NotComputed("no clips")
    found = stats.binomtest(successes, n).proportion_ci(LEVEL, method="wilson")
    return Interval(float(found.low), float(found.high))


def grouped_mean_interval(
    values: np.ndarray, groups: np.ndarray, *, within: tuple[float, float] = (-math.inf, math.inf)
) -> Interval | NotComputed:
    """Interval of a mean over clips, of which those of one group are not independent.

    The standard error is the cluster-robust one with the correction G / (G - 1) for G groups, and the
    interval Student's with G - 1 degrees of freedom. With one clip per group it is the usual interval.

    Args:
        values: float [n].
        groups: int [n], the group of each.
        within: least and greatest value that is possible; the interval is cut off there.

    Source: K.-Y. Liang and S. L. Zeger, "Longitudinal data analysis using generalized linear models",
    Biometrika 73, 1986.
    """
    n = len(values)
    if n < 2:
        return NotComputed("no clips" if not n else "one clip only")
    sums = np.bincount(_numbered(groups), weights=values - values.mean())
    count = len(sums)
    if count < 2:
        return NotComputed("all clips are of one group")
    error = math.sqrt(count / (count - 1) * float(sums @ sums)) / n
    reach = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * error
    mean = float(values.mean())
    return Interval(max(mean - reach, within[0]), min(mean + reach, within[1]))


def _numbered(groups: np.ndarray) -> np.ndarray:
    """The groups as 0, 1, ... without gaps."""
    return np.unique(groups, return_inverse=True)[1]


def percentile_interval(draws: np.ndarray) -> Interval:
    """The middle 95 % of bootstrap draws.

    Args:
        draws: float [draws]; those that are NaN do not count.
    """
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
