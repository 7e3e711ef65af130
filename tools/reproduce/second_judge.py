"""A second judge, which shares nothing with the annotator but the labels, not even a network.

Histograms of oriented gradients of the middle frame, colour histograms of all frames, and a support vector
machine: no network, no captions, no other emoji. Where both judges see the same model ahead, that model does
not merely please one network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from emovid_models.evaluation import Judge
from emovid_models.nvila import NVILALiteProcessor
from emovid_models.remote.annotator.pipeline import read_frames
from tools.mini_annotator.pictures import gradients_and_colours
from tools.mini_annotator.settings import NUM_FRAMES, PICTURE_SIZE
from tools.reproduce.feature_judge import FOLDS, as_picture, feature_judge

COLOURS = 64
"""Bins of the colour histogram, the last columns of `gradients_and_colours`."""


def describe(video: str | bytes | Path) -> np.ndarray:
    """What the machine sees of a video: float32 [gradients of the middle frame, mean colours].

    Raises:
        ValueError: it cannot be decoded.
        OSError: it cannot be read.
    """
    frames = read_frames(video, lambda total: NVILALiteProcessor.sample_indices(total, NUM_FRAMES))
    pictures = [np.asarray(as_picture(frame, PICTURE_SIZE)) for frame in frames]
    rows = gradients_and_colours(torch.from_numpy(np.stack(pictures)))
    return torch.cat([rows[NUM_FRAMES // 2, :-COLOURS], rows[:, -COLOURS:].mean(0)]).numpy()


def train_second_judge(
    videos: Sequence[str | bytes | Path], labels: Sequence[int], groups: Sequence[str]
) -> Judge:
    """Fit the machine.

    Args:
        videos: paths or bytes of the training side; nothing held out.
        labels: indices of emotions, of at least three.
        groups: videos of one group stay on one side when the machine's penalty is chosen.

    Returns:
        The judge; its identity is a digest of what it learnt from.
    """
    rows = np.stack([describe(video) for video in videos])
    # With ties broken by the margins, the largest margin is the machine's answer.
    machine = make_pipeline(StandardScaler(), SVC(break_ties=True, class_weight="balanced"))
    search = GridSearchCV(
        machine, {"svc__C": [1, 3, 10, 30]}, scoring="balanced_accuracy", cv=StratifiedGroupKFold(FOLDS)
    )
    search.fit(rows, np.asarray(labels), groups=list(groups))
    return feature_judge("gradients-colours-svm", search.best_estimator_, describe, rows, labels)
