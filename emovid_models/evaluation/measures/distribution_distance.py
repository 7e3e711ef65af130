"""How far the looks of generated videos are from those of real clips: distances of two distributions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_DRAWS = 50


@dataclass(frozen=True, slots=True)
class SampleDistance:
    """The distance of a sample from the real clips, and what is needed to read it.

    Attributes:
        value: the distance.
        by_chance: the mean distance of as many values drawn from the real ones themselves: what the distance
            is where nothing differs but chance.
        generated: number of generated values.
        real: number of real values.
    """

    value: float
    by_chance: float
    generated: int
    real: int


def line_distance(generated: Sequence[float], real: Sequence[float]) -> float:
    """Wasserstein's first distance of two samples of brightness, colorfulness or the like.

    Formula: the integral of ``|F(x) - G(x)|`` over x, where F and G are the shares of values up to x: how far
    values have to be moved, on average, to make the one sample out of the other. Lower is better.

    Args:
        generated: at least one value, finite.
        real: the same.

    Returns:
        0 up, in the unit of the values.

    Raises:
        ValueError: a side is empty, or a value is not finite.

    Source: L. N. Vaserstein, "Markov processes over denumerable products of spaces", 1969; as SciPy has it.

    >>> round(line_distance([0.2, 0.4], [0.5, 0.7]), 9)
    0.3
    """
    from scipy.stats import wasserstein_distance

    _check(generated, real)
    return float(wasserstein_distance(generated, real))


def circle_distance(generated: Sequence[float], real: Sequence[float]) -> float:
    """Wasserstein's first distance of two samples of hue, on the circle.

    Formula: the least, over all a, of the integral of ``|F(x) - G(x) - a|`` over the circle, where F and G
    are the shares of values from 0 to x; a median of F - G is the best a. Lower is better.

    Args:
        generated: at least one value, in degrees.
        real: the same.

    Returns:
        0..180, in degrees.

    Raises:
        ValueError: a side is empty, or a value is not finite.

    Source: J. Rabin, J. Delon, Y. Gousseau, "Transportation distances on the circle", J. Mathematical Imaging
    and Vision 41, 2011.

    >>> circle_distance([350.0], [20.0]), circle_distance([0.0, 180.0], [90.0, 270.0])
    (30.0, 90.0)
    """
    _check(generated, real)
    sides = [np.sort(np.asarray(side, np.float64) % 360) for side in (generated, real)]
    at = np.sort(np.concatenate(sides))
    gaps = np.diff(at, append=at[0] + 360)
    shares = [np.searchsorted(side, at, side="right") / len(side) for side in sides]
    apart: np.ndarray = np.subtract(*shares)
    order: np.ndarray = np.argsort(apart)
    middle = min(int(np.searchsorted(np.cumsum(gaps[order]), 180.0)), len(order) - 1)
    median = float(apart[order[middle]])
    return float((np.abs(apart - median) * gaps).sum())


def sample_distance(
    distance: Callable[[Sequence[float], Sequence[float]], float],
    generated: Sequence[float],
    real: Sequence[float],
    *,
    seed: int = 0,
) -> SampleDistance:
    """A distance, with that of chance beside it.

    Args:
        distance: `line_distance` or `circle_distance`.
        generated: at least one value.
        real: the same.
        seed: of the draws from the real values.

    Raises:
        ValueError: as `distance`.
    """
    value = distance(generated, real)
    rng = np.random.default_rng(seed)
    drawn = [distance(rng.choice(real, len(generated)).tolist(), real) for _ in range(_DRAWS)]
    return SampleDistance(value, float(np.mean(drawn)), len(generated), len(real))


def _check(*sides: Sequence[float]) -> None:
    if not all(len(side) for side in sides):
        raise ValueError("a distance of distributions needs a value on both sides")
    if not all(np.isfinite(np.asarray(side, np.float64)).all() for side in sides):
        raise ValueError("a value is not finite")
