"""Films whose shots are known: stretches of the miniature's cartoon clips, joined in known ways."""

from __future__ import annotations

from functools import lru_cache

import av
import numpy as np
from video_files import cartoon, stamp

WIDTH, HEIGHT = 160, 96


@lru_cache(maxsize=16)
def shot(name: str, count: int) -> tuple[np.ndarray, ...]:
    """The first frames of a cartoon clip, uint8 [96, 160, 3]; a shorter clip is an error."""
    with av.open(str(cartoon(name))) as container:
        pictures = []
        for frame in container.decode(video=0):
            pictures.append(frame.reformat(WIDTH, HEIGHT, "rgb24", interpolation="AREA").to_ndarray())
            if len(pictures) == count:
                return tuple(pictures)
    raise AssertionError(f"{name} has only {len(pictures)} frames")


def blend(before: tuple[np.ndarray, ...], behind: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """A dissolve between as many frames of two shots; both ends are mixed."""
    count = len(before)
    shares = [(place + 1) / (count + 1) for place in range(count)]
    return [
        np.round(a * (1 - share) + b * share).astype(np.uint8)
        for a, b, share in zip(before, behind, shares, strict=True)
    ]


def black(count: int) -> list[np.ndarray]:
    """Black frames."""
    return [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * count


def stamped(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """With their numbers along the upper edge."""
    return [stamp(picture, place) for place, picture in enumerate(pictures)]
