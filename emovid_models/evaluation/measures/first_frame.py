"""First-frame consistency: how much an image-to-video clip keeps to the image that it was given."""

from __future__ import annotations

import numpy as np

from emovid_models.evaluation.measures.cosine import mean_cosine


def first_frame_consistency(frames: np.ndarray, given: np.ndarray) -> float:
    """The mean cosine between the CLIP feature of the given first frame and that of every frame of the video.

    Formula: ``mean over t of cos(image_t, given)``. Higher is more consistent; a still video of the given
    frame has 1, so that the highest value is not the best video.

    This stands in the place of the paper's SD score, and is another measure: EvalCrafter's SD score is the
    mean ViT-B/32 cosine with five pictures that SDXL draws for the prompt, whereas the paper describes the
    consistency of a video with its first frame.

    Args:
        frames: [T, D], CLIP's projected feature of every frame; ViT-B/32 to be like EvalCrafter.
        given: [D], the same of the given first frame, cropped as the generator saw it.

    Returns:
        -1..1.

    Raises:
        ValueError: the shapes do not fit, or a feature is 0 or not finite.

    Source:
        The EmoVid paper's words for its SD column; EvalCrafter (Liu et al., CVPR 2024) for features and mean.

    >>> first_frame_consistency(np.array([[0.0, 2.0], [0.6, 0.8]]), np.array([0.0, 1.0]))
    0.9
    """
    return mean_cosine(frames, given)
