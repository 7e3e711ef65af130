"""The emotions that a metric tells apart: by default Mikels' eight, or those that the caller names."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Set
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import numpy as np

EMOTIONS: tuple[str, ...] = (
    "amusement",
    "awe",
    "contentment",
    "excitement",
    "anger",
    "disgust",
    "fear",
    "sadness",
)
"""The eight emotions; a label is an index into this tuple and ``label // 4`` its valence."""

VALENCES: tuple[str, str] = ("positive", "negative")
"""The two valences."""

MOST_EMOTIONS = 127
"""A label is one byte, and -1 stands for an unscored one."""

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True, slots=True)
class EmotionSet:
    """A fixed order of emotions; a label is an index into it.

    Attributes:
        names: of the emotions.
        valences: of each, 0 positive, 1 negative; None where they have none.
        index: from each way to write a label, name or number, to the label.
    """

    names: tuple[str, ...]
    valences: tuple[int, ...] | None
    index: Mapping[Any, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index = {str(label): label for label in range(len(self.names))}
        for label, name in enumerate(self.names):
            index[name.lower()] = index[name] = label
        object.__setattr__(self, "index", index)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def key(self) -> str:
        """What the share of right emotions is called in results: "ea_8cls" with eight emotions."""
        return f"ea_{len(self)}cls"

    @property
    def shares(self) -> tuple[str, ...]:
        """The shares in results: of emotions, and of valences; with two emotions they are one."""
        return tuple(dict.fromkeys((self.key, "ea_2cls")))

    @property
    def number(self) -> str:
        """How many emotions there are, as a word up to ten."""
        return _NUMBERS[len(self)] if len(self) < len(_NUMBERS) else str(len(self))

    @property
    def allowed(self) -> str:
        """What a label may be."""
        return f"a label is 0..{len(self) - 1} or one of {', '.join(self.names)}"

    def valence_table(self) -> np.ndarray | None:
        """int8, the valence of each label; the last entry, for the label -1, is none."""
        return None if self.valences is None else np.array([*self.valences, -1], np.int8)


EIGHT = EmotionSet(EMOTIONS, (0, 0, 0, 0, 1, 1, 1, 1))
"""Mikels' eight."""


def read_taxonomy(emotions: Any, valence: Any) -> EmotionSet:
    """The taxonomy that a caller names.

    Args:
        emotions: names in the order of their indices, or None for Mikels' eight.
        valence: of each emotion 0 or "positive", 1 or "negative", or None for no valences. Mikels' eight have
            theirs.

    Raises:
        ValueError: it is no such list; one line names the argument, the position and the value.

    >>> read_taxonomy(["joy", "grief"], ["positive", 1]).valences
    (0, 1)
    >>> read_taxonomy(None, None).key, read_taxonomy(["joy", "grief", "calm"], None).key
    ('ea_8cls', 'ea_3cls')
    """
    names = EMOTIONS if emotions is None else _read_names(emotions)
    if valence is None:
        return EIGHT if names == EMOTIONS else EmotionSet(names, None)
    values = _listed("valence", valence)
    if len(values) != len(names):
        raise ValueError(f"valence has {len(values)} values, but there are {len(names)} emotions")
    taxonomy = EmotionSet(names, tuple(_read_valence(value, place) for place, value in enumerate(values)))
    if names == EMOTIONS and taxonomy != EIGHT:
        wrong = [
            one != other for one, other in zip(taxonomy.valences or (), EIGHT.valences or (), strict=True)
        ]
        place = wrong.index(True)
        raise ValueError(
            f"valence[{place}] is {values[place]!r}, but {names[place]} of the eight has the other"
        )
    return taxonomy


def _read_names(emotions: Any) -> tuple[str, ...]:
    values = _listed("emotions", emotions)
    if not 2 <= len(values) <= MOST_EMOTIONS:
        raise ValueError(f"emotions has {len(values)} values; allowed: 2..{MOST_EMOTIONS} names")
    seen: dict[str, int] = {}
    for place, value in enumerate(values):
        if not isinstance(value, str) or not value.strip() or value.strip().isdigit():
            raise ValueError(f"emotions[{place}] is {value!r}; an emotion is a name")
        name = value.strip().lower()
        if name in seen:
            raise ValueError(
                f"emotions[{place}] is {value!r}, as is emotions[{seen[name]}]; each emotion once"
            )
        seen[name] = place
    return EMOTIONS if tuple(seen) == EMOTIONS else tuple(value.strip() for value in values)


def _read_valence(value: Any, place: int) -> int:
    if isinstance(value, str) and value.strip().lower() in VALENCES:
        return VALENCES.index(value.strip().lower())
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value in (0, 1):
        return int(value)
    raise ValueError(f"valence[{place}] is {value!r}; allowed: 0, 1, 'positive', 'negative'")


def _listed(argument: str, values: Any) -> list[Any]:
    if isinstance(values, (str, bytes, Mapping, Set)) or not isinstance(values, Iterable):
        raise ValueError(f"{argument} is {values!r}; allowed: a list")
    return list(values)
