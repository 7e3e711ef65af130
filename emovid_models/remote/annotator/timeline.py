"""The emotion of a film over time: probabilities of windows, and the stretches that they divide it into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

WINDOW, STRIDE = 4.0, 1.0
"""Seconds of a window, and from one window to the next, if nothing else is asked for."""

_LEAST = 1e-9  # a probability; of none at all the logarithm would be no number
_EPSILON = 1e-6  # seconds


@dataclass(frozen=True, slots=True)
class EmotionStretch:
    """A stretch of a film that shows one emotion.

    Attributes:
        start: seconds from the first frame.
        end: seconds, exclusive.
        label: of the emotion, its index.
        score: its mean probability over the stretch, 0..1.
        scores: the mean probability of every emotion over the stretch.
    """

    start: float
    end: float
    label: int
    score: float
    scores: tuple[float, ...]


def stretches(
    windows: Sequence[tuple[float, float]],
    probabilities: Sequence[Sequence[float] | None],
    *,
    least: float,
) -> list[EmotionStretch]:
    """Divide a film into stretches of one emotion each, none of them a mere flicker.

    Each window speaks for the time around its middle, halfway to the middles of its neighbours. Of all
    divisions into stretches of at least `least` seconds it is the one under which the windows' probabilities
    are the greatest: the sum over time of the logarithm of the probability of the stretch's emotion.

    Args:
        windows: start and end of each in seconds, ascending.
        probabilities: of every emotion for each window; None for one that says nothing.
        least: seconds that a stretch lasts at least; a shorter film is one stretch.

    Returns:
        The stretches, without a gap from the start of the first window to the end of the last one, neighbours
        of different emotions; none where no window says anything.

    >>> windows = [(place, place + 2.0) for place in range(6)]
    >>> shares = [(0.9, 0.1)] * 2 + [(0.4, 0.6)] + [(0.9, 0.1)] + [(0.1, 0.9)] * 2
    >>> [(one.start, one.end, one.label) for one in stretches(windows, shares, least=2)]
    [(0.0, 4.5, 0), (4.5, 7.0, 1)]
    """
    known = [shares for shares in probabilities if shares is not None]
    if not known:
        return []
    bounds = _bounds(windows)
    lengths = np.diff(bounds)
    shares = np.array([[np.nan] * len(known[0]) if row is None else list(row) for row in probabilities])
    # a window that says nothing speaks for every emotion alike
    logs = np.nan_to_num(np.log(np.maximum(shares, _LEAST)), nan=0.0) * lengths[:, None]
    labels = _best_labels(bounds, logs, least)
    found: list[EmotionStretch] = []
    changes = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    for first, stop in pairwise(changes):
        inside = ~np.isnan(shares[first:stop, 0])
        weights = lengths[first:stop] * inside
        if weights.sum() > 0:
            mean = np.nansum(shares[first:stop] * weights[:, None], axis=0) / weights.sum()
        else:
            mean = np.full(shares.shape[1], 1 / shares.shape[1])
        label = int(labels[first])
        found.append(
            EmotionStretch(
                float(bounds[first]), float(bounds[stop]), label, float(mean[label]), tuple(mean.tolist())
            )
        )
    return found


def _bounds(windows: Sequence[tuple[float, float]]) -> np.ndarray:
    """Where what a window speaks for ends and what the next one speaks for begins; [windows + 1]."""
    middles = np.array([(start + end) / 2 for start, end in windows])
    between = (middles[1:] + middles[:-1]) / 2
    return np.concatenate([[windows[0][0]], between, [max(end for _, end in windows)]]).round(6)


def _best_labels(bounds: np.ndarray, logs: np.ndarray, least: float) -> np.ndarray:
    """The label of each window in the best division, int [windows].

    By dynamic programming over the windows: the best division of the first n of them ends with a stretch of
    some label that begins at least `least` seconds before.
    """
    count, emotions = logs.shape
    sums = np.concatenate([np.zeros((1, emotions)), np.cumsum(logs, axis=0)])
    best = np.full(count + 1, -np.inf)
    best[0] = 0.0
    # for each label where a last stretch may begin, and what the division before it is worth
    value, begin = np.full(emotions, -np.inf), np.zeros(emotions, np.int64)
    chosen = np.zeros((count + 1, 2), np.int64)  # begin and label of the last stretch
    ready = 0
    for stop in range(1, count + 1):
        while ready < stop and bounds[stop] - bounds[ready] >= least - _EPSILON:
            if np.isfinite(best[ready]):
                offer = best[ready] - sums[ready]
                better = offer > value
                value, begin = np.where(better, offer, value), np.where(better, ready, begin)
            ready += 1
        total = value + sums[stop]
        label = int(np.argmax(total))
        if np.isfinite(total[label]):
            best[stop], chosen[stop] = total[label], (begin[label], label)
    labels = np.zeros(count, np.int64)
    if not np.isfinite(best[count]):  # shorter than the least
        labels[:] = int(np.argmax(sums[count]))
        return labels
    stop = count
    while stop:
        first, label = chosen[stop]
        labels[first:stop] = label
        stop = int(first)
    return labels
