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
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from emovid_models.evaluation import Judge
from tools.mini_annotator.pictures import gradients_and_colours
from tools.mini_annotator.settings import NUM_FRAMES, PICTURE_SIZE
from tools.reproduce.feature_judge import read_pictures, train_feature_judge

COLOURS = 64
"""Bins of the colour histogram, the last columns of `gradients_and_colours`."""


def describe(video: str | bytes | Path) -> np.ndarray:
    """What the machine sees of a video: float32 [gradients of the middle frame, mean colours].

    Raises:
        ValueError: it cannot be decoded.
        OSError: it cannot be read.
    """
    rows = gradients_and_colours(read_pictures(video, PICTURE_SIZE))
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
    # With ties broken by the margins, the largest margin is the machine's answer.
    machine = make_pipeline(StandardScaler(), SVC(break_ties=True, class_weight="balanced"))
    choices = {"svc__C": [1, 3, 10, 30]}
    return train_feature_judge("gradients-colours-svm", machine, choices, describe, videos, labels, groups)
