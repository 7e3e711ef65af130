"""Krippendorff's alpha, for any number of raters, gaps, and any distance between categories."""

from __future__ import annotations

import numpy as np

from emovid_dataset.agree.coefficient import Array, Coefficient, Patterns, bootstrapped


def krippendorff_alpha(
    counts: Array, distances: Array | None = None, *, draws: int = 0, seed: int = 0
) -> Coefficient:
    """Krippendorff's alpha.

    Args:
        counts: [clips, categories], how many raters chose each category; a clip with fewer than two has no
            pair and does not count.
        distances: [categories, categories], squared; None is nominal: 1 between any two.
        draws: bootstrap samples over clips; 0 makes no interval.
        seed: of the samples.

    Source: K. Krippendorff, "Computing Krippendorff's alpha-reliability", 2011.

    >>> str(krippendorff_alpha(np.array([[3, 0], [2, 1], [0, 3], [0, 2]])))
    '0.667'
    """
    counts = np.asarray(counts, np.float64)
    if distances is None:
        distances = 1 - np.eye(counts.shape[1])
    pairable = counts[counts.sum(1) > 1]
    reason = "no clip has two raters" if not len(pairable) else "all answers are the same"

    def measure(rows: Array, multiplicity: Array) -> Array:
        pairs = rows[:, :, None] * rows[:, None, :] - rows[:, :, None] * np.eye(rows.shape[1])
        pairs /= rows.sum(1)[:, None, None] - 1
        observed = multiplicity @ (pairs * distances).sum((1, 2))
        margin = multiplicity @ rows
        expected = ((margin @ distances) * margin).sum(-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = 1 - (margin.sum(-1) - 1) * observed / expected
        return np.asarray(np.where(expected > 0, found, np.nan))

    return bootstrapped(Patterns.of(pairable), measure, reason, draws=draws, seed=seed)


def coincidences(counts: Array) -> Array:
    """How often two raters of one clip chose two categories, each clip as often as it has answers.

    Args:
        counts: [clips, categories].

    Returns:
        [categories, categories], symmetric; its sum is the number of answers that have a pair.
    """
    rows = np.asarray(counts, np.float64)
    rows = rows[rows.sum(1) > 1]
    weight = 1 / (rows.sum(1) - 1)
    products = np.einsum("ni,nj,n->ij", rows, rows, weight)
    return np.asarray(products - np.diag(weight @ rows))
