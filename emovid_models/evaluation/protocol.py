"""The paper's table for one set of videos after another: its six columns, in its order, with n."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from emovid_models.evaluation.measures.flicker import vbench_score
from emovid_models.evaluation.measures.frechet import fvd
from emovid_models.evaluation.measuring import Measured, Networks
from emovid_models.evaluation.paper import N, PublishedRow, Task
from emovid_models.evaluation.statistics import Figures, Share
from emovid_models.evaluation.value import Value

COLUMNS = (
    "",
    "n",
    "FVD",
    "CLIP score",
    "First-frame consistency",
    "Temporal flicker",
    "EA-2cls (95 %)",
    "EA-8cls (95 %)",
)
"""Headings of the table; the third measure stands in the place of the paper's SD score."""

NOTES = (
    "Lower is better for FVD and temporal flicker, higher for the others; intervals are Wilson's.",
    "First-frame consistency is the mean cosine of CLIP's features of every frame and of the given first "
    "frame. EvalCrafter's SD score, which the paper cites, compares with pictures that SDXL draws for the "
    "prompt.",
    "FVD is biased upwards by small numbers of videos (* where a covariance has no full rank), and compares "
    "only at the same number, with the same real clips and the same network. None of these values compares "
    "with the paper's, whose networks and judge are others.",
)
"""What to know before the table is read."""

SIGNIFICANCE = 0.05
"""A paired test from this up shows no difference."""


@dataclass(frozen=True, slots=True)
class PaperFigures:
    """A row of the paper's table.

    Attributes:
        n: videos that were asked for; those that cannot be judged count as wrong, those that cannot be
            measured are missing from the means, see `Value.n`.
        fvd: Fréchet distance to the benchmark's real clips.
        clip_score: of the videos and their prompts.
        first_frame_consistency: of the videos and their given first frames; for I2V.
        temporal_flicker: lower is steadier; ``details["vbench"]`` is VBench's score.
        ea: EA-2cls and EA-8cls.
    """

    n: int
    fvd: Value
    clip_score: Value
    first_frame_consistency: Value
    temporal_flicker: Value
    ea: Figures

    def row(self, name: str) -> list[object]:
        """A row of the table."""
        return [
            name,
            self.n,
            self.fvd.cell(1) + ("*" if self.fvd.details.get("rank_deficient") else ""),
            self.clip_score.cell(4),
            self.first_frame_consistency.cell(4),
            self.temporal_flicker.cell(4),
            _share(self.ea.ea_2cls),
            _share(self.ea.ea_8cls),
        ]

    def record(self) -> dict[str, Any]:
        """All of it as plain JSON values, unrounded."""
        record = asdict(self)
        ea = record.pop("ea")
        return {**record, "ea_2cls": ea["ea_2cls"], "ea_8cls": ea["ea_8cls"], "unscored": ea["unscored"]}


def paper_figures(
    measured: Sequence[Measured],
    ea: Figures,
    *,
    task: Task,
    networks: Networks,
    reference: Sequence[Measured] | None,
) -> PaperFigures:
    """A row of the table from what was measured and judged.

    Args:
        measured: of every video that is there.
        ea: of every video that was asked for.
        task: "t2v" or "i2v".
        networks: that were named.
        reference: of the benchmark's real clips; None for these themselves.

    Returns:
        The six columns; what was not computed has its reason and no value.
    """
    no_clip = None if networks.clip else "no --clip MODEL"
    clip = _mean([one.clip_score for one in measured], no_clip)
    truncated = sum(bool(one.truncated) for one in measured)
    flicker = _mean([one.flicker for one in measured], None, "no video has two frames")
    vbench = {} if flicker.value is None else {"vbench": vbench_score(flicker.value)}
    no_frame = "text to video has no first frame" if task == "t2v" else no_clip
    return PaperFigures(
        n=ea.n,
        fvd=_fvd(measured, reference, networks),
        clip_score=_with(clip, {"truncated": truncated} if clip.value is not None else {}),
        first_frame_consistency=_mean([one.first_frame for one in measured], no_frame),
        temporal_flicker=_with(flicker, vbench),
        ea=ea,
    )


def published_row(row: PublishedRow) -> list[object]:
    """A row of the paper's own table, marked as the paper's."""
    stage = {True: " after fine-tuning", False: " before fine-tuning", None: ""}[row.fine_tuned]
    return [
        f"the paper's: {row.model}{stage}",
        N,
        f"{row.fvd:.1f}",
        "-" if row.clip is None else f"{row.clip:.4f}",
        "-" if row.sd is None else f"SD score {row.sd:.4f}",
        f"{row.flicker:.4f}",
        f"{row.ea_2cls:.2f}%",
        f"{row.ea_8cls:.2f}%",
    ]


def paired_text(name: str, second: str, p: float, base_only: int, second_only: int) -> str:
    """A paired test in words; nothing is concluded from what is not significant.

    Args:
        name: of the measure.
        second: name of the second model.
        p: of the exact McNemar test.
        base_only: videos that are right with the base alone.
        second_only: with the second alone.

    >>> paired_text("EA-8cls", "lora", 0.4, 3, 6).partition(": p = ")[2]
    '0.4. This shows no difference, nor that there is none.'
    """
    text = (
        f"{name}: right with base alone {base_only}, with {second} alone {second_only}; "
        f"exact McNemar test, two-sided: p = {p:.2g}."
    )
    return text if p < SIGNIFICANCE else f"{text} This shows no difference, nor that there is none."


def _share(share: Share | None) -> str:
    if share is None:
        return ""
    return f"{share.value:.2%} ({100 * share.low:.1f} to {100 * share.high:.1f})"


def _mean(
    values: Sequence[float | None], reason: str | None, nothing: str = "no video was measured"
) -> Value:
    if reason is not None:
        return Value(None, reason=reason)
    there = [value for value in values if value is not None]
    if not there:
        return Value(None, reason=nothing)
    deviation = statistics.stdev(there) if len(there) > 1 else None
    return Value(statistics.fmean(there), len(there), deviation=deviation)


def _fvd(measured: Sequence[Measured], reference: Sequence[Measured] | None, networks: Networks) -> Value:
    if networks.videomae is None:
        return Value(None, reason="no --videomae MODEL")
    if reference is None:
        return Value(None, reason="these are the reference")
    sides = [
        np.array([one.feature for one in side if one.feature is not None]) for side in (reference, measured)
    ]
    if not all(map(len, sides)):
        return Value(None, reason="no video was measured")
    try:
        found = fvd(*sides)
    except ValueError as error:
        return Value(None, min(map(len, sides)), str(error))
    return Value(
        found.value,
        found.generated,
        details={
            "real": found.real,
            "dimensions": found.dimensions,
            "halves_of_the_real": found.halves,
            "rank_deficient": found.is_rank_deficient,
        },
    )


def _with(value: Value, details: Mapping[str, float | int | bool]) -> Value:
    return Value(value.value, value.n, value.reason, value.deviation, details)
