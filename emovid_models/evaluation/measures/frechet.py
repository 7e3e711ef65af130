"""FVD: how far the features of generated videos are from those of real ones, as two distributions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEWEST_VIDEOS = 100
"""With fewer videos on either side FVD is refused. Two samples of 100 from one Gaussian of 768 dimensions,
with variances that fall as 1/k, are apart by 0.7 of its total variance; two of 240, the paper's number, by
0.5."""

_SPLITS = 4


@dataclass(frozen=True, slots=True)
class Fvd:
    """An FVD and what is needed to read it.

    Attributes:
        value: the distance, from 0 up, in the unit of the features squared.
        real: number of real videos.
        generated: number of generated videos.
        dimensions: length of a feature.
        halves: the mean distance between random halves of the real videos: what this measure says of two sets
            that do not differ, at half of their number.
    """

    value: float
    real: int
    generated: int
    dimensions: int
    halves: float

    @property
    def is_rank_deficient(self) -> bool:
        """Whether a side has too few videos for a covariance of full rank, which biases the value upwards."""
        return min(self.real, self.generated) <= self.dimensions


def fvd(real: np.ndarray, generated: np.ndarray, *, seed: int = 0) -> Fvd:
    """The Fréchet distance between Gaussians that are fitted to the features of real and of generated videos.

    Formula: `frechet_distance` of the means and of the unbiased sample covariances. Lower is better. The
    value is biased upwards, the more so the fewer videos there are: values compare only at the same number of
    videos, the same features and the same real videos. `Fvd.halves` says how large the bias is.

    Args:
        real: [n, D], features of the reference.
        generated: [m, D], features of the generated videos.
        seed: of the random halves.

    Returns:
        The distance with its circumstances.

    Raises:
        ValueError: a side has fewer than `FEWEST_VIDEOS`, the shapes do not fit, or a feature is not finite.

    Source:
        Unterthiner et al., FVD, 2019, for the distance; Ge et al., CVPR 2024 (content-debiased FVD), which
        the paper cites, for the features of a VideoMAE.
    """
    sides = [np.asarray(side, np.float64) for side in (real, generated)]
    if any(side.ndim != 2 or side.shape[1] != sides[0].shape[1] for side in sides):
        shapes = " and ".join(str(side.shape) for side in sides)
        raise ValueError(f"features of shapes {shapes}; they must be [n, D] and [m, D]")
    fewest = min(len(side) for side in sides)
    if fewest < FEWEST_VIDEOS:
        raise ValueError(f"only {fewest} videos; FVD needs {FEWEST_VIDEOS}")
    if not all(np.isfinite(side).all() for side in sides):
        raise ValueError("a feature is not finite")
    generator = np.random.default_rng(seed)
    apart = []
    for _ in range(_SPLITS):
        order = generator.permutation(len(sides[0]))
        middle = len(order) // 2
        apart.append(_between(sides[0][order[:middle]], sides[0][order[middle:]]))
    return Fvd(
        value=_between(*sides),
        real=len(sides[0]),
        generated=len(sides[1]),
        dimensions=sides[0].shape[1],
        halves=float(np.mean(apart)),
    )


def _between(first: np.ndarray, second: np.ndarray) -> float:
    means = first.mean(axis=0), second.mean(axis=0)
    centred = [side - mean for side, mean in zip((first, second), means, strict=True)]
    if len(first) + len(second) < first.shape[1]:
        # What few videos span has fewer dimensions than a feature; a rotation into it changes no distance.
        basis, _ = np.linalg.qr(np.vstack(centred).T)
        centred = [side @ basis for side in centred]
    one, other = (side.T @ side / (len(side) - 1) for side in centred)
    nowhere = np.zeros(len(one))
    return float(np.square(means[0] - means[1]).sum()) + frechet_distance(nowhere, one, nowhere, other)


def frechet_distance(
    mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray
) -> float:
    """The squared Fréchet (2-Wasserstein) distance between two Gaussians.

    Formula: ``|m - m'|^2 + tr(C + C' - 2 (C^(1/2) C' C^(1/2))^(1/2))``. The roots are taken by eigenvalues of
    symmetric matrices, so that covariances without full rank do no harm.

    Args:
        mean: [D].
        covariance: [D, D], symmetric, without negative eigenvalues.
        other_mean: [D].
        other_covariance: [D, D], the same.

    Returns:
        From 0 up; 0 for equal Gaussians.

    Source:
        Dowson and Landau, Journal of Multivariate Analysis 12 (1982) 450.

    >>> round(frechet_distance(np.zeros(2), np.eye(2), np.array([3.0, 0.0]), 4 * np.eye(2)), 12)
    11.0
    """
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    inner = root @ other_covariance @ root
    shared = np.sqrt(np.linalg.eigvalsh((inner + inner.T) / 2).clip(0)).sum()
    apart = np.square(np.subtract(mean, other_mean)).sum()
    return float(max(apart + np.trace(covariance) + np.trace(other_covariance) - 2 * shared, 0.0))
