"""Red, green and blue from the matrices that FFmpeg's scaler does not know.

YCgCo, and weights that follow from the primaries, mix the coded channels. With constant luminance, and in
ICtCp, the channels are mixed as light, or as that of the eye's cones, and coded afterwards.

Source: ITU-T H.273, section 8.3 (YCgCo, chromaticity-derived systems); ITU-R BT.2020-2, table 4 (constant
luminance); BT.2100-2, table 7 (ICtCp).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .errors import VideoError

YCGCO, BT2020_CONSTANT, DERIVED, DERIVED_CONSTANT, ICTCP = 8, 10, 12, 13, 14
"""FFmpeg's numbers of the matrices."""

BEYOND_SCALER = frozenset((YCGCO, BT2020_CONSTANT, DERIVED, DERIVED_CONSTANT, ICTCP))

_RGB_TO_CONES = np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) / 4096
_CONES_TO_ICTCP = {
    "pq": np.array([[2048, 2048, 0], [6610, -13613, 7003], [17933, -17390, -543]]) / 4096,
    "hlg": np.array([[2048, 2048, 0], [3625, -7465, 3840], [9500, -9212, -288]]) / 4096,
}
_ALPHA, _BETA = 1.09929682680944, 0.018053968510807  # of BT.2020's transfer


def coded_rgb(
    planes: Sequence[np.ndarray],
    *,
    matrix: int,
    transfer: str,
    weights: tuple[float, float],
    bits: int,
    full: bool,
) -> list[np.ndarray]:
    """Red, green and blue as their own transfer codes them.

    Args:
        planes: luma and the two planes of colour as they are stored, [height, width] each.
        matrix: one of `BEYOND_SCALER`.
        transfer: "sdr", "pq", "hlg" or another name of `colour`.
        weights: of red and blue in the luminance of the primaries.
        bits: of a number.
        full: whether black and white are the least and the greatest number.

    Returns:
        uint16 [height, width] each; white, or the most that the signal can be, is 65535.

    Raises:
        VideoError: the matrix wants another transfer.

    >>> grey = [np.full((1, 1), level, np.uint8) for level in (235, 128, 128)]
    >>> coded = coded_rgb(grey, matrix=8, transfer="sdr", weights=(0.2, 0.1), bits=8, full=False)
    >>> [plane.item() for plane in coded]
    [65535, 65535, 65535]
    """
    luma, blue, red = _normal(planes, bits, full, 219 if matrix == YCGCO else 224)
    red_weight, blue_weight = weights
    rgb: Sequence[np.ndarray]
    if matrix == YCGCO:
        rest = luma - blue
        rgb = rest + red, luma + blue, rest - red
    elif matrix == ICTCP:
        rgb = list(_of_ictcp(np.stack([luma, blue, red]), transfer))
    elif matrix == DERIVED:
        rgb = _mixed(
            luma + 2 * (1 - red_weight) * red,
            luma,
            luma + 2 * (1 - blue_weight) * blue,
            red_weight,
            blue_weight,
        )
    else:
        coded_red = luma + red * 2 * _reach(red, red_weight, transfer)
        coded_blue = luma + blue * 2 * _reach(blue, blue_weight, transfer)
        red_light, light, blue_light = (_light(each, transfer) for each in (coded_red, luma, coded_blue))
        _, green, _ = _mixed(red_light, light, blue_light, red_weight, blue_weight)
        rgb = coded_red, _code(green, transfer), coded_blue
    return [np.rint(np.clip(each, 0, 1) * 65535).astype(np.uint16) for each in rgb]


def _normal(planes: Sequence[np.ndarray], bits: int, full: bool, reach: int) -> list[np.ndarray]:
    """Luma of 0..1, colour of -0.5..0.5, which in limited range reaches over so many levels of eight bits."""
    unit = float(1 << (bits - 8))
    luma, *colours = (plane.astype(np.float32) for plane in planes)
    if full:
        top = float((1 << bits) - 1)
        return [luma / top, *((colour - 128 * unit) / top for colour in colours)]
    return [(luma / unit - 16) / 219, *((colour / unit - 128) / reach for colour in colours)]


def _mixed(
    red: np.ndarray, luma: np.ndarray, blue: np.ndarray, red_weight: float, blue_weight: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Green from the weighted sum of all three."""
    green = (luma - red_weight * red - blue_weight * blue) / (1 - red_weight - blue_weight)
    return red, green, blue


def _reach(colour: np.ndarray, weight: float, transfer: str) -> np.ndarray:
    """How far a channel can lie above luma, or below it where the colour is negative."""
    above = 1 - _code(np.float32(weight), transfer)
    below = _code(np.float32(1 - weight), transfer)
    return np.where(colour > 0, above, below)


def _of_ictcp(planes: np.ndarray, transfer: str) -> np.ndarray:
    if transfer not in _CONES_TO_ICTCP:
        raise VideoError("has colours in ICtCp, but not the transfer of HDR")
    cones = np.tensordot(np.linalg.inv(_CONES_TO_ICTCP[transfer]), planes, 1)
    return _code(np.tensordot(np.linalg.inv(_RGB_TO_CONES), _light(cones, transfer), 1), transfer)


def _light(code: np.ndarray, transfer: str) -> np.ndarray:
    """Light for a code, 0..1 of the most that there can be; as a camera saw it but for PQ's."""
    code = np.clip(code, 0, 1)
    if transfer == "pq":
        power = code ** (32 / 2523)
        share = np.maximum(power - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * power)
        return np.asarray(share ** (8192 / 1305))
    if transfer == "hlg":
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    toe = code < 4.5 * _BETA
    return np.where(toe, code / 4.5, ((code + _ALPHA - 1) / _ALPHA) ** (1 / 0.45))


def _code(light: np.ndarray, transfer: str) -> np.ndarray:
    """The inverse of `_light`."""
    light = np.clip(light, 0, 1)
    if transfer == "pq":
        power = light ** (1305 / 8192)
        return np.asarray(((107 / 128 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32))
    if transfer == "hlg":
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        upper = a * np.log(np.maximum(12 * light - b, 1e-9)) + c
        return np.where(light <= 1 / 12, np.sqrt(3 * light), upper)
    return np.where(light < _BETA, 4.5 * light, _ALPHA * light**0.45 - (_ALPHA - 1))
