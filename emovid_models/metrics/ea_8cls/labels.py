"""Labels and rows of scores: how they may be given, and which emotion a row of scores says.

A label becomes an int8, `UNSCORED` where there is none; a row of scores stays a number for each emotion,
all NaN where there is none.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from collections.abc import Set
from typing import Any

import numpy as np

from .taxonomy import EmotionSet

SCORES: tuple[str, ...] = ("auto", "probabilities", "logits")
"""The values of `scores`."""

TIES: tuple[str, ...] = ("error", "first")
"""The values of `ties`."""

SUM_TOLERANCE = 2.0**-8
"""How far the sum of probabilities may be from one: what rounding them to bfloat16 can make of it."""

UNSCORED = -1
"""The label of a prediction that is missing."""

_UNREAD = -2
# Blocks keep temporaries small: a block of rows in float64 is 4 MB, of labels 256 kB.
_ROW_BLOCK = 1 << 16
_LABEL_BLOCK = 1 << 18


def read_predictions(values: Any, argument: str, taxonomy: EmotionSet, first: int = 0) -> np.ndarray:
    values = as_column(values, argument)
    if values.ndim == 2 if isinstance(values, np.ndarray) else any(map(is_row, set(map(type, values)))):
        return read_score_rows(values, argument, taxonomy, first)
    return _read_labels(values, argument, taxonomy, first, optional=True)


def read_score_rows(
    values: np.ndarray | list[Any], argument: str, taxonomy: EmotionSet, first: int = 0
) -> np.ndarray:
    """Rows of a finite score for each emotion; one that is missing is all NaN."""
    if isinstance(values, np.ndarray):
        return _read_score_array(values, argument, taxonomy, first)
    return _read_score_rows(values, argument, taxonomy, first)


def read_references(values: Any, taxonomy: EmotionSet, first: int = 0) -> np.ndarray:
    return _read_labels(as_column(values, "references"), "references", taxonomy, first, optional=False)


def join_predictions(parts: Sequence[np.ndarray], taxonomy: EmotionSet) -> list[np.ndarray]:
    """Parts of one kind, labels or rows; a batch with nothing scored goes with either."""
    if all(part.ndim == 1 for part in parts):
        return list(parts)
    joined = []
    first = 0
    for part in parts:
        if part.ndim == 1:
            if (part != UNSCORED).any():
                position = int((part != UNSCORED).argmax())
                raise ValueError(
                    f"predictions[{first + position}] is {taxonomy.names[part[position]]!r}, "
                    f"but other rows are {taxonomy.number} scores; labels or rows, not both"
                )
            part = np.full((len(part), len(taxonomy)), np.nan)
        joined.append(part)
        first += len(part)
    return joined


def decide(
    parts: Sequence[np.ndarray], scores: str, ties: str, argument: str, taxonomy: EmotionSet
) -> tuple[np.ndarray, str | None]:
    """int8 labels of all parts, and what their rows of scores are."""
    if parts[0].ndim == 1:
        if scores != "auto":
            raise ValueError(
                f"scores is {scores!r}, but {argument}[0] is a label, not a row of {taxonomy.number} scores"
            )
        return concatenate(parts), None
    kind = _guess_scores(parts) if scores == "auto" else scores
    labels = np.empty(sum(map(len, parts)), np.int8)
    for start, rows in row_blocks(parts):
        unscored = np.isnan(rows[:, 0])
        if kind == "probabilities":
            _check_probabilities(rows, unscored, start, argument, scores, taxonomy)
        largest = rows.max(axis=1, keepdims=True)
        if ties == "error":
            tied = (rows == largest).sum(axis=1) > 1
            if tied.any():
                position = int(tied.argmax())
                twin = np.flatnonzero(rows[position] == largest[position])[:2].tolist()
                raise ValueError(
                    f"{argument}[{start + position}] is a tie of {taxonomy.names[twin[0]]} and "
                    f"{taxonomy.names[twin[1]]} at {largest[position, 0]:g}; ties='first' takes the first"
                )
        labels[start : start + len(rows)] = np.where(unscored, UNSCORED, rows.argmax(axis=1))
    return labels, kind


def row_blocks(parts: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """(position of the first row, rows in float64), a few megabytes at a time."""
    first = 0
    for part in parts:
        for start in range(0, len(part), _ROW_BLOCK):
            yield first + start, part[start : start + _ROW_BLOCK].astype(np.float64)
        first += len(part)


def _guess_scores(parts: Sequence[np.ndarray]) -> str:
    all_inside = True
    for _, rows in row_blocks(parts):
        unscored = np.isnan(rows[:, 0])
        inside = ((rows >= 0) & (rows <= 1)).all(axis=1)
        if (inside & (abs(rows.sum(axis=1) - 1) <= SUM_TOLERANCE)).any():
            return "probabilities"
        all_inside &= bool((inside | unscored).all())
    return "probabilities" if all_inside else "logits"


def _check_probabilities(
    rows: np.ndarray, unscored: np.ndarray, start: int, argument: str, scores: str, taxonomy: EmotionSet
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
            f"{argument}[{start + position}] sums to {sums[position]:.6g}; "
            f"{taxonomy.number} probabilities sum to 1{hint}"
        )


def as_column(values: Any, argument: str) -> np.ndarray | list[Any]:
    """A numpy array as it is, anything else that can be listed as a list; nulls of pandas become None."""
    if isinstance(values, np.ma.MaskedArray):
        return values.tolist()
    if values is None:
        raise ValueError(f"{argument} is missing")
    if hasattr(values, "isna") and hasattr(values, "to_numpy"):
        if values.isna().any():
            return _with_nulls(values)
    elif hasattr(values, "detach"):
        values = _tensor_as_array(values)
    if hasattr(values, "__array__"):
        array = np.asarray(values)
        if array.dtype.kind == "O":
            return array.tolist()
        if array.ndim:
            return _in_numpys_own_type(array) if len(array) else array.reshape(0)
    elif isinstance(values, (list, tuple)):
        if any(hasattr(kind, "detach") for kind in set(map(type, values))):
            return [_item(value) for value in values]
        return list(values) if isinstance(values, tuple) else values
    elif hasattr(values, "__iter__") and not isinstance(values, (str, bytes, Mapping, Set)):
        return list(values)
    raise ValueError(f"{argument} is {show(values)}; allowed: a list or an array of one value per row")


def _with_nulls(series: Any) -> list[Any]:
    """A pandas Series as a list; whole numbers that pandas made floats to hold a null are whole again."""
    is_null = series.isna()
    listed = series.to_numpy(dtype=object).tolist()
    whole = series.dtype.kind == "f"
    return [
        None if null else int(value) if whole and float(value).is_integer() else value
        for value, null in zip(listed, is_null, strict=True)
    ]


def _tensor_as_array(tensor: Any) -> np.ndarray:
    """A torch tensor of any device, with or without a gradient; types that numpy lacks become float32."""
    tensor = tensor.detach().cpu()
    try:
        return np.asarray(tensor)
    except TypeError:
        return np.asarray(tensor.float())


def _in_numpys_own_type(array: np.ndarray) -> np.ndarray:
    """JAX's half precision is a type that others add to numpy."""
    return array.astype(np.float32) if array.dtype.kind == "V" and array.dtype.names is None else array


def _item(value: Any) -> Any:
    """A list's member: a tensor as a number or an array, anything else as it is."""
    if not hasattr(value, "detach"):
        return value
    array = _tensor_as_array(value)
    return array if array.ndim else array.item()


def check_length(argument: str, length: int, other: str, expected: int) -> None:
    if length != expected:
        raise ValueError(f"{argument} has {length} values, but {other} has {expected}")


def concatenate(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def show(value: Any) -> str:
    """repr on one line and short enough for an error."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _read_labels(
    values: np.ndarray | list[Any], argument: str, taxonomy: EmotionSet, first: int, *, optional: bool
) -> np.ndarray:
    if isinstance(values, list):
        kinds = set(map(type, values))
        if kinds == {int}:
            try:
                return _read_labels(np.array(values, np.int64), argument, taxonomy, first, optional=optional)
            except OverflowError:
                return _read_each_label(values, argument, taxonomy, first, optional)
        elif str in kinds:
            names = [None if _is_null(value) else value for value in values]
            if set(map(type, names)) <= {str, type(None)}:
                return _read_names(names, argument, taxonomy, first, optional)
            return _read_each_label(names, argument, taxonomy, first, optional)
        else:
            return _read_each_label(values, argument, taxonomy, first, optional)
    if values.ndim > 1:
        raise ValueError(f"{argument} has shape {values.shape}; allowed: one label per row")
    if values.dtype.kind == "U":
        return _read_name_array(values, argument, taxonomy, first, optional)
    labels = np.empty(len(values), np.int8)
    for start in range(0, len(values), _LABEL_BLOCK):
        block = values[start : start + _LABEL_BLOCK]
        if block.dtype.kind not in "iu" or block.min() < 0 or block.max() >= len(taxonomy):
            _read_each_label(block.tolist(), argument, taxonomy, first + start, optional)
        labels[start : start + len(block)] = block
    return labels


def _read_names(
    values: Sequence[str | None], argument: str, taxonomy: EmotionSet, first: int, optional: bool
) -> np.ndarray:
    labels = np.fromiter(map(taxonomy.index.get, values, itertools.repeat(_UNREAD)), np.int8, len(values))
    rest = np.flatnonzero(labels == _UNREAD).tolist()
    _read_spellings(
        labels, rest, [values[position] for position in rest], argument, taxonomy, first, optional
    )
    return labels


def _read_name_array(
    values: np.ndarray, argument: str, taxonomy: EmotionSet, first: int, optional: bool
) -> np.ndarray:
    labels = np.full(len(values), _UNREAD, np.int8)
    for start in range(0, len(values), _LABEL_BLOCK):
        block = values[start : start + _LABEL_BLOCK]
        found = labels[start : start + _LABEL_BLOCK]
        for index, name in enumerate(taxonomy.names):
            found[block == name] = index
        rest = np.flatnonzero(found == _UNREAD)
        _read_spellings(
            found, rest.tolist(), block[rest].tolist(), argument, taxonomy, first + start, optional
        )
    return labels


def _read_spellings(
    labels: np.ndarray,
    positions: Sequence[int],
    values: Sequence[str | None],
    argument: str,
    taxonomy: EmotionSet,
    first: int,
    optional: bool,
) -> None:
    """Fill in the labels that are not plain names; each spelling is read once."""
    seen: dict[str | None, int] = {}
    for position, value in zip(positions, values, strict=True):
        if value not in seen:
            seen[value] = _read_label(value, argument, taxonomy, first + position, optional)
        labels[position] = seen[value]


def _read_each_label(
    values: Sequence[Any], argument: str, taxonomy: EmotionSet, first: int, optional: bool
) -> np.ndarray:
    return np.fromiter(
        (
            _read_label(value, argument, taxonomy, first + position, optional)
            for position, value in enumerate(values)
        ),
        np.int8,
        len(values),
    )


def _read_label(value: Any, argument: str, taxonomy: EmotionSet, position: int, optional: bool) -> int:
    if value is None or (isinstance(value, str) and not value.strip()):
        if optional:
            return UNSCORED
    elif isinstance(value, str):
        text = value.strip().lower()
        if text in taxonomy.index:
            return taxonomy.index[text]
    elif not isinstance(value, (bool, np.bool_)):
        try:
            index = operator.index(value)
        except TypeError:
            index = -1
        if 0 <= index < len(taxonomy):
            return index
    none = ", or None" if optional else ""
    raise ValueError(f"{argument}[{position}] is {show(value)}; {taxonomy.allowed}{none}")


def _is_null(value: Any) -> bool:
    """Whether it is what pandas puts where a name is missing: NaN, NaT or NA."""
    if isinstance(value, float):
        return value != value
    return type(value).__name__ in ("NAType", "NaTType")


def is_row(kind: type) -> bool:
    """Whether values of a type are rows of scores rather than labels."""
    return hasattr(kind, "__len__") and not issubclass(kind, (str, bytes))


def _read_score_array(rows: np.ndarray, argument: str, taxonomy: EmotionSet, first: int) -> np.ndarray:
    if rows.shape[1] != len(taxonomy):
        raise ValueError(
            f"{argument}[{first}] has {rows.shape[1]} values; a row of scores has {len(taxonomy)}"
        )
    if rows.dtype.kind not in "iuf":
        raise ValueError(f"{argument}[{first}][0] is {show(rows[0, 0].item())}; a score is a number")
    for start in range(0, len(rows), _ROW_BLOCK):
        _check_finite(rows[start : start + _ROW_BLOCK], argument, first + start)
    return rows


def _read_score_rows(values: Sequence[Any], argument: str, taxonomy: EmotionSet, first: int) -> np.ndarray:
    rows = np.full((len(values), len(taxonomy)), np.nan)
    for position, value in enumerate(values):
        where = f"{argument}[{first + position}]"
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        if not is_row(type(value)):
            raise ValueError(
                f"{where} is {show(value)}, but other rows are {taxonomy.number} scores; "
                "labels or rows, not both"
            )
        if len(value) != len(taxonomy):
            raise ValueError(f"{where} has {len(value)} values; a row of scores has {len(taxonomy)}")
        for column, number in enumerate(value):
            if isinstance(number, (str, bytes, bool, np.bool_)) or not hasattr(number, "__float__"):
                raise ValueError(f"{where}[{column}] is {show(number)}; a score is a number")
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
