"""From decoded pictures to RGB as it is seen: transparent pixels on white, and upright."""

from __future__ import annotations

from functools import lru_cache

import av
import numpy as np


def is_transparent(frame: av.VideoFrame) -> bool:
    """Whether the frame's pixel format has transparency."""
    return _has_alpha(frame.format.name)


@lru_cache
def _has_alpha(pixel_format: str) -> bool:
    # a palette's colours have it, but it is no component of their own
    return pixel_format == "pal8" or any(c.is_alpha for c in av.VideoFormat(pixel_format).components)


def lay_on_white(rgba: np.ndarray) -> np.ndarray:
    """Lay a transparent picture on white.

    Args:
        rgba: uint8 [..., 4], alpha not premultiplied.

    Returns:
        uint8 [..., 3], rounded to the nearest level, as Pillow's `alpha_composite` gives it.

    >>> lay_on_white(np.array([[0, 0, 0, 64], [9, 9, 9, 255]], np.uint8)).tolist()
    [[191, 191, 191], [9, 9, 9]]
    """
    wide = rgba.astype(np.uint16)
    alpha = wide[..., 3:]
    return ((wide[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def quarter_turns(frame: av.VideoFrame) -> int:
    """By how many quarter turns, counterclockwise, the picture becomes upright: 0..3."""
    return int(frame.rotation) // 90 % 4


def rgb(frame: av.VideoFrame) -> np.ndarray:
    """The picture as it is seen.

    Args:
        frame: a decoded frame, in any pixel format.

    Returns:
        uint8 [height, width, 3], transparent pixels on white, upright.
    """
    if is_transparent(frame):
        picture = lay_on_white(frame.to_ndarray(format="rgba"))
    else:
        picture = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(picture, quarter_turns(frame)))
