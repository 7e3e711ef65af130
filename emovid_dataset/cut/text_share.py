"""How much of a picture looks like lines of text: credits, titles, signs that fill the frame.

Letters are small, close together and in rows, on a plain ground. Places where the luma changes sharply
from left to right are joined along the row; what comes out as a long, low and well filled block counts as a
line of text if it is calm right above and below it. Grass and leaves are as sharp, but not calm around.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_SHARP = 60.0  # levels between neighbouring pixels, as Sobel's operator sums them
_JOINED = 0.03  # of the width: gaps between letters and words
_LOWEST, _HIGHEST = 0.012, 0.16  # of the height: of a line
_LONG = 2.2  # length of a line by its height
_FILLED = 0.42  # share of sharp places in a line, after joining
_TURNS = 0.15  # share of a line's own pixels, before joining, that are sharp
_PLAIN = 12.0  # levels, standard deviation of the ground
_GROUND = 14.0  # levels by which it differs between the letters
_BETWEEN = 0.25  # share of a line that is ground
_CALM = 0.25  # of that share: what is sharp right above and below a line


def text_share(luma: np.ndarray) -> float:
    """The share of a picture that lines of text cover.

    Args:
        luma: uint8 [h, w], about 500 pixels wide.

    Returns:
        0..1.
    """
    import cv2

    height, width = luma.shape
    if min(height, width) < 16:
        return 0.0
    sharp = np.abs(cv2.Sobel(luma, cv2.CV_16S, 1, 0)) > 4 * _SHARP / 2
    sharp8 = sharp.astype(np.uint8)
    reach = max(3, round(width * _JOINED) | 1)
    joined = cv2.morphologyEx(sharp8, cv2.MORPH_CLOSE, np.ones((1, reach), np.uint8))
    joined = cv2.morphologyEx(joined, cv2.MORPH_OPEN, np.ones((2, max(3, reach // 2)), np.uint8))
    count, _, boxes, _ = cv2.connectedComponentsWithStats(joined, connectivity=4)
    boxes = boxes[1:count]
    wide, high, area = boxes[:, 2], boxes[:, 3], boxes[:, 4]
    like_a_line = (high >= _LOWEST * height) & (high <= _HIGHEST * height) & (wide >= _LONG * high)
    like_a_line &= area >= _FILLED * wide * high
    covered = 0
    for box in boxes[like_a_line, :4].tolist():
        left, top, across, down = box
        inside = sharp8[top : top + down, left : left + across].mean()
        band = max(1, down // 3)
        above = sharp8[max(0, top - band) : top, left : left + across]
        below = sharp8[top + down : top + down + band, left : left + across]
        if inside < _TURNS or (above.sum() + below.sum()) > _CALM * inside * 2 * band * across:
            continue
        if _on_plain_ground(luma, box, band):
            covered += across * down
    return covered / (height * width)


def _on_plain_ground(luma: np.ndarray, box: Sequence[int], band: int) -> bool:
    """Whether what is right above and below a line is of one brightness, which shows between the letters too.

    Args:
        luma: the picture.
        box: left, top, width and height of the line.
        band: lines of pixels above and below it that are looked at.
    """
    left, top, wide, high = box
    above = luma[max(0, top - band - 1) : top, left : left + wide]
    below = luma[top + high : top + high + band + 1, left : left + wide]
    around = np.concatenate((above.ravel(), below.ravel())).astype(np.float32)
    if not len(around) or around.std() >= _PLAIN:
        return False
    line = luma[max(0, top - 1) : top + high + 1, max(0, left - 1) : left + wide + 1]
    return bool((np.abs(line - np.median(around)) <= _GROUND).mean() > _BETWEEN)
