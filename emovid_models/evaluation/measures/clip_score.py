"""CLIP score: how well a video fits its text."""

from __future__ import annotations

import numpy as np

from emovid_models.evaluation.measures.cosine import mean_cosine


def clip_score(frames: np.ndarray, text: np.ndarray) -> float:
    """The mean cosine between the text's CLIP feature and the feature of every frame.

    Formula: ``mean over t of cos(image_t, text)``; not multiplied by 2.5 or 100 and not cut off at 0, as
    others do. With ViT-B/32 values of about 0.3 are usual. Higher is better.

    Args:
        frames: [T, D], CLIP's projected feature of every frame.
        text: [D], CLIP's projected feature of the text.

    Returns:
        -1..1.

    Raises:
        ValueError: the shapes do not fit, or a feature is 0 or not finite.

    Source:
        Hessel et al., CLIPScore, EMNLP 2021, for the cosine; EvalCrafter (Liu et al., CVPR 2024) for the mean
        over the frames of a video. Which CLIP the EmoVid paper used is not known.

    >>> clip_score(np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([0.5, 0.0]))
    0.8
    """
    return mean_cosine(frames, text)
