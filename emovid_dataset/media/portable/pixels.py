"""From decoded frames to RGB as it is seen: in BT.709's colours, transparent pixels on white, upright."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from .colour import BT601, RGB, ColorSpace, colour_of, shown_in_bt709
from .errors import VideoError
from .icc import to_srgb
from .matrices import BEYOND_SCALER, coded_rgb
from .side_data import attached

# The scaler's flags SWS_ACCURATE_RND, SWS_FULL_CHR_H_INT and SWS_FULL_CHR_H_INP: PyAV names them from 18 on.
ROUNDED, WHOLE_CHROMA_OUT, WHOLE_CHROMA_IN = 0x40000, 0x2000, 0x4000
"""Flags of the scaler beside its interpolation: round exactly, keep all chroma towards RGB or from it."""


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


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a stored picture is turned to be shown: mirrored at its diagonal first, then along its sides.

    Attributes:
        transposed: rows become columns.
        left_right: the result is mirrored left to right.
        upside_down: the result is mirrored top to bottom.
    """

    transposed: bool = False
    left_right: bool = False
    upside_down: bool = False

    @property
    def is_upright(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.transposed or self.left_right or self.upside_down)

    def shown(self, picture: np.ndarray) -> np.ndarray:
        """The picture as it is shown.

        Args:
            picture: [height, width, ...] as stored.

        Returns:
            A view of it, sides exchanged where it is transposed.

        >>> Orientation(transposed=True, left_right=True).shown(np.array([[1, 2, 3]])).tolist()
        [[1], [2], [3]]
        """
        turned = picture.swapaxes(0, 1) if self.transposed else picture
        return turned[:: -1 if self.upside_down else 1, :: -1 if self.left_right else 1]

    def stored(self, size: tuple[int, int] | None) -> tuple[int, int] | None:
        """Height and width of the stored picture that is shown with these."""
        return size[::-1] if size and self.transposed else size


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """How a decoded frame is turned by its display matrix, which may also mirror it.

    Source: ISO/IEC 14496-12 section 6.2.2. By the matrix a b u, c d v, x y w the picture's point (p, q) is
    shown at (a p + c q + x, b p + d q + y).
    """
    try:
        matrix = attached(frame, "DISPLAYMATRIX")
    except ValueError:
        return _QUARTER_TURNS[round(frame.rotation / 90) % 4]
    if matrix is None:
        return _UPRIGHT
    a, b, _, c, d = (int(number) for number in np.frombuffer(matrix, np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


_UPRIGHT = Orientation()
_QUARTER_TURNS = (  # counterclockwise
    _UPRIGHT,
    Orientation(True, False, True),
    Orientation(False, True, True),
    Orientation(True, True, False),
)


class RgbConverter:
    """Turns the frames of a video into RGB in BT.709's colours, transparent pixels on white; not upright.

    It keeps its scalers from frame to frame. The picture of a wider space is reduced before its colours are
    computed. In a picture's own size FFmpeg's scaler takes a quick path, which is up to 3 levels off for
    strong colours, unless it is asked to be exact.

    Args:
        interpolation: of the scaler, with its flags.
        quick: whether to take the quick path in a picture's own size, in a third of the time.
    """

    def __init__(self, interpolation: int = Interpolation.BILINEAR, *, quick: bool = False) -> None:
        self._interpolation, self._quick = interpolation, quick
        self._on_white, self._to_rgb = VideoReformatter(), VideoReformatter()

    def packed(
        self,
        frame: av.VideoFrame,
        size: tuple[int, int] | None = None,
        *,
        colour: ColorSpace | None = None,
        levels: type = np.uint8,
    ) -> np.ndarray:
        """The frame as one array.

        Args:
            frame: a decoded frame, in any pixel format.
            size: height and width that the picture is squeezed to; None keeps its own.
            colour: what its numbers mean, where the frame is not as it was decoded; else `colour_of(frame)`.
            levels: np.uint8 or np.uint16, of the result.

        Returns:
            [height, width, 3].
        """
        colour = colour or colour_of(frame)
        if not (colour.shows_as_bt709 and levels is np.uint8):
            return np.moveaxis(self._shown(frame, colour, size, levels), 0, 2)
        if self._quick:
            return np.asarray(self._scaled(frame, colour, size, "rgb24", self._interpolation).to_ndarray())
        return np.dstack(self.planes(frame, size, colour=colour))

    def planes(
        self, frame: av.VideoFrame, size: tuple[int, int] | None = None, *, colour: ColorSpace | None = None
    ) -> Sequence[np.ndarray]:
        """Red, green and blue of the frame, which is quicker than `packed`.

        Args:
            frame: a decoded frame, in any pixel format.
            size, colour: as for `packed`.

        Returns:
            uint8 [height, width] each.
        """
        colour = colour or colour_of(frame)
        if colour.shows_as_bt709:
            return _planes(self._scaled(frame, colour, size, "gbrp", self._interpolation), np.uint8)
        return list(self._shown(frame, colour, size, np.uint8))

    def _shown(
        self, frame: av.VideoFrame, colour: ColorSpace, size: tuple[int, int] | None, levels: type
    ) -> np.ndarray:
        if colour.profile is not None:
            stored = self.packed(frame, size, colour=replace(colour, profile=None))
            shown = np.moveaxis(to_srgb(stored, colour.profile), 2, 0)
            return shown if levels is np.uint8 else shown * np.uint16(257)
        if colour.matrix in BEYOND_SCALER:
            return shown_in_bt709(self._mixed(frame, colour, size), colour, levels=levels)
        exactly = self._interpolation | ROUNDED | WHOLE_CHROMA_OUT
        deep = self._scaled(frame, colour, size, "gbrp16le", exactly)
        white = _white("rgb24" if is_transparent(frame) else frame.format.name, colour.full)
        return shown_in_bt709(_planes(deep, np.dtype("<u2")), colour, white=white, levels=levels)

    def _mixed(
        self, frame: av.VideoFrame, colour: ColorSpace, size: tuple[int, int] | None
    ) -> list[np.ndarray]:
        """Red, green and blue, coded, from a matrix that the scaler does not know; uint16."""
        if is_transparent(frame):
            raise VideoError(f"has transparent pictures in {colour.name}, which are not read")
        height, width = size or (frame.height, frame.width)
        bits = max(component.bits for component in frame.format.components)
        color_range = 2 if colour.full else 1
        # the scaler only brings all three planes to one size: from any matrix to the same one
        ready = self._to_rgb.reformat(
            frame,
            width=width,
            height=height,
            format="yuv444p" if bits == 8 else f"yuv444p{bits}le",
            src_colorspace=BT601,
            dst_colorspace=BT601,
            src_color_range=color_range,
            dst_color_range=color_range,
            interpolation=self._interpolation | ROUNDED | WHOLE_CHROMA_IN,
            threads=1,
        )
        number = np.uint8 if bits == 8 else np.dtype("<u2")
        return coded_rgb(
            _in_order(ready, number),
            matrix=colour.matrix,
            transfer=colour.transfer,
            weights=colour.luminance_weights,
            bits=bits,
            full=colour.full,
        )

    def _scaled(
        self,
        frame: av.VideoFrame,
        colour: ColorSpace,
        size: tuple[int, int] | None,
        pixels: str,
        interpolation: int,
    ) -> av.VideoFrame:
        height, width = size or (frame.height, frame.width)
        matrix = None if colour.matrix == RGB else colour.matrix
        # RGB needs no arithmetic, but would go through some
        exactly = 0 if self._quick or matrix is None else ROUNDED | WHOLE_CHROMA_OUT
        if is_transparent(frame):
            rgba = self._on_white.reformat(
                frame,
                format="rgba",
                src_colorspace=matrix,
                interpolation=Interpolation.BILINEAR | exactly,
                threads=1,
            )
            frame = av.VideoFrame.from_ndarray(lay_on_white(rgba.to_ndarray()), format="rgb24")
            matrix = None
        elif (height, width) == (frame.height, frame.width):
            interpolation |= exactly
        return self._to_rgb.reformat(
            frame,
            width=width,
            height=height,
            format=pixels,
            src_colorspace=matrix,
            interpolation=interpolation,
            threads=1,
        )


@lru_cache
def _white(pixel_format: str, full: bool) -> int:
    """The code in sixteen bits that FFmpeg's scaler makes of the greatest number of a format."""
    bits = max(component.bits for component in av.VideoFormat(pixel_format).components) if full else 8
    return (1 << 16) - (1 << (16 - bits))


def _planes(frame: av.VideoFrame, number: Any) -> list[np.ndarray]:
    """Red, green and blue of a planar RGB frame, without a copy."""
    green, blue, red = _in_order(frame, number)
    return [red, green, blue]


def _in_order(frame: av.VideoFrame, number: Any) -> list[np.ndarray]:
    """The planes of a frame as they are stored, without a copy."""
    return [
        np.asarray(memoryview(plane)).view(number).reshape(plane.height, -1)[:, : plane.width]
        for plane in frame.planes
    ]


def rgb(frame: av.VideoFrame, size: tuple[int, int] | None = None) -> np.ndarray:
    """The picture as it is seen.

    Args:
        frame: a decoded frame, in any pixel format.
        size: height and width that it is squeezed to; None keeps its own.

    Returns:
        uint8 [height, width, 3], in BT.709's colours, transparent pixels on white, upright.
    """
    orientation = orientation_of(frame)
    picture = RgbConverter().packed(frame, orientation.stored(size))
    return np.ascontiguousarray(orientation.shown(picture))
