"""Find what is odd in a plan's clips, and put near-duplicates into one group."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from emovid_dataset.builder.duplicates import Looks, joined, near_duplicates
from emovid_dataset.builder.plan import Plan
from emovid_dataset.builder.sheet import Label, Rejection, printable
from emovid_dataset.media.traits import Traits
from emovid_dataset.report.problems import LEAST_FOR_LENGTHS, Problem, ProblemClip, Suspect, problems_of


def duplicates_in(plan: Plan) -> list[tuple[int, ...]]:
    """Families of clips that show nearly the same, each the rows of its clips."""
    rows = array("q")

    def looks() -> Iterator[Looks]:
        for label, clip, _, made in plan.prepared_clips():
            rows.append(label.row)
            traits = made["traits"] or {}
            yield Looks(traits.get("fingerprint"), clip["luma"], clip["colorfulness_m3"])

    return [tuple(rows[number] for number in family) for family in near_duplicates(looks())]


def group_families(plan: Plan, families: Sequence[Sequence[int]]) -> list[str]:
    """Make one group of the groups that share near-duplicates; the first one's name in the alphabet stays.

    Args:
        plan: in a transaction; its clips have no split but what the sheet gives.
        families: from `duplicates_in`.

    Returns:
        What a person should know of it, a line each.
    """
    group_of: dict[int, str] = {}
    path_of: dict[int, str] = {}
    sides: dict[str, set[str]] = defaultdict(set)
    wanted = {row for family in families for row in family}
    for label, clip, split, _ in plan.prepared_clips():
        if split:
            sides[clip["group"]].add(split)
        if label.row in wanted:
            group_of[label.row], path_of[label.row] = clip["group"], label.path
    tied = joined([group_of[row] for row in family] for family in families)
    merged = 0
    for groups in tied:
        splits = sorted(set().union(*(sides[group] for group in groups)))
        if len(splits) > 1:
            _refuse(plan, [row for row in group_of if group_of[row] in groups], path_of, splits)
            continue
        name = min(groups)
        for group in groups:
            if group != name:
                plan.regroup(group, name)
        merged += len(groups) > 1
    return [f"near-duplicates were put together into {merged} groups"] if merged else []


def _refuse(plan: Plan, rows: Sequence[int], path_of: dict[int, str], splits: Sequence[str]) -> None:
    """Refuse near-duplicates that the sheet gives to several splits."""
    said = " and ".join(splits)
    for row in rows:
        reason = f"its near-duplicates are given to {said}; with group_duplicates they stay in one split"
        plan.drop_clip(row)
        plan.reject(Rejection(row, printable(path_of[row]), reason))


def find_problems(
    plan: Plan,
    families: Sequence[Sequence[int]],
    contested: Sequence[tuple[ProblemClip, str]],
    splits: Sequence[str],
    held: Mapping[int, Suspect] | None = None,
) -> list[Problem]:
    """All problems of a plan whose clips have their splits.

    Args:
        plan: the plan.
        families: from `duplicates_in`.
        contested: from `join`.
        splits: that were asked for.
        held: clips of a growing build that are in families, by the numbers that they have there.
    """
    durations: dict[str, array[float]] = defaultdict(lambda: array("d"))
    for content_type, duration in plan.durations():
        durations[content_type].append(duration)
    lengths = {
        name: float(np.median(held)) for name, held in durations.items() if len(held) >= LEAST_FOR_LENGTHS
    }
    return problems_of(
        _suspects(plan),
        families=families,
        lengths=lengths,
        refused=contested,
        splits=splits,
        held=held or {},
    )


def _suspects(plan: Plan) -> Iterator[Suspect]:
    for label, clip, split, made in plan.prepared_clips():
        yield Suspect(
            ProblemClip(clip["id"], label.row, _name(label)),
            clip["content_type"],
            clip["emotion"],
            split,
            clip["num_frames"],
            clip["duration"],
            Traits(**(made["traits"] or {})),
        )


def _name(label: Label) -> str:
    path = printable(label.path)
    return path if label.start is None else f"{path} {label.start:g}-{label.end:g} s"
