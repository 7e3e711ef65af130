"""The analyses' figures as SVG: places in a drawing, and paths of many points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from emovid_dataset.analyse.clip_means import MeanOfClips
from emovid_dataset.analyse.clips import ClipTable
from emovid_dataset.analyse.feature_map import FeatureMap
from emovid_dataset.analyse.outcomes import Interval, NotComputed
from emovid_dataset.analyse.positive_share import PositiveShares
from emovid_dataset.analyse.valence_arousal import PlacedEmotion

SIDE = 400.0
"""Side of a square map, in SVG units."""

_LARGEST = 46.0  # radius of the circle of an emotion that all clips carry
_LETTER = 7.4  # width of a letter
_WIDEST = 3.0  # half-widths of intervals that an axis makes room for, in medians of them


@dataclass(frozen=True, slots=True)
class Bubble:
    """An emotion as a circle on the valence-arousal map, and where its name stands.

    Attributes:
        emotion: its name.
        x, y: middle of the circle.
        radius: of the circle.
        label_x, label_y: middle of the name.
    """

    emotion: str
    x: float
    y: float
    radius: float
    label_x: float
    label_y: float


def bubbles(places: Sequence[PlacedEmotion]) -> list[Bubble]:
    """Emotions whose place is known, on a square of `SIDE`: valence to the right, arousal upwards, both 1..9.

    Areas are in proportion to shares; an emotion without clips is a point. A name stands above its circle, or
    below, left or right of it where something else is above.
    """
    circles = [
        ((place.valence - 1) / 8 * SIDE, (9 - place.arousal) / 8 * SIDE, place)
        for place in places
        if not isinstance(place.valence, NotComputed) and not isinstance(place.arousal, NotComputed)
    ]
    taken = [_box(x, y, 2 * _radius(place), 2 * _radius(place)) for x, y, place in circles]
    drawn = []
    for index, (x, y, place) in enumerate(circles):
        radius, width = _radius(place), _LETTER * len(place.emotion)
        beside = radius + 5 + width / 2
        spots = [(x, y - radius - 11), (x, y + radius + 11), (x - beside, y), (x + beside, y)]
        others = taken[:index] + taken[index + 1 :]
        free = [spot for spot in spots if not any(_overlap(_box(*spot, width, 15), box) for box in others)]
        at = (free or spots)[0]
        taken.append(_box(*at, width, 15))
        drawn.append(Bubble(place.emotion, x, y, radius, *at))
    return drawn


def _radius(place: PlacedEmotion) -> float:
    return max(2.0, _LARGEST * math.sqrt(place.share))


def _box(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def point_paths(found: FeatureMap, clips: ClipTable, by: str) -> list[tuple[str, str, int]]:
    """The clips of a map as one path for each content type or emotion: dots of a stroke with round ends.

    Args:
        found: the map.
        clips: that it is of.
        by: "type" or "emotion".

    Returns:
        Name, path data on a square of `SIDE`, and clips, of each that has any.
    """
    names, values = (clips.content_types, clips.types) if by == "type" else (clips.emotions, clips.labels)
    low, high = found.places.min(0), found.places.max(0)
    spread = max(float((high - low).max()), 1e-9)
    margin = 8.0
    at = (found.places - (low + high) / 2) / spread * (SIDE - 2 * margin) + SIDE / 2
    paths = []
    for index, name in enumerate(names):
        inside = at[values[found.rows] == index]
        if len(inside):
            data = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in inside)
            paths.append((name, data, len(inside)))
    return paths


@dataclass(frozen=True, slots=True)
class Stalk:
    """A bin of a share: where its dot and the ends of its interval lie, in per cent of the drawing."""

    x: float
    y: float
    low: float
    high: float


def stalks(shares: PositiveShares) -> list[Stalk | None]:
    """The bins of a share on a drawing of 100 x 100, the share upwards; None for an empty bin."""
    drawn: list[Stalk | None] = []
    for item in shares.bins:
        if isinstance(item.share, NotComputed) or isinstance(item.interval, NotComputed):
            drawn.append(None)
        else:
            ends = (100 * (1 - end) for end in (item.interval.low, item.interval.high))
            drawn.append(Stalk(50 * (item.low + item.high), 100 * (1 - item.share), *ends))
    return drawn


def common_axis(rows: Sequence[MeanOfClips]) -> tuple[float, float] | None:
    """An axis for means and their intervals, from and to; None where there is no mean.

    An interval that is much wider than the others, as from two groups, runs out of it and squeezes nothing.
    """
    means = [(row.mean, row.interval) for row in rows if not isinstance(row.mean, NotComputed)]
    if not means:
        return None
    reaches = [(end.high - end.low) / 2 for _, end in means if isinstance(end, Interval)]
    most = _WIDEST * median(reaches) if reaches else 0.0
    ends = [value for value, _ in means]
    for value, interval in means:
        if isinstance(interval, Interval):
            ends += [max(interval.low, value - most), min(interval.high, value + most)]
    margin = 0.05 * (max(ends) - min(ends)) or 0.05
    return min(ends) - margin, max(ends) + margin
