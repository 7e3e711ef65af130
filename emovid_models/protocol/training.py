"""Train the annotator on what people agree on, and let it label the rest."""

from __future__ import annotations

import shutil
from typing import Any

from emovid_dataset.agree.sheet import write_sheet
from emovid_dataset.builder.build import build
from emovid_dataset.read.manifest import read_manifest
from emovid_models.annotator.annotate import LoadedByName, annotate
from emovid_models.annotator.train import train_annotator
from emovid_models.annotator.training_config import TrainingConfig
from emovid_models.protocol.drawing import items_of, read_clip_sheet
from emovid_models.protocol.record import (
    AGREED,
    ANNOTATIONS,
    ANNOTATOR,
    BUILD,
    LABELS,
    REST,
    ProtocolRecord,
)

RATIOS = (0.8, 0.2, 0.0)
"""Shares of train and validation of what people labelled; what judges the annotator is the audit."""


def train(record: ProtocolRecord, *, progress: bool = False) -> dict[str, Any]:
    """Build a data set of the clips that people agree on, and train the annotator on it.

    It goes on where it was interrupted; a run on other labels begins anew.

    Args:
        record: of the run.
        progress: show progress on stderr.

    Returns:
        How many clips it was trained on, and what was measured on the validation split.

    Raises:
        ValueError: the agreement is not done, or too few clips are kept for two splits.
    """
    record.need("agree")
    settings, out = record.settings, record.path(BUILD)
    report = build(
        settings.raw,
        record.path(AGREED),
        out,
        ratios=RATIOS,
        seed=settings.seed,
        overwrite=_is_of_other_labels(record),
        engine="serial",
        progress=progress,
    )
    clips = {
        split: sum(n for key, n in report.counts.items() if key[2] == split)
        for split in ("train", "validation")
    }
    for split, count in clips.items():
        if not count:
            raise ValueError(
                f"{out} has no clip in the split {split!r}: all that people agree on is of one film; "
                "rate clips of more films"
            )
    config = TrainingConfig(seed=settings.seed, **settings.training)
    folder = record.path(ANNOTATOR)
    try:
        found = train_annotator(out, settings.base, folder, config, progress=progress)
    except ValueError as error:
        if "holds a run with" not in str(error):
            raise
        shutil.rmtree(folder)
        found = train_annotator(out, settings.base, folder, config, progress=progress)
    outcome = {
        "clips": clips,
        "refused": len(report.rejections),
        "macro_recall": found.macro_recall,
        "accuracy": found.accuracy,
        "targets": found.targets,
        "identity": LoadedByName.pinned(folder).identity(),
    }
    record.finish("train", outcome)
    return outcome


def _is_of_other_labels(record: ProtocolRecord) -> bool:
    """Whether the build is a finished one, which may be of earlier labels; an unfinished one goes on."""
    try:
        read_manifest(record.path(BUILD))
    except (FileNotFoundError, ValueError):
        return False
    return "train" not in record.steps


def label_rest(record: ProtocolRecord, *, progress: bool = False) -> dict[str, Any]:
    """Let the annotator label the clips that were not drawn, and write all labels as one sheet.

    Args:
        record: of the run.
        progress: show progress on stderr.

    Returns:
        How many clips it labelled, and how many it could not.

    Raises:
        ValueError: the training is not done.
    """
    identity = record.need("train")["identity"]
    rest = read_clip_sheet(record.path(REST))
    out = record.path(ANNOTATIONS)
    annotator = LoadedByName.pinned(record.path(ANNOTATOR))
    said = {}
    if rest:
        items = items_of(rest, record.settings.raw)
        try:
            report = annotate(items, annotator, out, identity=identity, progress=progress)
        except ValueError as error:
            if "holds annotations with" not in str(error):
                raise
            out.unlink(missing_ok=True)  # an earlier annotator's
            shutil.rmtree(record.path(f".{ANNOTATIONS}.parts"), ignore_errors=True)
            report = annotate(items, annotator, out, identity=identity, progress=progress)
        said = {one.key: one for one in report.annotations}
    rows: list[dict[str, Any]] = list(read_clip_sheet(record.path(AGREED)).values())
    for clip, one in said.items():
        if one.emotion is not None and one.scores is not None:
            told = {"emotion": one.emotion, "emotion_scores": list(one.scores), "emotion_source": "model"}
            rows.append({"id": clip, **rest[clip], **told})
    write_sheet(record.path(LABELS), rows)
    failed = [{"id": one.key, "reason": one.error} for one in said.values() if one.error is not None]
    outcome = {"labelled": len(said) - len(failed), "failed": failed, "identity": identity}
    record.finish("annotate", outcome)
    return outcome
