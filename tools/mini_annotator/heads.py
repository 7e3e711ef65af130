"""What the annotator learns to answer: a linear head on the teacher's features, chosen on one side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.annotator.calibration import macro_recall
from tools.mini_annotator.settings import HEAD_STRENGTHS, INNER_FOLDS, INNER_REPEATS, SEED


@dataclass(frozen=True, slots=True)
class Head:
    """Logistic regression of emotions on the teacher's features.

    Attributes:
        weights: [features, 8].
        bias: [8].
        strength: inverse of the regularisation, C.
    """

    weights: torch.Tensor
    bias: torch.Tensor
    strength: float

    def logits(self, pooled: torch.Tensor) -> torch.Tensor:
        """Logits of features [..., features], mean 0; [..., 8]."""
        rows = pooled.float() @ self.weights.to(pooled.device) + self.bias.to(pooled.device)
        return rows - rows.mean(-1, keepdim=True)


def fit_head(pooled: torch.Tensor, labels: torch.Tensor, strength: float) -> Head:
    """A head for features [n, features] and labels [n]; all emotions must occur, and count alike."""
    # The weights are sums of the clips' features, so that as many directions as clips are enough.
    left, sizes, directions = torch.linalg.svd(pooled, full_matrices=False)
    machine = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)
    machine.fit((left * sizes).numpy(), labels.numpy())
    if machine.classes_.tolist() != list(range(len(EMOTIONS))):
        raise ValueError("the training side lacks an emotion")
    weights, bias = torch.from_numpy(machine.coef_).float(), torch.from_numpy(machine.intercept_).float()
    return Head((weights @ directions).T, bias, strength)


def choose_head(
    pooled: torch.Tensor,
    labels: torch.Tensor,
    groups: Sequence[str],
    *,
    repeats: int = INNER_REPEATS,
    seed: int = SEED,
) -> tuple[Head, dict[float, float]]:
    """The head whose strength has the highest macro recall in a grouped cross-validation of this side alone.

    Emotions count alike, however many emoji there are of each.

    Args:
        pooled: features of the side's clips, [n, features].
        labels: [n].
        groups: what belongs together.
        repeats: divisions of the side into folds.
        seed: of the divisions.

    Returns:
        The head, fitted to the whole side, and the mean macro recall of every strength.
    """
    recall = dict.fromkeys(HEAD_STRENGTHS, 0.0)
    for repeat in range(repeats):
        folds = StratifiedGroupKFold(INNER_FOLDS, shuffle=True, random_state=seed + repeat)
        answers = torch.zeros(len(HEAD_STRENGTHS), len(labels), dtype=torch.long)
        for train, test in folds.split(np.zeros(len(labels)), labels.numpy(), groups):
            for row, strength in enumerate(HEAD_STRENGTHS):
                head = fit_head(pooled[train], labels[train], strength)
                answers[row, test] = head.logits(pooled[test]).argmax(-1)
        for strength, answered in zip(HEAD_STRENGTHS, answers, strict=True):
            recall[strength] += macro_recall(answered, labels) / repeats
    # The strongest regularisation among equals.
    best = max(HEAD_STRENGTHS, key=lambda strength: (recall[strength], -strength))
    return fit_head(pooled, labels, best), recall
