"""What an analysis returns where there is no number, an interval, and how records become JSON."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class NotComputed:
    """Stands where a number would, when there is none.

    Attributes:
        reason: why, in words that follow "not computed: ".

    >>> print(NotComputed("no clip has sound"))
    not computed: no clip has sound
    """

    reason: str

    def __str__(self) -> str:
        return f"not computed: {self.reason}"


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval.

    Attributes:
        low: its lower end.
        high: its upper end.
    """

    low: float
    high: float


def as_json(value: Any) -> Any:
    """A record as JSON holds it: fields by name; `NotComputed` as ``{"not_computed": reason}``.

    >>> as_json((NotComputed("no clips"), Interval(0.0, np.float64(1.0))))
    [{'not_computed': 'no clips'}, {'low': 0.0, 'high': 1.0}]
    """
    if isinstance(value, NotComputed):
        return {"not_computed": value.reason}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return value.value if isinstance(value, Enum) else value
