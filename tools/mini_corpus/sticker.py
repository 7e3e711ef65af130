"""Read an animated emoji as the frames of a video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from PIL import Image

STICKER_SIZE = 128
"""Width and height of a sticker, in pixels."""
_BT601, _BT709, _SRGB, _LIMITED = 6, 1, 13, 1
"""Code points of ITU-T H.273: the matrix, the primaries, the transfer curve; and FFmpeg's range."""


def read_sticker(path: Path) -> tuple[list[Image.Image], Fraction]:
    """All frames of an animated image, flattened on white and scaled down.

    Args:
        path: an animated WebP.

    Returns:
        The frames, RGB, `STICKER_SIZE` square, and their rate in frames per second: the constant rate
        that keeps the animation's length, which is exact where all frames last equally long.
    """
    frames, milliseconds = [], 0
    with Image.open(path) as image:
        for index in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(index)
            picture = image.convert("RGBA")
            milliseconds += image.info["duration"]
            white = Image.new("RGBA", picture.size, "white")
            flat = Image.alpha_composite(white, picture).convert("RGB")
            frames.append(flat.resize((STICKER_SIZE, STICKER_SIZE), Image.Resampling.LANCZOS))
    return frames, Fraction(1000 * len(frames), milliseconds)


def sticker_frame(image: Image.Image) -> av.VideoFrame:
    # BT.601 is what decoders assume for small pictures, so those that ignore the tags are right too.
    frame = av.VideoFrame.from_image(image).reformat(
        format="yuv420p", dst_colorspace=_BT601, dst_color_range=_LIMITED
    )
    frame.colorspace, frame.color_range = _BT601, _LIMITED
    frame.color_primaries, frame.color_trc = _BT709, _SRGB
    return frame
