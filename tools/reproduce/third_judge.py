"""A third judge: a logistic probe on features of an ImageNet network.

It has seen no emoji but the labelled stickers of the training side, and these as the generators' VAE gives
them back, since what it judges has come through that VAE. The network, EfficientNet-Lite0, also taught the
annotator's tower to see; beyond it and the labels, the probe shares nothing with the annotator.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emovid_models.evaluation import Judge
from tools.mini_annotator.imagenet import ImageNetTeacher
from tools.mini_annotator.pictures import to_pixels
from tools.mini_annotator.settings import IMAGE_SIZE
from tools.reproduce.feature_judge import read_pictures, train_feature_judge

STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
"""Values of C that the inner cross-validation chooses from."""


@cache
def _network() -> ImageNetTeacher:
    return ImageNetTeacher()


@torch.inference_mode()
def imagenet_features(video: str | bytes | Path) -> np.ndarray:
    """The network's last map, averaged over the picture: mean and spread over the frames, float32 [2 * 1280].

    Raises:
        ValueError: the video cannot be decoded.
        OSError: it cannot be read.
    """
    _, last = _network()(to_pixels(read_pictures(video, IMAGE_SIZE)))
    rows = last.mean((2, 3))
    return torch.cat([rows.mean(0), rows.std(0, correction=0)]).numpy()


def train_third_judge(
    videos: Sequence[str | bytes | Path], labels: Sequence[int], groups: Sequence[str]
) -> Judge:
    """Fit the probe; how strongly it is regularised is chosen by cross-validation.

    Args:
        videos: paths or bytes of the training side, after the VAE; nothing held out.
        labels: indices of emotions, of at least two.
        groups: videos of one group stay on one side of the cross-validation.

    Returns:
        The judge; its identity is a digest of what it learnt from.
    """
    probe = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
    choices = {"logisticregression__C": STRENGTHS}
    return train_feature_judge("imagenet-probe", probe, choices, imagenet_features, videos, labels, groups)
