"""Diversity among seeds: how much the videos of one request differ from noise to noise, from pixels alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

FRAMES = 8
"""Frames of a video that are compared, in the middles of equal parts of its time."""

SIDE = 64
"""Pixels per side to which they are squeezed, so that videos of any size compare."""


def seed_diversity(videos: Sequence[np.ndarray]) -> float:
    """The mean absolute difference of every two videos of one prompt and emotion, as a share of the range.

    Formula: ``mean over pairs of mean |v - w| / 255``, the inner mean over frames at the same part of the
    time, pixels and channels. Higher is more diverse; videos that are all the same have 0, black and white
    ones 1. Noise counts as diversity too, so that the highest value is not the best generator.

    Args:
        videos: uint8 [T, H, W, 3] of one shape, one per seed, at least two.

    Returns:
        0..1.

    Raises:
        ValueError: there are fewer than two, or they are not uint8 of one shape.

    Source:
        The mean pairwise distance by which Zhu et al., "Toward multimodal image-to-image translation",
        NeurIPS 2017, measure diversity, on pixels in the place of a network's features.

    >>> black, grey = np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 51, np.uint8)
    >>> round(seed_diversity([black, grey, grey]), 6)
    0.133333
    """
    if len(videos) < 2:
        raise ValueError("diversity needs the videos of two seeds")
    if any(video.dtype != np.uint8 or video.shape != videos[0].shape for video in videos):
        raise ValueError("videos must be uint8 of one shape")
    apart = [np.abs(one.astype(np.int16) - other).mean() for one, other in combinations(videos, 2)]
    return float(np.mean(apart)) / 255
