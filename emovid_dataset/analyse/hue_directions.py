"""Mean hues by emotion. Hues are angles: 359 and 1 degree are neighbours, so means and tests are circular."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from emovid_dataset.analyse.clips import ClipTable
from emovid_dataset.analyse.intervals import percentile_interval
from emovid_dataset.analyse.outcomes import Interval, NotComputed

DRAWS = 999
"""Permutations of the test and draws of the bootstrap, by default."""


@dataclass(frozen=True, slots=True)
class HueDirection:
    """The hues of the clips of one emotion.

    Attributes:
        emotion: its name.
        clips: number of clips with a hue.
        mean: circular mean, degrees 0..360.
        resultant: length of the mean of the hues' unit vectors: 0 all around, 1 all the same.
        deviation: circular standard deviation, degrees.
        interval: of the mean, by a bootstrap over groups; degrees, `low` may be below 0 and `high` above 360,
            so that the mean lies between.
    """

    emotion: str
    clips: int
    mean: float | NotComputed
    resultant: float | NotComputed
    deviation: float | NotComputed
    interval: Interval | NotComputed


@dataclass(frozen=True, slots=True)
class HueDirections:
    """Hues by emotion, within one content type or over all.

    Attributes:
        content_type: of the clips, or "all".
        clips: those with a hue.
        unknown: clips without one.
        emotions: a direction for each emotion of the taxonomy.
        explained: (sum of the emotions' resultants - resultant of all) / (clips - resultant of all), all
            lengths of summed unit vectors: the circular counterpart of eta squared, 0..1.
        p: share of permutations of the emotions over clips that explain at least as much; takes clips as
            independent.
        permutations: how many.
    """

    content_type: str
    clips: int
    unknown: int
    emotions: tuple[HueDirection, ...]
    explained: float | NotComputed
    p: float | NotComputed
    permutations: int


def hue_directions(
    clips: ClipTable, *, seed: int = 0, draws: int = DRAWS
) -> dict[str, HueDirections | NotComputed]:
    """Circular means of hue by emotion and a permutation test, over all clips and within content types.

    The statistic is that of Watson and Williams; its F distribution holds for concentrated hues only, which
    those of clips are not, so the p-value is by permutation.

    Args:
        clips: the build's.
        seed: of permutations and bootstrap.
        draws: number of each.

    Returns:
        By content type, the first of all clips; `NotComputed` where no clip has a hue.

    Source: N. I. Fisher, "Statistical analysis of circular data", 1993, sections 2.3 and 5.3; G. S. Watson
    and E. J. Williams, "On the construction of significance tests on the circle and the sphere", Biometrika
    43, 1956.
    """
    known = ~np.isnan(clips.attributes["hue"])
    return {
        name: _directions(clips, name, np.flatnonzero(inside & known), int(inside.sum()), seed, draws)
        for name, inside in clips.scopes()
    }


def _directions(
    clips: ClipTable, scope: str, rows: np.ndarray, among: int, seed: int, draws: int
) -> HueDirections | NotComputed:
    if not len(rows):
        return clips.without("hue")
    vectors, labels = np.exp(1j * np.radians(clips.attributes["hue"][rows])), clips.labels[rows]
    rng = np.random.default_rng(seed)
    emotions = []
    for index, emotion in enumerate(clips.emotions):
        inside = labels == index
        emotions.append(_direction(emotion, vectors[inside], clips.groups[rows][inside], rng, draws))
    explained, p = _test(vectors, labels, len(clips.emotions), rng, draws)
    return HueDirections(scope, len(rows), among - len(rows), tuple(emotions), explained, p, draws)


def _direction(
    emotion: str, vectors: np.ndarray, groups: np.ndarray, rng: np.random.Generator, draws: int
) -> HueDirection:
    if not len(vectors):
        none = NotComputed("no clips")
        return HueDirection(emotion, 0, none, none, none, none)
    mean = complex(vectors.mean())
    length = abs(mean)
    if length < 1e-9:
        cancelled = NotComputed("the hues cancel out")
        return HueDirection(emotion, len(vectors), cancelled, length, cancelled, cancelled)
    degrees = math.degrees(math.atan2(mean.imag, mean.real)) % 360
    deviation = math.degrees(math.sqrt(max(0.0, -2 * math.log(min(1.0, length)))))
    numbers = np.unique(groups, return_inverse=True)[1]
    count = int(numbers.max()) + 1
    interval: Interval | NotComputed = NotComputed("all clips are of one group")
    if count > 1:
        sums = np.bincount(numbers, weights=vectors.real) + 1j * np.bincount(numbers, weights=vectors.imag)
        drawn = np.array([sums[rng.integers(count, size=count)].sum() for _ in range(draws)])
        off = percentile_interval(np.degrees(np.angle(drawn * mean.conjugate())))
        interval = Interval(degrees + off.low, degrees + off.high)
    return HueDirection(emotion, len(vectors), degrees, length, deviation, interval)


def _test(
    vectors: np.ndarray, labels: np.ndarray, count: int, rng: np.random.Generator, draws: int
) -> tuple[float | NotComputed, float | NotComputed]:
    if len(np.unique(labels)) < 2:
        few = NotComputed("fewer than two emotions have clips")
        return few, few

    def resultants(order: np.ndarray) -> float:
        x = np.bincount(order, weights=vectors.real, minlength=count)
        y = np.bincount(order, weights=vectors.imag, minlength=count)
        return float(np.hypot(x, y).sum())

    found, whole = resultants(labels), float(abs(vectors.sum()))
    if len(vectors) - whole < 1e-9:
        same = NotComputed("all clips have the same hue")
        return same, same
    as_much = sum(resultants(rng.permutation(labels)) >= found - 1e-9 for _ in range(draws))
    return (found - whole) / (len(vectors) - whole), (1 + as_much) / (1 + draws)
