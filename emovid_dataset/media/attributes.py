"""Visual attributes of a clip: those of the EmoVid paper, and three perceptual ones beside them.

All are of every n-th frame of the clip as it is presented: 0, n, 2n ... The paper's are of all pixels of
these frames, the others of a picture of at most 128 pixels a side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from emovid_dataset.media.frames import sample_for_attributes
from emovid_dataset.media.source import Reader

EVERY = 20
"""The paper's n: attributes are of every 20th frame."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """The visual attributes of one clip.

    Attributes:
        brightness: mean V of HSV, 0 (black) .. 1 (white).
        colorfulness: mean S of HSV, 0 (grey) .. 1.
        hue: degrees 0..360 (0 red, 120 green, 240 blue): the angle of the sum of unit vectors of all pixels'
            hues. None counts more than another, and a grey pixel has hue 0: this pulls clips on white or grey
            backgrounds towards 0. None where the sum is exactly 0.
        luma: 0 (black) .. 1 (white).
        colorfulness_m3: 0 (grey) to about 1.5.
        hue_chroma: degrees 0..360, weighted by chroma; None for a grey clip.
    """

    brightness: float
    colorfulness: float
    hue: float | None
    luma: float
    colorfulness_m3: float
    hue_chroma: float | None


def as_in_paper(brightness: float, colorfulness: float, hue: float | None) -> tuple[float, float, int | None]:
    """Round the paper's attributes as the paper does; a build stores them unrounded.

    Args:
        brightness: 0..1.
        colorfulness: 0..1.
        hue: degrees, 0..360, or None.

    Returns:
        One decimal, one decimal, and a whole degree 0..359.

    >>> as_in_paper(0.449, 0.25001, 359.6)
    (0.4, 0.3, 0)
    """
    return round(brightness, 1), round(colorfulness, 1), None if hue is None else round(hue) % 360


def luma(frames: np.ndarray) -> float:
    """Mean Rec. 601 luma, 0.299 R + 0.587 G + 0.114 B.

    Args:
        frames: uint8 [..., 3] RGB.

    Returns:
        0..1.

    Source: ITU-R BT.601-7, section 2.5.1.

    >>> luma(np.full((1, 2, 2, 3), 255, np.uint8))
    1.0
    """
    # channel by channel: NumPy is ten times slower along an axis before a short one
    red, green, blue = (float(frames[..., channel].sum(dtype=np.int64)) for channel in range(3))
    pixels = frames.size // 3
    return (299 * (red / pixels) + 587 * (green / pixels) + 114 * (blue / pixels)) / 255000


def colorfulness_m3(frames: np.ndarray) -> float:
    """Hasler and Suesstrunk's M3 on a 0..1 RGB scale, averaged over the frames.

    With rg = R - G and yb = (R + G) / 2 - B, a frame has
    M3 = sqrt(var(rg) + var(yb)) + 0.3 * sqrt(mean(rg)^2 + mean(yb)^2).

    Args:
        frames: uint8 [T, H, W, 3] RGB.

    Returns:
        0 for grey, to about 1.5.

    Source: D. Hasler, S. Suesstrunk, "Measuring colourfulness in natural images", SPIE 5007, 2003,
    equation for M^(3), here divided by 255.

    >>> colorfulness_m3(np.full((1, 4, 4, 3), 128, np.uint8))
    0.0
    """
    rgb = frames.reshape(frames.shape[0], -1, 3).astype(np.int16)
    rg = rgb[..., 0] - rgb[..., 1]
    yb = rgb[..., 0] + rgb[..., 1] - 2 * rgb[..., 2]  # twice yb, so that it stays whole
    rg_mean, rg_var = _mean_and_variance(rg)
    yb_mean, yb_var = _mean_and_variance(yb)
    spread = np.sqrt(rg_var + yb_var / 4)
    offset = np.sqrt(rg_mean**2 + yb_mean**2 / 4)
    return float(np.mean(spread + 0.3 * offset) / 255)


def _mean_and_variance(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    wide = values.astype(np.float32)
    mean = wide.mean(axis=1, dtype=np.float64)
    square = np.einsum("tn,tn->t", wide, wide, dtype=np.float64) / wide.shape[1]
    return mean, np.maximum(square - mean**2, 0)


def hue_chroma(frames: np.ndarray) -> float | None:
    """Circular mean of the HSV hue, each pixel weighted by saturation x value.

    Saturation x value is max(R, G, B) - min(R, G, B), the chroma.

    Args:
        frames: uint8 [..., 3] RGB.

    Returns:
        Degrees, 0 <= hue < 360; None when the mean chroma is below one of 255 grey levels or the hues
        cancel out, for then there is no direction to speak of.

    Source: A. R. Smith, "Color gamut transform pairs", SIGGRAPH 1978 (HSV); the mean direction of
    N. I. Fisher, "Statistical analysis of circular data", 1993, section 2.3.

    >>> hue_chroma(np.array([[[0, 255, 0]]], np.uint8)), hue_chroma(np.full((1, 1, 3), 9, np.uint8))
    (120.0, None)
    """
    red, green, blue = np.ascontiguousarray(frames.reshape(-1, 3).T, np.int16)
    high, low = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    chroma = (high - low).astype(np.float32)
    total = float(chroma.sum(dtype=np.float64))
    if total < len(chroma):
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        from_red = (green - blue) / chroma
        sextant = np.where(
            high == red,
            np.where(from_red < 0, from_red + np.float32(6), from_red),
            np.where(high == green, (blue - red) / chroma + 2, (red - green) / chroma + 4),
        )
    angle = np.where(chroma > 0, sextant, 0).astype(np.float32) * np.float32(np.pi / 3)
    x = float(np.dot(chroma, np.cos(angle)))
    y = float(np.dot(chroma, np.sin(angle)))
    if np.hypot(x, y) < 1e-3 * total:
        return None
    return round(float(np.degrees(np.arctan2(y, x))), 4) % 360.0


class HsvSum:
    """Sums of value, saturation and hue vectors over the pixels of pictures.

    Value is summed in whole numbers, and hue over a histogram of the differences between the channels, on
    which alone it depends: both are exact. Saturation is divided and summed in float32, which is off by less
    than 1e-5.
    """

    def __init__(self) -> None:
        self._pixels = self._value = self._black = 0
        self._greyness = 0.0
        self._differences = np.zeros(_SIDE * _SIDE, np.int64)
        self._room: _Room | None = None

    def add(self, red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> None:
        """Add a picture.

        Args:
            red, green, blue: uint8 [H, W].
        """
        height, width = red.shape
        rows = min(height, max(1, _PIXELS_AT_ONCE // width))
        if self._room is None or self._room.high.shape != (rows, width):
            self._room = _Room.of(rows, width)
        for top in range(0, height, rows):
            self._add_rows(self._room, *(plane[top : top + rows] for plane in (red, green, blue)))
        self._pixels += height * width

    def _add_rows(self, room: _Room, red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> None:
        rows = len(red)
        high, low, black, share = (array[:rows] for array in (room.high, room.low, room.black, room.share))
        left, right, index = (array[:rows] for array in (room.left, room.right, room.index))
        np.maximum(np.maximum(red, green, out=high), blue, out=high)
        np.minimum(np.minimum(red, green, out=low), blue, out=low)
        self._value += int(high.sum(dtype=np.uint32))
        np.equal(high, 0, out=black)
        self._black += int(np.count_nonzero(black))
        np.bitwise_or(high, black, out=high)  # 1 in the place of 0, so that it divides
        np.divide(low, high, out=share, dtype=np.float32)
        self._greyness += float(share.sum())
        # _SIDE * (red - green) + (green - blue) + _ORIGIN
        np.multiply(red, _SIDE, out=left, dtype=np.int32)
        np.multiply(green, _SIDE - 1, out=right, dtype=np.int32)
        left -= right
        left -= blue
        left += _ORIGIN
        np.copyto(index, left)
        np.add.at(self._differences, index.ravel(), 1)  # without a table per step, as bincount makes it

    def result(self) -> tuple[float, float, float | None]:
        """Brightness, colorfulness and hue of all pixels so far, of which there is at least one."""
        saturation = 1.0 - (self._greyness + float(self._black)) / self._pixels
        held = np.flatnonzero(self._differences != 0)
        x, y = self._differences[held] @ _unit_vectors()[held] / self._pixels
        # opposite hues cancel out but for the rounding of their cosines and sines
        hue = math.degrees(math.atan2(y, x)) % 360 if math.hypot(x, y) > 1e-12 else None
        return self._value / (255 * self._pixels), max(saturation, 0.0), hue


_SIDE = 511  # differences of two levels: -255..255
_ORIGIN = 255 * _SIDE + 255
_PIXELS_AT_ONCE = 1 << 17  # what one step works on stays in the cache


@dataclass(frozen=True, slots=True)
class _Room:
    """Arrays for what is worked out of some rows: to allocate them each time costs more than the sums."""

    high: np.ndarray
    low: np.ndarray
    black: np.ndarray
    share: np.ndarray
    left: np.ndarray
    right: np.ndarray
    index: np.ndarray

    @classmethod
    def of(cls, rows: int, width: int) -> _Room:
        kinds = (np.uint8, np.uint8, np.bool_, np.float32, np.int32, np.int32, np.intp)
        return cls(*(np.empty((rows, width), kind) for kind in kinds))


@lru_cache(maxsize=1)
def _unit_vectors() -> np.ndarray:
    """Cosine and sine of the HSV hue by R - G and G - B, float64 [511 x 511, 2]; grey has hue 0."""
    red_green, green_blue = np.mgrid[-255:256, -255:256].reshape(2, -1).astype(np.float64)
    # any red, green and blue with these differences will do
    green = np.zeros_like(red_green)
    red, blue = red_green, -green_blue
    high, low = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    chroma = np.maximum(high - low, 1)
    sextant = np.where(
        high == red,
        (green - blue) / chroma,
        np.where(high == green, (blue - red) / chroma + 2, (red - green) / chroma + 4),
    )
    angle = sextant * (math.pi / 3)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def measure(reader: Reader, every: int = EVERY) -> tuple[Attributes, bool]:
    """The visual attributes of a video.

    Args:
        reader: an open video.
        every: frames 0, `every`, 2 x `every` ... are looked at.

    Returns:
        `Attributes`, and whether the frames are shown as they are stored: neither turned nor mirrored, nor in
        colours that only an ICC profile tells.

    Raises:
        VideoError: the video is damaged.
    """
    hsv, reduced = HsvSum(), []
    is_upright = True
    for frame in sample_for_attributes(reader, every):
        hsv.add(*frame.planes)
        reduced.append(frame.reduced)
        is_upright &= frame.orientation.is_upright and not frame.has_profile
    return Attributes(*hsv.result(), *perceptual_attributes(np.stack(reduced))), is_upright


def perceptual_attributes(frames: np.ndarray) -> tuple[float, float, float | None]:
    """Luma, colorfulness (M3) and hue by chroma of frames.

    Args:
        frames: uint8 [T, H, W, 3] RGB.

    Returns:
        The three, rounded to six digits (hue: four).

    Raises:
        ValueError: the array has another shape or type.

    >>> perceptual_attributes(np.full((2, 4, 4, 3), 255, np.uint8))
    (1.0, 0.0, None)
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
        raise ValueError(f"{frames.shape = } {frames.dtype = }: must be uint8 [T, H, W, 3]")
    return round(luma(frames), 6), round(colorfulness_m3(frames), 6), hue_chroma(frames)
