"""The tables of a result: ranking, pairs, and recall by each judge, and the scores that no judge gives.

Above every table stands what its judge is worth: its accuracy on real clips, whether it is unfit, and where
two judges disagree on the order. Nothing is judged here; all comes from the result.
"""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emovid_models.evaluation.judge_fitness import Fitness, judge_fitness, order_agreement
from emovid_models.evaluation.paper import CAUTIONS, SOURCE, N, published_rows
from emovid_models.evaluation.result import REAL, JudgeRecord, Result
from emovid_models.evaluation.statistics import Share
from emovid_models.evaluation.system_ranking import Ranking, rank_systems

FAILED = "Failed videos are never dropped: they stay in n and count as wrong."
RANKS = (
    "Intervals are 95 %, of a bootstrap that draws whole scenes. Systems share a rank where no test, with "
    "Holm's correction for all pairs, tells them apart."
)
MINIATURE = (
    "Judged by the miniature annotator, which is for trying things out: its figures show that the evaluation "
    "works, not how good a generator is."
)


@dataclass(frozen=True, slots=True)
class ResultTable:
    """A table with what must be read with it.

    Attributes:
        name: of its file: letters and hyphens.
        title: the caption.
        above: what its judge is worth; one paragraph each.
        columns: headings.
        rows: cells; None is a dash.
        below: one paragraph each.
    """

    name: str
    title: str
    above: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    below: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JudgedResult:
    """What one judge makes of a result.

    Attributes:
        judge: who judges.
        fitness: what it is worth on real clips.
        ranking: of the systems.
    """

    judge: JudgeRecord
    fitness: Fitness
    ranking: Ranking


def by_judge(result: Result) -> list[JudgedResult]:
    """The ranking and the worth of every judge, in the order of the result."""
    scenes = {video.request: video.scene for video in result.videos}
    found = []
    for judge in result.judges:
        judged = {one.name: result.judged(one.name, judge.identity) for one in result.systems}
        fitness = judge_fitness(result.judged(REAL, judge.identity))
        found.append(JudgedResult(judge, fitness, rank_systems(judged, scenes)))
    return found


def worth_of_judges(result: Result, found: Sequence[JudgedResult] | None = None) -> tuple[str, ...]:
    """What stands above every table: each judge's own accuracy, who is unfit, and who disagrees.

    Args:
        result: of the evaluation.
        found: of `by_judge`, if it is at hand.

    Returns:
        One paragraph for each judge and each pair of judges.
    """
    found = by_judge(result) if found is None else found
    clips = f" ({result.clips.source}, {result.clips.split})" if result.clips is not None else ""
    said = []
    for one in found:
        note = f" {MINIATURE}" if one.judge.miniature else ""
        said.append(f"Judge {one.judge.identity}: {one.fitness.in_words()}{clips}{note}")
    for place, one in enumerate(found):
        for other in found[place + 1 :]:
            agreement = order_agreement(one.ranking, other.ranking)
            said.append(f"{one.judge.identity} and {other.judge.identity}: {agreement.in_words()}")
    return tuple(said)


def result_tables(result: Result) -> list[ResultTable]:
    """All tables of a result.

    Args:
        result: of the evaluation.

    Returns:
        For each judge the ranking, the pairs (of two systems or more) and the recall of each emotion; then
        the scores from the frames, if any were measured.
    """
    found = by_judge(result)
    above = worth_of_judges(result, found)
    tables = []
    for place, one in enumerate(found, 1):
        suffix = "" if len(found) == 1 else f"-{place}"
        tables.append(_ranking(result, one, above, f"ranking{suffix}"))
        if len(result.systems) > 1:
            tables.append(_pairs(one, above, f"pairs{suffix}"))
        tables.append(_recall(one, above, f"recall{suffix}"))
    if scores := _scores(result, above):
        tables.append(scores)
    return tables


def result_rows(result: Result) -> list[dict[str, Any]]:
    """One flat row for every judge and system, the numbers unrounded, with the judge's worth in each row."""
    rows = []
    for one in by_judge(result):
        accuracy = None if one.fitness.figures is None else one.fitness.figures.ea_8cls
        for system in one.ranking.systems:
            figures = system.figures
            rows.append(
                {
                    "judge": one.judge.identity,
                    **_numbers("judge_accuracy", accuracy),
                    "judge_unfit": None if accuracy is None else one.fitness.is_unfit,
                    "system": system.name,
                    "rank": system.rank,
                    "n": figures.n,
                    "failed": figures.unscored,
                    "scenes": system.scenes,
                    **_numbers(f"ea_{len(figures.confusion)}cls", system.ea),
                    **_numbers("ea_2cls", system.valence),
                    "macro_recall": figures.macro_recall,
                    **{f"recall_{name}": value for name, value in figures.recall.items()},
                }
            )
    return rows


def result_csv(result: Result) -> str:
    """`result_rows` as CSV; an empty cell is what does not exist."""
    rows = result_rows(result)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _numbers(name: str, share: Share | None) -> dict[str, float | None]:
    if share is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: share.value, f"{name}_low": share.low, f"{name}_high": share.high}


def _ranking(result: Result, one: JudgedResult, above: tuple[str, ...], name: str) -> ResultTable:
    first = one.ranking.systems[0].figures
    columns = ("rank", "system", "n", "failed", first.ea_name, "95 %", "EA-2cls", "95 %", "macro recall")
    rows: list[tuple[object, ...]] = [
        (
            system.rank,
            system.name,
            system.figures.n,
            system.figures.unscored,
            *_cells(system.ea),
            *_cells(system.valence),
            f"{system.figures.macro_recall:.1%}",
        )
        for system in one.ranking.systems
    ]
    below = [FAILED, RANKS]
    if result.prompts is not None and result.prompts.unbalanced:
        below.append(
            f"{result.prompts.unbalanced} scenes of {result.prompts.name} are not asked for every emotion "
            "equally often: a scene can give its emotion away."
        )
    if result.task is not None and first.ea_name == "EA-8cls":
        task: Any = result.task
        for row in published_rows(task):
            stage = {True: " after fine-tuning", False: " before fine-tuning", None: ""}[row.fine_tuned]
            shown = (f"{row.ea_8cls:.2f}%", None, f"{row.ea_2cls:.2f}%", None, None)
            rows.append((None, f"the paper's: {row.model}{stage}", N, None, *shown))
        below.append(
            f"The paper's rows ({result.task.upper()}): {SOURCE}, n = {N}; its own models, prompts and "
            f"judge, so that no value here compares with them. {' '.join(CAUTIONS[task])}"
        )
    return ResultTable(
        name, f"Systems, judged by {one.judge.identity}", above, columns, tuple(rows), tuple(below)
    )


def _pairs(one: JudgedResult, above: tuple[str, ...], name: str) -> ResultTable:
    columns = (
        "pair",
        "requests",
        "scenes",
        "difference",
        "95 %",
        "first alone",
        "second alone",
        "p",
        "p (Holm)",
    )
    rows = tuple(
        (
            f"{pair.first} over {pair.second}",
            pair.requests,
            pair.scenes,
            *_cells(pair.difference),
            pair.first_only,
            pair.second_only,
            None if pair.p is None else f"{pair.p:.2g}",
            None if pair.p_holm is None else f"{pair.p_holm:.2g}",
        )
        for pair in one.ranking.pairs
    )
    test = (
        "The test asks, exactly and two-sided, whether two systems can be swapped scene by scene; a p of "
        "0.05 or more shows no difference, nor that there is none."
    )
    return ResultTable(
        name, f"All pairs, judged by {one.judge.identity}", above, columns, rows, (FAILED, test)
    )


def _recall(one: JudgedResult, above: tuple[str, ...], name: str) -> ResultTable:
    emotions = tuple(one.ranking.systems[0].figures.recall)
    rows = tuple(
        (system.name, *(_percent(system.figures.recall[emotion]) for emotion in emotions))
        for system in one.ranking.systems
    )
    title = f"Recall of each emotion, judged by {one.judge.identity}"
    return ResultTable(name, title, above, ("system", *emotions), rows, (FAILED,))


def _scores(result: Result, above: tuple[str, ...]) -> ResultTable | None:
    """Means of the scores of single videos, and the measures of whole systems."""
    measures = list(dict.fromkeys(name for system in result.systems for name in system.measures))
    names = [
        name
        for name in dict.fromkeys(name for video in result.videos for name in video.scores)
        # where the mean over the videos is a measure of its own, or means nothing, as that of hues
        if name not in measures and f"{name}_distance" not in measures
    ]
    if not names and not measures:
        return None
    rows = []
    for system in result.systems:
        videos = result.of(system.name)
        cells: list[object] = [system.name]
        for name in names:
            there = [value for one in videos if (value := one.scores.get(name)) is not None]
            reasons = [one.not_computed[name] for one in videos if name in one.not_computed]
            if there:
                cells.append(f"{statistics.fmean(there):.4g} (n = {len(there)})")
            else:
                cells.append(f"not computed: {reasons[0] if reasons else 'no video could be read'}")
        for name in measures:
            measure = system.measures.get(name)
            cells.append(None if measure is None else measure.cell(4))
        rows.append(tuple(cells))
    note = "Means over the videos that could be measured; n says how many. A video that failed has none."
    return ResultTable(
        "scores", "Scores that no judge gives", above, ("system", *names, *measures), tuple(rows), (note,)
    )


def _cells(share: Share | None) -> tuple[str | None, str | None]:
    if share is None:
        return None, None
    return f"{share.value:.1%}", f"{share.low:.1%} to {share.high:.1%}"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.1%}"
