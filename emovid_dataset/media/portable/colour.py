"""What a frame's numbers mean as colours, and how BT.709 shows them.

A frame names its matrix, range, primaries and transfer, or leaves some of them open. `colour_of` decides as
players do: a matrix that is not named is BT.2020's for BT.2020 primaries and HDR, and otherwise BT.709's from
720 lines on and BT.601's below; primaries that are not named are BT.2020's for that matrix and for HDR, and
otherwise BT.709's, so that untagged pictures keep their numbers.

An ICC profile says all of that itself, unless the picture is HDR.

SDR transfers that differ on paper alone (BT.709, BT.601, BT.2020, sRGB) count as one: that of a display of
gamma 2.4 (BT.1886).

HDR is shown as SDR: light as bright as white paper, 203 cd/m2, becomes SDR's white, and what is darker keeps
its colour. What is brighter is not cut off channel by channel: the largest of the three channels rolls off
from 0.92 of white on, towards the 1 that it never exceeds, and the others shrink with it, so that bright
orange stays orange. White paper itself comes out at 251 of 255.

Source: ITU-R BT.601-7, BT.709-6, BT.1886, BT.2020-2, BT.2100-2 (HLG with its luminance OOTF at 1,000 cd/m2,
PQ), BT.2408-7 (203 cd/m2); SMPTE RP 431-2 and EG 432-1. Where white itself is another one, Bradford's
chromatic adaptation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import av
import numpy as np

from .errors import VideoError
from .icc import profile_of
from .matrices import BEYOND_SCALER, BT2020_CONSTANT, DERIVED, DERIVED_CONSTANT, ICTCP, YCGCO

RGB, BT709, BT601, BT2020 = 0, 1, 5, 9
"""Matrices by FFmpeg's numbers, which its scaler takes too; RGB has none."""

_FCC, _SMPTE240M = 4, 7
_MATRICES = {1: BT709, 4: _FCC, 5: BT601, 6: BT601, 7: _SMPTE240M, 9: BT2020}
_MATRICES |= {number: number for number in BEYOND_SCALER}
_NOT_READ = {11: "SMPTE ST 2085", 15: "IPT-C2", 16: "YCgCo-Re", 17: "YCgCo-Ro"}
LINES_OF_HD = 720
"""From how many lines on a picture that names no matrix is taken for BT.709."""

_FULL_RANGE = 2
_PALETTE = "pal8"

_PRIMARIES = {
    1: "bt709",
    4: "bt470m",
    5: "bt601-625",
    6: "bt601-525",
    7: "bt601-525",
    8: "film",
    9: "bt2020",
    11: "dci-p3",
    12: "display-p3",
    22: "ebu3213",
}
_TRANSFERS = {4: "gamma22", 5: "gamma28", 8: "linear", 16: "pq", 18: "hlg"}
_HDR = frozenset(("pq", "hlg"))
_MATRIX_NAMES = {
    RGB: "rgb",
    BT709: "bt709",
    _FCC: "fcc",
    BT601: "bt601",
    _SMPTE240M: "smpte240m",
    BT2020: "bt2020",
    YCGCO: "ycgco",
    BT2020_CONSTANT: "bt2020 constant luminance",
    DERIVED: "chromaticity-derived",
    DERIVED_CONSTANT: "chromaticity-derived constant luminance",
    ICTCP: "ictcp",
}

_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
_CHROMATICITIES = {  # of red, green, blue and white
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65),
    "bt470m": ((0.670, 0.330), (0.210, 0.710), (0.140, 0.080), _C),
    "bt601-625": ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060), _D65),
    "bt601-525": ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    "film": ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    "dci-p3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _DCI),
    "display-p3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
    "ebu3213": ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

_GAMMAS = {"sdr": 2.4, "gamma22": 2.2, "gamma28": 2.8, "linear": 1.0}
_WHITE = 203.0  # cd/m2
_HLG_PEAK, _HLG_GAMMA = 1000.0, 1.2
_LUMINANCE_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
_KNEE, _LEAST = np.float32(0.92), np.float32(1e-9)  # of white
_PIXELS_AT_ONCE = 1 << 16  # what one step works on stays in the processor's cache


@dataclass(frozen=True, slots=True)
class ColorSpace:
    """What a frame's numbers mean.

    Attributes:
        matrix: `RGB`, `BT709`, `BT601`, `BT2020`, one of `BEYOND_SCALER`, or FFmpeg's number of a rarer one.
        full: whether black and white are the least and the greatest number, not 16 and 235.
        primaries: "bt709", "bt601-525", "bt601-625", "bt2020", "display-p3" or a rarer one.
        transfer: "sdr", "hlg", "pq", "gamma22", "gamma28" or "linear".
        named: whether the frame names its matrix.
        profile: an ICC profile by which red, green and blue become sRGB; None where there is none, or it is
            sRGB's own.
    """

    matrix: int
    full: bool
    primaries: str
    transfer: str
    named: bool
    profile: bytes | None = None

    @property
    def is_hdr(self) -> bool:
        """Whether it is brighter than SDR can be."""
        return self.transfer in _HDR

    @property
    def shows_as_bt709(self) -> bool:
        """Whether FFmpeg's scaler gives red, green and blue of BT.709 or sRGB as they are."""
        is_bt709 = self.primaries == "bt709" and self.transfer == "sdr" and self.profile is None
        return is_bt709 and self.matrix not in BEYOND_SCALER

    @property
    def luminance_weights(self) -> tuple[float, float]:
        """Those of red and blue in the luminance of the primaries."""
        red, _, blue = _rgb_to_xyz(self.primaries)[1]
        return float(red), float(blue)

    @property
    def name(self) -> str:
        """What people call it, for example "hdr-hlg", "bt2020" or "bt601 full"."""
        if self.profile is not None:
            return "icc profile"
        words = [f"hdr-{self.transfer}" if self.is_hdr else self.primaries]
        if words == ["bt709"]:
            words = [_MATRIX_NAMES[self.matrix]]
        if self.transfer not in _HDR and self.transfer != "sdr":
            words.append(self.transfer)
        if self.full and self.matrix != RGB:
            words.append("full")
        return " ".join(words)


def colour_of(frame: av.VideoFrame) -> ColorSpace:
    """What a decoded frame's numbers mean, by its tags and, where it has none, as players take it.

    Raises:
        VideoError: they are in a space that is not read here.
    """
    found = _colour(
        frame.format.name,
        frame.colorspace,
        frame.color_range,
        frame.color_primaries,
        frame.color_trc,
        frame.height >= LINES_OF_HD,
    )
    profile = None if found.is_hdr else profile_of(frame)
    return replace(found, primaries="bt709", transfer="sdr", profile=profile) if profile else found


@lru_cache(maxsize=64)
def _colour(
    pixel_format: str, matrix: int, color_range: int, primaries: int, transfer: int, is_hd: bool
) -> ColorSpace:
    kind = av.VideoFormat(pixel_format)
    is_rgb = kind.is_rgb or pixel_format == _PALETTE
    by = _TRANSFERS.get(transfer, "sdr")
    if is_rgb and by == "gamma22":
        by = "sdr"  # how pictures from before sRGB put it
    from_2020 = primaries == BT2020 or by in _HDR
    if is_rgb:
        known: int | None = RGB
    else:
        known = _MATRICES.get(matrix)
        if matrix in _NOT_READ:
            raise VideoError(f"has colours in {_NOT_READ[matrix]}, which is not read")
    guess = BT2020 if from_2020 else BT709 if is_hd else BT601
    decided = guess if known is None else known
    wide = decided in (BT2020, BT2020_CONSTANT, ICTCP) or by in _HDR
    return ColorSpace(
        matrix=decided,
        full=is_rgb or color_range == _FULL_RANGE or pixel_format.startswith("yuvj"),
        primaries=_PRIMARIES.get(primaries, "bt2020" if wide else "bt709"),
        transfer=by,
        named=known is not None,
    )


def shown_in_bt709(
    planes: Sequence[np.ndarray], colour: ColorSpace, *, white: int = 65535, levels: type = np.uint8
) -> np.ndarray:
    """Red, green and blue as BT.709 shows them.

    Args:
        planes: red, green and blue as they are coded, uint16 [height, width] each.
        colour: what the numbers mean; its matrix and range play no part any more.
        white: the greatest code, of the most that the signal can be; black is 0.
        levels: np.uint8 or np.uint16, of the result.

    Returns:
        [3, height, width], coded, up to 255 or 65535. What BT.709 cannot show has its negative channels at 0.

    >>> white = [np.full((1, 1), 49151, np.uint16)] * 3  # three quarters of the signal: white paper
    >>> hlg = ColorSpace(BT2020, False, "bt2020", "hlg", True)
    >>> shown_in_bt709(white, hlg).ravel().tolist()
    [251, 251, 251]
    """
    to_light, to_code = _light(colour.transfer, white), _codes(levels)
    matrix = _primaries_to_bt709(colour.primaries).astype(np.float32)
    height, width = planes[0].shape
    shown: np.ndarray = np.empty((3, height, width), levels)
    rows = max(1, _PIXELS_AT_ONCE // width)
    for top in range(0, height, rows):
        light = np.stack([to_light.take(plane[top : top + rows]).ravel() for plane in planes])
        if colour.transfer == "hlg":
            light *= _hlg_gain().take(_index(_mixed(light, _LUMINANCE_2020)))
        light = np.stack([_mixed(light, row) for row in matrix])
        if colour.is_hdr:
            _roll_off(light)
        shown[:, top : top + rows] = to_code.take(_index(light)).reshape(3, -1, width)
    return shown


def _mixed(light: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Three channels' weighted sum; BLAS would round otherwise from machine to machine."""
    red, green, blue = (channel * weight for channel, weight in zip(light, weights, strict=True))
    red += green
    red += blue
    return np.asarray(red)


def _roll_off(light: np.ndarray) -> None:
    """Bring what is brighter than the knee below 1, all channels of a pixel alike."""
    largest = light.max(axis=0)
    if largest.max() > _KNEE:
        over = np.maximum(largest - _KNEE, 0)
        light *= (np.minimum(largest, _KNEE) + over * (1 - _KNEE) / (over + 1 - _KNEE)) / np.maximum(
            largest, _LEAST
        )


def _index(light: np.ndarray) -> np.ndarray:
    """Where light of 0..1 stands in a table of 65,536 by its root, finer in the dark; uint16."""
    return (np.sqrt(np.clip(light, 0, 1)) * np.float32(65535) + np.float32(0.5)).astype(np.uint16)


@lru_cache(maxsize=2)
def _codes(levels: type) -> np.ndarray:
    """What a display of gamma 2.4 needs for light, by `_index`."""
    return np.rint(np.linspace(0, 1, 65536) ** (2 / 2.4) * np.iinfo(levels).max).astype(levels)


@lru_cache(maxsize=1)
def _hlg_gain() -> np.ndarray:
    """Light of the display for light of the scene, by `_index` of the scene's luminance; white is 1."""
    luminance = np.linspace(0, 1, 65536) ** 2
    return (luminance ** (_HLG_GAMMA - 1) * _HLG_PEAK / _WHITE).astype(np.float32)


@lru_cache(maxsize=8)
def _light(transfer: str, white: int) -> np.ndarray:
    """Linear light of every code, float32 [65536]: of the scene for HLG, else of the display; white is 1."""
    code = np.minimum(np.arange(65536) / white, 1)
    if transfer == "pq":
        power = code ** (32 / 2523)
        share = np.maximum(power - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * power)
        light = share ** (8192 / 1305) * 10000 / _WHITE
    elif transfer == "hlg":
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    else:
        light = code ** _GAMMAS[transfer]
    return light.astype(np.float32)


@lru_cache(maxsize=16)
def _primaries_to_bt709(primaries: str) -> np.ndarray:
    """The matrix, float64 [3, 3], from linear light of some primaries to that of BT.709's."""
    if primaries == "bt709":
        return np.eye(3)
    white, wanted = (_xyz(_CHROMATICITIES[name][3]) for name in (primaries, "bt709"))
    adapt = np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ wanted / (_BRADFORD @ white)) @ _BRADFORD
    return np.asarray(np.linalg.inv(_rgb_to_xyz("bt709")) @ adapt @ _rgb_to_xyz(primaries))


def _xyz(chromaticity: tuple[float, float]) -> np.ndarray:
    x, y = chromaticity
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _rgb_to_xyz(primaries: str) -> np.ndarray:
    *three, white = _CHROMATICITIES[primaries]
    columns = np.stack([_xyz(each) for each in three], axis=1)
    return columns * np.linalg.solve(columns, _xyz(white))
