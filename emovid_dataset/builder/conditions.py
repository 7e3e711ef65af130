"""Conditions on a clip's fields, as a person types them: "license=CC-BY-4.0", "duration>30"."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from emovid_dataset.schema.features import FeatureType

_CONDITION = re.compile(r"\s*([A-Za-z_]\w*)\s*(!=|<=|>=|=|<|>)(.*)", re.DOTALL)
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_BOOLS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of a field with a value.

    Attributes:
        field: of the clip.
        sign: one of = != < <= > >=.
        text: the value as it was typed; "" stands for a field that is null or empty.
    """

    field: str
    sign: str
    text: str

    def of(self, features: Mapping[str, FeatureType]) -> Callable[[Mapping[str, Any]], bool]:
        """The test of a row of a build.

        Args:
            features: of the build.

        Raises:
            ValueError: clips have no such field, or the value is not of its type.
        """
        kind = features.get(self.field)
        if kind is None:
            raise ValueError(f"condition {str(self)!r}: clips have no field {self.field!r}")
        if isinstance(kind, list):
            raise ValueError(f"condition {str(self)!r}: {self.field} is a list")
        if self.text == "":
            if self.sign not in ("=", "!="):
                raise ValueError(f"condition {str(self)!r} has no value")
            return lambda row: (row[self.field] in (None, "")) == (self.sign == "=")
        value, compare = self._value(kind), _COMPARE[self.sign]
        if self.sign == "!=":
            return lambda row: row[self.field] is None or compare(row[self.field], value)
        return lambda row: row[self.field] is not None and compare(row[self.field], value)

    def _value(self, kind: str) -> Any:
        try:
            if kind == "bool":
                return _BOOLS[self.text.lower()]
            value = {"string": str, "int64": int, "float64": float}[kind](self.text)
        except (ValueError, KeyError) as error:
            raise ValueError(f"condition {str(self)!r}: {self.text!r} is not of the type {kind}") from error
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"condition {str(self)!r}: {self.text!r} is not a finite number")
        return value

    def __str__(self) -> str:
        return f"{self.field}{self.sign}{self.text}"


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Raises:
        ValueError: it is not a field, a sign and a value.

    >>> str(parse_condition("duration >= 30"))
    'duration>=30'
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ValueError(f"condition {text!r} must be a field, one of = != < <= > >=, and a value")
    return Condition(match[1], match[2], match[3].strip())
