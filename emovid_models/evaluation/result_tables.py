"""The tables of a result: ranking, pairs, and recall by each judge, and the scores that no judge gives.

Above every table stands what its judge is worth: its accuracy on real clips, whether it is unfit, and where
two judges disagree on the order. Nothing is judged here; all comes from the result.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emovid_models.evaluation.judge_fitness import Fitness, judge_fitness, order_agreement
from emovid_models.evaluation.paper import CAUTIONS, SOURCE, N, published_rows
from emovid_models.evaluation.result import REAL, JudgeRecord, Result, System
from emovid_models.evaluation.score_definitions import BY_NAME
from emovid_models.evaluation.soft_scores import soft_scores
from emovid_models.evaluation.statistics import Share
from emovid_models.evaluation.system_ranking import Ranking, rank_systems
from emovid_models.evaluation.system_scores import mean_value
from emovid_models.evaluation.value import Value

FAILED = "Failed videos are never dropped: they stay in n and count as wrong."
RANKS = (
    "Intervals are 95 %, of a bootstrap that draws whole scenes; where that varies nothing, Wilson's of as "
    "many scenes. Systems share a rank where no test, with "
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
        For each judge the ranking, the pairs (of two systems or more), the recall of each emotion and what
        its probabilities say; then the scores that no judge gives, if any were measured.
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
        tables.append(_probabilities(result, one, above, f"probabilities{suffix}"))
    if scores := _scores(result, above):
        tables.append(scores)
    return tables


def result_rows(result: Result) -> list[dict[str, Any]]:
    """One flat row for every judge and system, the numbers unrounded, with the judge's worth in each row.

    The scores that no judge gives stand in the rows of every judge.
    """
    rows = []
    scores = {one.name: _score_numbers(result, one) for one in result.systems}
    for one in by_judge(result):
        accuracy = None if one.fitness.figures is None else one.fitness.figures.ea_8cls
        for system in one.ranking.systems:
            figures = system.figures
            soft = soft_scores(result.judged(system.name, one.judge.identity))
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
                    **_numbers("macro_recall", system.macro_recall),
                    **{
                        key: value
                        for name, share in system.recall.items()
                        for key, value in _numbers(f"recall_{name}", share).items()
                    },
                    "calibration_error": soft.calibration_error,
                    "ambiguity": soft.ambiguity,
                    **scores[system.name],
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


def _score_numbers(result: Result, system: System) -> dict[str, float | None]:
    """The scores that no judge gives, by their column, with their intervals or what chance makes of them."""
    numbers = {}
    for name in _score_names(result):
        value = _score(result, system, name)
        others = ("by_chance",) if name.endswith("_distance") else ("low", "high")
        numbers[name] = value.value
        numbers |= {f"{name}_{other}": value.details.get(other) for other in others}
    return numbers


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
            _interval(system.macro_recall),
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
        (system.name, *(_interval(system.recall[emotion]) for emotion in emotions))
        for system in one.ranking.systems
    )
    title = f"Recall of each emotion, judged by {one.judge.identity}"
    note = "In brackets 95 % intervals, of a bootstrap that draws whole scenes. A dash: not asked for."
    return ResultTable(name, title, above, ("system", *emotions), rows, (FAILED, note))


def _probabilities(result: Result, one: JudgedResult, above: tuple[str, ...], name: str) -> ResultTable:
    rows = []
    for system in one.ranking.systems:
        soft = soft_scores(result.judged(system.name, one.judge.identity))
        numbers = (soft.calibration_error, soft.ambiguity)
        rows.append((system.name, soft.n, *(None if each is None else f"{each:.3f}" for each in numbers)))
    highest = math.log2(len(result.taxonomy.names))
    note = (
        "Calibration error (0..1, lower is better): how far the judge's confidence is from the share of "
        f"videos that show what was asked for. Ambiguity (0..{highest:.3g} bits, lower is more decided): "
        "mean entropy. Both are of the videos that could be judged."
    )
    columns = ("system", "videos judged", "calibration error", "ambiguity, bits")
    return ResultTable(
        name, f"The probabilities of {one.judge.identity}", above, columns, tuple(rows), (FAILED, note)
    )


def _scores(result: Result, above: tuple[str, ...]) -> ResultTable | None:
    """A row for each mean of the scores of single videos, and for each measure of whole systems."""
    names = _score_names(result)
    if not names:
        return None
    has_real = bool(result.real)
    rows, below = [], []
    for name in names:
        values = [_score(result, system, name) for system in result.systems]
        definition = BY_NAME.get(name)
        label = name.replace("_", " ") if definition is None else definition.label
        reasons = {value.reason for value in values}
        if all(value.value is None for value in values) and len(reasons) == 1:
            below.append(f"{label}: not computed: {reasons.pop()}")
            continue
        cells: list[object] = [label, None if definition is None else definition.better]
        for system, value in zip(result.systems, values, strict=True):
            cells.append(_score_cell(name, value, len(result.of(system.name))))
        if has_real:
            real = mean_value(result.real, name)
            cells.append(None if real.value is None else _score_cell(name, real, len(result.real)))
        rows.append(tuple(cells))
    if any(name.endswith("_distance") for name in names):
        below.append("By chance is the mean distance of as many real clips to all of them.")
    note = (
        "In brackets 95 % intervals, of a bootstrap that draws whole scenes. Means are over the videos that "
        "could be measured; n says how many where not all. A video that failed has none."
    )
    columns = ("score", "better", *(system.name for system in result.systems), *["real clips"] * has_real)
    return ResultTable("scores", "Scores that no judge gives", above, columns, tuple(rows), (note, *below))


def _score_names(result: Result) -> list[str]:
    measures = list(dict.fromkeys(name for system in result.systems for name in system.measures))
    of_videos = [
        name
        for name in dict.fromkeys(name for video in result.videos for name in video.scores)
        # where the mean over the videos is a measure of its own, or means nothing, as that of hues
        if name not in measures and f"{name}_distance" not in measures
    ]
    found = [*of_videos, *measures]
    return [name for name in BY_NAME if name in found] + [name for name in found if name not in BY_NAME]


def _score(result: Result, system: System, name: str) -> Value:
    there = system.measures.get(name)
    if there is not None:
        return there
    if any(name in one.measures for one in result.systems):
        return Value(None, reason="it was not asked for")
    return mean_value(result.of(system.name), name)


def _score_cell(name: str, value: Value, videos: int) -> str:
    definition = BY_NAME.get(name)
    digits = 4 if definition is None else definition.digits
    if value.value is None:
        return value.cell(digits)
    notes = []
    if "low" in value.details:
        notes.append(f"{value.details['low']:.{digits}f} to {value.details['high']:.{digits}f}")
    if "by_chance" in value.details:
        notes.append(f"by chance {value.details['by_chance']:.{digits}f}")
    if value.n and value.n < videos:
        notes.append(f"n = {value.n}")
    return value.cell(digits) + (f" ({'; '.join(notes)})" if notes else "")


def _cells(share: Share | None) -> tuple[str | None, str | None]:
    if share is None:
        return None, None
    return f"{share.value:.1%}", f"{share.low:.1%} to {share.high:.1%}"


def _interval(share: Share | None) -> str | None:
    return None if share is None else f"{share.value:.1%} ({100 * share.low:.1f} to {100 * share.high:.1f})"
