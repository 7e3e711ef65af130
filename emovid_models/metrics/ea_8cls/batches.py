"""Batches of checked inputs: predictions, references, groups and weights, read one by one and joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .distributions import are_distributions
from .distributions import likeliest
from .distributions import read_distributions
from .labels import as_column
from .labels import check_length
from .labels import concatenate
from .labels import read_predictions
from .labels import read_references
from .labels import show
from .taxonomy import EmotionSet


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups as codes into their distinct names."""

    names: list[str | int]
    codes: np.ndarray


@dataclass(frozen=True, slots=True)
class Batch:
    """Checked inputs: int8 labels, or rows of a score for each emotion where an unscored row is all NaN.

    Where the references are distributions, `references` are their likeliest emotions.
    """

    predictions: np.ndarray
    references: np.ndarray
    groups: Groups | None
    sample_weight: np.ndarray | None
    distributions: np.ndarray | None = None


def read_batch(
    predictions: Any, references: Any, groups: Any, sample_weight: Any, taxonomy: EmotionSet, first: int = 0
) -> Batch:
    """Check one batch; `first` is the position of its first row over all batches."""
    guesses = read_predictions(predictions, "predictions", taxonomy, first)
    shares = None
    if are_distributions(references):
        shares = read_distributions(references, taxonomy, first)
        truth = likeliest(shares, "first", taxonomy)
    else:
        truth = read_references(references, taxonomy, first)
    check_length("predictions", len(guesses), "references", len(truth))
    clusters = None if groups is None else read_groups(groups, first)
    if clusters is not None:
        check_length("groups", len(clusters.codes), "references", len(truth))
    weight = None if sample_weight is None else _read_weights(sample_weight, first)
    if weight is not None:
        check_length("sample_weight", len(weight), "references", len(truth))
    return Batch(guesses, truth, clusters, weight, shares)


def own(batch: Batch) -> Batch:
    """The batch with no memory shared with the caller, who may fill the same buffer again."""
    weight = batch.sample_weight
    return Batch(
        batch.predictions.copy() if batch.predictions.ndim == 2 else batch.predictions,
        batch.references,
        batch.groups,
        None if weight is None else weight.copy(),
        batch.distributions,
    )


def join_weights(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    given = [part for part in parts if part is not None]
    if not given:
        return None
    if len(given) != len(parts):
        raise ValueError(f"sample_weight was given for {len(given)} of {len(parts)} batches; all or none")
    weight = concatenate(given)
    if not weight.any():
        raise ValueError("sample_weight[0] is 0, as are all others; at least one weight is above 0")
    return weight


def join_groups(parts: Sequence[Groups | None]) -> Groups | None:
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
    return Groups(list(index), np.concatenate(codes))


def count_codes(groups: Groups, chosen: np.ndarray | None, weight: np.ndarray | None) -> np.ndarray:
    codes = groups.codes if chosen is None else groups.codes[chosen]
    weights = weight if weight is None or chosen is None else weight[chosen]
    return np.bincount(codes, weights, minlength=len(groups.names))


def _read_weights(values: Any, first: int) -> np.ndarray:
    column = as_column(values, "sample_weight")
    if isinstance(column, list):
        for position, value in enumerate(column):
            if isinstance(value, (str, bytes, bool, np.bool_)) or not hasattr(value, "__float__"):
                raise ValueError(f"sample_weight[{first + position}] is {show(value)}; a weight is a number")
        column = np.array(column, np.float64)
    if column.ndim != 1 or column.dtype.kind not in "iuf":
        raise ValueError(
            f"sample_weight has shape {column.shape} and type {column.dtype}; allowed: one number per row"
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


def read_groups(values: Any, first: int) -> Groups:
    column = as_column(values, "groups")
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
                return Groups(names, (np.cumsum(present) - 1)[offset])
        if isinstance(column, np.ndarray):
            found, codes = np.unique(column, return_inverse=True)
            return Groups(found.tolist(), codes)
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
                    f"groups[{first + position}] is {show(value)}; a group is a text or an integer"
                )
        codes[position] = index.setdefault(value, len(index))
    return Groups(list(index), codes)
