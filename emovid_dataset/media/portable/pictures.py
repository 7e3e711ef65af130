"""Animated pictures by Pillow, which knows WebP's animation where FFmpeg does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from PIL import Image

from .errors import VideoError
from .icc import differing, to_srgb
from .pixels import lay_on_white

USUAL_DELAY = 100
"""Milliseconds for which a frame is shown that states none, or `TOO_SHORT` or less: browsers do the same."""

TOO_SHORT = 10
"""Milliseconds."""

_FRAME = b"ANMF"


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
        frames[index] = lay_on_white(_picture(image, index))
    return [frames[index] for index in indices]


def webp_delays(file: BinaryIO) -> list[int]:
    """For how long an animated WebP shows its frames, without decoding them.

    Args:
        file: open for reading, at any position; the position is changed.

    Returns:
        Milliseconds for each frame as a browser shows it, at least `TOO_SHORT` + 1; those of a still picture
        are one `USUAL_DELAY`.

    Source: RFC 9649, section 2.7.1.1 (the ANMF chunk).
    """
    delays: list[int] = []
    at = 12
    file.seek(at)
    while len(head := file.read(24)) >= 8:
        if head[:4] == _FRAME and len(head) >= 23:
            delay = int.from_bytes(head[20:23], "little")
            delays.append(delay if delay > TOO_SHORT else USUAL_DELAY)
        size = int.from_bytes(head[4:8], "little")
        at += 8 + size + size % 2
        file.seek(at)
    return delays or [USUAL_DELAY]


def pictures_at(image: Image.Image, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Decode chosen frames one after the other.

    Args:
        image: an open picture.
        indices: of its `n_frames`, ascending.

    Yields:
        Index, and uint8 [height, width, 4], RGBA. Only one is held.
    """
    for index in indices:
        yield index, _picture(image, index)


def profile_of_picture(image: Image.Image) -> bytes | None:
    """The ICC profile of an open picture; None where it has none, or one that says the same as sRGB."""
    profile = image.info.get("icc_profile")
    return differing(profile) if profile else None


def _picture(image: Image.Image, index: int) -> np.ndarray:
    """A frame in sRGB, uint8 [height, width, 4]."""
    image.seek(index)
    image.load()
    picture = np.asarray(image.convert("RGBA"))
    profile = profile_of_picture(image)
    return picture if profile is None else to_srgb(picture, profile)
