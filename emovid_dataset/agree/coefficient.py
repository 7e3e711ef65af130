"""`Coefficient`: a number with its interval, or the reason why there is none, and how intervals are drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
"""Level of every interval."""

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A coefficient of agreement.

    Attributes:
        value: at most 1; None where it is not defined.
        low: lower end of the 95 % interval, or None.
        high: its upper end, or None.
        n: clips that it is made of.
        reason: why it is not defined, or None.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: str | None = None

    def __str__(self) -> str:
        if self.value is None:
            return f"not defined: {self.reason}"
        spread = "" if self.low is None else f" [{self.low:.3f}, {self.high:.3f}]"
        return f"{self.value:.3f}{spread}"

    def to_json(self) -> dict[str, Any]:
        """Value, interval and number of clips; a reason where there is no value."""
        interval = None if self.low is None or self.high is None else [self.low, self.high]
        found: dict[str, Any] = {"value": self.value, "interval": interval, "n_items": self.n}
        return found if self.reason is None else {**found, "not_defined": self.reason}


def not_defined(reason: str, n: int = 0) -> Coefficient:
    """The absence of a coefficient."""
    return Coefficient(None, None, None, n, reason)


@dataclass(frozen=True, slots=True)
class Patterns:
    """Clips by how they were rated: those rated alike are one row with a multiplicity.

    To draw clips with replacement is to draw multiplicities from a multinomial distribution, whose size does
    not grow with the number of clips.

    Attributes:
        rows: [patterns, ...].
        multiplicity: [patterns], how many clips have each.
    """

    rows: Array
    multiplicity: Array

    @classmethod
    def of(cls, rows: Array) -> Patterns:
        """The patterns of clips.

        Args:
            rows: [clips, ...], one per clip.
        """
        if not len(rows):
            return cls(rows, np.zeros(0, np.int64))
        unique, multiplicity = np.unique(rows, axis=0, return_counts=True)
        return cls(unique, multiplicity)

    @property
    def n(self) -> int:
        """Number of clips."""
        return int(self.multiplicity.sum())

    def draws(self, count: int, seed: int) -> Array:
        """Multiplicities of `count` samples with replacement, [count, patterns]."""
        rng = np.random.default_rng(seed)
        return rng.multinomial(self.n, self.multiplicity / self.n, size=count).astype(np.float64)


def bootstrapped(
    patterns: Patterns, measure: Callable[[Array, Array], Array], why_not: str, *, draws: int, seed: int
) -> Coefficient:
    """A coefficient with the percentile interval of a bootstrap over clips.

    Args:
        patterns: of the clips.
        measure: of rows and of multiplicities [..., patterns] the coefficients [...], NaN where not defined.
        why_not: the reason if it is not defined.
        draws: samples; 0 makes no interval.
        seed: of the samples.
    """
    if not patterns.n:
        return not_defined(why_not)
    value = float(measure(patterns.rows, patterns.multiplicity.astype(np.float64)))
    if np.isnan(value):
        return not_defined(why_not, patterns.n)
    low, high = None, None
    if draws and patterns.n > 1:
        low, high = middle(measure(patterns.rows, patterns.draws(draws, seed)))
    return Coefficient(value, low, high, patterns.n)


def middle(drawn: Array) -> tuple[float | None, float | None]:
    """The middle 95 % of draws; those that are not defined do not count.

    Args:
        drawn: [draws], NaN where not defined.
    """
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return None, None
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
