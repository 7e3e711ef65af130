"""How well a detector's transitions are those that are there, by TRECVID's convention.

A transition is from the last frame before it to the first one behind it. Two are the same if these stretches,
widened by the tolerance, overlap; each counts once. What is found twice, or where nothing is, is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TOLERANCE = 2
"""Frames by which a boundary may be off."""


@dataclass(frozen=True, slots=True)
class Score:
    """What came of a comparison.

    Attributes:
        hits: transitions that were found.
        wrong: found where none is.
        missed: not found.
    """

    hits: int
    wrong: int
    missed: int

    def __add__(self, other: Score) -> Score:
        return Score(self.hits + other.hits, self.wrong + other.wrong, self.missed + other.missed)

    @property
    def precision(self) -> float:
        """Share of what was found that is there; 1 where nothing was found."""
        return self.hits / (self.hits + self.wrong) if self.hits + self.wrong else 1.0

    @property
    def recall(self) -> float:
        """Share of what is there that was found; 1 where nothing is there."""
        return self.hits / (self.hits + self.missed) if self.hits + self.missed else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        both = 2 * self.hits + self.wrong + self.missed
        return 2 * self.hits / both if both else 1.0


def score(
    found: Sequence[tuple[int, int]], there: Sequence[tuple[int, int]], tolerance: int = TOLERANCE
) -> Score:
    """Compare transitions.

    Args:
        found: by a detector: the first frame that is not of the shot before alone, and the first one that is
            of the shot behind alone; equal for a cut.
        there: likewise, the truth.
        tolerance: frames by which two boundaries may differ.

    >>> score([(10, 10), (50, 50)], [(12, 12), (80, 90)])
    Score(hits=1, wrong=1, missed=1)
    >>> score([(7, 7)], [(10, 10)]), score([(83, 83), (88, 88)], [(80, 90)])
    (Score(hits=0, wrong=1, missed=1), Score(hits=1, wrong=1, missed=0))
    """
    left = sorted(there)
    hits = 0
    for first, stop in sorted(found):
        # frame first - 1 is the last of the shot before: of a cut only the boundary itself counts
        match = next(
            (item for item in left if first - item[1] <= tolerance and item[0] - stop <= tolerance), None
        )
        if match is not None:
            left.remove(match)
            hits += 1
    return Score(hits, len(found) - hits, len(left))
