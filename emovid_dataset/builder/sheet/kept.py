"""Columns of a label sheet that become fields of the clips: their names, their types, their values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from emovid_dataset.builder.sheet.table import Row, is_empty
from emovid_dataset.schema.features import FEATURES, PLACE_COLUMNS

_NAME = re.compile("[a-z][a-z0-9_]*")
_DECIMAL = re.compile(r"-?\d+\.\d+(?:[eE][+-]?\d+)?")
_LARGEST = 2**63


@dataclass(frozen=True, slots=True)
class KeptColumn:
    """A column that becomes a field.

    Attributes:
        header: in the sheet.
        name: of the field.
        kind: "string", "int64", "float64" or "bool".
    """

    header: str
    name: str
    kind: str

    def value(self, cell: Any) -> Any:
        """A cell as a value of the field, None where it is empty."""
        if is_empty(cell):
            return None
        if self.kind == "string":
            return str(cell).strip()
        if self.kind == "bool" and isinstance(cell, str):
            return cell.strip().lower() == "true"
        return {"int64": int, "float64": float, "bool": bool}[self.kind](cell)


def keep_columns(
    where: str, wanted: Iterable[str], headers: Mapping[str, str], rows: Iterator[Row]
) -> tuple[KeptColumn, ...]:
    """Find the columns that are to be kept, and the type that takes every value of each.

    A column is of whole numbers, of numbers, or of true and false if all its cells are, else of texts: as
    numbers and words too, since CSV has nothing else. "007" is a text, since a number would lose its zeros.

    Args:
        where: names the sheet in messages.
        wanted: headers, in any case.
        headers: by lower-case header those of columns without a meaning.
        rows: of the sheet.

    Raises:
        ValueError: there is no such column, its name is that of a field, or it holds lists or objects.
    """
    columns = []
    for header in dict.fromkeys(wanted):
        found = headers.get(header.strip().lower())
        if found is None:
            raise ValueError(
                f"{where} has no column {header!r} to keep; without a meaning are {sorted(headers.values())}"
            )
        name = "_".join(found.lower().replace("-", " ").split())
        if name in FEATURES or name in PLACE_COLUMNS or name == "video" or not _NAME.fullmatch(name):
            raise ValueError(
                f"{where}: column {found!r} cannot be kept as {name!r}: rename it, to a-z, 0-9 and _"
            )
        columns.append((found, name))
    kinds: dict[str, set[str]] = {found: set() for found, _ in columns}
    for row in rows:
        for found, _ in columns:
            cell = row.cells.get(found)
            if isinstance(cell, (list, dict)):
                raise ValueError(
                    f"{where}: column {found!r} holds lists or objects, which only extra can keep"
                )
            if not is_empty(cell):
                kinds[found].add(_kind(cell))
    return tuple(KeptColumn(found, name, _common(kinds[found])) for found, name in columns)


def _kind(cell: Any) -> str:
    if isinstance(cell, bool):
        return "bool"
    text = cell.strip() if isinstance(cell, str) else cell
    if isinstance(text, str) and text.lower() in ("true", "false"):
        return "bool"
    if isinstance(text, int) or (isinstance(text, str) and text.isascii() and _is_whole(text)):
        return "int64" if -_LARGEST <= int(text) < _LARGEST else "string"
    if isinstance(text, float):
        return "float64" if math.isfinite(text) else "string"
    return "float64" if isinstance(text, str) and _DECIMAL.fullmatch(text) else "string"


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdigit() and str(int(text)) == text


def _common(kinds: set[str]) -> str:
    if len(kinds) == 1:
        return next(iter(kinds))
    return "float64" if kinds == {"int64", "float64"} else "string"
