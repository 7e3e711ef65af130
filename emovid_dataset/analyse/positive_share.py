"""The share of positive clips over bins of brightness and of colorfulness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emovid_dataset.analyse.clips import NO_VALENCE, ClipTable
from emovid_dataset.analyse.intervals import wilson
from emovid_dataset.analyse.outcomes import Interval, NotComputed

BINS = 10
"""Bins by default: as many as the paper's rounding to one decimal leaves."""


@dataclass(frozen=True, slots=True)
class ShareBin:
    """Clips whose attribute lies in one bin.

    Attributes:
        low: least value of the bin.
        high: it ends below this value; the last bin includes it.
        clips: number of them.
        positive: those with a positive emotion.
        share: of positive ones, 0..1.
        interval: Wilson's, which takes clips as independent.
    """

    low: float
    high: float
    clips: int
    positive: int
    share: float | NotComputed
    interval: Interval | NotComputed


@dataclass(frozen=True, slots=True)
class PositiveShares:
    """The share of positive clips over one attribute.

    Attributes:
        attribute: "brightness" or "colorfulness".
        content_type: of the clips, or "all".
        clips: those with a value.
        unknown: clips that are left out, as their build does not give the attribute.
        bins: in order, empty ones among them.
    """

    attribute: str
    content_type: str
    clips: int
    unknown: int
    bins: tuple[ShareBin, ...]


def positive_share(
    clips: ClipTable, attribute: str, *, bins: int = BINS
) -> dict[str, PositiveShares | NotComputed]:
    """Share of positive clips in equal bins of an attribute over 0..1.

    Args:
        clips: the build's.
        attribute: "brightness" or "colorfulness".
        bins: number of bins, at least 1.

    Returns:
        By content type, the first of all clips; `NotComputed` where no clip has a value, or the
        taxonomy has no valence.

    Raises:
        ValueError: the attribute is not one of the two, or `bins` is out of range.
    """
    if attribute not in ("brightness", "colorfulness"):
        raise ValueError(f"attribute is {attribute!r}; allowed: brightness, colorfulness")
    if bins < 1:
        raise ValueError(f"bins is {bins}; it must be at least 1")
    if clips.valences is None:
        return {name: NO_VALENCE for name, _ in clips.scopes()}
    values = clips.attributes[attribute]
    return {
        name: _binned(clips, attribute, bins, name, inside & ~np.isnan(values), int(inside.sum()))
        for name, inside in clips.scopes()
    }


def _binned(
    clips: ClipTable, attribute: str, bins: int, scope: str, known: np.ndarray, among: int
) -> PositiveShares | NotComputed:
    held = int(known.sum())
    if not held:
        return clips.without(attribute)
    # a value on an edge belongs to the bin that begins there; beyond 1 only through rounding
    values = clips.attributes[attribute][known]
    places = np.clip((values * bins + 1e-9).astype(np.int64), 0, bins - 1)
    totals = np.bincount(places, minlength=bins)
    positives = np.bincount(places[clips.positive[known]], minlength=bins)
    drawn = []
    for index, (total, positive) in enumerate(zip(totals.tolist(), positives.tolist(), strict=True)):
        share = positive / total if total else NotComputed("no clips")
        low, high = index / bins, (index + 1) / bins
        drawn.append(ShareBin(low, high, total, positive, share, wilson(positive, total)))
    return PositiveShares(attribute, scope, held, among - held, tuple(drawn))
