"""What the columns of a label sheet mean, and what is kept of the others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

COLUMNS = (
    "path",
    "emotion",
    "content_type",
    "caption",
    "group",
    "license",
    "source",
    "start",
    "end",
    "emotion_source",
    "emotion_scores",
    "raters",
    "votes",
    "agreement",
    "color",
)
"""Columns of a label sheet that have a meaning; `path` and `emotion` it must have, others become `extra`."""


def extra_of(values: Mapping[str, Any]) -> str | None:
    """The row's columns that have no meaning here, as a JSON object; None where it has none.

    Args:
        values: of the row. Empty cells are left out; what JSON does not know, such as a date, becomes text.

    Raises:
        ValueError: a number is not finite, or a text is not valid Unicode.

    >>> extra_of({"path": "a.mp4", "emotion": "awe", "film": "Sintel", "scene": 3, "note": ""})
    '{"film": "Sintel", "scene": 3}'
    """
    others = {
        name: value
        for name, value in values.items()
        if name not in COLUMNS and not (value is None or value == "" or value != value)
    }
    if not others:
        return None
    try:
        text = json.dumps(others, ensure_ascii=False, default=str, allow_nan=False)
        text.encode()
    except ValueError as error:
        raise ValueError(f"its further columns {others!r} cannot be kept as JSON: {error}") from error
    return text
