"""docs/scale.md and its plot, from the record of `benchmarks/scale.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "benchmarks" / "scale.json"


def exponent(sizes: Sequence[int], costs: Sequence[float | None]) -> float | None:
    """The growth exponent of a cost: 1 where it is in proportion to the size; None from fewer than two sizes.

    It is the slope of the cost over the size, both as logarithms, between the two largest sizes: the fixed
    costs of small ones would hide what grows.

    >>> exponent([100, 1000, 10000], [1, 2, 20])
    1.0
    """
    known = [(size, cost) for size, cost in zip(sizes, costs, strict=True) if cost]
    if len(known) < 2:
        return None
    (small, low), (large, high) = sorted(known)[-2:]
    return round(float(np.log(high / low) / np.log(large / small)), 3)


def write_page() -> None:
    raise NotImplementedError


def draw(runs: Sequence[dict[str, Any]], path: Path) -> None:
    raise NotImplementedError
