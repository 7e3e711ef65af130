"""`Taxonomy`: the emotions that a data set tells apart, their order and, where they have one, their valence.

A build's manifest holds its taxonomy: nothing that reads a build needs to know the emotions beforehand.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_NAME = re.compile("[a-z][a-z0-9_-]*")  # it stands in YAML, Markdown and CSS as it is


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """A fixed order of emotions; a label is an index into it.

    Attributes:
        name: of the taxonomy, such as "mikels".
        names: of the emotions, lower case, in order; "all" is none, since tables call their sum so.
        valences: of each emotion, 0 positive, 1 negative, None for one that is neither.

    >>> Taxonomy("two", ("joy", "grief"), (0, 1)).parse(" Grief ")
    1
    >>> Taxonomy.from_mapping({"name": "two", "labels": ["joy", "surprise"]}).has_valence
    False
    """

    name: str
    names: tuple[str, ...]
    valences: tuple[int | None, ...]

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) != len(self.names) or not all(self.names):
            raise ValueError(f"taxonomy {self.name!r} must name each emotion once, not {self.names!r}")
        if wrong := [name for name in self.names if not _NAME.fullmatch(name)]:
            raise ValueError(
                f"taxonomy {self.name!r}: {', '.join(map(repr, wrong))} cannot be the name of an emotion: "
                "it begins with a letter and is of a-z, 0-9, - and _; other spellings can be its synonyms"
            )
        if "all" in self.names:
            raise ValueError(f"taxonomy {self.name!r}: 'all' stands for all emotions and is none of them")
        if len(self.valences) != len(self.names) or not set(self.valences) <= {0, 1, None}:
            raise ValueError(
                f"taxonomy {self.name!r}: valences is {self.valences!r}, not 0, 1 or None for each emotion"
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def has_valence(self) -> bool:
        """Whether every emotion is positive or negative: without that nothing is counted by valence."""
        return None not in self.valences

    def parse(self, value: object) -> int:
        """Read one emotion label.

        Args:
            value: a name in any case with surrounding spaces, or an index as int or as decimal text.

        Returns:
            The index of the emotion in `names`.

        Raises:
            ValueError: the value is neither; the message names it and what is allowed.
        """
        if isinstance(value, str):
            text = value.strip().lower()
            if text in self.names:
                return self.names.index(text)
            if text.isascii() and text.isdigit() and len(text) < 10 and int(text) < len(self.names):
                return int(text)
        elif not isinstance(value, bool):
            try:
                index = operator.index(value)  # type: ignore[arg-type]
            except TypeError:
                index = -1
            if 0 <= index < len(self.names):
                return index
        allowed = f"{', '.join(self.names)} or 0..{len(self.names) - 1}"
        raise ValueError(f"emotion {value!r} is unknown; allowed: {allowed}")

    def of_valence(self, valence: int | None) -> tuple[str, ...]:
        """Names of the emotions of a valence (0 positive, 1 negative, None neither), in order."""
        return tuple(
            name
            for name, its_valence in zip(self.names, self.valences, strict=True)
            if its_valence == valence
        )

    def to_mapping(self) -> dict[str, Any]:
        """The taxonomy as a manifest holds it; an emotion without a valence is its name alone."""
        labels = [
            {"name": name} if valence is None else {"name": name, "valence": valence}
            for name, valence in zip(self.names, self.valences, strict=True)
        ]
        return {"name": self.name, "labels": labels}

    @classmethod
    def from_mapping(cls, body: Mapping[str, Any]) -> Taxonomy:
        """Read what `to_mapping` gives; a label may also be its name alone, and its valence null.

        Raises:
            ValueError: it is not a taxonomy; the message says what is wrong.
        """
        try:
            labels = [{"name": label} if isinstance(label, str) else label for label in body["labels"]]
            pairs = [(label["name"], label.get("valence")) for label in labels]
            name = body["name"]
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"taxonomy is {body!r}, not a name and labels") from error
        if not isinstance(name, str) or not all(
            isinstance(label, str) and (valence is None or type(valence) is int) for label, valence in pairs
        ):
            raise ValueError(f"taxonomy is {body!r}: a label has a name and, if any, a valence of 0 or 1")
        names = tuple(str(label) for label, _ in pairs)
        return cls(name, names, tuple(None if valence is None else int(valence) for _, valence in pairs))
