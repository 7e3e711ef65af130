"""Read the emotions of a label sheet: names, other words for them, and indices where they can be sure."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from emovid_dataset.builder.sheet.table import is_empty, trimmed
from emovid_dataset.schema.label_set import LabelSet
from emovid_dataset.schema.no_emotion import NO_EMOTION, is_no_emotion

_NUMBER = re.compile(r"[+-]?\d{1,18}(?:\.0*)?")


def as_number(value: Any) -> int | None:
    """The whole number that a cell holds: 3, "3", or 3.0 as workbooks and columns with gaps have it."""
    if isinstance(value, bool) or is_empty(value):
        return None
    if isinstance(value, str):
        text = trimmed(value)
        return int(text.partition(".")[0]) if _NUMBER.fullmatch(text) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _key(value: Any) -> str:
    number = as_number(value)
    return trimmed(str(value)).lower() if number is None else str(number)


@dataclass(frozen=True, slots=True)
class EmotionWords:
    """What the words of a sheet mean.

    Attributes:
        labels: the emotions and the words that are known for them.
        mapped: by word of the sheet, in lower case, the emotion that a person said it means.
    """

    labels: LabelSet
    mapped: Mapping[str, int | None]

    @classmethod
    def of(cls, labels: LabelSet, mapped: Mapping[str, str]) -> EmotionWords:
        """The words of a set of labels, and those of a sheet's own.

        Args:
            labels: the emotions and the words that are known for them.
            mapped: by word of the sheet the name of an emotion, or "no specific emotion".

        Raises:
            ValueError: a word is mapped to what is not an emotion.
        """
        plain = cls(labels, {})
        return cls(labels, {_key(word): plain.read(name) for word, name in mapped.items()})

    def read(self, value: Any) -> int | None:
        """The index of an emotion, None for no specific emotion.

        Raises:
            ValueError: the value is not known; the message names what it may mean and what is allowed.
        """
        value = trimmed(value) if isinstance(value, str) else value
        taxonomy, key = self.labels.taxonomy, _key(value)
        if key in self.mapped:
            return self.mapped[key]
        name = self.labels.synonyms.get(key)
        number = as_number(value)
        try:
            return taxonomy.parse(name if name is not None else value if number is None else number)
        except ValueError as error:
            if is_no_emotion(value):
                return None
            hint = ""
            if maybe := self.labels.candidates.get(key):
                hint = f"; it may be {' or '.join(maybe)}: --map {key}={maybe[0]} says so"
            raise ValueError(f"{error}, or {NO_EMOTION!r}{hint}") from None

    def knows(self, word: str) -> bool:
        """Whether a word, not a number, names an emotion or says that there is none."""
        if as_number(word) is not None:
            return False
        try:
            self.read(word)
        except ValueError:
            return False
        return True

    def check_numbers(self, where: str, header: str, cells: Iterable[tuple[int, Any]]) -> str | None:
        """Check that a column's numbers can be indices.

        Args:
            where: names the sheet in messages.
            header: of the column.
            cells: number of the row and cell.

        Returns:
            What a person should know, or None.

        Raises:
            ValueError: a number is none of an emotion, so that it is not sure what the others mean.
        """
        names = self.labels.taxonomy.names
        last = len(names) - 1
        least: int | None = None
        rows: dict[int, int] = {}
        for row, cell in cells:
            number = as_number(cell)
            if number is None or str(number) in self.mapped:
                continue
            least = number if least is None else min(least, number)
            if not 0 <= number <= last:
                rows.setdefault(number, row)
        if rows:
            number, row = next(iter(rows.items()))
            from_1 = least == 1 and max(rows) == last + 1
            hint = "; it seems to count from 1" if from_1 else ""
            example = "--map 1=" + names[0] if from_1 else f"--map {number}={names[0]}"
            raise ValueError(
                f"{where}: column {header!r} holds {number} in row {row}, but indices go from 0 ({names[0]}) "
                f"to {last} ({names[-1]}){hint}; name the emotions instead, or say what each number means: "
                f"{example} ..."
            )
        if least == 1:
            return f"{where}: column {header!r} holds no 0; its numbers were read as 1 = {names[1]} ..."
        return None
