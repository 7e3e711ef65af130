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
from functools import lru_cache

import numpy as np

TIMESTEPS = 1000
"""The transformer is told the noise level on this scale; also the number of times of ``grid``."""


def draw_time(generator: np.random.Generator, kind: str, mean: float = 0.0, std: float = 1.0) -> float:
    """Draw the time of one sample.

    Args:
        generator: gives one number.
        kind: one of `NOISE_LEVELS`.
        mean: of the logit, for ``logit-normal``.
        std: of the logit, for ``logit-normal``.

    Returns:
        0..1, not yet shifted.
    """
    if kind == "grid":
        return 1 - int(generator.integers(TIMESTEPS)) / TIMESTEPS
    return float(1 / (1 + np.exp(-generator.normal(mean, std))))


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
