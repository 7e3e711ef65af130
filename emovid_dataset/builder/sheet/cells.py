"""Read one cell of a label sheet: a text, a time, an emotion, probabilities."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from emovid_dataset.schema.no_emotion import NO_EMOTION, is_no_emotion
from emovid_dataset.schema.taxonomy import Taxonomy


def read_emotion(value: Any, taxonomy: Taxonomy) -> int | None:
    """Index of an emotion, None for no specific emotion."""
    try:
        return taxonomy.parse(value)
    except ValueError as error:
        if is_no_emotion(value):
            return None
        raise ValueError(f"{error}, or {NO_EMOTION!r}") from None


def read_text(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = " ".join(str(value).split()) if name == "caption" else str(value).strip()
    if "\0" in text:
        raise ValueError(f"{name} holds a zero character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} {text!r} is not valid Unicode") from None
    return text or None


def read_seconds(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} {value!r} is not a number of seconds") from None
    if math.isnan(seconds) and not isinstance(value, str):
        return None  # an empty cell of a Parquet column of floats
    if not math.isfinite(seconds):
        raise ValueError(f"{name} {value!r} is not a number of seconds")
    return seconds


def read_scores(value: Any, taxonomy: Taxonomy) -> tuple[float, ...] | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(f"emotion_scores {value!r} is not a JSON list") from None
    try:
        scores = tuple(float(score) for score in value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"emotion_scores {value!r} is not a list of numbers") from None
    inside = all(0 <= score <= 1 for score in scores)
    if len(scores) != len(taxonomy) or not inside or abs(sum(scores) - 1) > 1e-3:
        raise ValueError(f"emotion_scores {value!r} is not {len(taxonomy)} probabilities that sum to 1")
    return scores
