"""Noise levels of training: how a time is drawn, how it is shifted, and how its loss is weighted.

A time is 0..1 and uniform in the scheduler's own scale; the noise level is that time after the shift, as the
scheduler does it for video: 0 is the clip, 1 is noise.

Two ways to draw a time:

- ``grid``: uniform over the 1,000 times 1, 0.999, ..., 0.001, as DiffSynth-Studio does for Wan. (It then
  rounds the timestep to bfloat16, to steps of 4 above 512, because its tensors are of that type. That is not
  repeated here.)
- ``logit-normal``: the sigmoid of a normal number (Esser et al., Scaling Rectified Flow Transformers, 2024).

Two weights of a loss:

- ``gaussian``: a bell over the timestep, centred at 500, lowered so that pure noise counts nothing, and
  scaled so that its mean over the grid is 1, as DiffSynth-Studio does.
- ``even``: 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np

TIMESTEPS = 1000
"""The transformer is told the noise level on this scale; also the number of times of ``grid``."""


@dataclass(frozen=True, slots=True)
class Span:
    """The times of one of a base's two transformers, not yet shifted.

    Attributes:
        low: the first time.
        high: where the times end; belongs to the span only at 1.
    """

    low: float = 0.0
    high: float = 1.0

    @classmethod
    def of(cls, transformer: str | None, boundary: float, shift: float) -> Span:
        """The span of a transformer.

        Args:
            transformer: "high", "low", or None for the only one of a base.
            boundary: the noise level from which on the first transformer works, 0..1, after the shift.
            shift: of the noise levels.
        """
        border = boundary / (shift - (shift - 1) * boundary)
        return {"high": cls(border, 1.0), "low": cls(0.0, border)}.get(transformer or "", cls())

    def holds(self, time: float) -> bool:
        """Whether a time is in it.

        >>> Span(0.5, 1.0).holds(1.0), Span(0.0, 0.5).holds(0.5)
        (True, False)
        """
        # A border that was shifted back is right to 15 digits only.
        return self.low - 1e-12 <= time and (time < self.high - 1e-12 or self.high >= 1)


def boundary_of(index: Mapping[str, Any]) -> float | None:
    """From which noise level on the first of a base's two transformers works; None where it has one.

    Args:
        index: the base's model_index.json.

    >>> boundary_of({"transformer_2": ["diffusers", "WanTransformer3DModel"], "boundary_ratio": 0.875})
    0.875
    >>> boundary_of({"transformer_2": [None, None], "boundary_ratio": None})
    """
    two = (index.get("transformer_2") or [None])[0] is not None
    boundary = index.get("boundary_ratio")
    return float(boundary) if two and boundary is not None else None


WHOLE = Span()
"""The times of a base's only transformer."""


def draw_time(
    generator: np.random.Generator, kind: str, mean: float = 0.0, std: float = 1.0, span: Span = WHOLE
) -> float:
    """Draw the time of one sample.

    Args:
        generator: gives one number.
        kind: one of `NOISE_LEVELS`.
        mean: of the logit, for ``logit-normal``.
        std: of the logit, for ``logit-normal``.
        span: only times in it are drawn, as often among themselves as without it.

    Returns:
        0..1, not yet shifted.
    """
    if kind == "grid":
        first, count = _grid(span)
        return 1 - (first + int(generator.integers(count))) / TIMESTEPS
    if span == WHOLE:
        return float(1 / (1 + np.exp(-generator.normal(mean, std))))
    normal = NormalDist(mean, std)
    low, high = (normal.cdf(_logit(time)) if 0 < time < 1 else time for time in (span.low, span.high))
    share = min(max(low + (high - low) * generator.random(), 1e-12), 1 - 1e-12)
    return float(1 / (1 + np.exp(-normal.inv_cdf(share))))


def _logit(time: float) -> float:
    return math.log(time / (1 - time))


@lru_cache
def _grid(span: Span) -> tuple[int, int]:
    """The first of the grid's times in a span, counted from 1 down, and their number."""
    held = [step for step in range(TIMESTEPS) if span.holds(1 - step / TIMESTEPS)]
    return held[0], len(held)


def shifted(time: float, shift: float) -> float:
    """The noise level of a time, moved towards noise as the scheduler does for video.

    Args:
        time: 0..1.
        shift: 1 changes nothing.

    >>> shifted(0.5, 3.0)
    0.75
    """
    return shift * time / (1 + (shift - 1) * time)


def loss_weight(level: float, shift: float, kind: str) -> float:
    """The weight of the loss at a noise level.

    Args:
        level: 0..1, after the shift.
        shift: by which the times were moved; the mean of ``gaussian`` over the shifted grid is 1.
        kind: one of `LOSS_WEIGHTS`.

    >>> loss_weight(1.0, 5.0, "gaussian"), loss_weight(0.3, 5.0, "even")
    (0.0, 1.0)
    """
    return 1.0 if kind == "even" else _bell(level) / _mean_bell(shift)


def _bell(level: float) -> float:
    return math.exp(-2 * (level - 0.5) ** 2) - math.exp(-0.5)


@lru_cache
def _mean_bell(shift: float) -> float:
    grid = (1 - step / TIMESTEPS for step in range(TIMESTEPS))
    return sum(_bell(shifted(time, shift)) for time in grid) / TIMESTEPS
