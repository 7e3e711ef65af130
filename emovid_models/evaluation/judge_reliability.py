"""How far a judge's probabilities can be relied upon, against the emotions that videos were to show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emovid_dataset.terminal import print_table
from emovid_models.annotator.reliability import reliability
from emovid_models.evaluation.judge import Judged


def judge_reliability(judged: Judged, abstain: float | None = None) -> dict[str, Any] | None:
    """Measure a judge on videos whose emotion is known, or was asked for.

    Args:
        judged: its judgements; videos on which it failed are left out.
        abstain: confidence below which answers are withheld, 0..1; None is 0.4.

    Returns:
        See `Reliability.to_json`; None where nothing was judged.
    """
    names = list(judged.taxonomy.names)
    videos = [video for video in judged.videos if video.scores is not None]
    if not videos:
        return None
    found = reliability(
        [video.scores for video in videos if video.scores is not None],
        [names.index(video.intended) for video in videos],
    )
    return found.to_json(abstain=0.4 if abstain is None else abstain)


def print_reliability(found: Mapping[str, dict[str, Any] | None]) -> None:
    """Print a table of what was measured.

    Args:
        found: by name of the videos, what `judge_reliability` gave.
    """
    columns = ("", "videos", "ECE", "Brier", "AUROC", "abstaining below", "answers left", "of them wrong")
    print_table("The judge's confidence", columns, [_row(name, each) for name, each in found.items()])


def _row(name: str, found: dict[str, Any] | None) -> list[object]:
    if found is None:
        return [name, 0, *[None] * 6]
    measured = [found[measure] for measure in ("clips", "calibration_error", "brier", "auroc")]
    left = found["abstain"]
    wrong = None if left["risk"] is None else f"{left['risk']:.0%}"
    return [name, *measured, left["below"], f"{left['coverage']:.0%}", wrong]
