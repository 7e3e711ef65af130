"""Measure the agreement of raters: all together, per emotion, per rater, per pair, with themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from emovid_dataset.agree.alpha import coincidences, krippendorff_alpha
from emovid_dataset.agree.coefficient import Array, Coefficient, not_defined
from emovid_dataset.agree.dawid_skene import DawidSkene, dawid_skene
from emovid_dataset.agree.kappa import cohen_kappa, confusion_of, fleiss_kappa, mean_kappas, pairs_of
from emovid_dataset.agree.rating import Rating
from emovid_dataset.agree.rating_table import RatingTable
from emovid_dataset.agree.verdicts import Verdict, needing_a_look, verdicts
from emovid_dataset.agree.wheel import wheel_distances
from emovid_dataset.schema.emotions import MIKELS
from emovid_dataset.schema.taxonomy import Taxonomy

_FEW = 12
"""Raters up to whose number each one's mean kappa has an interval."""


@dataclass(frozen=True, slots=True)
class EmotionAgreement:
    """How far raters agree about one category.

    Attributes:
        name: of the emotion, or "none".
        votes: answers that chose it.
        alpha: Krippendorff's, for "this one or not".
        specific: of the pairs of answers to a clip in which one chose it, the share in which the other did as
            well; None where there is no such pair.
    """

    name: str
    votes: int
    alpha: Coefficient
    specific: float | None


@dataclass(frozen=True, slots=True)
class RaterFigures:
    """How far one rater agrees with the others and with themself.

    Attributes:
        name: of the rater.
        answers: clips for which the rater chose a category.
        unclear: clips that the rater could not tell.
        seconds: answers with a second emotion.
        median_ms: median milliseconds of an answer, or None.
        with_majority: share of the rater's answers that are the majority's of the other raters, over clips
            where these have one; None without any.
        reliability: probability that an answer is the true category, by Dawid and Skene; None where there
            are no estimates.
        mean_kappa: mean of Cohen's kappa with each other rater.
        retest: Cohen's kappa of the answers to clips that were shown again with those of the first time.
        same_again: share of these answers that are the same; None without any.
    """

    name: str
    answers: int
    unclear: int
    seconds: int
    median_ms: float | None
    with_majority: float | None
    reliability: float | None
    mean_kappa: Coefficient
    retest: Coefficient
    same_again: float | None


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """How far two raters agree.

    Attributes:
        raters: their names.
        clips: that both rated.
        same: share of them with the same answer; None without any.
        kappa: Cohen's.
        confusion: [categories][categories], clips by what the first (rows) and the second chose.
    """

    raters: tuple[str, str]
    clips: int
    same: float | None
    kappa: Coefficient
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class InterRaterAgreement:
    """How far raters agree, and what their votes come to.

    Attributes:
        table: the ratings.
        alpha: Krippendorff's, nominal.
        alpha_wheel: Krippendorff's with the squared distances of Mikels' wheel.
        fleiss: Fleiss' kappa.
        mean_kappa: mean of Cohen's kappa over the pairs of raters.
        same: share of the pairs of two raters' answers to a clip that are the same; None without any.
        same_with_second: the same where a second emotion counts as well.
        emotions: each category that has a vote.
        raters: each rater.
        pairs: each pair of raters.
        coincidences: [categories][categories], how often two answers to a clip were these.
        estimates: Dawid and Skene's; None where no clip has two raters.
        verdicts: every clip, in the table's order.
    """

    table: RatingTable
    alpha: Coefficient
    alpha_wheel: Coefficient
    fleiss: Coefficient
    mean_kappa: Coefficient
    same: float | None
    same_with_second: float | None
    emotions: tuple[EmotionAgreement, ...]
    raters: tuple[RaterFigures, ...]
    pairs: tuple[PairAgreement, ...]
    coincidences: tuple[tuple[float, ...], ...]
    estimates: DawidSkene | None
    verdicts: tuple[Verdict, ...]

    @property
    def compared(self) -> int:
        """Clips that two or more people rated."""
        return int((self.table.counts.sum(1) > 1).sum())

    @property
    def look(self) -> list[Verdict]:
        """Clips that need another look, the most urgent first."""
        return needing_a_look(list(self.verdicts))


def measure_raters(
    ratings: Sequence[Rating],
    *,
    taxonomy: Taxonomy = MIKELS,
    least: int = 1,
    draws: int = 1000,
    seed: int = 0,
) -> InterRaterAgreement:
    """Measure how far raters agree.

    Args:
        ratings: those in force.
        taxonomy: of the emotions.
        least: raters that must agree for a clip to have an emotion.
        draws: bootstrap samples over clips for the intervals; 0 makes none.
        seed: of the samples.

    Raises:
        ValueError: there is no rating.
    """
    if not ratings:
        raise ValueError("there is no answer: every file is empty, or all was undone")
    table = RatingTable.of(ratings, taxonomy)
    counts, size = table.counts, len(table.categories)
    pairs = pairs_of(len(table.raters))
    found = coincidences(counts)
    same, same_with_second = _same(table, pairs)
    estimates = _estimates(table) if (counts.sum(1) > 1).any() else None
    everybody, _ = mean_kappas(table.codes, {"all": pairs}, size, draws=draws, seed=seed)
    groups = {name: [pair for pair in pairs if place in pair] for place, name in enumerate(table.raters)}
    few = len(table.raters) <= _FEW
    each, _ = mean_kappas(table.codes, groups, size, draws=draws if few else 0, seed=seed)
    distances = wheel_distances(taxonomy.names)
    alone = not_defined("there is one rater only") if len(table.raters) < 2 else None
    return InterRaterAgreement(
        table=table,
        alpha=alone or krippendorff_alpha(counts, draws=draws, seed=seed),
        alpha_wheel=not_defined("the emotions are not Mikels' eight")
        if distances is None
        else alone or krippendorff_alpha(counts, distances, draws=draws, seed=seed),
        fleiss=alone or fleiss_kappa(counts, draws=draws, seed=seed),
        mean_kappa=alone or everybody["all"],
        same=same,
        same_with_second=same_with_second,
        emotions=tuple(_emotions(table, counts, found, draws, seed)),
        raters=tuple(
            _rater(table, counts, place, kappa, estimates, draws, seed)
            for place, kappa in enumerate(each.values())
        ),
        pairs=tuple(_pair(table, pair, draws, seed) for pair in pairs),
        coincidences=tuple(tuple(float(value) for value in row) for row in found),
        estimates=estimates,
        verdicts=tuple(verdicts(table, estimates, least=least)),
    )


def _estimates(table: RatingTable) -> DawidSkene:
    """Of every clip; one that nobody rated has the categories' shares as its posterior."""
    rows, columns = np.nonzero(table.codes >= 0)
    rated, clips = np.unique(rows, return_inverse=True)
    found = dawid_skene(clips, columns, table.codes[rows, columns], len(table.categories))
    posterior = np.tile(found.shares, (len(table.clips), 1))
    posterior[rated] = found.posterior
    errors = np.zeros((len(table.raters), *found.errors.shape[1:]))
    errors[: len(found.errors)] = found.errors
    return DawidSkene(found.shares, errors, posterior, found.iterations, found.converged)


def _same(table: RatingTable, pairs: Sequence[tuple[int, int]]) -> tuple[float | None, float | None]:
    """Share of pairs of answers that are the same, without and with second emotions."""
    same = nearly = both = 0
    codes, seconds = table.codes, table.seconds
    for one, other in pairs:
        known = (codes[:, one] >= 0) & (codes[:, other] >= 0)
        alike = codes[:, one] == codes[:, other]
        near = alike | (codes[:, one] == seconds[:, other]) | (seconds[:, one] == codes[:, other])
        same += int((alike & known).sum())
        nearly += int((near & known).sum())
        both += int(known.sum())
    return (same / both, nearly / both) if both else (None, None)


def _emotions(
    table: RatingTable, counts: Array, found: Array, draws: int, seed: int
) -> Iterator[EmotionAgreement]:
    for place, name in enumerate(table.categories):
        if votes := int(counts[:, place].sum()):
            either = np.stack([counts[:, place], counts.sum(1) - counts[:, place]], axis=1)
            margin = found[place].sum()
            alpha = krippendorff_alpha(either, draws=draws, seed=seed)
            yield EmotionAgreement(
                name, votes, alpha, float(found[place, place] / margin) if margin else None
            )


def _rater(
    table: RatingTable,
    counts: Array,
    place: int,
    kappa: Coefficient,
    estimates: DawidSkene | None,
    draws: int,
    seed: int,
) -> RaterFigures:
    codes, size = table.codes[:, place], len(table.categories)
    rated = np.flatnonzero(codes >= 0)
    others = counts[rated].copy()
    others[np.arange(len(rated)), codes[rated]] -= 1
    clear = (others == others.max(1, keepdims=True)).sum(1) == 1 if len(rated) else np.zeros(0, bool)
    again = np.array([(first, then) for _, rater, first, then in table.repeats if rater == place], np.int64)
    again = again.reshape(-1, 2)
    retest = cohen_kappa(confusion_of(again[:, 0], again[:, 1], size), draws=draws, seed=seed)
    if not len(again):
        retest = not_defined("no clip was shown again")
    ms = table.ms[:, place]
    return RaterFigures(
        name=table.raters[place],
        answers=len(rated),
        unclear=int(table.unclear[:, place].sum()),
        seconds=int((table.seconds[:, place] >= 0).sum()),
        median_ms=float(np.nanmedian(ms)) if (~np.isnan(ms)).any() else None,
        with_majority=float((others.argmax(1) == codes[rated])[clear].mean()) if clear.any() else None,
        reliability=None if estimates is None or not len(rated) else float(estimates.reliabilities[place]),
        mean_kappa=kappa,
        retest=retest,
        same_again=float((again[:, 0] == again[:, 1]).mean()) if len(again) else None,
    )


def _pair(table: RatingTable, pair: tuple[int, int], draws: int, seed: int) -> PairAgreement:
    first, second = pair
    confusion = confusion_of(table.codes[:, first], table.codes[:, second], len(table.categories))
    clips = int(confusion.sum())
    return PairAgreement(
        (table.raters[first], table.raters[second]),
        clips,
        float(np.trace(confusion) / clips) if clips else None,
        cohen_kappa(confusion, draws=draws, seed=seed),
        tuple(tuple(int(value) for value in row) for row in confusion),
    )
