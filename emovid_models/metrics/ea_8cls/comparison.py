"""`compare`: two systems on the same prompts, pair by pair. Pure functions on numpy arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .batches import count_codes
from .batches import read_groups
from .intervals import bootstrap
from .intervals import distinct
from .labels import UNSCORED
from .labels import check_length
from .labels import decide
from .labels import read_predictions
from .labels import read_references
from .scoring import check_options
from .taxonomy import read_taxonomy

_EXACT_MCNEMAR_LIMIT = 10_000


def compare(
    a: Any,
    b: Any,
    references: Any,
    *,
    emotions: Any = None,
    valence: Any = None,
    groups: Any = None,
    confidence_level: float = 0.95,
    ties: str = "error",
    scores: str = "auto",
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Test whether two systems differ in EA-8cls on the same prompts.

    Args:
        a: predictions of the first system, n of them as in `score`; an unscored one is wrong.
        b: predictions of the second system for the same n prompts.
        references: n labels, the intended emotions.
        emotions: as in `score`.
        valence: as in `score`; the comparison is of emotions, whatever their valence.
        groups: n texts or integers; given, the bootstrap resamples whole groups, else rows.
        confidence_level: of the interval of the difference, between 0 and 1, both excluded.
        ties: as in `score`.
        scores: as in `score`, for both systems.
        resamples: bootstrap resamples, at least 1.
        seed: of the bootstrap.

    Returns:
        Plain Python numbers: a_ea_8cls, b_ea_8cls (with N emotions a_ea_Ncls, b_ea_Ncls), difference (a less
        b, -1..1), difference_bootstrap ([low, high], paired: both systems' rows are resampled together; None
        with a single group), mcnemar_p (exact, two-sided), both, a_only, b_only, neither (rows that are
        right), n, a_unscored, b_unscored, confidence_level.

    Raises:
        ValueError: an input is wrong; one line names the argument, the position and the value.

    Source:
        McNemar, Psychometrika 12 (1947) 153, as the exact binomial test of the discordant pairs.

    >>> result = compare([0, 1, 2, 3, 4], [0, 1, 2, 0, 0], [0, 1, 2, 3, 4])
    >>> result["difference"], result["a_only"], result["b_only"], result["mcnemar_p"]
    (0.4, 2, 0, 0.5)
    """
    check_options(confidence_level, "macro", ties, scores, resamples, seed)
    taxonomy = read_taxonomy(emotions, valence)
    truth = read_references(references, taxonomy)
    right = []
    unscored = []
    for argument, values in (("a", a), ("b", b)):
        parts = [read_predictions(values, argument, taxonomy)]
        check_length(argument, len(parts[0]), "references", len(truth))
        if not len(truth):
            raise ValueError(f"{argument} is empty; at least one row is needed")
        labels, _ = decide(parts, scores, ties, argument, taxonomy)
        right.append(labels == truth)
        unscored.append(int(np.count_nonzero(labels == UNSCORED)))
    n = len(truth)
    both = int(np.count_nonzero(right[0] & right[1]))
    a_only = int(np.count_nonzero(right[0])) - both
    b_only = int(np.count_nonzero(right[1])) - both
    if groups is None:
        gains, sizes, counts = distinct(
            np.array([1, -1, 0]), np.ones(3, int), np.array([a_only, b_only, n - a_only - b_only])
        )
    else:
        clusters = read_groups(groups, 0)
        check_length("groups", len(clusters.codes), "references", n)
        gains, sizes, counts = distinct(
            count_codes(clusters, right[0], None) - count_codes(clusters, right[1], None),
            count_codes(clusters, None, None),
        )
    interval = bootstrap(gains, sizes, counts, confidence_level, resamples, seed)
    return {
        f"a_{taxonomy.key}": (both + a_only) / n,
        f"b_{taxonomy.key}": (both + b_only) / n,
        "difference": (a_only - b_only) / n,
        "difference_bootstrap": interval,
        "mcnemar_p": mcnemar_p(a_only, b_only),
        "both": both,
        "a_only": a_only,
        "b_only": b_only,
        "neither": n - both - a_only - b_only,
        "n": n,
        "a_unscored": unscored[0],
        "b_unscored": unscored[1],
        "confidence_level": float(confidence_level),
    }


def mcnemar_p(a_only: int, b_only: int) -> float:
    """Exact two-sided p-value of McNemar's test.

    Args:
        a_only: pairs that only the first system has right, 0 or more.
        b_only: pairs that only the second system has right, 0 or more.

    Returns:
        ``min(1, 2 P(X <= min(a_only, b_only)))`` for X binomial with a_only + b_only trials and chance 1/2.
        Up to 10,000 discordant pairs in integers, so correctly rounded; above, the same sum in float64.

    Raises:
        ValueError: a count is negative or not whole.

    Source:
        McNemar, Psychometrika 12 (1947) 153; the largest term for large counts after Loader, Fast and
        Accurate Computation of Binomial Probabilities (2000).

    >>> mcnemar_p(1, 9)
    0.021484375
    >>> mcnemar_p(0, 0)
    1.0
    """
    for argument, count in (("a_only", a_only), ("b_only", b_only)):
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 0:
            raise ValueError(f"{argument} is {count!r}; allowed: a whole number, 0 or more")
    fewer = min(int(a_only), int(b_only))
    n = int(a_only) + int(b_only)
    if 2 * fewer == n:
        return 1.0
    if n <= _EXACT_MCNEMAR_LIMIT:
        term = total = 1
        for k in range(fewer):
            term = term * (n - k) // (k + 1)
            total += term
        return min(1.0, total / (1 << (n - 1)))
    # P(X <= m) = P(X = m) (1 + m/(n-m+1) + m(m-1)/((n-m+1)(n-m+2)) + ...), summed until terms vanish.
    series = 1.0
    last = 1.0
    for start in range(0, fewer, 4096):
        step = np.arange(start, min(start + 4096, fewer), dtype=np.float64)
        terms = last * np.cumprod((fewer - step) / (n - fewer + 1 + step))
        series += math.fsum(terms)
        last = float(terms[-1])
        if last < 1e-18 * series:
            break
    return min(1.0, 2 * math.exp(_log_half_binomial(fewer, n)) * series)


def _log_half_binomial(k: int, n: int) -> float:
    """log P(X = k), X binomial (n, 1/2), without the cancellation of three large log-gammas."""
    if k == 0:
        return -n * math.log(2)
    away = (n - 2 * k) / n
    deviance = n / 2 * ((1 - away) * math.log1p(-away) + (1 + away) * math.log1p(away))
    correction = _stirling_error(n) - _stirling_error(k) - _stirling_error(n - k)
    return correction - deviance + 0.5 * math.log(n / (2 * math.pi * k * (n - k)))


def _stirling_error(n: int) -> float:
    """log n! less Stirling's approximation."""
    if n < 16:
        return math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2 * math.pi)
    square = float(n) * n
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / square) / square) / square) / square) / n
