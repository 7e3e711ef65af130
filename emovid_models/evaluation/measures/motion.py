"""Motion: how fast what is shown moves, by optical flow."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

_SIDE = 320  # pixels; flow of a larger picture costs more and says the same, as a share of the diagonal


def flow_picture(frame: np.ndarray) -> np.ndarray:
    """A frame as optical flow looks at it: its luma, at most 320 pixels on the longer side.

    Args:
        frame: uint8 [H, W, 3].

    Returns:
        uint8 [h, w].

    Raises:
        ImportError: OpenCV is not installed.
    """
    import cv2

    height, width = frame.shape[:2]
    factor = min(1.0, _SIDE / max(height, width))
    grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
    if factor < 1:
        size = max(1, round(width * factor)), max(1, round(height * factor))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.asarray(grey)


def motion(pictures: Sequence[np.ndarray], seconds: float) -> float:
    """How far the picture moves in a second, as a share of its diagonal.

    Formula: ``sum over t of mean |flow(f_t, f_(t+1))| / diagonal / seconds``, the mean over all pixels, the
    flow of dense inverse search. It counts the camera and what is shown alike. A still video has 0; more is
    more motion, neither better nor worse: compare with the real clips.

    Args:
        pictures: every frame in order, of `flow_picture`, at least two, of one shape.
        seconds: from the first frame to the last, above 0.

    Returns:
        0 up, in diagonals a second; a pan across the picture in one second has about 0.8.

    Raises:
        ImportError: OpenCV is not installed.
        ValueError: there are fewer than two frames, they are too small, their shapes differ, or they take no
            time.

    Source:
        Kroeger et al., "Fast optical flow using dense inverse search", ECCV 2016, as OpenCV has it (its
        medium preset); after the dynamic degree of VBench (Huang et al., CVPR 2024), which takes RAFT and
        a threshold.
    """
    import cv2

    if len(pictures) < 2 or not seconds > 0:
        raise ValueError("motion needs two frames that take time")
    shapes = {picture.shape for picture in pictures}
    height, width = pictures[0].shape
    if len(shapes) > 1:
        raise ValueError(f"frames of shapes {sorted(shapes)}; they must be of one shape")
    if min(height, width) < 16:
        raise ValueError(f"a picture of {width}x{height} is too small for optical flow; it needs 16 pixels")
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    moved, nothing = 0.0, np.zeros((height, width, 2), np.float32)
    for one, other in pairwise(pictures):
        flow = np.asarray(search.calc(np.ascontiguousarray(one), np.ascontiguousarray(other), nothing.copy()))
        moved += float(np.hypot(flow[..., 0], flow[..., 1]).mean(dtype=np.float64))
    return moved / float(np.hypot(height, width)) / seconds
