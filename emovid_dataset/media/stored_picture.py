"""The picture as a clip stores it: yuv420p in limited range, upright, on white, in SDR colours.

A clip is shown by readers of all kinds, of which many look at the matrix alone and some at nothing, so that
numbers and tags are chosen to come out alike everywhere:

- Pictures in BT.601's or BT.709's matrix and BT.709's primaries keep their numbers, and the name of the
  matrix if they had one. One that is not named stays so while the size alone says it: BT.709 from 720 lines
  on.
- RGB, transparent and turned pictures take the matrix that players expect at their size, which is written
  into the file from 720 lines on.
- HDR, BT.2020 and every other space become BT.709, with matrix, primaries, transfer and range written.
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from emovid_dataset.media.crop import Crop
from emovid_dataset.media.portable.colour import BT601, BT709, LINES_OF_HD, RGB, ColorSpace, colour_of
from emovid_dataset.media.portable.pixels import (
    ROUNDED,
    WHOLE_CHROMA_IN,
    RgbConverter,
    is_transparent,
    orientation_of,
)

_SCALED = (0, 1, 2, 4, 5, 6, 7, 9)  # matrices whose names FFmpeg's scaler takes
_TAGS = {BT709: 1, BT601: 6}
_EXACT = Interpolation.BILINEAR | ROUNDED | WHOLE_CHROMA_IN


class StoredPictures:
    """Makes the pictures of a clip from decoded frames.

    Args:
        first: the first frame; it decides how the clip's colours are stored.
        width, height: of the clip, even.
        crop: what is taken from the sides of each picture first; None for nothing.
        whole: width and height of the whole picture then, even.

    Attributes:
        done: what is done to the colours, as the clip's JSON says it; None where nothing is.
    """

    def __init__(
        self,
        first: av.VideoFrame,
        width: int,
        height: int,
        crop: Crop | None = None,
        whole: tuple[int, int] | None = None,
    ) -> None:
        self._size, self._crop = (width, height), crop
        self._whole = self._size if crop is None or whole is None else whole
        colour = colour_of(first)
        usual = BT709 if height >= LINES_OF_HD else BT601
        self._tags: dict[str, int] = {}
        if not _is_plain(colour):
            self._matrix, is_said = BT709, True
        elif colour.matrix == RGB or is_transparent(first) or not orientation_of(first).is_upright:
            self._matrix, is_said = usual, usual == BT709
        else:
            self._matrix, is_said = colour.matrix, not colour.named and colour.matrix != usual
            if colour.named:
                self._tags = {"colorspace": first.colorspace}
        if is_said:
            self._tags = {
                "colorspace": _TAGS[self._matrix],
                "color_primaries": 1,
                "color_trc": 1,
                "color_range": 1,
            }
        self.done = _done(colour)
        self._scaler, self._converter = VideoReformatter(), RgbConverter()

    def tag(self, context: Any) -> None:
        """Write into the encoder's context what the file says of its colours."""
        for name, number in self._tags.items():
            setattr(context, name, number)

    def make(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame as it is encoded, without time."""
        colour, orientation = colour_of(frame), orientation_of(frame)
        ready, source = frame, colour.matrix
        exact = not _is_plain(colour)
        if exact or is_transparent(frame) or not orientation.is_upright:
            # sixteen bits where colours are computed, so that they are rounded once
            levels, pixels = (np.uint16, "gbrp16le") if exact else (np.uint8, "rgb24")
            picture = orientation.shown(self._converter.packed(frame, levels=levels))
            if not orientation.is_upright:
                picture = np.ascontiguousarray(picture)
            ready, source = av.VideoFrame.from_ndarray(picture, format=pixels), RGB
        matrices: dict[str, int] = {}
        if source == RGB:
            matrices = {"dst_colorspace": self._matrix}
        elif source != self._matrix or frame.colorspace not in _SCALED:
            matrices = {"src_colorspace": source, "dst_colorspace": self._matrix}
        stored = self._scaler.reformat(
            ready,
            width=self._whole[0],
            height=self._whole[1],
            format="yuv420p",
            interpolation=_EXACT if exact else None,
            dst_color_range="MPEG",
            threads=1,
            **matrices,
        )
        if self._crop is None:
            return stored
        cropped = self._crop.of_frame(stored)
        if (cropped.width, cropped.height) == self._size:
            return cropped
        return self._scaler.reformat(cropped, width=self._size[0], height=self._size[1], threads=1)


def _is_plain(colour: ColorSpace) -> bool:
    """Whether every player shows it right when told the matrix alone."""
    return colour.shows_as_bt709 and colour.matrix in (RGB, BT601, BT709)


def _done(colour: ColorSpace) -> str | None:
    if not _is_plain(colour):
        return f"{colour.name} -> bt709"
    if colour.full and colour.matrix != RGB:
        return f"{colour.name} -> limited"
    return None
