"""`RatingTable`: who chose what of which clip, as numbers that the coefficients are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from emovid_dataset.agree.coefficient import Array
from emovid_dataset.agree.rating import Rating
from emovid_dataset.label.answers import NONE, UNCLEAR
from emovid_dataset.schema.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class RatingTable:
    """Who chose what of which clip, the first time they were asked.

    "none" is a category of its own, the last one; "unclear" is no answer, and only counted.

    Attributes:
        clips: ids of the clips about which anybody said anything, in the order in which they first came.
        raters: names, sorted.
        categories: names of the emotions in the taxonomy's order, then "none".
        codes: int [clips, raters], the category chosen, -1 where there is no answer.
        seconds: int [clips, raters], the second emotion, -1 where there is none.
        unclear: bool [clips, raters], where a rater could not tell.
        ms: float [clips, raters], milliseconds, NaN where unknown.
        repeats: of every answer to a clip that was shown again: clip, rater, category first, category then.
        places: by clip where it comes from.
    """

    clips: tuple[str, ...]
    raters: tuple[str, ...]
    categories: tuple[str, ...]
    codes: Array
    seconds: Array
    unclear: Array
    ms: Array
    repeats: tuple[tuple[int, int, int, int], ...]
    places: Mapping[str, Mapping[str, Any]]

    @property
    def counts(self) -> Array:
        """int [clips, categories], how many raters chose each."""
        return counts_of(self.codes, len(self.categories))

    @classmethod
    def of(cls, ratings: Iterable[Rating], taxonomy: Taxonomy) -> RatingTable:
        """Arrange ratings.

        Args:
            ratings: those in force.
            taxonomy: of the emotions.
        """
        given = list(ratings)
        clips = {name: place for place, name in enumerate(dict.fromkeys(one.id for one in given))}
        raters = {name: place for place, name in enumerate(sorted({one.rater for one in given}))}
        categories = (*taxonomy.names, NONE)
        code = {name: place for place, name in enumerate(categories)}
        shape = len(clips), len(raters)
        codes, seconds = np.full(shape, -1, np.int64), np.full(shape, -1, np.int64)
        unclear, ms = np.zeros(shape, bool), np.full(shape, np.nan)
        places: dict[str, dict[str, Any]] = {}
        again: list[tuple[int, int, int]] = []
        for one in given:
            cell = clips[one.id], raters[one.rater]
            places.setdefault(one.id, {}).update(one.place)
            if one.repeat:
                again += [] if one.emotion == UNCLEAR else [(*cell, code[str(one.emotion)])]
                continue
            if one.ms is not None:
                ms[cell] = one.ms
            if one.emotion == UNCLEAR:
                unclear[cell] = True
                continue
            codes[cell] = code[str(one.emotion)]
            if one.second is not None:
                seconds[cell] = code[one.second]
        repeats = tuple(
            (clip, rater, int(codes[clip, rater]), then)
            for clip, rater, then in again
            if codes[clip, rater] >= 0
        )
        return cls(tuple(clips), tuple(raters), categories, codes, seconds, unclear, ms, repeats, places)


def counts_of(codes: Array, size: int) -> Array:
    """How many raters chose each category.

    Args:
        codes: int [clips, raters], -1 where there is no answer.
        size: number of categories.

    Returns:
        int [clips, size].

    >>> counts_of(np.array([[0, 1, 1], [2, -1, 2]]), 3)
    array([[1, 2, 0],
           [0, 0, 2]])
    """
    found = np.zeros((len(codes), size), np.int64)
    rows, columns = np.nonzero(codes >= 0)
    np.add.at(found, (rows, codes[rows, columns]), 1)
    return found
