"""What a judge's probabilities say beside its answers: how well they are calibrated, and how ambiguous."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emovid_models.annotator.reliability import reliability
from emovid_models.evaluation.judge import Judged


@dataclass(frozen=True, slots=True)
class SoftScores:
    """The probabilities of one judge on one set of videos; None where there are none.

    Attributes:
        n: videos with probabilities; those that could not be judged have none.
        calibration_error: `reliability`'s, 0..1, lower is better: how far the judge's confidence is from the
            share of videos that show what was asked for.
        ambiguity: see `ambiguity`, in bits.
    """

    n: int
    calibration_error: float | None
    ambiguity: float | None


def ambiguity(probabilities: np.ndarray) -> float:
    """How undecided a judge is about which emotion each video shows.

    Formula: the mean over the videos of ``-sum p log2 p``. Lower is more decided; a judge that is always
    sure has 0, and one that cannot tell N emotions apart has log2 N, 3 bits for eight.

    Args:
        probabilities: [n, emotions], at least one row, each sum 1.

    Returns:
        0..log2 N, in bits.

    Source: C. E. Shannon, "A mathematical theory of communication", 1948.

    >>> ambiguity(np.array([[1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]]))
    1.0
    """
    logarithms = np.log2(np.where(probabilities > 0, probabilities, 1.0))
    return float(-(probabilities * logarithms).sum(axis=1).mean()) + 0.0


def soft_scores(judged: Judged) -> SoftScores:
    """Score a judge's probabilities on a set of videos.

    Args:
        judged: its judgements; videos on which it failed are left out.
    """
    rows = [(video.scores, video.intended) for video in judged.videos if video.scores is not None]
    if not rows:
        return SoftScores(0, None, None)
    probabilities = np.array([scores for scores, _ in rows], np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    names = judged.taxonomy.names
    found = reliability(probabilities, [names.index(intended) for _, intended in rows])
    return SoftScores(len(rows), found.calibration_error, ambiguity(probabilities))
