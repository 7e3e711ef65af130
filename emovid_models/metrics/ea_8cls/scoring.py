"""`score`: the shares, intervals and tables of one system. Pure functions on numpy arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np

from .batches import Batch
from .batches import Groups
from .batches import count_codes
from .batches import join_groups
from .batches import join_weights
from .batches import read_batch
from .distributions import join_distributions
from .distributions import likeliest
from .distributions import soft_agreement
from .intervals import bootstrap
from .intervals import check_level
from .intervals import distinct
from .intervals import wilson
from .labels import SCORES
from .labels import TIES
from .labels import UNSCORED
from .labels import concatenate
from .labels import decide
from .labels import join_predictions
from .labels import row_blocks
from .labels import show
from .taxonomy import EmotionSet
from .taxonomy import read_taxonomy

AVERAGES: tuple[str | None, ...] = ("macro", "weighted", "micro", None)
"""The values of `average`."""

CALIBRATION_BINS = 15
"""Equal-width confidence bins of the expected calibration error."""

_LABEL_BLOCK = 1 << 18


def score(
    predictions: Any,
    references: Any,
    *,
    emotions: Any = None,
    valence: Any = None,
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
        references: n labels, the intended emotions, or n rows of eight probabilities, such as the shares of
            people who said each; none may be missing. Of a row the likeliest emotion is the label.
        emotions: N names instead of Mikels' eight, 2..127 of them; labels and rows are then of these, and the
            keys of the results have N in the place of 8.
        valence: of each of them 0 or "positive", 1 or "negative"; without it there is no EA-2cls.
        groups: n texts or integers, such as content types or prompt ids, or None. Rows of one group are
            resampled together by the bootstrap interval.
        sample_weight: n weights, each 0 or 1e-100..1e100 and not all 0, or None for equal weights.
        confidence_level: of the intervals, between 0 and 1, both excluded.
        average: how `precision`, `recall` and `f1` are averaged over the emotions: "macro" (over the emotions
            that occur in the references), "weighted" (by support), "micro", or None for a list.
        ties: what happens when a row has two largest scores, or equally probable valences: "error", or
            "first" for the lowest index.
        scores: what rows of scores are: "probabilities", "logits" (a softmax makes them probabilities) or
            "auto": probabilities when any row is one (0..1, sum 1) or all values are in 0..1, else logits.
        resamples: bootstrap resamples, at least 1.
        seed: of the bootstrap.

    Returns:
        Plain Python numbers, always under the same keys, None where a value does not apply:

        - ea_8cls (with N emotions ea_Ncls), ea_2cls: share of rows with the right emotion, with the right
          valence of the predicted emotion; weighted by `sample_weight`. 0..1, as all shares below.
        - ea_8cls_wilson, ea_2cls_wilson: [low, high], Wilson score interval; with weights n is
          `effective_n`.
        - ea_8cls_bootstrap, ea_2cls_bootstrap: [low, high], percentiles of the cluster bootstrap over
          `groups`; None without groups or with a single one.
        - ea_2cls_prob: share of rows whose more probable valence (its probabilities summed) is right.
        - average, precision, recall, f1: as `average` says.
        - macro_precision, macro_recall, macro_f1: means over the emotions that occur in the references; an
          emotion that was never predicted has precision 0 there.
        - per_emotion: name -> precision (None if never predicted), recall (None if no reference), f1 (None if
          neither), support and unscored (rows, or their weights).
        - confusion_matrix: N x N, rows are references, columns predictions; counts, or sums of weights.
        - n, unscored: numbers of rows; effective_n: (sum of weights)^2 / sum of squared weights.
        - scores: "probabilities" or "logits" for rows of scores.
        - expected_calibration_error: 15 equal-width bins, 0..1; brier_score: squared distance to the one-hot
          reference, 0..2. Over the scored rows.
        - soft_accuracy: where references are rows, the mean share of people who said what was predicted, 0
          for an unscored row; 0..1. kl_divergence (nats), js_divergence (bits, 0..1): means over the scored
          rows, where predictions are rows too.
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
    taxonomy = read_taxonomy(emotions, valence)
    batch = read_batch(predictions, references, groups, sample_weight, taxonomy)
    return summarise([batch], taxonomy, confidence_level, average, ties, scores, resamples, seed)


def summarise(
    batches: Sequence[Batch],
    taxonomy: EmotionSet,
    confidence_level: float,
    average: str | None,
    ties: str,
    scores: str,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    check_options(confidence_level, average, ties, scores, resamples, seed)
    references = concatenate([batch.references for batch in batches])
    if not len(references):
        raise ValueError("predictions is empty; at least one row is needed")
    weight = join_weights([batch.sample_weight for batch in batches])
    groups = join_groups([batch.groups for batch in batches])
    parts = join_predictions([batch.predictions for batch in batches], taxonomy)
    labels, kind = decide(parts, scores, ties, "predictions", taxonomy)
    shares_of_people = join_distributions([batch.distributions for batch in batches])
    if shares_of_people is not None:
        references = likeliest(shares_of_people, ties, taxonomy)

    joint = _count_joint(references, labels, weight, len(taxonomy))
    confusion = joint[:, 1:]
    support = joint.sum(axis=1)
    total = support.sum()
    n = len(references)
    effective_n = n if weight is None else float(total * total / np.square(weight).sum())
    shares: dict[str, float | None] = {taxonomy.key: (np.trace(confusion) / total).item()}
    if "ea_2cls" not in shares:
        shares["ea_2cls"] = None
        if taxonomy.valences is not None:
            valences = np.array(taxonomy.valences)
            same_valence = valences[:, None] == valences[None, :]
            shares["ea_2cls"] = (confusion[same_valence].sum() / total).item()
    result: dict[str, Any] = {}
    clusters = None if groups is None else _count_groups(groups, references, labels, weight, taxonomy)
    for name, share in shares.items():
        if share is None:
            result |= {name: None, f"{name}_wilson": None, f"{name}_bootstrap": None}
            continue
        low, high = wilson(np.float64(share), np.float64(effective_n), confidence_level)
        result[name] = share
        result[f"{name}_wilson"] = [low.item(), high.item()]
        result[f"{name}_bootstrap"] = None
        if clusters is not None:
            pairs = distinct(clusters[name], clusters["total"])
            result[f"{name}_bootstrap"] = bootstrap(*pairs, confidence_level, resamples, seed)
    calibration: tuple[float | None, ...] = (None, None, None)
    if kind is not None:
        calibration = _calibrate(parts, kind, labels, references, weight, ties, taxonomy)
    result["ea_2cls_prob"], calibration_error, brier = calibration
    result.update(_per_emotion(joint, average, taxonomy.names))
    result["confusion_matrix"] = confusion.tolist()
    result["n"] = n
    result["unscored"] = int(np.count_nonzero(labels == UNSCORED))
    result["effective_n"] = None if weight is None else effective_n
    result["scores"] = kind
    result["expected_calibration_error"] = calibration_error
    result["brier_score"] = brier
    result |= soft_agreement(shares_of_people, parts, kind, labels, weight)
    result["groups"] = None
    if groups is not None and clusters is not None:
        result["groups"] = _describe_groups(groups.names, clusters, confidence_level, taxonomy)
    result["confidence_level"] = float(confidence_level)
    return result


def check_options(
    confidence_level: float, average: str | None, ties: str, scores: str, resamples: int, seed: int
) -> None:
    check_level(confidence_level)
    for argument, value, allowed in (
        ("average", average, AVERAGES),
        ("ties", ties, TIES),
        ("scores", scores, SCORES),
    ):
        if not any(value is choice or (isinstance(value, str) and value == choice) for choice in allowed):
            raise ValueError(f"{argument} is {show(value)}; allowed: {', '.join(map(repr, allowed))}")
    for argument, number, low in (("resamples", resamples, 1), ("seed", seed, 0)):
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < low:
            raise ValueError(f"{argument} is {show(number)}; allowed: a whole number, {low} or more")


def _count_joint(
    references: np.ndarray, labels: np.ndarray, weight: np.ndarray | None, emotions: int
) -> np.ndarray:
    """(N, N + 1) counts or weights; column 0 is unscored, the others are the predicted emotions."""
    columns = emotions + 1
    cells = emotions * columns
    code_of = np.int8 if cells <= 128 else np.int16
    joint = np.zeros(cells, np.int64 if weight is None else np.float64)
    for start in range(0, len(references), _LABEL_BLOCK):
        block = slice(start, start + _LABEL_BLOCK)
        code = references[block].astype(code_of) * code_of(columns) + labels[block] + code_of(1)
        joint += np.bincount(code, None if weight is None else weight[block], minlength=cells)
    return joint.reshape(emotions, columns)


def _per_emotion(joint: np.ndarray, average: str | None, names: Sequence[str]) -> dict[str, Any]:
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
        for name, row in zip(names, zip(*columns, strict=True), strict=True)
    }
    return averages


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Elementwise share, NaN where there is nothing to share."""
    empty = np.full(len(denominator), np.nan)
    return np.divide(numerator, denominator, out=empty, where=denominator > 0)


def _plain(values: np.ndarray) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def _count_groups(
    groups: Groups,
    references: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None,
    taxonomy: EmotionSet,
) -> dict[str, np.ndarray]:
    """Per group: rows, unscored rows, and the total and the right ones as counts or weights."""
    right = labels == references
    rows = count_codes(groups, None, None)
    sums = {
        "n": rows,
        "unscored": count_codes(groups, labels == UNSCORED, None),
        "total": rows if weight is None else count_codes(groups, None, weight),
        taxonomy.key: count_codes(groups, right, weight),
    }
    valence_of = taxonomy.valence_table()
    if valence_of is not None and "ea_2cls" not in sums:
        # An unscored row has a valence of its own, and so is wrong here too.
        sums["ea_2cls"] = count_codes(groups, valence_of[labels] == valence_of[references], weight)
    squares = rows if weight is None else count_codes(groups, None, np.square(weight))
    sums["effective_n"] = _ratio(sums["total"] * sums["total"].astype(np.float64), squares)
    return sums


def _describe_groups(
    names: Sequence[str | int], sums: Mapping[str, np.ndarray], confidence_level: float, taxonomy: EmotionSet
) -> dict[str | int, dict[str, Any]]:
    emotion = _ratio(sums[taxonomy.key], sums["total"])
    low, high = wilson(emotion, sums["effective_n"], confidence_level)
    columns = zip(
        names,
        _plain(emotion),
        zip(low.tolist(), high.tolist(), strict=True),
        _plain(_ratio(sums["ea_2cls"], sums["total"])) if "ea_2cls" in sums else [None] * len(names),
        sums["n"].tolist(),
        sums["unscored"].tolist(),
        strict=True,
    )
    return {
        name: {
            taxonomy.key: share,
            f"{taxonomy.key}_wilson": None if share is None else list(bounds),
            # With two emotions the share of right emotions has this name.
            **({} if len(taxonomy) == 2 else {"ea_2cls": valence_share}),
            "n": n,
            "unscored": unscored,
        }
        for name, share, bounds, valence_share, n, unscored in sorted(
            columns, key=lambda column: (isinstance(column[0], str), column[0])
        )
    }


def _calibrate(
    parts: Sequence[np.ndarray],
    kind: str,
    labels: np.ndarray,
    references: np.ndarray,
    weight: np.ndarray | None,
    ties: str,
    taxonomy: EmotionSet,
) -> tuple[float | None, float | None, float | None]:
    """ea_2cls_prob over all rows; calibration error and Brier score over the scored ones."""
    right_valence = total = scored_total = squares = 0.0
    valence_of = taxonomy.valence_table()
    bins = np.zeros((2, CALIBRATION_BINS))  # weight x confidence, weight x right
    for start, rows in row_blocks(parts):
        block = slice(start, start + len(rows))
        scored = labels[block] != UNSCORED
        mass = np.ones(len(rows)) if weight is None else weight[block]
        total += mass.sum()
        rows, mass = rows[scored], mass[scored]
        truth = references[block][scored]
        if kind == "logits":
            rows = np.exp(rows - rows.max(axis=1, keepdims=True))
            rows /= rows.sum(axis=1, keepdims=True)
        if valence_of is not None:
            valences = np.stack(
                [rows.take(np.flatnonzero(valence_of == valence), axis=1).sum(axis=1) for valence in (0, 1)],
                axis=1,
            )
            tied = valences[:, 0] == valences[:, 1]
            if ties == "error" and tied.any():
                position = start + int(np.flatnonzero(scored)[tied.argmax()])
                raise ValueError(
                    f"predictions[{position}] is a tie of the valences at {valences[tied.argmax(), 0]:g}; "
                    "ties='first' takes positive"
                )
            right_valence += mass[valences.argmax(axis=1) == valence_of[truth]].sum()
        scored_total += mass.sum()
        residual = rows.copy()
        residual[np.arange(len(rows)), truth] -= 1
        squares += (np.square(residual).sum(axis=1) * mass).sum()
        confidence = rows.max(axis=1)
        index = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(np.int8) - 1, 0, CALIBRATION_BINS - 1)
        right = labels[block][scored] == truth
        bins[0] += np.bincount(index, mass * confidence, minlength=CALIBRATION_BINS)
        bins[1] += np.bincount(index, mass * right, minlength=CALIBRATION_BINS)
    share = None if valence_of is None else float(right_valence / total)
    if scored_total == 0:
        return share, None, None
    gap = abs(bins[0] - bins[1]).sum() / scored_total
    return share, float(gap), float(squares / scored_total)
