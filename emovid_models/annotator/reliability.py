"""How far an annotator's probabilities can be relied upon, in the measures of the field.

The confidence of an answer is the probability of the likeliest emotion. Arithmetic in numpy, on probabilities
and labels however they came about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 10
"""Of equal width, for the calibration error."""

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class CoveragePoint:
    """What is left where answers below a confidence are withheld.

    Attributes:
        confidence: of the least confident answer that is given.
        coverage: share of clips that get an answer, 0..1.
        risk: share of wrong ones among those answers, 0..1.
    """

    confidence: float
    coverage: float
    risk: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far probabilities can be relied upon.

    Attributes:
        clips: number of them.
        calibration_error: mean distance of confidence and accuracy over `BINS` bins, each by its share (ECE).
        brier: mean squared distance of the probabilities from the label, summed over the emotions, 0..2.
        auroc: probability that a right answer is more confident than a wrong one; None where all are right or
            all are wrong.
        aurc: area under the risk-coverage curve, 0..1; less is better.
        risk_coverage: the curve, from the most confident answers alone to all of them.
    """

    clips: int
    calibration_error: float
    brier: float
    auroc: float | None
    aurc: float
    risk_coverage: tuple[CoveragePoint, ...]

    def abstaining(self, below: float) -> CoveragePoint | None:
        """What is left where answers below a confidence are withheld; None where nothing is.

        Args:
            below: as in `--abstain`, 0..1.
        """
        given = [point for point in self.risk_coverage if point.confidence >= below]
        return given[-1] if given else None

    def to_json(self, *, points: int = 20, abstain: float | None = 0.4) -> dict[str, Any]:
        """The figures as JSON values.

        Args:
            points: of the curve, evenly over the coverage; all of a shorter one.
            abstain: a confidence whose coverage and risk are told beside; None tells none.
        """
        curve = self.risk_coverage
        places = np.unique(np.linspace(0, len(curve) - 1, min(points, len(curve))).round().astype(int))
        found: dict[str, Any] = {
            "clips": self.clips,
            "calibration_error": round(self.calibration_error, 4),
            "brier": round(self.brier, 4),
            "auroc": None if self.auroc is None else round(self.auroc, 4),
            "aurc": round(self.aurc, 4),
            "risk_coverage": [
                {
                    "confidence": round(curve[place].confidence, 4),
                    "coverage": round(curve[place].coverage, 4),
                    "risk": round(curve[place].risk, 4),
                }
                for place in places.tolist()
            ],
        }
        if abstain is not None:
            left = self.abstaining(abstain)
            found["abstain"] = {
                "below": abstain,
                "coverage": 0.0 if left is None else round(left.coverage, 4),
                "risk": None if left is None else round(left.risk, 4),
            }
        return found


def reliability(
    probabilities: Sequence[Sequence[float]] | Array, labels: Sequence[int] | Array
) -> Reliability:
    """Measure how far probabilities can be relied upon.

    Args:
        probabilities: [n, emotions], each row sum 1.
        labels: [n], indices of the true emotions.

    Raises:
        ValueError: there is no clip, or the two do not fit each other.

    Source:
        Guo et al., On calibration of modern neural networks, ICML 2017 (calibration error); Brier 1950;
        Geifman and El-Yaniv, Selective classification for deep neural networks, NeurIPS 2017 (risk-coverage).

    >>> found = reliability([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2]], [0, 1, 0])
    >>> found.auroc, [(point.coverage, round(point.risk, 2)) for point in found.risk_coverage][-1]
    (1.0, (1.0, 0.33))
    """
    scores, truth = np.asarray(probabilities, np.float64), np.asarray(labels, np.int64)
    if scores.ndim != 2 or truth.shape != scores.shape[:1] or not len(truth):
        raise ValueError(
            f"probabilities have shape {list(scores.shape)} and labels {list(truth.shape)}; "
            "a row and a label per clip are needed"
        )
    confidence, right = scores.max(1), scores.argmax(1) == truth
    wanted = np.eye(scores.shape[1])[truth]
    curve = _risk_coverage(confidence, right)
    widths = np.diff([0.0, *(point.coverage for point in curve)])
    return Reliability(
        clips=len(truth),
        calibration_error=_calibration_error(confidence, right),
        brier=float(((scores - wanted) ** 2).sum(1).mean()),
        auroc=_auroc(confidence, right),
        aurc=float(sum(width * point.risk for width, point in zip(widths, curve, strict=True))),
        risk_coverage=curve,
    )


def _calibration_error(confidence: Array, right: Array) -> float:
    place = np.clip(np.ceil(confidence * BINS).astype(int), 1, BINS)
    gaps = np.bincount(place, right - confidence, minlength=BINS + 1)
    return float(np.abs(gaps).sum() / len(confidence))


def _auroc(confidence: Array, right: Array) -> float | None:
    """By ranks: the Mann-Whitney statistic, ties counted half."""
    hits, misses = int(right.sum()), int((~right).sum())
    if not hits or not misses:
        return None
    _, place, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[right].sum() - hits * (hits + 1) / 2) / (hits * misses))


def _risk_coverage(confidence: Array, right: Array) -> tuple[CoveragePoint, ...]:
    order = np.argsort(-confidence, kind="stable")
    confidence, wrong = confidence[order], np.cumsum(~right[order])
    # Equal confidences are given or withheld together.
    ends = np.flatnonzero(np.diff(confidence, append=-1.0))
    return tuple(
        CoveragePoint(float(confidence[end]), (end + 1) / len(confidence), float(wrong[end] / (end + 1)))
        for end in ends.tolist()
    )
