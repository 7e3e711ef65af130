"""Read one cell of a label sheet: a text, a time, an emotion, probabilities."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from emovid_dataset.builder.sheet.table import is_empty, trimmed
from emovid_dataset.schema.taxonomy import Taxonomy


def read_text(values: Mapping[str, Any], name: str) -> str | None:
    """Read a text; None where the cell is empty."""
    value = values.get(name)
    if is_empty(value):
        return None
    text = " ".join(trimmed(str(value)).split()) if name == "caption" else trimmed(str(value))
    if "\0" in text:
        raise ValueError(f"{name} holds a zero character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} {text!r} is not valid Unicode") from None
    return text or None


_TIME = re.compile(r"(?:(\d+):)?([0-5]?\d):([0-5]?\d(?:[.,]\d+)?)")
"""HH:MM:SS.mmm, the hours and the fraction optional; subtitles have a comma before it."""

_COMMA = re.compile(r"([+-]?\d+),(\d+)")
"""A decimal comma, or one between thousands, behind which three digits stand."""


def read_seconds(values: Mapping[str, Any], name: str) -> float | None:
    """Read a time: seconds as a number or text, ``HH:MM:SS.mmm`` or ``MM:SS``, or a workbook's time.

    >>> read_seconds({"start": "01:02:03.250"}, "start"), read_seconds({"start": "2,5"}, "start")
    (3723.25, 2.5)
    """
    value: Any = values.get(name)
    if is_empty(value):
        return None
    if isinstance(value, str) and (match := _TIME.fullmatch(value.strip())):
        hours, minutes, rest = match.groups(default="0")
        return int(hours) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))
    if isinstance(value, datetime.time):
        return value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 1e6
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, str) and (match := _COMMA.fullmatch(value.strip())):
        whole, fraction = match.groups()
        if len(fraction) == 3 and whole.lstrip("+-") != "0":
            raise ValueError(f"{name} {value!r} may be {whole}.{fraction} or {whole}{fraction} seconds")
        value = f"{whole}.{fraction}"
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ValueError(f"{name} {value!r} is not a number of seconds, nor HH:MM:SS.mmm")
    return seconds


def read_scores(value: Any, taxonomy: Taxonomy) -> tuple[float, ...] | None:
    if is_empty(value):
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
