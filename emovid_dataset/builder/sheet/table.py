"""`Table`: the rows of a label sheet, whatever its format, to be read as often as needed."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """A row as its file gives it.

    Attributes:
        number: 1 for the first one after the header.
        cells: by header.
        beyond: cells for which the header has no column.
    """

    number: int
    cells: Mapping[str, Any]
    beyond: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a label sheet.

    Attributes:
        headers: of its columns, in order, each once.
        read: reads the rows from the first to the last; those without any cell are left out and counted.
        remarks: what a person should know of how the file was read.
    """

    headers: tuple[str, ...]
    read: Callable[[], Iterator[Row]]
    remarks: tuple[str, ...] = ()


def trimmed(text: str) -> str:
    """A text without the blanks and the invisible marks around it, which come along with a copied cell.

    >>> trimmed("\\u202a C:/a.mp4 \\u200b")
    'C:/a.mp4'
    """
    first, last = 0, len(text)
    while first < last and _is_unseen(text[first]):
        first += 1
    while last > first and _is_unseen(text[last - 1]):
        last -= 1
    return text[first:last]


_DOS_END = "\x1a"
"""Ends the texts of some old programs."""


def _is_unseen(letter: str) -> bool:
    return letter.isspace() or letter == _DOS_END or unicodedata.category(letter) == "Cf"


def is_empty(value: Any) -> bool:
    """Whether a cell holds nothing: null, blanks, or the NaN that stands for null in a column of floats."""
    if isinstance(value, str):
        return not trimmed(value)
    return value is None or (isinstance(value, float) and math.isnan(value))


def named(where: str, names: Sequence[Any]) -> tuple[str, ...]:
    """The headers of a table's columns; one without a name is called after its place.

    Args:
        where: names the sheet in messages.
        names: of the header's cells.

    Raises:
        ValueError: two columns have one name.

    >>> named("labels.csv", ["path ", None, "emotion"])
    ('path', 'column 2', 'emotion')
    """
    headers = tuple(
        f"column {place}" if is_empty(name) else trimmed(str(name))
        for place, name in enumerate(names, start=1)
    )
    twice = [header for header in headers if headers.count(header) > 1]
    if twice:
        raise ValueError(f"{where} has two columns {twice[0]!r}; rename one")
    return headers


def numbered(headers: Sequence[str], lines: Iterator[Sequence[Any]]) -> Iterator[Row]:
    """The rows of a table that is given line by line.

    Args:
        headers: of its columns.
        lines: cells in the order of the headers; a short line has empty cells at its end.
    """
    for number, cells in enumerate(lines, start=1):
        if all(is_empty(cell) for cell in cells):
            continue
        known = {header: cells[place] if place < len(cells) else None for place, header in enumerate(headers)}
        beyond = tuple(cells[len(headers) :])
        yield Row(number, known, () if all(is_empty(cell) for cell in beyond) else beyond)
