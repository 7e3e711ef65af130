"""Animated pictures by Pillow, which knows WebP's animation where FFmpeg does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from PIL import Image

from .errors import VideoError
from .pixels import lay_on_white

_USUAL_DELAY = 100  # milliseconds, where a picture states none


@contextmanager
def open_picture(file: BinaryIO) -> Iterator[Image.Image]:
    """A picture, animated or still.

    Args:
        file: open for reading, at its beginning.

    Raises:
        VideoError: it claims to be so large that Pillow does not decode it.
    """
    try:
        image = Image.open(file)
    except Image.DecompressionBombError as error:
        raise VideoError(f"is too large: {error}") from error
    with image:
        yield image


def chosen_pictures(image: Image.Image, indices: Sequence[int]) -> list[np.ndarray]:
    """Decode chosen frames, and keep no others.

    Args:
        image: an open picture.
        indices: of its `n_frames`; in any order, some more than once.

    Returns:
        For each index uint8 [height, width, 3], transparent pixels on white.
    """
    frames: dict[int, np.ndarray] = {}
    for index in sorted(set(indices)):
        image.seek(index)
        frames[index] = lay_on_white(np.asarray(image.convert("RGBA")))
    return [frames[index] for index in indices]


def all_pictures(image: Image.Image) -> Iterator[tuple[np.ndarray, int]]:
    """Decode every frame.

    Yields:
        uint8 [height, width, 4], RGBA, and the milliseconds for which it is shown, at least 1.
    """
    for index in range(getattr(image, "n_frames", 1)):
        image.seek(index)
        image.load()
        delay = max(int(image.info.get("duration", 0) or 0), 0) or _USUAL_DELAY
        yield np.asarray(image.convert("RGBA")), delay
