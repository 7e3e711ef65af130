"""Visual attributes of a clip: brightness, colorfulness, hue.

All three are read from frames sampled uniformly in time, as uint8 RGB.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Attributes:
    """The three visual attributes of one clip.

    Attributes:
        brightness: 0 (black) .. 1 (white).
        colorfulness: 0 (grey) to about 1.5.
        hue: degrees 0..360 (0 red, 120 green, 240 blue), None for a grey clip.
    """

    brightness: float
    colorfulness: float
    hue: float | None


def brightness(frames: np.ndarray) -> float:
    """Mean Rec. 601 luma, 0.299 R + 0.587 G + 0.114 B.

    Args:
        frames: uint8 [..., 3] RGB.

    Returns:
        0..1.

    Source: ITU-R BT.601-7, section 2.5.1.

    >>> brightness(np.full((1, 2, 2, 3), 255, np.uint8))
    1.0
    """
    red, green, blue = frames.reshape(-1, 3).mean(axis=0, dtype=np.float64)
    return float((299 * red + 587 * green + 114 * blue) / 255000)


def colorfulness(frames: np.ndarray) -> float:
    """Hasler and Suesstrunk's M3 on a 0..1 RGB scale, averaged over the frames.

    With rg = R - G and yb = (R + G) / 2 - B, a frame has
    M3 = sqrt(var(rg) + var(yb)) + 0.3 * sqrt(mean(rg)^2 + mean(yb)^2).

    Args:
        frames: uint8 [T, H, W, 3] RGB.

    Returns:
        0 for grey, to about 1.5.

    Source: D. Hasler, S. Suesstrunk, "Measuring colourfulness in natural images", SPIE 5007, 2003,
    equation for M^(3), here divided by 255.

    >>> colorfulness(np.full((1, 4, 4, 3), 128, np.uint8))
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


def hue(frames: np.ndarray) -> float | None:
    """Circular mean of the HSV hue, each pixel weighted by saturation x value.

    Saturation x value is max(R, G, B) - min(R, G, B), the chroma.

    Args:
        frames: uint8 [..., 3] RGB.

    Returns:
        Degrees, 0 <= hue < 360; None when the mean chroma is below one of 255 grey levels or the hues
        cancel out, for then there is no direction to speak of.

    Source: A. R. Smith, "Color gamut transform pairs", SIGGRAPH 1978 (HSV); the mean direction of
    N. I. Fisher, "Statistical analysis of circular data", 1993, section 2.3.

    >>> hue(np.array([[[0, 255, 0]]], np.uint8)), hue(np.full((1, 1, 3), 9, np.uint8))
    (120.0, None)
    """
    rgb = frames.reshape(-1, 3).astype(np.int16)
    red, green, blue = rgb[:, 0], rgb[:, 1], rgb[:, 2]
    high, low = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    chroma = (high - low).astype(np.float32)
    total = float(chroma.sum(dtype=np.float64))
    if total < len(chroma):
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        sextant = np.where(
            high == red,
            (green - blue) / chroma % 6,
            np.where(high == green, (blue - red) / chroma + 2, (red - green) / chroma + 4),
        )
    angle = np.where(chroma > 0, sextant, 0).astype(np.float32) * np.float32(np.pi / 3)
    x = float(np.dot(chroma, np.cos(angle)))
    y = float(np.dot(chroma, np.sin(angle)))
    if np.hypot(x, y) < 1e-3 * total:
        return None
    return round(float(np.degrees(np.arctan2(y, x))), 4) % 360.0


def attributes(frames: np.ndarray) -> Attributes:
    """All three attributes of a clip.

    Args:
        frames: uint8 [T, H, W, 3] RGB, sampled uniformly in time.

    Returns:
        `Attributes`, rounded to six digits (hue: four).

    Raises:
        ValueError: the array has another shape or type.

    >>> attributes(np.full((2, 4, 4, 3), 255, np.uint8))
    Attributes(brightness=1.0, colorfulness=0.0, hue=None)
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
        raise ValueError(f"{frames.shape = } {frames.dtype = }: must be uint8 [T, H, W, 3]")
    return Attributes(round(brightness(frames), 6), round(colorfulness(frames), 6), hue(frames))
