"""Distributions and hues as SVG paths."""

from __future__ import annotations

import math

import numpy as np

from emovid_dataset.report.profile import BINS, Distribution, Hues

_FEWEST_FOR_RIDGE = 5
_MOST_TICKS = 400


def ridge(distribution: Distribution, *, height: float = 100.0) -> str:
    """Outline of a distribution as an SVG path: `BINS` wide, its peak at y = 0, its foot at y = `height`.

    Args:
        distribution: what to draw.
        height: from foot to peak, in SVG units; every ridge has its own scale.

    Returns:
        The path's data; empty for fewer than five clips, which are too few for a shape.

    Source: Gaussian kernel density, reflected at the ends of the axis, on 200 bins. The bandwidth is two
    thirds of that of B. W. Silverman, "Density estimation", 1986, equation 3.31, which smooths two peaks
    into one.
    """
    counts = np.array(distribution.bins, np.float64)
    inside = int(counts.sum())
    if inside < _FEWEST_FOR_RIDGE:
        return ""
    middles = np.arange(BINS) + 0.5
    mean = np.average(middles, weights=counts)
    deviation = math.sqrt(np.average((middles - mean) ** 2, weights=counts))
    spread = (distribution.upper_quartile - distribution.lower_quartile) / distribution.high * BINS / 1.34
    bandwidth = max(1.5, 0.6 * min(filter(None, (deviation, spread)), default=0.0) * inside**-0.2)
    reach = math.ceil(4 * bandwidth)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / bandwidth) ** 2)
    padded = np.pad(counts, reach, mode="symmetric")
    density = np.convolve(padded, kernel, mode="valid").reshape(-1, 2).mean(axis=1)
    heights = height * (1 - density / density.max())
    heights = [heights[0], *heights, heights[-1]]
    places = [0, *range(1, BINS, 2), BINS]
    points = " ".join(f"{place} {value:.1f}" for place, value in zip(places, heights, strict=True))
    return f"M0 {height:.0f}L{points}L{BINS} {height:.0f}Z"


def ticks(distribution: Distribution) -> str:
    """One short line per occupied bin as an SVG path below the ridge; empty where they would run together."""
    if distribution.count > _MOST_TICKS:
        return ""
    return "".join(f"M{index + 0.5:g} 108v14" for index, count in enumerate(distribution.bins) if count)


def rose(hues: Hues) -> list[tuple[str, float, int]]:
    """Sectors of a hue rose as SVG paths around 0 0, red at the top, clockwise.

    Args:
        hues: what to draw.

    Returns:
        Path data, hue of the middle in degrees, and clips, of every sector that has any. Areas are in
        proportion to clips; the fullest sector reaches radius 100.
    """
    most = max(hues.sectors)
    width = 360 / len(hues.sectors)
    drawn = []
    for index, count in enumerate(hues.sectors):
        if count:
            radius = 100 * math.sqrt(count / most)
            ends = [math.radians((index + side) * width) for side in (-0.47, 0.47)]
            (x0, y0), (x1, y1) = ((radius * math.sin(end), -radius * math.cos(end)) for end in ends)
            path = f"M0 0L{x0:.2f} {y0:.2f}A{radius:.2f} {radius:.2f} 0 0 1 {x1:.2f} {y1:.2f}Z"
            drawn.append((path, index * width, count))
    return drawn
