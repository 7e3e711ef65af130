"""Which videos a rater sees side by side, in which order and places: a function of the study's seed alone.

A cell is a prompt and a set of systems that are shown together. Cells are dealt out in rounds: in each, every
cell once, in an order of its own; a rater takes the next cells of the line. So votes are spread evenly over
the cells however many raters come. From one round to the next the systems of a cell move on by one place, so
that each is as often in every place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise

import numpy as np


@dataclass(frozen=True, slots=True)
class Cell:
    """What is compared.

    Attributes:
        prompt: index of the prompt.
        systems: indices of the systems, in the order of their places, from the left or the top.
    """

    prompt: int
    systems: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Design:
    """How votes are collected.

    Attributes:
        prompts: how many there are.
        systems: how many there are, at least 2.
        together: systems that one trial shows, 2 to `systems`.
        per_rater: trials of one rater, at most as many as there are cells.
        seed: of every order.
    """

    prompts: int
    systems: int
    together: int
    per_rater: int
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("prompts", 1, 1_000_000),
            ("systems", 2, 26),
            ("together", 2, self.systems),
            ("per_rater", 1, self.cells),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} {value} is not within {low} and {high}")

    @property
    def sets(self) -> list[tuple[int, ...]]:
        """All sets of systems that are shown together."""
        return list(combinations(range(self.systems), self.together))

    @property
    def cells(self) -> int:
        """Number of prompts times sets."""
        return self.prompts * len(self.sets)

    def trials(self, rater: int) -> list[Cell]:
        """The cells of a rater, in the order in which they are shown.

        Args:
            rater: number of the rater: 0 for the first, then 1, ...

        Returns:
            `per_rater` cells, none twice.
        """
        first = rater * self.per_rater
        number, start = divmod(first, self.cells)
        taken = self._round(number)[start : start + self.per_rater]
        if len(taken) < self.per_rater:
            taken += self._round(number + 1)[: self.per_rater - len(taken)]
        return taken

    def _round(self, number: int) -> list[Cell]:
        return [self._placed(cell, number) for cell in _orders(self, number)[number]]

    def _order(self, number: int) -> list[int]:
        """Prompts in an order of the round, each with another of its sets in every pass."""
        random = np.random.default_rng([self.seed, number])
        sets = len(self.sets)
        shifts = random.permutation(self.prompts) % sets
        return [
            int(prompt) * sets + int((shifts[prompt] + turn) % sets)
            for turn in range(sets)
            for prompt in random.permutation(self.prompts)
        ]

    def _placed(self, cell: int, number: int) -> Cell:
        prompt, index = divmod(cell, len(self.sets))
        systems = self.sets[index]
        moved = (number + cell) % self.together
        return Cell(prompt, systems[moved:] + systems[:moved])


def spread_checks(trials: int, checks: int, seed: int) -> list[int]:
    """Where attention checks stand between the trials.

    Args:
        trials: of a rater.
        checks: how many, at most as many as there are trials.
        seed: of the rater.

    Returns:
        The numbers of the trials before which a check stands, one in each of `checks` equal parts, ascending.

    >>> len(spread_checks(20, 2, 0))
    2
    """
    if not 0 <= checks <= trials:
        raise ValueError(f"checks {checks} is not within 0 and {trials}, the number of trials")
    random = np.random.default_rng([seed, 1])
    edges = np.linspace(0, trials, checks + 1).astype(int)
    return [int(random.integers(low, high)) for low, high in pairwise(edges)]


@lru_cache(maxsize=8)
def _orders(design: Design, number: int) -> list[list[int]]:
    """Indices of the cells in rounds 0 to `number`, every cell once in each.

    What a rater who goes on from one round into the next has seen in the former comes last in the latter.
    """
    found: list[list[int]] = []
    for each in range(number + 1):
        order = design._order(each)
        begun = (each * design.cells) % design.per_rater
        if begun:
            before = set(found[-1][-begun:])
            order = [cell for cell in order if cell not in before] + [c for c in order if c in before]
        found.append(order)
    return found
