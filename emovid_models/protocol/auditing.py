"""Audit the annotator: people and the annotator rate the same clips, and pairwise kappas are compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from emovid_dataset.agree.coefficient import Coefficient, middle
from emovid_dataset.agree.kappa import mean_kappas, pairs_of
from emovid_dataset.agree.rating import Rating
from emovid_dataset.agree.rating_table import RatingTable
from emovid_dataset.agree.sheet import write_sheet
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_models.annotator.annotations import read_annotations
from emovid_models.annotator.taxonomy import read_taxonomy
from emovid_models.protocol.drawing import read_clip_sheet
from emovid_models.protocol.rating import complete
from emovid_models.protocol.record import (
    ANNOTATIONS,
    ANNOTATOR,
    AUDIT,
    AUDIT_ANSWERS,
    REST,
    ProtocolRecord,
)

MODEL = "\u00a0annotator"
"""The annotator among the raters; no person's name begins with a blank."""

MARGIN = 0.04
"""By less than this the two mean kappas differ in the paper."""

DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Audit:
    """How far people agree with each other, and with the annotator.

    Attributes:
        clips: that were rated.
        raters: people who rated them.
        people: mean Cohen's kappa over the pairs of people.
        model: mean Cohen's kappa over the pairs of a person and the annotator.
        gap: of the first less the second; None where one is not defined.
        low: lower end of the gap's 95 % interval, by drawing clips.
        high: its upper end.
        within: whether the gap is below `MARGIN` in size; None where there is none.
        settled: whether the whole interval lies on that side of the margin; None where there is none.
        pairs: Cohen's kappa of each pair.
    """

    clips: int
    raters: tuple[str, ...]
    people: Coefficient
    model: Coefficient
    gap: float | None
    low: float | None
    high: float | None
    within: bool | None
    settled: bool | None
    pairs: dict[str, Coefficient]

    def in_words(self) -> str:
        """What came out, in a sentence or two."""
        if self.gap is None:
            return f"between people {self.people}; between people and the annotator {self.model}"
        said = "below" if self.within else "not below"
        spread = "" if self.low is None else f" [{100 * self.low:.1f}, {100 * (self.high or 0):.1f}]"
        sure = "" if self.settled else "; the interval does not settle it: more clips would"
        return (
            f"mean kappa between people {self.people}, between people and the annotator {self.model}: a gap "
            f"of {100 * self.gap:.1f}{spread} points, {said} 4{sure}"
        )


def draw_audit(record: ProtocolRecord) -> int:
    """Draw clips that the annotator labelled, as a sheet for `emovid label`; the same ones each time.

    Args:
        record: of the run.

    Returns:
        How many.

    Raises:
        ValueError: the annotation is not done, or labelled nothing.
    """
    record.need("annotate")
    rest, every = read_clip_sheet(record.path(REST)), record.need("draw")["clips"]
    labelled = (
        sorted(one.key for one in read_annotations(record.path(ANNOTATIONS)) if one.emotion is not None)
        if rest
        else []
    )
    if not labelled:
        raise ValueError("the annotator has labelled no clip, so there is nothing to audit")
    count = min(len(labelled), max(1, round(record.settings.audit_share * every)))
    rng = np.random.default_rng((record.settings.seed, 1))
    chosen = set(rng.choice(labelled, count, replace=False).tolist())
    write_sheet(record.path(AUDIT), [{"id": clip, **row} for clip, row in rest.items() if clip in chosen])
    return count


def audit(record: ProtocolRecord, *, partial: bool = False) -> Audit:
    """Compare the agreement between people with that between people and the annotator.

    Args:
        record: of the run.
        partial: take the answers that there are, even if some are missing.

    Raises:
        NotAnsweredError: answers are missing.
        ValueError: the annotation is not done.
    """
    draw_audit(record)
    clips = read_clip_sheet(record.path(AUDIT))
    ratings = complete(record, record.path(AUDIT), record.path(AUDIT_ANSWERS), clips, partial=partial)
    said = {one.key: one.emotion for one in read_annotations(record.path(ANNOTATIONS))}
    ratings += [Rating(rater=MODEL, id=clip, emotion=said[clip]) for clip in clips]
    found = compare(ratings, read_taxonomy(record.path(ANNOTATOR)), seed=record.settings.seed)
    record.finish("audit", audit_json(found))
    return found


def compare(ratings: list[Rating], taxonomy: Taxonomy, *, draws: int = DRAWS, seed: int = 0) -> Audit:
    """Compare kappas, all drawn from the same samples of clips.

    Args:
        ratings: of people, and of the annotator under the name `MODEL`.
        taxonomy: of the emotions.
        draws: bootstrap samples over clips.
        seed: of the samples.
    """
    table = RatingTable.of(ratings, taxonomy)
    model = table.raters.index(MODEL)
    everyone = pairs_of(len(table.raters))
    groups = {
        "people": [pair for pair in everyone if model not in pair],
        "model": [pair for pair in everyone if model in pair],
    }
    size = len(table.categories)
    means, drawn = mean_kappas(table.codes, groups, size, draws=draws, seed=seed)
    each, _ = mean_kappas(
        table.codes,
        {" and ".join(_names(table, pair)): [pair] for pair in everyone},
        size,
        draws=draws,
        seed=seed,
    )
    people, others = means["people"], means["model"]
    gap = low = high = within = settled = None
    if people.value is not None and others.value is not None:
        gap = people.value - others.value
        within = abs(gap) < MARGIN
        if len(drawn["people"]) and len(drawn["model"]):
            low, high = middle(drawn["people"] - drawn["model"])
        if low is not None and high is not None:
            settled = low > -MARGIN and high < MARGIN if within else low >= MARGIN or high <= -MARGIN
    raters = tuple(name for name in table.raters if name != MODEL)
    return Audit(len(table.clips), raters, people, others, gap, low, high, within, settled, each)


def _names(table: RatingTable, pair: tuple[int, int]) -> list[str]:
    """The names of a pair, the annotator last."""
    people = [table.raters[place] for place in pair if table.raters[place] != MODEL]
    return people if len(people) == len(pair) else [*people, "the annotator"]


def audit_json(found: Audit) -> dict[str, Any]:
    """An audit as JSON values."""
    body = asdict(found)
    body |= {name: getattr(found, name).to_json() for name in ("people", "model")}
    body["pairs"] = {name: one.to_json() for name, one in found.pairs.items()}
    body |= {"raters": list(found.raters), "margin": MARGIN, "in_words": found.in_words()}
    return body
