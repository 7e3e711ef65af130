"""One-way analysis of variance: does a number differ between emotions, and how much of it is explained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from emovid_dataset.analyse.intervals import LEVEL
from emovid_dataset.analyse.outcomes import Interval, NotComputed


@dataclass(frozen=True, slots=True)
class Anova:
    """A one-way analysis of variance over the emotions that have clips.

    Attributes:
        f: F statistic.
        between: degrees of freedom between emotions.
        within: degrees of freedom within emotions.
        p: p-value of F; takes clips as independent.
        eta_squared: share of the sum of squares that lies between emotions, 0..1.
        eta_interval: of eta squared; takes clips as independent.
        p_by_groups: p-value of the same question where clips of one group are not independent.
    """

    f: float
    between: int
    within: int
    p: float
    eta_squared: float
    eta_interval: Interval
    p_by_groups: float | NotComputed


def one_way(values: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> Anova | NotComputed:
    """Analyse one number per clip by emotion.

    Args:
        values: float [n].
        labels: int [n], the emotion of each.
        groups: int [n], the group of each.

    Returns:
        `Anova`. The interval is that of the noncentrality of F, divided by itself plus n. The p-value by
        groups is of Wald's F on the cluster-robust covariance of the means, with one degree of freedom less
        than there are groups.

    Source: J. H. Steiger, "Beyond the F test", Psychological Methods 9, 2004, for the interval; A. C. Cameron
    and D. L. Miller, "A practitioner's guide to cluster-robust inference", Journal of Human Resources 50,
    2015, for the p-value by groups.
    """
    found, labels = np.unique(labels, return_inverse=True)
    n, count = len(values), len(found)
    if count < 2:
        return NotComputed("fewer than two emotions have clips")
    if n <= count:
        return NotComputed("no emotion has two clips")
    sizes = np.bincount(labels)
    means = np.bincount(labels, weights=values) / sizes
    residuals = values - means[labels]
    between = float(sizes @ (means - values.mean()) ** 2)
    within = float(residuals @ residuals)
    if within <= 1e-24 * max(1.0, float(values @ values)):
        return NotComputed("all clips of an emotion have the same value")
    f = between / (count - 1) / (within / (n - count))
    return Anova(
        f=f,
        between=count - 1,
        within=n - count,
        p=float(stats.f.sf(f, count - 1, n - count)),
        eta_squared=between / (between + within),
        eta_interval=_eta_interval(f, count - 1, n - count),
        p_by_groups=_wald(means, residuals, labels, np.unique(groups, return_inverse=True)[1]),
    )


def _eta_interval(f: float, between: int, within: int) -> Interval:
    def noncentrality(probability: float) -> float:
        """For which F lies at this point of its distribution; 0 where even the central one lies below."""

        def beyond(value: float) -> float:
            return float(special.ncfdtr(between, within, value, f)) - probability

        if beyond(0.0) <= 0:
            return 0.0
        high = 1.0 + 2 * f * between
        while beyond(high) > 0:
            high *= 2
        return float(optimize.brentq(beyond, 0.0, high, xtol=1e-9))

    n = between + within + 1
    low, high = (noncentrality(point) for point in ((1 + LEVEL) / 2, (1 - LEVEL) / 2))
    return Interval(low / (low + n), high / (high + n))


def _wald(
    means: np.ndarray, residuals: np.ndarray, labels: np.ndarray, groups: np.ndarray
) -> float | NotComputed:
    n, count, total = len(labels), len(means), int(groups.max()) + 1
    sizes = np.bincount(labels)
    held = np.zeros((total, count), bool)
    held[groups, labels] = True
    if held.sum(0).min() < 2:
        return NotComputed("an emotion has clips of one group only")
    if total <= count:
        return NotComputed(f"{total} groups are too few for {count} emotions")
    scores = np.zeros((total, count))
    np.add.at(scores, (groups, labels), residuals / sizes[labels])
    correction = total / (total - 1) * (n - 1) / (n - count)
    contrasts = np.hstack([np.eye(count - 1), -np.ones((count - 1, 1))])
    covariance = contrasts @ (correction * scores.T @ scores) @ contrasts.T
    if np.linalg.matrix_rank(covariance) < count - 1:
        return NotComputed("too few groups hold clips that differ")
    difference = contrasts @ means
    f = float(difference @ np.linalg.solve(covariance, difference)) / (count - 1)
    return float(stats.f.sf(f, count - 1, total - 1))
