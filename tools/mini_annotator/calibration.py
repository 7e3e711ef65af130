"""The temperature: probabilities from out-of-fold scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from emovid_models.annotator.calibration import fit_temperature
from tools.mini_annotator.baseline import predict_baseline
from tools.mini_annotator.clips import Clips
from tools.mini_annotator.folds import split_folds


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Probabilities of each labelled sticker, from models that saw neither it nor a variant of it.

    Attributes:
        annotator: probabilities, [n, 8].
        baseline: the support vector machine's, [n, 8].
    """

    annotator: torch.Tensor
    baseline: torch.Tensor


def predict_out_of_fold(stickers: Clips, scores: torch.Tensor) -> OutOfFold:
    """Probabilities of annotator and baseline, calibrated the same way.

    Args:
        stickers: all of them.
        scores: the annotator's, out of fold, [n, 8].
    """
    folds = split_folds(stickers)
    annotator, baseline = (
        calibrate_out_of_fold(rows, stickers.labels, folds)
        for rows in (scores, predict_baseline(stickers, folds))
    )
    return OutOfFold(annotator, baseline)


def calibrate_out_of_fold(
    scores: torch.Tensor, labels: torch.Tensor, folds: Sequence[tuple[list[int], list[int]]]
) -> torch.Tensor:
    """Probabilities; each fold's temperature is fitted on the other folds' scores."""
    probabilities = torch.zeros_like(scores)
    for train, test in folds:
        probabilities[test] = (scores[test] / fit_temperature(scores[train], labels[train])).softmax(-1)
    return probabilities
