"""From votes to figures: shares of first choices, Luce's worths (for pairs, Bradley-Terry's), and tests.

Raters and prompts are both samples of what there could be, and votes of one rater, or on one prompt, resemble
each other. So every interval is of both: its variance is that of a bootstrap of raters plus that of a
bootstrap of prompts, less that of single votes, which both hold (the two-way clusters of Cameron, Gelbach and
Miller).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from emovid_models.evaluation.multiple_comparisons import holm, shared_ranks
from emovid_models.evaluation.statistics import Share


@dataclass(frozen=True, slots=True)
class Choice:
    """One vote: which of the systems shown was chosen.

    Attributes:
        rater: who chose.
        prompt: what the systems were asked for, and with which seed: the videos shown are of one prompt.
        shown: the systems shown, at least two, no one twice.
        chosen: one of them.
    """

    rater: str
    prompt: str
    shown: tuple[str, ...]
    chosen: str

    def __post_init__(self) -> None:
        if len(self.shown) < 2 or len(set(self.shown)) < len(self.shown) or self.chosen not in self.shown:
            raise ValueError(f"{self.chosen!r} chosen of {self.shown!r}: must be one of two or more systems")


@dataclass(frozen=True, slots=True)
class Worth:
    """How strongly a system is preferred.

    Attributes:
        value: natural logarithm of its worth; those of all systems have the mean 0. Of two systems with the
            worths a and b the first is chosen with the probability 1 / (1 + exp(b - a)).
        low, high: of the 95 % interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Contrast:
    """One system against another.

    Attributes:
        first, second: the systems.
        preference: probability that the first is chosen of the two, with its interval.
        p: two-sided, that neither is preferred.
        p_holm: the same, with Holm's correction for all pairs.
    """

    first: str
    second: str
    preference: Share
    p: float
    p_holm: float


@dataclass(frozen=True, slots=True)
class Preference:
    """What the votes on one question say.

    Attributes:
        votes, raters, prompts: how many.
        top1: share of the trials that showed a system in which it was chosen, with its interval.
        chance: share that a system would have if nobody preferred any, by system.
        p_chance: two-sided p of `top1` against `chance`, with Holm's correction over the systems; None where
            there are fewer than two raters or prompts.
        worths: of Luce's model, for pairs Bradley and Terry's; None for systems that the votes do not
            connect.
        contrasts: all pairs of systems, in the order of the worths; empty without worths.
        rank: 1 is best; systems that Holm's test does not tell apart from the best of a rank share it.
        note: why something is None; "" if nothing is.
    """

    votes: int
    raters: int
    prompts: int
    top1: Mapping[str, Share]
    chance: Mapping[str, float]
    p_chance: Mapping[str, float | None]
    worths: Mapping[str, Worth] | None
    contrasts: tuple[Contrast, ...]
    rank: Mapping[str, int]
    note: str


def preference(choices: Sequence[Choice], systems: Sequence[str]) -> Preference:
    """Evaluate the votes on one question.

    Args:
        choices: at least one vote.
        systems: all systems of the study, in the order in which ties are listed.

    Returns:
        `Preference`. Where a system was chosen always or never, its interval is Wilson's, of as many votes as
        it has raters, for resampling cannot tell what else could have been.

    Raises:
        ValueError: there are no votes, or a system is unknown.

    Source: R. D. Luce, "Individual Choice Behavior", 1959; R. A. Bradley, M. E. Terry, "Rank analysis of
    incomplete block designs", Biometrika 39, 1952; A. C. Cameron, J. B. Gelbach, D. L. Miller, "Robust
    inference with multiway clustering", J. Business & Economic Statistics 29, 2011; S. Holm, "A simple
    sequentially rejective multiple test procedure", Scandinavian J. of Statistics 6, 1979.
    """
    if not choices:
        raise ValueError("there are no votes")
    names = list(systems)
    unknown = sorted({name for choice in choices for name in choice.shown} - set(names))
    if unknown:
        raise ValueError(f"votes name the unknown systems {unknown}; the study has {names}")
    shown = np.zeros((len(choices), len(names)), bool)
    chosen = np.zeros(len(choices), int)
    for row, choice in enumerate(choices):
        shown[row, [names.index(name) for name in choice.shown]] = True
        chosen[row] = names.index(choice.chosen)
    raters = _numbered([choice.rater for choice in choices])
    prompts = _numbered([choice.prompt for choice in choices])
    clusters = _Clusters(raters, prompts)

    won = np.zeros_like(shown)
    won[np.arange(len(chosen)), chosen] = True
    sizes = shown.sum(1)
    top1, chance, p_values = {}, {}, {}
    for index, name in enumerate(names):
        seen = shown[:, index]
        if not seen.any():
            continue
        chance[name] = float((1 / sizes[seen]).mean())
        top1[name], p_values[name] = _share(won[:, index], seen, chance[name], clusters)
    notes = []
    if clusters.degrees < 1:
        notes.append("fewer than two raters or prompts: no test")
    worths, contrasts, reason = _worths(shown, chosen, names, clusters)
    notes += [reason] if reason else []
    return Preference(
        votes=len(choices),
        raters=int(raters.max()) + 1,
        prompts=int(prompts.max()) + 1,
        top1=top1,
        chance=chance,
        p_chance=dict(zip(p_values, _holm_or_none(list(p_values.values())), strict=True)),
        worths=worths,
        contrasts=contrasts,
        rank=_ranks(worths, contrasts, top1),
        note="; ".join(notes),
    )


def _holm_or_none(p_values: Sequence[float | None]) -> list[float | None]:
    known = iter(holm([p for p in p_values if p is not None]))
    return [None if p is None else next(known) for p in p_values]


def _numbered(labels: Sequence[str]) -> np.ndarray:
    return np.unique(np.asarray(labels), return_inverse=True)[1]


@dataclass(frozen=True, slots=True)
class _Clusters:
    """Which rater and which prompt each vote is of."""

    raters: np.ndarray
    prompts: np.ndarray

    @property
    def degrees(self) -> int:
        """Degrees of freedom of a test: one less than the fewer of raters and prompts."""
        return int(min(self.raters.max(), self.prompts.max()))

    def error(self, influence: np.ndarray) -> float:
        """Standard error of a sum of influences [votes] over votes, clustered both ways.

        Its square is what resampling raters, prompts, and single votes (a rater's on one prompt) converge to,
        each with the factor g / (g - 1) of g clusters: the first two together, less the third. It is at least
        the third, below which only chance can bring it.
        """
        both = self.raters * (int(self.prompts.max()) + 1) + self.prompts
        by_rater, by_prompt, by_vote = (
            float((sums**2).sum()) * len(sums) / max(len(sums) - 1, 1)
            for sums in (
                np.bincount(labels, influence)
                for labels in (self.raters, self.prompts, np.unique(both, return_inverse=True)[1])
            )
        )
        return math.sqrt(max(by_rater + by_prompt - by_vote, by_vote))


def _share(
    won: np.ndarray, seen: np.ndarray, chance: float, clusters: _Clusters
) -> tuple[Share, float | None]:
    """Share of first choices with an interval on the logit scale, and the test against chance."""
    from scipy.stats import t

    value = float(won[seen].mean())
    if value in (0.0, 1.0):
        raters = len(np.unique(clusters.raters[seen]))
        low, high = _wilson(value * raters, raters)
        p = None if clusters.degrees < 1 else float(min(1.0, 2 * (chance if value else 1 - chance) ** raters))
        return Share(value, low, high), p
    if clusters.degrees < 1:
        low, high = _wilson(won[seen].sum(), seen.sum())
        return Share(value, low, high), None
    error = clusters.error(np.where(seen, won - value, 0.0) / seen.sum())
    at, spread = math.log(value / (1 - value)), error / (value * (1 - value))
    reach = float(t.isf(0.025, clusters.degrees)) * spread
    low, high = (1 / (1 + math.exp(-(at + sign * reach))) for sign in (-1, 1))
    null = math.log(chance / (1 - chance))
    return Share(value, low, high), float(2 * t.sf(abs(at - null) / spread, clusters.degrees))


def _wilson(successes: float, n: float) -> tuple[float, float]:
    from emovid_models.metrics.ea_8cls.intervals import wilson_interval

    return wilson_interval(successes, n)


def _worths(
    shown: np.ndarray, chosen: np.ndarray, names: list[str], clusters: _Clusters
) -> tuple[dict[str, Worth] | None, tuple[Contrast, ...], str]:
    from scipy.stats import t

    used = np.flatnonzero(shown.any(0))
    if not _is_strongly_connected(shown[:, used], np.searchsorted(used, chosen)):
        return None, (), "no worths: some systems were always, or never, preferred to all others"
    at, curvature, score = _fit(shown[:, used], np.searchsorted(used, chosen))
    if clusters.degrees < 1:
        return None, (), "no worths: they need two raters and two prompts"
    influence = score @ np.linalg.pinv(curvature, rcond=1e-10, hermitian=True)
    reach = float(t.isf(0.025, clusters.degrees))
    worths = {}
    for index, value in enumerate(at):
        error = reach * clusters.error(influence[:, index])
        worths[names[used[index]]] = Worth(float(value), float(value - error), float(value + error))
    order = sorted(range(len(used)), key=lambda index: -at[index])
    raw = []
    for place, first in enumerate(order):
        for second in order[place + 1 :]:
            difference = float(at[first] - at[second])
            error = clusters.error(influence[:, first] - influence[:, second])
            low, middle, high = (
                1 / (1 + math.exp(-(difference + sign * reach * error))) for sign in (-1, 0, 1)
            )
            p = float(2 * t.sf(abs(difference) / error, clusters.degrees))
            raw.append((names[used[first]], names[used[second]], Share(middle, low, high), p))
    corrected = holm([p for *_, p in raw])
    return (
        worths,
        tuple(Contrast(*entry, adjusted) for entry, adjusted in zip(raw, corrected, strict=True)),
        "",
    )


def _is_strongly_connected(shown: np.ndarray, chosen: np.ndarray) -> bool:
    """Whether worths exist: every system beats every other, if by a chain (Ford 1957)."""
    count = shown.shape[1]
    beats = np.zeros((count, count), bool)
    for row, winner in zip(shown, chosen, strict=True):
        beats[winner] |= row
    np.fill_diagonal(beats, True)
    for middle in range(count):
        beats |= beats[:, middle : middle + 1] & beats[middle : middle + 1]
    return bool(beats.all())


def _fit(shown: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Newton's method on the likelihood, which is concave.

    Returns:
        Logarithms of the worths [k] with mean 0, the information [k, k], the score of each vote [votes, k].
    """
    votes, count = shown.shape
    won = np.zeros((votes, count))
    won[np.arange(votes), chosen] = 1
    at = np.zeros(count)
    for _ in range(200):
        weights = np.where(shown, np.exp(at - at.max()), 0.0)
        share = weights / weights.sum(1, keepdims=True)
        score = won - share
        curvature = np.diag(share.sum(0)) - share.T @ share
        step = np.linalg.pinv(curvature, rcond=1e-10, hermitian=True) @ score.sum(0)
        # A full step from afar can pass the maximum by far.
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        at = at + step
        if np.abs(step).max() < 1e-10:
            break
    return at - at.mean(), curvature, score


def _ranks(
    worths: Mapping[str, Worth] | None, contrasts: Sequence[Contrast], top1: Mapping[str, Share]
) -> dict[str, int]:
    """Ranks by the worths and their tests; without worths by the shares, where only equal ones tie."""
    if worths is None:
        shares = sorted({share.value for share in top1.values()}, reverse=True)
        return {name: 1 + shares.index(share.value) for name, share in top1.items()}
    differs = {(c.first, c.second): c.p_holm < 0.05 for c in contrasts}
    order = sorted(worths, key=lambda name: -worths[name].value)
    return shared_ranks(order, lambda better, worse: differs[better, worse])
