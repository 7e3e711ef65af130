"""Intervals of a share: Wilson's, and the bootstrap over clusters."""

from __future__ import annotations

import math
import statistics

import numpy as np

from .labels import show

_BOOTSTRAP_CELLS = 1 << 21


def wilson_interval(successes: float, n: float, confidence_level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a share.

    Args:
        successes: 0..n.
        n: trials, above 0; an effective number need not be whole.
        confidence_level: between 0 and 1, both excluded.

    Returns:
        Lower and upper bound, 0..1.

    Raises:
        ValueError: an argument is out of its range.

    Source:
        Wilson, JASA 22 (1927) 209.

    >>> low, high = wilson_interval(5, 10)
    >>> round(low, 4), round(high, 4)
    (0.2366, 0.7634)
    """
    if not 0 < n < math.inf:
        raise ValueError(f"n is {n!r}; allowed: a number above 0")
    if not 0 <= successes <= n:
        raise ValueError(f"successes is {successes!r}; allowed: 0..{n}")
    check_level(confidence_level)
    low, high = wilson(np.float64(successes / n), np.float64(n), confidence_level)
    return float(low), float(high)


def wilson(share: np.ndarray, n: np.ndarray, confidence_level: float) -> tuple[np.ndarray, np.ndarray]:
    z = statistics.NormalDist().inv_cdf((1 + confidence_level) / 2)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(np.maximum(share * (1 - share), 0) / n + z * z / (4 * n * n))
    # A share of 0 or 1 has that bound exactly; rounding would leave 1e-17 beside it.
    low = np.where(share <= 0, 0.0, np.clip(centre - half, 0, 1))
    high = np.where(share >= 1, 1.0, np.clip(centre + half, 0, 1))
    return low, high


def bootstrap(
    numerators: np.ndarray,
    denominators: np.ndarray,
    counts: np.ndarray,
    confidence_level: float,
    resamples: int,
    seed: int,
) -> list[float] | None:
    """Percentile interval of sum(numerators) / sum(denominators) when whole clusters are resampled.

    Clusters with equal sums are interchangeable, so the multinomial runs over the distinct pairs of sums: the
    same distribution, and a few hundred cells where there may be millions of clusters.
    """
    clusters = int(counts.sum())
    if clusters < 2:
        return None
    generator = np.random.default_rng(seed)
    ratios = np.empty(resamples)
    step = max(1, _BOOTSTRAP_CELLS // len(counts))
    for start in range(0, resamples, step):
        drawn = generator.multinomial(clusters, counts / clusters, size=min(step, resamples - start))
        ratios[start : start + step] = (drawn @ numerators) / (drawn @ denominators)
    tail = (1 - confidence_level) / 2
    return np.quantile(ratios, [tail, 1 - tail]).tolist()


def distinct(
    numerators: np.ndarray, denominators: np.ndarray, counts: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct pairs of a cluster's two sums, and how many clusters have them; clusters of no weight go."""
    kept = denominators > 0 if counts is None else counts > 0
    pairs = numerators[kept] + 1j * denominators[kept]
    if counts is None:
        pairs, counts = np.unique(pairs, return_counts=True)
    else:
        counts = counts[kept]
    return pairs.real, pairs.imag, counts


def check_level(confidence_level: float) -> None:
    number = isinstance(confidence_level, (int, float, np.integer, np.floating))
    if not number or not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level is {show(confidence_level)}; allowed: between 0 and 1")
