"""Agreement with references that are distributions: what share of people said what of each video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .labels import SUM_TOLERANCE
from .labels import TIES
from .labels import UNSCORED
from .labels import as_column
from .labels import is_row
from .labels import read_score_rows
from .labels import row_blocks
from .labels import show
from .taxonomy import EmotionSet

LEAST = 1e-12
"""What a predicted probability of 0 counts as in the Kullback-Leibler divergence, which would be infinite."""


def are_distributions(references: Any) -> bool:
    """Whether references are rows of probabilities rather than labels."""
    column = as_column(references, "references")
    if isinstance(column, np.ndarray):
        return column.ndim == 2
    return any(is_row(kind) for kind in set(map(type, column)))


def read_distributions(references: Any, taxonomy: EmotionSet, first: int = 0) -> np.ndarray:
    """Check rows of probabilities; each is made to sum to one exactly.

    Args:
        references: n rows of a probability for each emotion; none may be missing.
        taxonomy: of the emotions.
        first: position of the first row over all batches.

    Returns:
        float64 [n, emotions].

    Raises:
        ValueError: a row is not a distribution; one line names its position.
    """
    rows = read_score_rows(as_column(references, "references"), "references", taxonomy, first)
    found = np.asarray(rows, np.float64)
    missing = np.isnan(found[:, 0])
    if missing.any():
        raise ValueError(f"references[{first + int(missing.argmax())}] is missing")
    outside = np.any((found < 0) | (found > 1), axis=1)
    sums = found.sum(axis=1)
    off = np.logical_or(outside, abs(sums - 1) > SUM_TOLERANCE)
    if off.any():
        position = int(off.argmax())
        wrong = "has a value outside 0..1" if outside[position] else f"sums to {sums[position]:.6g}"
        raise ValueError(f"references[{first + position}] {wrong}; {taxonomy.number} probabilities sum to 1")
    return found / sums[:, None]


def likeliest(distributions: np.ndarray, ties: str, taxonomy: EmotionSet, first: int = 0) -> np.ndarray:
    """The label that a distribution makes of a video: the emotion that most people said.

    Args:
        distributions: [n, emotions].
        ties: "error", or "first" for the lowest index.
        taxonomy: of the emotions.
        first: position of the first row over all batches.

    Raises:
        ValueError: two emotions are equally likely, and `ties` is "error".
    """
    largest = distributions.max(axis=1, keepdims=True)
    tied = (distributions == largest).sum(axis=1) > 1
    if ties == TIES[0] and tied.any():
        position = int(tied.argmax())
        twin = np.flatnonzero(distributions[position] == largest[position])[:2].tolist()
        raise ValueError(
            f"references[{first + position}] is a tie of {taxonomy.names[twin[0]]} and "
            f"{taxonomy.names[twin[1]]} at {largest[position, 0]:g}; ties='first' takes the first"
        )
    return distributions.argmax(axis=1).astype(np.int8)


def soft_accuracy(distributions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of each video the share of people who said what was predicted; 0 for an unscored one.

    Args:
        distributions: [n, emotions].
        labels: [n], predicted, -1 for unscored.

    Source: J. C. Peterson et al., "Human uncertainty makes classification more robust", ICCV 2019, uses
    people's distributions as labels; the expected accuracy over people is the share of those who agree.

    >>> soft_accuracy(np.array([[0.75, 0.25], [0.5, 0.5]]), np.array([1, -1])).tolist()
    [0.25, 0.0]
    """
    found = distributions[np.arange(len(labels)), labels]
    return np.asarray(np.where(labels == UNSCORED, 0.0, found))


def kl_divergence(distributions: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence of each prediction from its reference, in nats, 0 or more.

    Args:
        distributions: [n, emotions].
        predictions: [n, emotions], probabilities; 0 counts as `LEAST`.

    >>> kl_divergence(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])).round(4).tolist()
    [0.1438]
    """
    ratio = np.where(distributions > 0, distributions, 1) / np.maximum(predictions, LEAST)
    return np.asarray((distributions * np.log(np.where(distributions > 0, ratio, 1))).sum(axis=1))


def js_divergence(distributions: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence of each prediction and its reference, in bits, 0..1.

    Args:
        distributions: [n, emotions].
        predictions: [n, emotions], probabilities.

    Source: J. Lin, "Divergence measures based on the Shannon entropy", IEEE Transactions on Information
    Theory 37, 1991.

    >>> js_divergence(np.array([[1.0, 0.0]] * 2), np.array([[0.0, 1.0], [1.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    middle = (distributions + predictions) / 2
    both = (kl_divergence(distributions, middle) + kl_divergence(predictions, middle)) / 2
    return np.asarray(np.clip(both / np.log(2), 0, 1))


def soft_agreement(
    distributions: np.ndarray | None,
    parts: Sequence[np.ndarray],
    kind: str | None,
    labels: np.ndarray,
    weight: np.ndarray | None,
) -> dict[str, float | None]:
    """Mean soft accuracy over all videos, and mean divergences over the scored ones with probabilities.

    Args:
        distributions: [n, emotions], or None where references are labels.
        parts: predictions.
        kind: what rows of scores are, None where predictions are labels.
        labels: [n], predicted.
        weight: [n], or None.
    """
    names = ("soft_accuracy", "kl_divergence", "js_divergence")
    if distributions is None:
        return dict.fromkeys(names)
    mass = np.ones(len(labels)) if weight is None else weight
    found: dict[str, float | None] = dict.fromkeys(names)
    found["soft_accuracy"] = float(soft_accuracy(distributions, labels) @ mass / mass.sum())
    if kind is None:
        return found
    sums, scored_mass = np.zeros(2), 0.0
    for start, rows in row_blocks(parts):
        block = slice(start, start + len(rows))
        scored = labels[block] != UNSCORED
        rows, truth, share = rows[scored], distributions[block][scored], mass[block][scored]
        if kind == "logits":
            rows = np.exp(rows - rows.max(axis=1, keepdims=True))
        rows = rows / rows.sum(axis=1, keepdims=True)
        sums += kl_divergence(truth, rows) @ share, js_divergence(truth, rows) @ share
        scored_mass += share.sum()
    if scored_mass:
        found["kl_divergence"], found["js_divergence"] = (sums / scored_mass).tolist()
    return found


def join_distributions(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """The distributions of all batches; None where references are labels.

    Raises:
        ValueError: some batches have labels, some distributions.
    """
    given = [part for part in parts if part is not None]
    if not given:
        return None
    if len(given) != len(parts):
        raise ValueError(
            f"references are distributions in {show(len(given))} of {len(parts)} batches; all or none"
        )
    return np.concatenate(given)
