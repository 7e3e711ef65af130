"""What a clip's votes come to: the plain majority, soft labels, and whether it needs another look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from emovid_dataset.agree.coefficient import Array
from emovid_dataset.agree.dawid_skene import DawidSkene
from emovid_dataset.agree.rating_table import RatingTable
from emovid_dataset.label.answers import NONE

_SURE = 0.5
"""An estimate against the majority is told from this probability on."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the votes of a clip come to.

    Attributes:
        id: of the clip.
        emotion: that has most votes and enough of them, which may be "none"; None in a tie or below.
        raters: people who chose an emotion or none; those who could not tell do not count.
        votes: of each emotion, in the taxonomy's order; the rest of the raters chose none.
        agreement: share of the raters that chose `emotion`; of a clip without one, the largest share.
        scores: share of the votes that each emotion has, summing to 1; None where no emotion has a vote, and
            with a single rater, whose vote says nothing of the others.
        entropy: of all answers, none among them, in bits.
        likeliest: the category that Dawid and Skene's estimates find likeliest, or None without any.
        probability: of it, or None.
        reasons: why the clip needs another look; none if it does not.
    """

    id: str
    emotion: str | None
    raters: int
    votes: tuple[int, ...]
    agreement: float | None
    scores: tuple[float, ...] | None
    entropy: float
    likeliest: str | None
    probability: float | None
    reasons: tuple[str, ...]


def verdicts(table: RatingTable, estimates: DawidSkene | None, *, least: int = 1) -> Iterator[Verdict]:
    """Settle every clip of a table.

    Args:
        table: the ratings.
        estimates: of the clips in the table's order, or None.
        least: raters that must agree, at least, for a clip to have an emotion; the most votes must be those
            of one emotion alone in any case.
    """
    counts = table.counts
    usual = Counter(counts.sum(1).tolist()).most_common(1)[0][0] if len(counts) else 0
    changed: dict[int, list[str]] = {}
    for clip, rater, first, then in table.repeats:
        if first != then:
            said = f"{table.raters[rater]} said {table.categories[first]}, then {table.categories[then]}"
            changed.setdefault(clip, []).append(said)
    for place, name in enumerate(table.clips):
        yield _verdict(table, place, name, counts[place], estimates, least, usual, changed.get(place, []))


def _verdict(
    table: RatingTable,
    place: int,
    name: str,
    counts: Array,
    estimates: DawidSkene | None,
    least: int,
    usual: int,
    changed: list[str],
) -> Verdict:
    raters, votes = int(counts.sum()), tuple(int(count) for count in counts[:-1])
    most = int(counts.max())
    leading = [table.categories[index] for index in np.flatnonzero(counts == most)] if raters else []
    emotion = leading[0] if len(leading) == 1 and most >= least else None
    likeliest, probability = None, None
    if estimates is not None and raters:
        best = int(estimates.posterior[place].argmax())
        likeliest, probability = table.categories[best], float(estimates.posterior[place, best])
    reasons = []
    unclear = int(table.unclear[place].sum())
    if not raters:
        reasons.append("nobody could tell" if unclear else "nobody rated it the first time")
    elif len(leading) > 1:
        reasons.append(f"tie: {', '.join(f'{one} {most}' for one in leading)}")
    elif emotion is None:
        reasons.append(f"{most} of {raters} chose {leading[0]}; {least} must agree")
    elif 2 * most <= raters:
        reasons.append(f"only {most} of {raters} chose {emotion}")
    if raters and unclear:
        reasons.append(f"unclear to {unclear}")
    if 0 < raters < usual:
        reasons.append(f"rated by {raters}, most clips by {usual}")
    if emotion and probability and likeliest != emotion and probability >= _SURE:
        reasons.append(f"by the raters' reliability {likeliest} ({probability:.2f})")
    shares = counts[counts > 0] / raters if raters else np.ones(1)
    return Verdict(
        id=name,
        emotion=emotion,
        raters=raters,
        votes=votes,
        agreement=most / raters if raters else None,
        scores=tuple(vote / sum(votes) for vote in votes) if sum(votes) and raters > 1 else None,
        entropy=float(-(shares * np.log2(shares)).sum()) + 0.0,
        likeliest=likeliest,
        probability=probability,
        reasons=(*reasons, *changed),
    )


def needing_a_look(settled: list[Verdict]) -> list[Verdict]:
    """The clips that need another look, those without an emotion first, then the most divided."""
    found = [verdict for verdict in settled if verdict.reasons]
    return sorted(found, key=lambda one: (one.emotion is not None, -one.entropy, one.id))


def is_emotion(verdict: Verdict) -> bool:
    """Whether a clip has one of the emotions, not none and not nothing."""
    return verdict.emotion is not None and verdict.emotion != NONE
