"""EA-8cls: how often a generated video shows the emotion that was asked for.

`score` and `compare` are the maths, on numpy alone; `EA8cls` offers them as an `evaluate` module. The file
works by itself, so the emotions are spelled out here.
"""

from __future__ import annotations

import itertools
import math
import operator
import statistics
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

import datasets
import evaluate
import numpy as np

EMOTIONS: tuple[str, ...] = (
    "amusement",
    "awe",
    "contentment",
    "excitement",
    "anger",
    "disgust",
    "fear",
    "sadness",
)
"""The eight emotions; a label is an index into this tuple and ``label // 4`` its valence."""

PUBLISHED_EA_8CLS: dict[str, float] = {"t2v": 0.4833, "i2v": 0.7625}
"""EA-8cls as the EmoVid paper reports it, to print beside a computed value; nothing is computed from it."""

PUBLISHED_SOURCE = "Qiu et al., EmoVid, AAAI 2026, arXiv:2511.11002, Wan2.1 fine-tuned on EmoVid"
"""Where the numbers of `PUBLISHED_EA_8CLS` stand."""

AVERAGES: tuple[str | None, ...] = ("macro", "weighted", "micro", None)
"""The values of `average`."""

SCORES: tuple[str, ...] = ("auto", "probabilities", "logits")
"""The values of `scores`."""

TIES: tuple[str, ...] = ("error", "first")
"""The values of `ties`."""

CALIBRATION_BINS = 15
"""Equal-width confidence bins of the expected calibration error."""

SUM_TOLERANCE = 1e-3
"""How far the sum of eight probabilities may be from one; half precision needs about this much."""

_UNSCORED = -1
_UNREAD = -2
_VALENCES = np.arange(8) // 4
_INDEX: dict[str | None, int] = {name: index for index, name in enumerate(EMOTIONS)}
_ALLOWED_LABEL = f"a label is 0..7 or one of {', '.join(EMOTIONS)}"
# Blocks keep temporaries small: a block of rows in float64 is 4 MB, of labels 256 kB.
_ROW_BLOCK = 1 << 16
_LABEL_BLOCK = 1 << 18
_BOOTSTRAP_CELLS = 1 << 21
_EXACT_MCNEMAR_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class _Groups:
    """Groups as codes into their distinct names."""

    names: list[str | int]
    codes: np.ndarray


@dataclass(frozen=True, slots=True)
class _Batch:
    """Checked inputs: int8 labels, or rows of eight scores where an unscored row is all NaN."""

    predictions: np.ndarray
    references: np.ndarray
    groups: _Groups | None
    sample_weight: np.ndarray | None


def score(
    predictions: Any,
    references: Any,
    *,
    groups: Any = None,
    sample_weight: Any = None,
    confidence_level: float = 0.95,
    average: str | None = "macro",
    ties: str = "error",
    scores: str = "auto",
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare the annotated emotion of n videos with the intended one.

    An unscored prediction (None or an empty text: the video or its annotation is missing) is a wrong one. It
    counts in n, in the support and so in the recall of its reference; it is in no column of the confusion
    matrix, so the matrix sums to n less the unscored ones, and it lowers no emotion's precision.

    Args:
        predictions: n labels (names in any case, or indices 0..7), or n rows of eight probabilities or logits
            in the order of `EMOTIONS`; None or "" for an unscored one. A list, an array or a tensor.
        references: n labels, the intended emotions; none may be missing.
        groups: n texts or integers, such as content types or prompt ids, or None. Rows of one group are
            resampled together by the bootstrap interval.
        sample_weight: n weights, each 0 or 1e-100..1e100 and not all 0, or None for equal weights.
        confidence_level: of the intervals, between 0 and 1, both excluded.
        average: how `precision`, `recall` and `f1` are averaged over the emotions: "macro" (over the emotions
            that occur in the references), "weighted" (by support), "micro", or None for a list of eight.
        ties: what happens when a row has two largest scores, or equally probable valences: "error", or
            "first" for the lowest index.
        scores: what rows of scores are: "probabilities", "logits" (a softmax makes them probabilities) or
            "auto": probabilities when any row is one (0..1, sum 1) or all values are in 0..1, else logits.
        resamples: bootstrap resamples, at least 1.
        seed: of the bootstrap.

    Returns:
        Plain Python numbers, always under the same keys, None where a value does not apply:

        - ea_8cls, ea_2cls: share of rows with the right emotion, with the right valence of the predicted
          emotion; weighted by `sample_weight`. 0..1, as all shares below.
        - ea_8cls_wilson, ea_2cls_wilson: [low, high], Wilson score interval; with weights n is
          `effective_n`.
        - ea_8cls_bootstrap, ea_2cls_bootstrap: [low, high], percentiles of the cluster bootstrap over
          `groups`; None without groups or with a single one.
        - ea_2cls_prob: share of rows whose more probable valence (four probabilities summed) is right.
        - average, precision, recall, f1: as `average` says.
        - macro_precision, macro_recall, macro_f1: means over the emotions that occur in the references; an
          emotion that was never predicted has precision 0 there.
        - per_emotion: name -> precision (None if never predicted), recall (None if no reference), f1 (None if
          neither), support and unscored (rows, or their weights).
        - confusion_matrix: 8 x 8, rows are references, columns predictions; counts, or sums of weights.
        - n, unscored: numbers of rows; effective_n: (sum of weights)^2 / sum of squared weights.
        - scores: "probabilities" or "logits" for rows of scores.
        - expected_calibration_error: 15 equal-width bins, 0..1; brier_score: squared distance to the one-hot
          reference, 0..2. Over the scored rows.
        - groups: name -> ea_8cls, ea_8cls_wilson, ea_2cls, n, unscored.
        - confidence_level: as given.

    Raises:
        ValueError: an input is wrong; one line names the argument, the position and the value.

    Source:
        Wilson, JASA 22 (1927) 209; Field and Welsh, JRSS B 69 (2007) 369 (cluster bootstrap); Kish, Survey
        Sampling (1965); Guo et al., ICML 2017 (calibration error); Brier, Monthly Weather Review 78 (1950) 1.

    >>> result = score(["awe", "fear", None, 7], ["awe", "anger", "awe", "sadness"])
    >>> result["ea_8cls"], result["ea_2cls"], result["n"], result["unscored"]
    (0.5, 0.75, 4, 1)
    >>> [round(bound, 4) for bound in result["ea_8cls_wilson"]]
    [0.15, 0.85]
    >>> result["per_emotion"]["awe"]
    {'precision': 1.0, 'recall': 0.5, 'f1': 0.6666666666666666, 'support': 2, 'unscored': 1}
    >>> score([0, 9], [0, 1])
    Traceback (most recent call last):
    ...
    ValueError: predictions[1] is 9; a label is 0..7 or one of amusement, awe, contentment, excitement, anger,
    disgust, fear, sadness, or None
    """
    batch = _read_batch(predictions, references, groups, sample_weight)
    return _summarise([batch], confidence_level, average, ties, scores, resamples, seed)


def compare(
    a: Any,
    b: Any,
    references: Any,
    *,
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
        groups: n texts or integers; given, the bootstrap resamples whole groups, else rows.
        confidence_level: of the interval of the difference, between 0 and 1, both excluded.
        ties: as in `score`.
        scores: as in `score`, for both systems.
        resamples: bootstrap resamples, at least 1.
        seed: of the bootstrap.

    Returns:
        Plain Python numbers: a_ea_8cls, b_ea_8cls, difference (a less b, -1..1), difference_bootstrap ([low,
        high], paired: both systems' rows are resampled together; None with a single group), mcnemar_p (exact,
        two-sided), both, a_only, b_only, neither (rows that are right), n, a_unscored, b_unscored,
        confidence_level.

    Raises:
        ValueError: an input is wrong; one line names the argument, the position and the value.

    Source:
        McNemar, Psychometrika 12 (1947) 153, as the exact binomial test of the discordant pairs.

    >>> result = compare([0, 1, 2, 3, 4], [0, 1, 2, 0, 0], [0, 1, 2, 3, 4])
    >>> result["difference"], result["a_only"], result["b_only"], result["mcnemar_p"]
    (0.4, 2, 0, 0.5)
    """
    _check_options(confidence_level, "macro", ties, scores, resamples, seed)
    truth = _read_references(references)
    right = []
    unscored = []
    for argument, values in (("a", a), ("b", b)):
        parts = [_read_predictions(values, argument)]
        _check_length(argument, len(parts[0]), "references", len(truth))
        if not len(truth):
            raise ValueError(f"{argument} is empty; at least one row is needed")
        labels, _ = _decide(parts, scores, ties, argument)
        right.append(labels == truth)
        unscored.append(int(np.count_nonzero(labels == _UNSCORED)))
    n = len(truth)
    both = int(np.count_nonzero(right[0] & right[1]))
    a_only = int(np.count_nonzero(right[0])) - both
    b_only = int(np.count_nonzero(right[1])) - both
    if groups is None:
        gains, sizes, counts = _distinct(
            np.array([1, -1, 0]), np.ones(3, int), np.array([a_only, b_only, n - a_only - b_only])
        )
    else:
        clusters = _read_groups(groups, 0)
        _check_length("groups", len(clusters.codes), "references", n)
        gains, sizes, counts = _distinct(
            _count_codes(clusters, right[0], None) - _count_codes(clusters, right[1], None),
            _count_codes(clusters, None, None),
        )
    interval = _bootstrap(gains, sizes, counts, confidence_level, resamples, seed)
    return {
        "a_ea_8cls": (both + a_only) / n,
        "b_ea_8cls": (both + b_only) / n,
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


def wilson_interval(successes: float, n: float, confidence_level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a share.

    Args:
        successes: 0..n.
        n: trials, above 0; an effective number need not be whole.
        confidence_level: between 0 and 1, both excluded.

    Returns:
        Lower and upper bound, 0..1.

    Raises:
        ValueError: an argument is out of its range.

    Source:
        Wilson, JASA 22 (1927) 209.

    >>> low, high = wilson_interval(5, 10)
    >>> round(low, 4), round(high, 4)
    (0.2366, 0.7634)
    """
    if not 0 < n < math.inf:
        raise ValueError(f"n is {n!r}; allowed: a number above 0")
    if not 0 <= successes <= n:
        raise ValueError(f"successes is {successes!r}; allowed: 0..{n}")
    _check_level(confidence_level)
    low, high = _wilson(np.float64(successes / n), np.float64(n), confidence_level)
    return float(low), float(high)


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


def _summarise(
    batches: Sequence[_Batch],
    confidence_level: float,
    average: str | None,
    ties: str,
    scores: str,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    _check_options(confidence_level, average, ties, scores, resamples, seed)
    references = _concatenate([batch.references for batch in batches])
    if not len(references):
        raise ValueError("predictions is empty; at least one row is needed")
    weight = _join_weights([batch.sample_weight for batch in batches])
    groups = _join_groups([batch.groups for batch in batches])
    parts = _join_predictions([batch.predictions for batch in batches])
    labels, kind = _decide(parts, scores, ties, "predictions")

    joint = _count_joint(references, labels, weight)
    confusion = joint[:, 1:]
    support = joint.sum(axis=1)
    total = support.sum()
    n = len(references)
    effective_n = n if weight is None else float(total * total / np.square(weight).sum())
    same_valence = _VALENCES[:, None] == _VALENCES[None, :]
    shares = {
        "ea_8cls": (np.trace(confusion) / total).item(),
        "ea_2cls": (confusion[same_valence].sum() / total).item(),
    }
    result: dict[str, Any] = {}
    clusters = None if groups is None else _count_groups(groups, references, labels, weight)
    for name, share in shares.items():
        low, high = _wilson(np.float64(share), np.float64(effective_n), confidence_level)
        result[name] = share
        result[f"{name}_wilson"] = [low.item(), high.item()]
        result[f"{name}_bootstrap"] = None
        if clusters is not None:
            pairs = _distinct(clusters[name], clusters["total"])
            result[f"{name}_bootstrap"] = _bootstrap(*pairs, confidence_level, resamples, seed)
    calibration: tuple[float | None, ...] = (None, None, None)
    if kind is not None:
        calibration = _calibrate(parts, kind, labels, references, weight, ties)
    result["ea_2cls_prob"], calibration_error, brier = calibration
    result.update(_per_emotion(joint, average))
    result["confusion_matrix"] = confusion.tolist()
    result["n"] = n
    result["unscored"] = int(np.count_nonzero(labels == _UNSCORED))
    result["effective_n"] = None if weight is None else effective_n
    result["scores"] = kind
    result["expected_calibration_error"] = calibration_error
    result["brier_score"] = brier
    result["groups"] = None
    if groups is not None and clusters is not None:
        result["groups"] = _describe_groups(groups.names, clusters, confidence_level)
    result["confidence_level"] = float(confidence_level)
    return result


def _count_joint(references: np.ndarray, labels: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """(8, 9) counts or weights; column 0 is unscored, the others are the predicted emotions."""
    joint = np.zeros(72, np.int64 if weight is None else np.float64)
    for start in range(0, len(references), _LABEL_BLOCK):
        block = slice(start, start + _LABEL_BLOCK)
        code = references[block] * np.int8(9) + labels[block] + np.int8(1)
        joint += np.bincount(code, None if weight is None else weight[block], minlength=72)
    return joint.reshape(8, 9)


def _per_emotion(joint: np.ndarray, average: str | None) -> dict[str, Any]:
    confusion = joint[:, 1:]
    right = np.diagonal(confusion)
    support = joint.sum(axis=1)
    predicted = confusion.sum(axis=0)
    recall = _ratio(right, support)
    precision = _ratio(right, predicted)
    f1 = _ratio(2 * right, support + predicted)
    occurs = support > 0
    tables = {"precision": precision, "recall": recall, "f1": f1}
    averages: dict[str, Any] = {"average": average}
    if average is None:
        averages |= {name: _plain(values) for name, values in tables.items()}
    elif average == "micro":
        hits, scored, rows = right.sum(), predicted.sum(), support.sum()
        averages["precision"] = (hits / scored).item() if scored > 0 else 0.0
        averages["recall"] = (hits / rows).item()
        averages["f1"] = (2 * hits / (rows + scored)).item()
    else:
        shares = support if average == "weighted" else occurs
        for name, values in tables.items():
            averages[name] = (np.nan_to_num(values) @ shares / shares.sum()).item()
    for name, values in tables.items():
        averages[f"macro_{name}"] = np.nan_to_num(values[occurs]).mean().item()
    columns = [_plain(precision), _plain(recall), _plain(f1), support.tolist(), joint[:, 0].tolist()]
    keys = ("precision", "recall", "f1", "support", "unscored")
    averages["per_emotion"] = {
        name: dict(zip(keys, row, strict=True))
        for name, row in zip(EMOTIONS, zip(*columns, strict=True), strict=True)
    }
    return averages


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Elementwise share, NaN where there is nothing to share."""
    empty = np.full(len(denominator), np.nan)
    return np.divide(numerator, denominator, out=empty, where=denominator > 0)


def _plain(values: np.ndarray) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def _wilson(share: np.ndarray, n: np.ndarray, confidence_level: float) -> tuple[np.ndarray, np.ndarray]:
    z = statistics.NormalDist().inv_cdf((1 + confidence_level) / 2)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(np.maximum(share * (1 - share), 0) / n + z * z / (4 * n * n))
    # A share of 0 or 1 has that bound exactly; rounding would leave 1e-17 beside it.
    low = np.where(share <= 0, 0.0, np.clip(centre - half, 0, 1))
    high = np.where(share >= 1, 1.0, np.clip(centre + half, 0, 1))
    return low, high


def _distinct(
    numerators: np.ndarray, denominators: np.ndarray, counts: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct pairs of a cluster's two sums, and how many clusters have them; clusters of no weight go."""
    kept = denominators > 0 if counts is None else counts > 0
    pairs = numerators[kept] + 1j * denominators[kept]
    if counts is None:
        pairs, counts = np.unique(pairs, return_counts=True)
    else:
        counts = counts[kept]
    return pairs.real, pairs.imag, counts


def _bootstrap(
    numerators: np.ndarray,
    denominators: np.ndarray,
    counts: np.ndarray,
    confidence_level: float,
    resamples: int,
    seed: int,
) -> list[float] | None:
    """Percentile interval of sum(numerators) / sum(denominators) when whole clusters are resampled.

    Clusters with equal sums are interchangeable, so the multinomial runs over the distinct pairs of sums: the
    same distribution, and a few hundred cells where there may be millions of clusters.
    """
    clusters = int(counts.sum())
    if clusters < 2:
        return None
    generator = np.random.default_rng(seed)
    ratios = np.empty(resamples)
    step = max(1, _BOOTSTRAP_CELLS // len(counts))
    for start in range(0, resamples, step):
        drawn = generator.multinomial(clusters, counts / clusters, size=min(step, resamples - start))
        ratios[start : start + step] = (drawn @ numerators) / (drawn @ denominators)
    tail = (1 - confidence_level) / 2
    return np.quantile(ratios, [tail, 1 - tail]).tolist()


def _count_groups(
    groups: _Groups, references: np.ndarray, labels: np.ndarray, weight: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Per group: rows, unscored rows, and the total and the right ones as counts or weights."""
    right = labels == references
    # -1 >> 2 is -1, which is no valence: an unscored row is wrong here too.
    right_valence = labels >> 2 == references >> 2
    rows = _count_codes(groups, None, None)
    sums = {
        "n": rows,
        "unscored": _count_codes(groups, labels == _UNSCORED, None),
        "total": rows if weight is None else _count_codes(groups, None, weight),
        "ea_8cls": _count_codes(groups, right, weight),
        "ea_2cls": _count_codes(groups, right_valence, weight),
    }
    squares = rows if weight is None else _count_codes(groups, None, np.square(weight))
    sums["effective_n"] = _ratio(sums["total"] * sums["total"].astype(np.float64), squares)
    return sums


def _count_codes(groups: _Groups, chosen: np.ndarray | None, weight: np.ndarray | None) -> np.ndarray:
    codes = groups.codes if chosen is None else groups.codes[chosen]
    weights = weight if weight is None or chosen is None else weight[chosen]
    return np.bincount(codes, weights, minlength=len(groups.names))


def _describe_groups(
    names: Sequence[str | int], sums: Mapping[str, np.ndarray], confidence_level: float
) -> dict[str | int, dict[str, Any]]:
    emotion = _ratio(sums["ea_8cls"], sums["total"])
    low, high = _wilson(emotion, sums["effective_n"], confidence_level)
    columns = zip(
        names,
        _plain(emotion),
        zip(low.tolist(), high.tolist(), strict=True),
        _plain(_ratio(sums["ea_2cls"], sums["total"])),
        sums["n"].tolist(),
        sums["unscored"].tolist(),
        strict=True,
    )
    return {
        name: {
            "ea_8cls": share,
            "ea_8cls_wilson": None if share is None else list(bounds),
            "ea_2cls": valence_share,
            "n": n,
            "unscored": unscored,
        }
        for name, share, bounds, valence_share, n, unscored in sorted(
            columns, key=lambda column: (isinstance(column[0], str), column[0])
        )
    }


def _decide(
    parts: Sequence[np.ndarray], scores: str, ties: str, argument: str
) -> tuple[np.ndarray, str | None]:
    """int8 labels of all parts, and what their rows of scores are."""
    if parts[0].ndim == 1:
        if scores != "auto":
            raise ValueError(f"scores is {scores!r}, but {argument}[0] is a label, not a row of eight scores")
        return _concatenate(parts), None
    kind = _guess_scores(parts) if scores == "auto" else scores
    labels = np.empty(sum(map(len, parts)), np.int8)
    for start, rows in _row_blocks(parts):
        unscored = np.isnan(rows[:, 0])
        if kind == "probabilities":
            _check_probabilities(rows, unscored, start, argument, scores)
        largest = rows.max(axis=1, keepdims=True)
        if ties == "error":
            tied = (rows == largest).sum(axis=1) > 1
            if tied.any():
                position = int(tied.argmax())
                twin = np.flatnonzero(rows[position] == largest[position])[:2].tolist()
                raise ValueError(
                    f"{argument}[{start + position}] is a tie of {EMOTIONS[twin[0]]} and "
                    f"{EMOTIONS[twin[1]]} at {largest[position, 0]:g}; ties='first' takes the first"
                )
        labels[start : start + len(rows)] = np.where(unscored, _UNSCORED, rows.argmax(axis=1))
    return labels, kind


def _guess_scores(parts: Sequence[np.ndarray]) -> str:
    all_inside = True
    for _, rows in _row_blocks(parts):
        unscored = np.isnan(rows[:, 0])
        inside = ((rows >= 0) & (rows <= 1)).all(axis=1)
        if (inside & (abs(rows.sum(axis=1) - 1) <= SUM_TOLERANCE)).any():
            return "probabilities"
        all_inside &= bool((inside | unscored).all())
    return "probabilities" if all_inside else "logits"


def _check_probabilities(
    rows: np.ndarray, unscored: np.ndarray, start: int, argument: str, scores: str
) -> None:
    hint = "; scores='logits' if these are logits" if scores == "auto" else ""
    outside = ((rows < 0) | (rows > 1)).any(axis=1)
    if outside.any():
        position = int(outside.argmax())
        column = int(((rows[position] < 0) | (rows[position] > 1)).argmax())
        raise ValueError(
            f"{argument}[{start + position}][{column}] is {rows[position, column]:g}; "
            f"a probability is 0..1{hint}"
        )
    sums = rows.sum(axis=1)
    off = ~unscored & (abs(sums - 1) > SUM_TOLERANCE)
    if off.any():
        position = int(off.argmax())
        raise ValueError(
            f"{argument}[{start + position}] sums to {sums[position]:.6g}; eight probabilities sum to 1{hint}"
        )


def _calibrate(
    parts: Sequence[np.ndarray],
    kind: str,
    labels: np.ndarray,
    references: np.ndarray,
    weight: np.ndarray | None,
    ties: str,
) -> tuple[float | None, float | None, float | None]:
    """ea_2cls_prob over all rows; calibration error and Brier score over the scored ones."""
    right_valence = total = scored_total = squares = 0.0
    bins = np.zeros((2, CALIBRATION_BINS))  # weight x confidence, weight x right
    for start, rows in _row_blocks(parts):
        block = slice(start, start + len(rows))
        scored = labels[block] != _UNSCORED
        mass = np.ones(len(rows)) if weight is None else weight[block]
        total += mass.sum()
        rows, mass = rows[scored], mass[scored]
        truth = references[block][scored]
        if kind == "logits":
            rows = np.exp(rows - rows.max(axis=1, keepdims=True))
            rows /= rows.sum(axis=1, keepdims=True)
        valences = rows.reshape(-1, 2, 4).sum(axis=2)
        tied = valences[:, 0] == valences[:, 1]
        if ties == "error" and tied.any():
            position = start + int(np.flatnonzero(scored)[tied.argmax()])
            raise ValueError(
                f"predictions[{position}] is a tie of the valences at {valences[tied.argmax(), 0]:g}; "
                "ties='first' takes positive"
            )
        right_valence += mass[valences.argmax(axis=1) == truth >> 2].sum()
        scored_total += mass.sum()
        residual = rows.copy()
        residual[np.arange(len(rows)), truth] -= 1
        squares += (np.square(residual).sum(axis=1) * mass).sum()
        confidence = rows.max(axis=1)
        index = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(np.int8) - 1, 0, CALIBRATION_BINS - 1)
        right = labels[block][scored] == truth
        bins[0] += np.bincount(index, mass * confidence, minlength=CALIBRATION_BINS)
        bins[1] += np.bincount(index, mass * right, minlength=CALIBRATION_BINS)
    share = float(right_valence / total)
    if scored_total == 0:
        return share, None, None
    gap = abs(bins[0] - bins[1]).sum() / scored_total
    return share, float(gap), float(squares / scored_total)


def _row_blocks(parts: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """(position of the first row, rows in float64), a few megabytes at a time."""
    first = 0
    for part in parts:
        for start in range(0, len(part), _ROW_BLOCK):
            yield first + start, part[start : start + _ROW_BLOCK].astype(np.float64)
        first += len(part)


def _read_batch(predictions: Any, references: Any, groups: Any, sample_weight: Any, first: int = 0) -> _Batch:
    """Check one batch; `first` is the position of its first row over all batches."""
    guesses = _read_predictions(predictions, "predictions", first)
    truth = _read_references(references, first)
    _check_length("predictions", len(guesses), "references", len(truth))
    clusters = None if groups is None else _read_groups(groups, first)
    if clusters is not None:
        _check_length("groups", len(clusters.codes), "references", len(truth))
    weight = None if sample_weight is None else _read_weights(sample_weight, first)
    if weight is not None:
        _check_length("sample_weight", len(weight), "references", len(truth))
    return _Batch(guesses, truth, clusters, weight)


def _read_predictions(values: Any, argument: str, first: int = 0) -> np.ndarray:
    values = _as_column(values, argument)
    if isinstance(values, np.ndarray):
        if values.ndim == 2:
            return _read_score_array(values, argument, first)
    elif any(_is_row(kind) for kind in set(map(type, values))):
        return _read_score_rows(values, argument, first)
    return _read_labels(values, argument, first, optional=True)


def _read_references(values: Any, first: int = 0) -> np.ndarray:
    return _read_labels(_as_column(values, "references"), "references", first, optional=False)


def _as_column(values: Any, argument: str) -> np.ndarray | list[Any]:
    """A numpy array as it is, anything else that can be listed as a list."""
    if isinstance(values, np.ma.MaskedArray):
        return values.tolist()
    if values is None:
        raise ValueError(f"{argument} is missing")
    if hasattr(values, "__array__"):
        array = np.asarray(values)
        if array.dtype.kind == "O":
            return array.tolist()
        if array.ndim:
            return array if len(array) else array.reshape(0)
    elif isinstance(values, (list, tuple)):
        return list(values) if isinstance(values, tuple) else values
    elif hasattr(values, "__iter__") and not isinstance(values, (str, bytes, Mapping, Set)):
        return list(values)
    raise ValueError(f"{argument} is {_show(values)}; allowed: a list or an array of one value a row")


def _read_labels(values: np.ndarray | list[Any], argument: str, first: int, *, optional: bool) -> np.ndarray:
    if isinstance(values, list):
        kinds = set(map(type, values))
        if kinds == {int}:
            try:
                return _read_labels(np.array(values, np.int64), argument, first, optional=optional)
            except OverflowError:
                return _read_each_label(values, argument, first, optional)
        elif kinds <= {str, type(None)}:
            return _read_names(values, argument, first, optional)
        else:
            return _read_each_label(values, argument, first, optional)
    if values.ndim > 1:
        raise ValueError(f"{argument} has shape {values.shape}; allowed: one label a row")
    if values.dtype.kind == "U":
        return _read_name_array(values, argument, first, optional)
    labels = np.empty(len(values), np.int8)
    for start in range(0, len(values), _LABEL_BLOCK):
        block = values[start : start + _LABEL_BLOCK]
        if block.dtype.kind not in "iu" or block.min() < 0 or block.max() > 7:
            _read_each_label(block.tolist(), argument, first + start, optional)
        labels[start : start + len(block)] = block
    return labels


def _read_names(values: Sequence[str | None], argument: str, first: int, optional: bool) -> np.ndarray:
    labels = np.fromiter(map(_INDEX.get, values, itertools.repeat(_UNREAD)), np.int8, len(values))
    rest = np.flatnonzero(labels == _UNREAD).tolist()
    _read_spellings(labels, rest, [values[position] for position in rest], argument, first, optional)
    return labels


def _read_name_array(values: np.ndarray, argument: str, first: int, optional: bool) -> np.ndarray:
    labels = np.full(len(values), _UNREAD, np.int8)
    for start in range(0, len(values), _LABEL_BLOCK):
        block = values[start : start + _LABEL_BLOCK]
        found = labels[start : start + _LABEL_BLOCK]
        for index, name in enumerate(EMOTIONS):
            found[block == name] = index
        rest = np.flatnonzero(found == _UNREAD)
        _read_spellings(found, rest.tolist(), block[rest].tolist(), argument, first + start, optional)
    return labels


def _read_spellings(
    labels: np.ndarray,
    positions: Sequence[int],
    values: Sequence[str | None],
    argument: str,
    first: int,
    optional: bool,
) -> None:
    """Fill in the labels that are not plain names; each spelling is read once."""
    seen: dict[str | None, int] = {}
    for position, value in zip(positions, values, strict=True):
        if value not in seen:
            seen[value] = _read_label(value, argument, first + position, optional)
        labels[position] = seen[value]


def _read_each_label(values: Sequence[Any], argument: str, first: int, optional: bool) -> np.ndarray:
    return np.fromiter(
        (_read_label(value, argument, first + position, optional) for position, value in enumerate(values)),
        np.int8,
        len(values),
    )


def _read_label(value: Any, argument: str, position: int, optional: bool) -> int:
    if value is None or (isinstance(value, str) and not value.strip()):
        if optional:
            return _UNSCORED
    elif isinstance(value, str):
        text = value.strip().lower()
        if text in _INDEX:
            return _INDEX[text]
        if text in set("01234567"):
            return int(text)
    elif not isinstance(value, (bool, np.bool_)):
        try:
            index = operator.index(value)
        except TypeError:
            index = -1
        if 0 <= index < len(EMOTIONS):
            return index
    none = ", or None" if optional else ""
    raise ValueError(f"{argument}[{position}] is {_show(value)}; {_ALLOWED_LABEL}{none}")


def _is_row(kind: type) -> bool:
    return hasattr(kind, "__len__") and not issubclass(kind, (str, bytes))


def _read_score_array(rows: np.ndarray, argument: str, first: int) -> np.ndarray:
    if rows.shape[1] != len(EMOTIONS):
        raise ValueError(f"{argument}[{first}] has {rows.shape[1]} values; a row of scores has 8")
    if rows.dtype.kind not in "iuf":
        raise ValueError(f"{argument}[{first}][0] is {_show(rows[0, 0].item())}; a score is a number")
    for start in range(0, len(rows), _ROW_BLOCK):
        _check_finite(rows[start : start + _ROW_BLOCK], argument, first + start)
    return rows


def _read_score_rows(values: Sequence[Any], argument: str, first: int) -> np.ndarray:
    rows = np.full((len(values), len(EMOTIONS)), np.nan)
    for position, value in enumerate(values):
        where = f"{argument}[{first + position}]"
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        if not _is_row(type(value)):
            raise ValueError(
                f"{where} is {_show(value)}, but other rows are eight scores; labels or rows, not both"
            )
        if len(value) != len(EMOTIONS):
            raise ValueError(f"{where} has {len(value)} values; a row of scores has 8")
        for column, number in enumerate(value):
            if isinstance(number, (str, bytes, bool, np.bool_)) or not hasattr(number, "__float__"):
                raise ValueError(f"{where}[{column}] is {_show(number)}; a score is a number")
        rows[position] = np.asarray(value, np.float64)
        _check_finite(rows[position : position + 1], argument, first + position)
    return rows


def _check_finite(rows: np.ndarray, argument: str, first: int) -> None:
    finite = np.isfinite(rows)
    if not finite.all():
        position, column = np.argwhere(~finite)[0].tolist()
        raise ValueError(
            f"{argument}[{first + position}][{column}] is {rows[position, column]}; a score is finite"
        )


def _read_weights(values: Any, first: int) -> np.ndarray:
    column = _as_column(values, "sample_weight")
    if isinstance(column, list):
        for position, value in enumerate(column):
            if isinstance(value, (str, bytes, bool, np.bool_)) or not hasattr(value, "__float__"):
                raise ValueError(f"sample_weight[{first + position}] is {_show(value)}; a weight is a number")
        column = np.array(column, np.float64)
    if column.ndim != 1 or column.dtype.kind not in "iuf":
        raise ValueError(
            f"sample_weight has shape {column.shape} and type {column.dtype}; allowed: one number a row"
        )
    # The squares of the weights must neither overflow nor vanish.
    weight = column.astype(np.float64, copy=False)
    right = (weight == 0) | ((weight >= 1e-100) & (weight <= 1e100))
    if not right.all():
        position = int(right.argmin())
        raise ValueError(
            f"sample_weight[{first + position}] is {weight[position]}; a weight is 0 or 1e-100..1e100"
        )
    return weight


def _read_groups(values: Any, first: int) -> _Groups:
    column = _as_column(values, "groups")
    if isinstance(column, np.ndarray):
        if column.ndim != 1 or column.dtype.kind not in "iuU":
            column = column.tolist()
        elif column.dtype.kind in "iu" and len(column):
            low, high = int(column.min()), int(column.max())
            if high - low < 2 * len(column):
                # Ids that lie close together need no sorting.
                offset = (column - column.dtype.type(low)).astype(np.intp)
                present = np.bincount(offset) > 0
                names = (np.flatnonzero(present) + low).tolist()
                return _Groups(names, (np.cumsum(present) - 1)[offset])
        if isinstance(column, np.ndarray):
            found, codes = np.unique(column, return_inverse=True)
            return _Groups(found.tolist(), codes)
    index: dict[str | int, int] = {}
    codes = np.empty(len(column), np.intp)
    for position, value in enumerate(column):
        if type(value) is not str:
            if isinstance(value, np.str_):
                value = str(value)
            elif isinstance(value, (int, np.integer)) and not isinstance(value, bool):
                value = int(value)
            else:
                raise ValueError(
                    f"groups[{first + position}] is {_show(value)}; a group is a text or an integer"
                )
        codes[position] = index.setdefault(value, len(index))
    return _Groups(list(index), codes)


def _concatenate(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _join_predictions(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Parts of one kind, labels or rows; a batch with nothing scored goes with either."""
    if all(part.ndim == 1 for part in parts):
        return list(parts)
    joined = []
    first = 0
    for part in parts:
        if part.ndim == 1:
            if (part != _UNSCORED).any():
                position = int((part != _UNSCORED).argmax())
                raise ValueError(
                    f"predictions[{first + position}] is {EMOTIONS[part[position]]!r}, "
                    "but other rows are eight scores; labels or rows, not both"
                )
            part = np.full((len(part), len(EMOTIONS)), np.nan)
        joined.append(part)
        first += len(part)
    return joined


def _join_weights(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    given = [part for part in parts if part is not None]
    if not given:
        return None
    if len(given) != len(parts):
        raise ValueError(f"sample_weight was given for {len(given)} of {len(parts)} batches; all or none")
    weight = _concatenate(given)
    if not weight.any():
        raise ValueError("sample_weight[0] is 0, as are all others; at least one weight is above 0")
    return weight


def _join_groups(parts: Sequence[_Groups | None]) -> _Groups | None:
    given = [part for part in parts if part is not None]
    if not given:
        return None
    if len(given) != len(parts):
        raise ValueError(f"groups was given for {len(given)} of {len(parts)} batches; all or none")
    if len(given) == 1:
        return given[0]
    index: dict[str | int, int] = {}
    codes = []
    for part in given:
        merged = np.array([index.setdefault(name, len(index)) for name in part.names], np.intp)
        codes.append(merged[part.codes])
    return _Groups(list(index), np.concatenate(codes))


def _check_options(
    confidence_level: float, average: str | None, ties: str, scores: str, resamples: int, seed: int
) -> None:
    _check_level(confidence_level)
    for argument, value, allowed in (
        ("average", average, AVERAGES),
        ("ties", ties, TIES),
        ("scores", scores, SCORES),
    ):
        if not any(value is choice or (isinstance(value, str) and value == choice) for choice in allowed):
            raise ValueError(f"{argument} is {_show(value)}; allowed: {', '.join(map(repr, allowed))}")
    for argument, number, low in (("resamples", resamples, 1), ("seed", seed, 0)):
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < low:
            raise ValueError(f"{argument} is {_show(number)}; allowed: a whole number, {low} or more")


def _check_level(confidence_level: float) -> None:
    number = isinstance(confidence_level, (int, float, np.integer, np.floating))
    if not number or not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level is {_show(confidence_level)}; allowed: between 0 and 1")


def _check_length(argument: str, length: int, other: str, expected: int) -> None:
    if length != expected:
        raise ValueError(f"{argument} has {length} values, but {other} has {expected}")


def _show(value: Any) -> str:
    """repr on one line and short enough for an error."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


_DESCRIPTION = """\
EA-8cls is the share of generated videos whose annotated emotion is the intended one, over Mikels' eight
emotions; EA-2cls is the same for positive and negative valence. Unscored videos count as wrong and are
reported.
"""

_CITATION = """\
@inproceedings{qiu2026emovid,
    title = {EmoVid: A Multimodal Emotion Video Dataset for Emotion-Centric Video Understanding and
        Generation},
    author = {Qiu, Zongyang and Wang, Bingyuan and Chen, Xingbei and He, Yingqing and Wang, Zeyu},
    booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
    year = {2026}
}
"""

_INPUTS_DESCRIPTION = """
Args:
    predictions: emotion names, indices 0..7, or rows of eight probabilities or logits; None or "" is
        unscored.
    references: the intended emotions, as names or indices.
    groups, sample_weight: optional, one value a row.
Returns:
    ea_8cls, ea_2cls, intervals, per_emotion, confusion_matrix (rows are references), n, unscored and more,
    as plain Python numbers.
Examples:
    >>> import evaluate
    >>> metric = evaluate.load("emovid/ea_8cls")
    >>> metric.compute(predictions=["awe", None], references=["awe", "fear"])["ea_8cls"]
    0.5
"""


class EA8cls(evaluate.Metric):
    """The evaluate module: `score` and `compare`, and inputs batch by batch.

    evaluate would type a column by its first row, let labels such as 9 and -3 through and write the rows to
    disk. So the inputs are checked when they are added and kept in memory, labels at a byte each; positions
    in errors count over all batches.

    >>> metric = EA8cls()
    >>> metric.add_batch(predictions=["awe", "fear"], references=["awe", "anger"])
    >>> metric.compute()["ea_8cls"]
    0.5
    """

    emotions = EMOTIONS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.num_process != 1:
            raise ValueError(
                f"num_process is {self.num_process}; allowed: 1, so gather the predictions first"
            )
        self.info.module_name = "ea_8cls"
        self._batches: list[_Batch] = []

    def __len__(self) -> int:
        return sum(len(batch.references) for batch in self._batches)

    def _info(self) -> evaluate.MetricInfo:
        label, index = datasets.Value("string"), datasets.Value("int64")
        row = datasets.Sequence(datasets.Value("float64"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS_DESCRIPTION,
            features=[
                datasets.Features({"predictions": prediction, "references": reference})
                for prediction, reference in ((label, label), (index, index), (row, index), (row, label))
            ],
            homepage="https://huggingface.co/spaces/emovid/ea_8cls",
            license="apache-2.0",
            reference_urls=["https://arxiv.org/abs/2511.11002"],
        )

    def add(self, **row: Any) -> None:
        """Add one video.

        Args:
            prediction: its annotated emotion or row of eight scores; None or "" is unscored.
            reference: its intended emotion.
            group: optional, its group.
            sample_weight: optional, its weight.

        Raises:
            ValueError: an input is wrong; nothing is added then.

        >>> metric = EA8cls()
        >>> metric.add(prediction="awe", reference=1)
        >>> len(metric)
        1
        """
        # evaluate.combine passes the plural names on.
        plural = {"prediction": "predictions", "reference": "references", "group": "groups"}
        batch = {plural.get(name, name): [value] for name, value in row.items()}
        self.add_batch(**batch)

    def add_batch(
        self, *, predictions: Any, references: Any, groups: Any = None, sample_weight: Any = None
    ) -> None:
        """Add a batch of videos, as large or small as they come.

        Args:
            predictions: as in `score`.
            references: as in `score`.
            groups: as in `score`; for all batches or for none.
            sample_weight: as in `score`; for all batches or for none.

        Raises:
            ValueError: an input is wrong; nothing is added then.

        >>> metric = EA8cls()
        >>> metric.add_batch(predictions=["awe", "fear"], references=["awe", "anger"])
        >>> metric.add_batch(predictions=[None], references=["awe"])
        >>> metric.compute()["unscored"]
        1
        """
        batch = _read_batch(predictions, references, groups, sample_weight, first=len(self))
        if len(batch.references):
            self._batches.append(_own(batch))

    def compute(
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        groups: Any = None,
        sample_weight: Any = None,
        confidence_level: float = 0.95,
        average: str | None = "macro",
        ties: str = "error",
        scores: str = "auto",
        resamples: int = 2000,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Score what was added before and what is given here; then start afresh.

        Args:
            predictions: as in `score`, or None when all was added before.
            references: as in `score`, or None when all was added before.
            groups: as in `score`.
            sample_weight: as in `score`.
            confidence_level: as in `score`.
            average: as in `score`.
            ties: as in `score`.
            scores: as in `score`.
            resamples: as in `score`.
            seed: as in `score`.

        Returns:
            As `score`.

        Raises:
            ValueError: an input is wrong; what was added before is kept, so that the call can be repeated.

        >>> EA8cls().compute(predictions=[0, 1], references=[0, 2])["ea_8cls"]
        0.5
        """
        batches = list(self._batches)
        if any(column is not None for column in (predictions, references, groups, sample_weight)):
            batches.append(_read_batch(predictions, references, groups, sample_weight, first=len(self)))
        if not batches:
            raise ValueError("predictions is empty; at least one row is needed")
        result = _summarise(batches, confidence_level, average, ties, scores, resamples, seed)
        self._batches = []
        return result

    def compare(self, a: Any, b: Any, references: Any, **options: Any) -> dict[str, Any]:
        """Test two systems on the same prompts; see the function `compare`.

        Args:
            a: predictions of the first system.
            b: predictions of the second system.
            references: the intended emotions.
            options: groups, confidence_level, ties, scores, resamples, seed.

        Returns:
            As the function `compare`.

        Raises:
            ValueError: an input is wrong.

        >>> EA8cls().compare([0, 1], [0, 0], [0, 1])["difference"]
        0.5
        """
        return compare(a, b, references, **options)


def _own(batch: _Batch) -> _Batch:
    """The batch with no memory shared with the caller, who may fill the same buffer again."""
    weight = batch.sample_weight
    return _Batch(
        batch.predictions.copy() if batch.predictions.ndim == 2 else batch.predictions,
        batch.references,
        batch.groups,
        None if weight is None else weight.copy(),
    )
