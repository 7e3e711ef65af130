"""From emotion to emotion: the first-order Markov matrix over consecutive clips of one film."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emovid_dataset.analyse.clips import NO_VALENCE, ClipTable
from emovid_dataset.analyse.intervals import percentile_interval
from emovid_dataset.analyse.outcomes import Interval, NotComputed

DRAWS = 999
"""Draws of the bootstrap and permutations of the test, by default."""

FILMS = ("source", "group")
"""Which field says that clips are of one film."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: the number.
        interval: by a bootstrap over films.
    """

    value: float | NotComputed
    interval: Interval | NotComputed


@dataclass(frozen=True, slots=True)
class IndependenceTest:
    """Whether an emotion depends on the one before it, by permutations of the clips within each film.

    Attributes:
        statistic: G, twice the log-likelihood ratio of the counts against independence of rows and columns.
        p: share of permutations with at least this G.
        staying: share of pairs whose two emotions are the same.
        staying_expected: mean of that share over the permutations.
        staying_p: share of permutations with at least as many such pairs.
        permutations: how many.
    """

    statistic: float
    p: float
    staying: float
    staying_expected: float
    staying_p: float
    permutations: int


@dataclass(frozen=True, slots=True)
class Transitions:
    """The Markov matrix, and what follows from it.

    Attributes:
        film: the field by which clips are of one film.
        gap: seconds that may lie between the end of a clip and the start of the next; None for any number.
        films: those with at least one pair of consecutive clips.
        pairs: of consecutive clips.
        timed: clips with a start time; the others have no place in an order.
        emotions: names of rows and columns.
        counts: pairs by the emotion of the first clip (row) and of the second.
        matrix: probability of the second emotion given the first; a row without pairs is `NotComputed`.
        within: mean over the matrix's cells of two different emotions of one valence; `NotComputed` where the
            taxonomy has no valence.
        across: mean over its cells of two emotions of different valence; as `within`.
        independence: the test.
    """

    film: str
    gap: float | None
    films: int
    pairs: int
    timed: int
    emotions: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    matrix: tuple[tuple[Estimate, ...], ...]
    within: Estimate
    across: Estimate
    independence: IndependenceTest | NotComputed

    @property
    def staying(self) -> tuple[Estimate, ...]:
        """Self-persistence: the probability of each emotion after itself."""
        return tuple(row[index] for index, row in enumerate(self.matrix))


def transitions(
    clips: ClipTable, *, film: str = "source", gap: float | None = None, seed: int = 0, draws: int = DRAWS
) -> Transitions | NotComputed:
    """The first-order Markov matrix over consecutive clips of one film.

    Two clips are consecutive if they are of one film, no third clip of it in the build starts between them,
    and at most `gap` seconds lie between the end of the one and the start of the other. Clips that the build
    left out are not seen: without `gap` a pair may span any part of the film.

    Args:
        clips: the build's.
        film: "source" or "group": clips with an equal field are of one film.
        gap: seconds, 0 or more; None for any number.
        seed: of bootstrap and permutations.
        draws: number of each.

    Returns:
        `Transitions`; `NotComputed` where there are no pairs.

    Raises:
        ValueError: `film` or `gap` is not allowed.
    """
    if film not in FILMS:
        raise ValueError(f"film is {film!r}; allowed: {', '.join(FILMS)}")
    if gap is not None and not gap >= 0:
        raise ValueError(f"gap is {gap}; it must be 0 or more, or None")
    timed = np.flatnonzero(~np.isnan(clips.starts))
    if not len(timed):
        return NotComputed("no clip has a start time in a film (the sheet's columns start and end)")
    films = (clips.sources if film == "source" else clips.groups)[timed]
    order = np.lexsort((clips.ends[timed], clips.starts[timed], films))
    rows, films = timed[order], films[order]
    follows = films[1:] == films[:-1]
    if gap is not None:
        # times are whole milliseconds
        follows &= clips.starts[rows][1:] - clips.ends[rows][:-1] <= gap + 5e-4
    first = np.flatnonzero(follows)
    if not len(first):
        return NotComputed(f"no two clips with start times are consecutive in one {film}")
    labels, count = clips.labels[rows], len(clips.emotions)
    held, owner = np.unique(films[first], return_inverse=True)
    by_film = np.zeros((len(held), count, count), np.int64)
    np.add.at(by_film, (owner, labels[first], labels[first + 1]), 1)
    counts = by_film.sum(0)

    rng = np.random.default_rng(seed)
    drawn = np.array([by_film[rng.integers(len(held), size=len(held))].sum(0) for _ in range(draws)])
    chances, drawn_chances = _rows_to_one(counts), _rows_to_one(drawn)
    valences = np.array(clips.valences or [0] * count)
    same = valences[:, None] == valences[None, :]

    def mean_over(cells: np.ndarray) -> Estimate:
        if clips.valences is None:
            return Estimate(NO_VALENCE, NO_VALENCE)
        if np.isnan(chances[cells]).all():
            return Estimate(none := NotComputed("no pairs that begin with such an emotion"), none)
        return _estimate(
            _mean_of_known(chances[None, cells])[0], _mean_of_known(drawn_chances[:, cells]), held
        )

    return Transitions(
        film=film,
        gap=gap,
        films=len(held),
        pairs=len(first),
        timed=len(timed),
        emotions=clips.emotions,
        counts=tuple(tuple(row) for row in counts.tolist()),
        matrix=tuple(
            tuple(_estimate(chances[a, b], drawn_chances[:, a, b], held) for b in range(count))
            for a in range(count)
        ),
        within=mean_over(same & ~np.eye(count, dtype=bool)),
        across=mean_over(~same),
        independence=_independence(labels, films, first, count, rng, draws),
    )


def _rows_to_one(counts: np.ndarray) -> np.ndarray:
    """Counts as probabilities by row; a row without any is NaN."""
    sums = counts.sum(-1, keepdims=True)
    return np.where(sums > 0, counts / np.maximum(sums, 1), np.nan)


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Means of rows over what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    sums = np.where(known, values, 0.0).sum(-1)
    return np.where(known.any(-1), sums / np.maximum(known.sum(-1), 1), np.nan)


def _estimate(value: float, draws: np.ndarray, films: np.ndarray) -> Estimate:
    if np.isnan(value):
        none = NotComputed("no pair begins with this emotion")
        return Estimate(none, none)
    if len(films) < 2:
        return Estimate(float(value), NotComputed("one film only"))
    interval = percentile_interval(draws)
    if interval.low == interval.high:
        # as for a pair that no film has: drawing films again cannot show what none of them holds
        return Estimate(float(value), NotComputed("the films do not differ in it"))
    return Estimate(float(value), interval)


def _independence(
    labels: np.ndarray, films: np.ndarray, first: np.ndarray, count: int, rng: np.random.Generator, draws: int
) -> IndependenceTest | NotComputed:
    if len(np.unique(labels)) < 2:
        return NotComputed("all these clips carry one emotion")

    def measured(some: np.ndarray) -> tuple[float, float]:
        table = np.bincount(some[first] * count + some[first + 1], minlength=count * count)
        return _g(table.reshape(count, count)), float((some[first] == some[first + 1]).mean())

    g, staying = measured(labels)
    shuffled = _shuffles(labels, films, rng, draws, measured)
    return IndependenceTest(
        statistic=g,
        p=(1 + int((shuffled[:, 0] >= g - 1e-9).sum())) / (1 + draws),
        staying=staying,
        staying_expected=float(shuffled[:, 1].mean()),
        staying_p=(1 + int((shuffled[:, 1] >= staying - 1e-12).sum())) / (1 + draws),
        permutations=draws,
    )


def _shuffles(
    labels: np.ndarray,
    films: np.ndarray,
    rng: np.random.Generator,
    draws: int,
    measured: Callable[[np.ndarray], tuple[float, float]],
) -> np.ndarray:
    """What is measured on each of some permutations of the emotions within their films, [draws, 2].

    Films keep their own mixture of emotions, so that sad films and merry films alone are no dependence.
    """
    return np.array([measured(labels[np.lexsort((rng.random(len(labels)), films))]) for _ in range(draws)])


def _g(table: np.ndarray) -> float:
    total = table.sum()
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / total
    held = table > 0
    return 2 * float((table[held] * np.log(table[held] / expected[held])).sum())
