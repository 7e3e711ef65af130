"""What a label sheet says of the people who labelled a clip: raters, votes, agreement."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from emovid_dataset.schema.no_emotion import NO_EMOTION
from emovid_dataset.schema.taxonomy import Taxonomy

_ROUNDING = 0.005
"""A sheet may give agreement rounded to two decimals."""


def read_votes(
    values: Mapping[str, Any],
    label: int | None,
    taxonomy: Taxonomy,
    read: Callable[[Any], int | None] | None = None,
) -> tuple[int | None, tuple[int, ...] | None, float | None]:
    """Read the columns `raters`, `votes` and `agreement` of a row.

    Votes are a number of people for each emotion: a JSON list in the taxonomy's order, or a JSON object such
    as ``{"awe": 2, "fear": 1}``, which may count those that saw no specific emotion too. Raters that gave no
    vote saw none; without `raters` every rater is among the votes.

    Args:
        values: of the row.
        label: of the clip's emotion, None for no specific emotion.
        taxonomy: of the sheet.
        read: gives the index that a word of the sheet means, None for no specific emotion; by default only
            the emotions' own names are known.

    Returns:
        Raters, votes, and the share of the raters that chose the clip's emotion, or none of the emotions as
        the clip's label says; each None where unknown.

    Raises:
        ValueError: a column cannot be read, or they disagree; the message says how.

    >>> from emovid_dataset.schema.emotions import MIKELS
    >>> read_votes({"raters": 4, "votes": '{"awe": 2, "fear": 1}'}, 1, MIKELS)
    (4, (0, 2, 0, 0, 0, 0, 1, 0), 0.5)
    """
    raters = _count("raters", values.get("raters"))
    if raters == 0:
        raise ValueError("raters is 0; leave it empty where nobody is known to have labelled the clip")
    votes, without = _votes(values.get("votes"), taxonomy, read or taxonomy.parse)
    agreement = _share(values.get("agreement"))
    if votes is None:
        return raters, None, agreement
    total = sum(votes)
    if not total + without and raters is None:
        raise ValueError("votes are all 0, and raters does not say how many people there were")
    if raters is None:
        raters = total + without
    if total + without > raters:
        raise ValueError(f"votes are {total + without} together, more than the {raters} raters")
    agreed = raters - total if label is None else votes[label]
    share = agreed / raters
    if agreement is not None and abs(agreement - share) > _ROUNDING + 1e-9:
        name = NO_EMOTION if label is None else taxonomy.names[label]
        chosen = f"{agreed} of {raters} raters chose {name}"
        raise ValueError(f"agreement is {agreement:g}, but {chosen}: {share:.2f}")
    return raters, votes, share


def _votes(
    value: Any, taxonomy: Taxonomy, read: Callable[[Any], int | None]
) -> tuple[tuple[int, ...] | None, int]:
    """The votes for each emotion, None where nothing is known, and how many said that there is none."""
    if _is_empty(value):
        return None, 0
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(f"votes {value!r} is not JSON, a list or an object") from None
    if isinstance(value, Mapping):
        counts: dict[int | None, int] = {}
        for name, count in value.items():
            if count is None:  # a Parquet column of structs has every key in every row
                continue
            label = read(name)
            if label in counts:
                twice = NO_EMOTION if label is None else taxonomy.names[label]
                raise ValueError(f"votes {value!r} names {twice} twice")
            counts[label] = _whole("votes", count)
        return tuple(counts.get(index, 0) for index in range(len(taxonomy))), counts.get(None, 0)
    if not isinstance(value, (list, tuple)) or len(value) != len(taxonomy):
        raise ValueError(
            f"votes {value!r} is not {len(taxonomy)} numbers, one for each emotion, nor an object"
        )
    return tuple(_whole("votes", count) for count in value), 0


def _count(name: str, value: Any) -> int | None:
    return None if _is_empty(value) else _whole(name, value)


def _whole(name: str, value: Any) -> int:
    """A number of people: 3, "3" or, from a column of floats, 3.0."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name}: {value!r} is not a number of people") from None
    if isinstance(value, bool) or not 0 <= number < 2**53 or number != int(number):
        raise ValueError(f"{name}: {value!r} is not a number of people")
    return int(number)


def _share(value: Any) -> float | None:
    if _is_empty(value):
        return None
    try:
        share = float(value)
    except (TypeError, ValueError, OverflowError):
        share = math.nan
    if isinstance(value, bool) or not 0 <= share <= 1:
        raise ValueError(f"agreement {value!r} is not a share of 0 to 1")
    return share


def _is_empty(value: Any) -> bool:
    return (
        value is None
        or (isinstance(value, str) and not value.strip())
        or (isinstance(value, float) and math.isnan(value))
    )
