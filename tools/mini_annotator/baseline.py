"""What the annotator is compared with: a support vector machine, and the most common emotion."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from emovid_dataset.schema.emotions import EMOTIONS
from tools.mini_annotator.clips import Clips
from tools.mini_annotator.pictures import gradients_and_colours
from tools.mini_annotator.settings import NUM_FRAMES


def predict_baseline(stickers: Clips, folds: Sequence[tuple[list[int], list[int]]]) -> torch.Tensor:
    """Gradients of the middle frame, colours of all frames, and a support vector machine.

    As with the annotator, emotions count alike, and its strength has the highest macro recall on its side.

    Returns:
        Its margins, [n, 8]; the largest is its answer.
    """
    flat = gradients_and_colours(stickers.pictures.flatten(0, 1)).unflatten(0, (-1, NUM_FRAMES))
    rows = torch.cat([flat[:, NUM_FRAMES // 2, :-64], flat[:, :, -64:].mean(1)], 1).numpy()
    labels = stickers.labels.numpy()
    margins = torch.zeros(len(labels), len(EMOTIONS))
    grid = {"svc__C": [1, 3, 10, 30]}
    for train, test in folds:
        search = GridSearchCV(
            make_pipeline(StandardScaler(), SVC(break_ties=True, class_weight="balanced")),
            grid,
            scoring="balanced_accuracy",
            cv=StratifiedGroupKFold(4),
        )
        search.fit(rows[train], labels[train], groups=[stickers.groups[row] for row in train])
        margins[test] = torch.from_numpy(search.decision_function(rows[test])).float()
    return margins


def predict_majority(stickers: Clips, folds: Sequence[tuple[list[int], list[int]]]) -> torch.Tensor:
    """The most common emotion of each training side."""
    predicted = torch.zeros_like(stickers.labels)
    for train, test in folds:
        predicted[test] = stickers.labels[train].bincount(minlength=len(EMOTIONS)).argmax()
    return predicted
