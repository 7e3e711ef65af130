"""Temporal flicker and standstill: how much neighbouring frames differ, from pixels alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

FROZEN = 0.001
"""Neighbouring frames that differ by no more, as a share of the range, show the same picture."""


def temporal_flicker(frames: Iterable[np.ndarray]) -> float:
    """The mean absolute difference of neighbouring frames, as a share of the greatest possible one.

    Formula: ``mean over t of mean |f_t - f_(t+1)| / 255``, the inner mean over all pixels and channels. Lower
    is steadier, as the paper gives it; a still video has 0. Motion counts too, so that the lowest value is
    not the best video.

    Args:
        frames: every frame in order, uint8 [H, W, 3], at least two; an array [T, H, W, 3] will do. They are
            not held.

    Returns:
        0..1.

    Raises:
        ValueError: there are fewer than two frames, or one is not uint8 or of another shape.

    Source:
        VBench (Huang et al., CVPR 2024), temporal flickering; its score is `vbench_score` of this.

    >>> black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    >>> temporal_flicker([black, white, white])
    0.5
    """
    differences = neighbour_differences(frames)
    if not differences:
        raise ValueError("flicker needs two frames")
    return sum(differences) / len(differences)


def neighbour_differences(frames: Iterable[np.ndarray]) -> list[float]:
    """The mean absolute difference of each frame and the next, as a share of the greatest possible one.

    Args:
        frames: every frame in order, uint8 [H, W, 3]; they are not held.

    Returns:
        One fewer than frames, each 0..1.

    Raises:
        ValueError: a frame is not uint8 or of another shape.
    """
    found: list[float] = []
    last: np.ndarray | None = None
    for frame in frames:
        if frame.dtype != np.uint8 or (last is not None and frame.shape != last.shape):
            raise ValueError(
                f"frame of {frame.dtype} {frame.shape}; every frame must be uint8 and of one shape"
            )
        if last is not None:
            # bytes wrap around; the larger less the smaller does not
            apart = np.maximum(last, frame) - np.minimum(last, frame)
            found.append(float(apart.mean(dtype=np.float64)) / 255)
        last = frame
    return found


def frozen_share(differences: Sequence[float]) -> float:
    """The share of steps from one frame to the next at which the picture stands still.

    Formula: ``share of t with mean |f_t - f_(t+1)| / 255 <= 0.001``. Lower is livelier; a still video has 1.
    A drawing that is shown for two frames each has 0.5, so compare with the real clips.

    Args:
        differences: of `neighbour_differences`, at least one.

    Returns:
        0..1.

    Raises:
        ValueError: there is none.

    Source:
        The noise that FFmpeg's filter freezedetect tolerates by default, -60 dB.

    >>> frozen_share([0.0, 0.2, 0.0005, 0.3])
    0.5
    """
    if not differences:
        raise ValueError("a frozen share needs two frames")
    return sum(one <= FROZEN for one in differences) / len(differences)


def vbench_score(flicker: float) -> float:
    """The same as VBench gives it, where higher is steadier.

    Formula: ``(255 - mean difference) / 255``.

    Args:
        flicker: of `temporal_flicker`, 0..1.

    Returns:
        0..1; a still video has 1.

    >>> vbench_score(0.25)
    0.75
    """
    return 1 - flicker
