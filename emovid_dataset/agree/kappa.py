"""Fleiss' kappa over all raters, and Cohen's for two."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from emovid_dataset.agree.coefficient import Array, Coefficient, Patterns, bootstrapped, middle, not_defined

_MOST_PAIRS = 66
"""Pairs of raters for whose mean kappa there is an interval; of more, each pair has too few clips anyway."""


def fleiss_kappa(counts: Array, *, draws: int = 0, seed: int = 0) -> Coefficient:
    """Fleiss' kappa.

    Where clips have different numbers of raters, the observed agreement is the mean over clips of the share
    of agreeing pairs, and the expected one is that of all answers together; with equal numbers that is
    Fleiss' own definition.

    Args:
        counts: [clips, categories], how many raters chose each; a clip with fewer than two does not count.
        draws: bootstrap samples over clips; 0 makes no interval.
        seed: of the samples.

    Source: J. L. Fleiss, "Measuring nominal scale agreement among many raters", Psychological Bulletin 76,
    1971.

    >>> str(fleiss_kappa(np.array([[3, 0], [2, 1], [0, 3]])))
    '0.550'
    """
    counts = np.asarray(counts, np.float64)
    pairable = counts[counts.sum(1) > 1]
    reason = "no clip has two raters" if not len(pairable) else "all answers are the same"

    def measure(rows: Array, multiplicity: Array) -> Array:
        raters = rows.sum(1)
        agreeing = ((rows**2).sum(1) - raters) / (raters * (raters - 1))
        observed = multiplicity @ agreeing / multiplicity.sum(-1)
        margin = multiplicity @ rows
        expected = ((margin / margin.sum(-1, keepdims=True)) ** 2).sum(-1)
        return _beyond_chance(observed, expected)

    return bootstrapped(Patterns.of(pairable), measure, reason, draws=draws, seed=seed)


def cohen_kappa(confusion: Array, *, draws: int = 0, seed: int = 0) -> Coefficient:
    """Cohen's kappa of two raters.

    Args:
        confusion: [categories, categories], clips by what the first (rows) and the second chose.
        draws: bootstrap samples over clips; 0 makes no interval.
        seed: of the samples.

    Source: J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological
    Measurement 20, 1960.

    >>> str(cohen_kappa(np.array([[20, 5], [10, 15]])))
    '0.400'
    """
    confusion = np.asarray(confusion)
    cells = np.argwhere(confusion > 0)
    reason = "no clip was rated by both" if not len(cells) else "both gave one and the same answer throughout"
    size = len(confusion)

    def measure(rows: Array, multiplicity: Array) -> Array:
        total = multiplicity.sum(-1)
        observed = multiplicity @ (rows[:, 0] == rows[:, 1]) / total
        first, second = (multiplicity @ np.eye(size)[rows[:, side]] for side in (0, 1))
        return _beyond_chance(observed, (first * second).sum(-1) / total**2)

    patterns = Patterns(cells, confusion[tuple(cells.T)])
    return bootstrapped(patterns, measure, reason, draws=draws, seed=seed)


def confusion_of(first: Array, second: Array, size: int) -> Array:
    """Clips by what two raters chose.

    Args:
        first: [clips], category of each, -1 for none given.
        second: [clips], likewise.
        size: number of categories.

    Returns:
        [size, size], rows are the first rater's.
    """
    both = (first >= 0) & (second >= 0)
    cells = first[both].astype(np.int64) * size + second[both]
    return np.bincount(cells, minlength=size * size).reshape(size, size)


def mean_kappas(
    codes: Array, groups: Mapping[str, list[tuple[int, int]]], size: int, *, draws: int = 0, seed: int = 0
) -> tuple[dict[str, Coefficient], dict[str, Array]]:
    """Mean Cohen's kappa of groups of pairs of raters, all drawn from the same samples of clips.

    Args:
        codes: [clips, raters], category of each, -1 for none given.
        groups: by name the pairs of raters, as places in `codes`.
        size: number of categories.
        draws: bootstrap samples over clips; 0 makes no interval.
        seed: of the samples.

    Returns:
        By name the mean over the pairs whose kappa is defined, and its draws, [draws], for differences of
        groups.
    """
    patterns = Patterns.of(np.asarray(codes))
    means, drawn = {}, {}
    for name, pairs in groups.items():
        kappas = [_pair_kappas(patterns, pair, size, patterns.multiplicity[None]) for pair in pairs]
        values = [float(kappa[0]) for kappa in kappas if not np.isnan(kappa[0])]
        drawn[name] = np.zeros(0)
        if not values:
            means[name] = not_defined("no pair of raters has a kappa")
            continue
        low, high = None, None
        if draws and len(pairs) <= _MOST_PAIRS:
            samples = patterns.draws(draws, seed)
            table = np.stack([_pair_kappas(patterns, pair, size, samples) for pair in pairs])
            defined = ~np.isnan(table)
            with np.errstate(invalid="ignore"):
                drawn[name] = np.where(defined, table, 0).sum(0) / defined.sum(0)
            low, high = middle(drawn[name])
        seen = {place for pair in pairs for place in pair}
        n = int(patterns.multiplicity[(patterns.rows[:, sorted(seen)] >= 0).sum(1) > 1].sum())
        means[name] = Coefficient(float(np.mean(values)), low, high, n)
    return means, drawn


def pairs_of(raters: int) -> list[tuple[int, int]]:
    """All pairs of raters, as places."""
    return list(combinations(range(raters), 2))


def _pair_kappas(patterns: Patterns, pair: tuple[int, int], size: int, multiplicity: Array) -> Array:
    """Cohen's kappa of two raters in samples, [draws]; NaN where it is not defined."""
    first, second = (patterns.rows[:, side] for side in pair)
    both = (first >= 0) & (second >= 0)
    first, second, counted = first[both], second[both], multiplicity[:, both]
    total = counted.sum(-1)
    eye = np.eye(size)
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = counted @ (first == second) / total
        expected = ((counted @ eye[first]) * (counted @ eye[second])).sum(-1) / total.astype(float) ** 2
    return _beyond_chance(observed, expected)


def _beyond_chance(observed: Array, expected: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (observed - expected) / (1 - expected)
    return np.asarray(np.where(expected < 1 - 1e-12, found, np.nan))
